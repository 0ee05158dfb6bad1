"""Peers of the training benchmarks, each in a process and an environment of its own."""
