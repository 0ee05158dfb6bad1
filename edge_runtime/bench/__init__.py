"""Bench: how fast a model starts and runs here, what memory and energy it takes, and where its time goes."""
