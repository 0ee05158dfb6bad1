"""Pictures: decoded by Pillow, brought to the model's size, normalised; and the way back, from its pixels to theirs."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.declared import Preprocess
from edge_runtime.errors import BackendError, InputError
from edge_runtime.tensors import Array

MOST_PIXELS = 80_000_000
"""A small file may claim to be a huge picture; none larger than this is decoded."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a picture of `width` x `height` lies in the model's input: ``input = picture * scale + shift``."""

    width: int
    height: int
    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)

    def back(self, boxes: Array) -> Array:
        """Boxes float[n, 4] (left, top, right, bottom) from the input's pixels to the picture's, within it."""
        scale, shift = np.tile(self.scale, 2), np.tile(self.shift, 2)
        most = np.array([self.width, self.height, self.width, self.height], np.float64)
        found: Array = np.clip((boxes - shift) / scale, 0, most)
        return found


def decode(source: Path | bytes, name: str = "picture") -> Any:
    """A picture as Pillow's image, RGB, upright as its EXIF data says.

    Raises:
        InputError: it is not a picture, or too large a one.
        BackendError: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError as error:
        raise BackendError("reading pictures needs Pillow: pip install 'littoral[images]'") from error
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise InputError(
                    f"{name}: has {opened.width} x {opened.height} pixels; at most {MOST_PIXELS} are read"
                )
            return ImageOps.exif_transpose(opened.convert("RGB"))
    except UnidentifiedImageError as error:
        raise InputError(f"{name}: not a picture of a format that is known") from error
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError, EOFError) as error:
        # Pillow's decoders raise any of these on damaged files
        raise InputError(f"{name}: not a picture that can be read ({error})") from error


def place(picture: Any, preprocess: Preprocess) -> tuple[Array, Frame]:
    """The picture at the model's size, and where it lies there.

    Args:
        picture: Pillow's image, RGB.
        preprocess: the size, and how to get there.

    Returns:
        float32[crop, width, channels], 0 to 255, and the frame.
    """
    from PIL import Image

    height, width = preprocess.crop, preprocess.width or preprocess.crop
    if preprocess.fit == "crop":
        scale = preprocess.resize / min(picture.size)
        size = max(width, round(picture.width * scale)), max(height, round(picture.height * scale))
    elif preprocess.fit == "letterbox":
        scale = min(width / picture.width, height / picture.height)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    else:
        size = width, height
    filled = Image.Resampling.BICUBIC if preprocess.fit == "crop" else Image.Resampling.BILINEAR
    resized = np.asarray(picture.resize(size, filled), np.float32)
    left, top = int((width - size[0]) / 2), int((height - size[1]) / 2)  # towards zero, whichever is larger
    scales = size[0] / picture.width, size[1] / picture.height
    frame = Frame(picture.width, picture.height, scales, (float(left), float(top)))
    if preprocess.fit == "letterbox":
        canvas = np.full((height, width, 3), preprocess.pad, np.float32)
        canvas[top : top + size[1], left : left + size[0]] = resized
    else:
        canvas = resized[-top : height - top, -left : width - left]
    return _channels(canvas, preprocess.channels), frame


def _channels(picture: Array, order: str) -> Array:
    if order == "grey":  # ITU-R BT.601, as Pillow's
        return (picture @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    return picture[..., ::-1] if order == "bgr" else picture


def read_picture(path: Path, preprocess: Preprocess) -> Array:
    """One picture as the model's input: float32[channels, crop, width].

    Raises:
        InputError: it is not a picture.
        BackendError: Pillow is not installed.
    """
    return normalise(place(decode(path, str(path)), preprocess)[0], preprocess)


def normalise(picture: Array, preprocess: Preprocess) -> Array:
    """From [h, w, channels], 0 to 255, to float32[channels, h, w] as the model takes it."""
    mean, std = np.asarray(preprocess.mean, np.float32), np.asarray(preprocess.std, np.float32)
    return np.ascontiguousarray(((picture.astype(np.float32) - mean) / std).transpose(2, 0, 1))
