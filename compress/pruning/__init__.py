"""Fewer weights: single ones (sparsify) or whole channels (prune)."""
