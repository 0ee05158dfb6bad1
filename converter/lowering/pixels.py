"""Neighbouring pixels taken as one: a convolution of few channels in integers, with fewer places in its window.

XNNPACK's integer kernels multiply channels by eights and load each place of the window by itself; a picture's three
channels waste most of both. Where a convolution moves by ``s`` pixels along a row, ``s`` neighbours are one place of
``s · c`` channels, and lie in memory as such already. Weights of the places beyond the kernel are zero, and what is
added up is the same integers.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from converter.lowering.window import Window
from edge_runtime.tensors import Array

_CHANNELS = 8  # that a kernel multiplies at once


def joined(weight: Array, w: Window, size: Sequence[int], width: int) -> tuple[Array, Window] | None:
    """The same convolution of pixels that were joined along the row, as many as it moves by.

    Args:
        weight: [outputs, channels, height, width].
        w: its window.
        size: height and width of the input.
        width: of the output.

    Returns:
        The weight [outputs, stride · channels, height, places] and its window, for the input as [n, height, width /
        stride, stride · channels]; None where that is not possible, or no less work.
    """
    outputs, channels, rows, columns = weight.shape
    step, before = w.stride[1], -(-w.before[1] // w.stride[1])
    lead = before * step - w.before[1]
    places = -(-(lead + columns) // step)
    behind = width - 1 + places - before - size[1] // step
    dense = places * _padded(step * channels) < columns * _padded(channels)
    if step == 1 or size[1] % step or w.dilation != (1, 1) or behind < 0 or not dense:
        return None
    made = np.zeros((outputs, channels, rows, places * step), weight.dtype)
    made[..., lead : lead + columns] = weight
    made = made.reshape(outputs, channels, rows, places, step).transpose(0, 4, 1, 2, 3)
    return made.reshape(outputs, step * channels, rows, places), replace(
        w,
        kernel=(rows, places),
        stride=(w.stride[0], 1),
        before=(w.before[0], before),
        behind=(w.behind[0], behind),
    )


def _padded(channels: int) -> int:
    return -(-channels // _CHANNELS) * _CHANNELS
