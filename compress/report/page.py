"""What a report's pictures have in common: colours, and a Matplotlib figure without a display; and the page itself."""

from typing import TYPE_CHECKING

from edge_runtime.page import Page as Page
from edge_runtime.page import png as png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, BEFORE, AFTER = "#1d2b33", "#9fb4c0", "#0f7a7a"
"""Colours of pictures: text, the original, the compressed."""


def canvas(width: float, height: float, columns: int = 1, rows: int = 1) -> "tuple[Figure, list[Axes]]":
    """A Matplotlib figure of that size in inches, without a display, and its axes in reading order."""
    from matplotlib.figure import Figure as MatplotlibFigure

    figure = MatplotlibFigure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, list(axes.flat)
