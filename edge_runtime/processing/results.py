"""Answers, in words and as JSON: classes, boxes, regions, events of a sound, or the plain values."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edge_runtime.tensors import Array, describe


@dataclass(frozen=True, slots=True)
class Label:
    """A class's name, and its score, 0 to 1; of a segmentation, the share of the pixels."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Box:
    """An object, and where it is in pixels of the picture, from its upper left corner."""

    label: str
    score: float
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Event:
    """What was heard, its highest score, and from when to when in seconds."""

    label: str
    score: float
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Classification:
    """The classes of `source`, best first; there may be none above a threshold."""

    source: str
    labels: tuple[Label, ...]

    def words(self) -> str:
        """``tabby 0.63, tiger cat 0.21``."""
        return ", ".join(f"{each.label} {each.score:.2f}" for each in self.labels) or "nothing"

    def to_json(self) -> dict[str, Any]:
        """As a plain table."""
        return {"source": self.source, "labels": [asdict(each) for each in self.labels]}


@dataclass(frozen=True, slots=True)
class Detection:
    """The objects in `source`, best first."""

    source: str
    boxes: tuple[Box, ...]

    def words(self) -> str:
        """``dog 0.91 at 12, 40 to 230, 310``."""
        return (
            ", ".join(
                f"{b.label} {b.score:.2f} at {b.left:.0f}, {b.top:.0f} to {b.right:.0f}, {b.bottom:.0f}"
                for b in self.boxes
            )
            or "nothing"
        )

    def to_json(self) -> dict[str, Any]:
        """As a plain table."""
        return {"source": self.source, "boxes": [asdict(each) for each in self.boxes]}


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """The class of each pixel of `source`, ``mask: int16[height, width]``, -1 where the model saw none of it.

    `labels` are the classes and their shares of the pixels that it saw, largest first.
    """

    source: str
    labels: tuple[Label, ...]
    mask: Array

    def words(self) -> str:
        """``sky 41 %, road 30 %``."""
        return ", ".join(f"{each.label} {100 * each.score:.0f} %" for each in self.labels)

    def to_json(self) -> dict[str, Any]:
        """As a plain table, without the mask."""
        return {"source": self.source, "regions": [asdict(each) for each in self.labels]}


@dataclass(frozen=True, slots=True)
class Sound:
    """What was heard in `source`, in the order of time, and how long it is."""

    source: str
    seconds: float
    events: tuple[Event, ...]

    def words(self) -> str:
        """``speech 0.3 to 1.4 s (0.98)``."""
        return (
            ", ".join(f"{e.label} {e.start:.1f} to {e.end:.1f} s ({e.score:.2f})" for e in self.events)
            or "nothing"
        )

    def to_json(self) -> dict[str, Any]:
        """As a plain table."""
        events = [asdict(each) for each in self.events]
        return {"source": self.source, "seconds": self.seconds, "events": events}


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """The outputs as they are, by name, where nothing says what they mean."""

    source: str
    outputs: Mapping[str, Array]

    def words(self) -> str:
        """``y: float32[1, 3], -0.5 to 2``."""
        return "; ".join(f"{name}: {describe(a)}{_span(a)}" for name, a in self.outputs.items())

    def to_json(self) -> dict[str, Any]:
        """As a plain table."""
        return {"source": self.source, "outputs": {name: a.tolist() for name, a in self.outputs.items()}}


Result = Classification | Detection | Segmentation | Sound | Values


def _span(array: Array) -> str:
    if not array.size or not np.issubdtype(array.dtype, np.number):
        return ""
    return f", {array.min():.4g} to {array.max():.4g}"
