"""Which answers changed: the original's beside the compressed model's."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from compress.report.page import canvas
from edge_runtime.tensors import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 40
"""Classes up to which a picture is readable."""


def matrix(rows: Array, columns: Array, classes: int) -> Array:
    """How often each pair of classes occurs: int64[classes, classes]."""
    found = np.zeros((classes, classes), np.int64)
    np.add.at(found, (rows, columns), 1)
    return found


def picture(
    answers: tuple[Array, Array], labels: Array | None, names: Sequence[str], classes: int
) -> "Figure":
    """Where there are labels, both models against them; else the compressed model against the original."""
    before, after = answers
    panels = [("label", "original", labels, before), ("label", "compressed", labels, after)]
    if labels is None:
        panels = [("original", "compressed", before, after)]
    figure, axes = canvas(4.6 * len(panels), 4.4, columns=len(panels))
    for axis, (down, across, rows, columns) in zip(axes, panels, strict=True):
        found = matrix(np.asarray(rows), columns, classes)
        share = found / np.maximum(found.sum(axis=1, keepdims=True), 1)
        axis.imshow(share, cmap="BuGn", vmin=0, vmax=1)
        if classes <= 12:
            for (r, c), count in np.ndenumerate(found):
                if count:
                    axis.text(c, r, str(count), ha="center", va="center", fontsize=6)
        if names and classes <= 20:
            axis.set_xticks(range(classes), list(names)[:classes], fontsize=6, rotation=90)
            axis.set_yticks(range(classes), list(names)[:classes], fontsize=6)
        axis.set_xlabel(across)
        axis.set_ylabel(down)
    return figure


def changed(answers: tuple[Array, Array], names: Sequence[str], most: int = 12) -> list[tuple[str, str, int]]:
    """The commonest changes of answer: the original's, the compressed model's, how often."""
    pairs = Counter((int(a), int(b)) for a, b in zip(*answers, strict=True) if a != b)
    return [(_name(a, names), _name(b, names), count) for (a, b), count in pairs.most_common(most)]


def _name(index: int, names: Sequence[str]) -> str:
    return str(names[index]) if index < len(names) else f"class {index}"
