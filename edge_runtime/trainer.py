"""Trainer: a loaded training graph."""


class Trainer:
    """Placeholder until its file arrives."""
