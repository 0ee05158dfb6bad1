"""Fewer bits: weights and activations as small integers, weights as a codebook."""
