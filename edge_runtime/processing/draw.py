"""Pictures with what was found in them: boxes, regions, or the classes in a corner."""

from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.files import atomic
from edge_runtime.processing.images import decode
from edge_runtime.processing.results import Detection, Result, Segmentation

_COLOURS = ("#e4572e", "#0f7a7a", "#f2a541", "#5b5f97", "#8cb369", "#c84c9e", "#2e86ab", "#a44a3f")


def draw(picture: Path, result: Result, out: Path) -> None:
    """Write the picture with its answer.

    Args:
        picture: the file that was answered.
        result: its answer.
        out: the file to write; its suffix says in which format.

    Raises:
        InputError: the file is not a picture, or the format is not known.
    """
    image = decode(picture, str(picture))
    if isinstance(result, Segmentation):
        image = _tinted(image, result)
    from PIL import ImageDraw

    pen = ImageDraw.Draw(image)
    unit = max(1, round(max(image.size) / 400))
    if isinstance(result, Detection):
        names = list(dict.fromkeys(box.label for box in result.boxes))
        for box in reversed(result.boxes):  # the best on top
            colour = _COLOURS[names.index(box.label) % len(_COLOURS)]
            pen.rectangle((box.left, box.top, box.right, box.bottom), outline=colour, width=2 * unit)
            above = max(0.0, box.top - 14 * unit)  # not over what the box holds, where there is room
            _write(pen, (box.left, above), f"{box.label} {box.score:.2f}", colour, unit)
    else:
        for row, words in enumerate(result.words().split(", ")):
            _write(pen, (0, row * 15 * unit), words, _COLOURS[row % len(_COLOURS)], unit)
    try:
        with atomic(out) as partial:
            image.save(partial)
    except (ValueError, KeyError, OSError) as error:
        raise InputError(f"{out}: cannot be written ({error}); expected a name such as out.png") from error


def _write(pen: Any, at: tuple[float, float], words: str, colour: str, unit: int) -> None:
    """Words on a coloured ground, within the picture."""
    from PIL import ImageFont

    font = ImageFont.load_default(11 * unit)
    left, top, right, bottom = pen.textbbox(at, words, font=font)
    pen.rectangle((left - unit, top - unit, right + unit, bottom + unit), fill=colour)
    pen.text(at, words, fill="white", font=font)


def _tinted(image: Any, result: Segmentation) -> Any:
    from PIL import Image

    pixels = np.asarray(image, np.float32)
    table = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in _COLOURS], np.float32)
    tint = table[np.maximum(result.mask, 0) % len(_COLOURS)]
    shown = np.where(result.mask[..., None] > 0, 0.5 * pixels + 0.5 * tint, pixels)
    return Image.fromarray(shown.astype(np.uint8))
