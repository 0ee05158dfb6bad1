"""From a photograph or a sound to words: what a manifest declares of a model's two ends, done with NumPy."""

from edge_runtime.processing.pipeline import Pipeline
from edge_runtime.processing.results import (
    Box,
    Classification,
    Detection,
    Event,
    Label,
    Result,
    Segmentation,
    Sound,
    Values,
)

__all__ = [
    "Box",
    "Classification",
    "Detection",
    "Event",
    "Label",
    "Pipeline",
    "Result",
    "Segmentation",
    "Sound",
    "Values",
]
