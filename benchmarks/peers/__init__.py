"""Peers of the benchmarks that need an environment of their own."""
