"""Depthwise convolution: one filter a channel, y[n, c] = W[c] * x[n, c].

ONNX Runtime computes it channel by channel, and a small map leaves such a kernel nothing to be fast with. But
for one channel it is a product with a matrix, y = x T, and all channels together are one stacked MatMul. T:
[c, elements, outputs] repeats the weights along its diagonals: it is the product of W: [c, positions] with a
constant that holds 0 and 1. Then dx = dy Tᵀ and dT = xᵀ dy. See Goodfellow et al., "Deep Learning", 2016,
section 9.1, which calls T a doubly block circulant matrix.

Milliseconds on x86-64 (one thread, 16 samples), million instructions of a Cortex-A72 (8 samples):

==============  ===================  ===================  ==================
192 x 6x6, 3x3  forward              dx                   dW
==============  ===================  ===================  ==================
by channel      0.52 ms, 2.49 M      0.60 ms, 6.40 M      0.30 ms, 2.64 M
as a matrix     0.14 ms, 2.27 M      0.13 ms, 2.39 M      0.12 ms, 2.66 M
==============  ===================  ===================  ==================

On 480 x 3x3 it is 0.81 against 0.11 ms, and 3.2 against 1.4 M. On 12x12 the matrix is already slower (0.45
against 0.69 ms), for it grows with the square of the map.
"""

import math

import numpy as np

from converter.autodiff.graph import Graph, Value
from converter.autodiff.rules.window import Window

_SMALL = 49
"""Largest map, in elements, for which the matrix is used; 7x7 is the last stage of most networks."""
_WIDE = 56
"""Widest map for products of rows: the work grows with the width, of which all but the kernel's is wasted."""


def small(window: Window) -> bool:
    """Whether the convolution is computed as a matrix."""
    return max(math.prod(window.size), window.pixels) <= _SMALL


def forward(g: Graph, x: Value, w: Value, window: Window) -> Value:
    """The convolution of small maps."""
    channels = int(w.shape[0])
    return _restored(g, _by_channel(g, x, channels) @ _matrix(g, w, window), window.out)


def input_gradient(g: Graph, w: Value, dy: Value, window: Window) -> Value:
    """The gradient with respect to x.

    For stride 1 a convolution with the filters turned round, which a Cortex-A72 does in half of what
    ConvTranspose takes (96 x 24x24, 2 samples: 2.2 M against 4.8 M instructions; no difference on x86-64).
    """
    channels, rank = int(w.shape[0]), window.rank
    if small(window):
        turned = g.op("Transpose", _matrix(g, w, window), perm=[0, 2, 1])
        return _restored(g, _by_channel(g, dy, channels) @ turned, window.size)
    reach = [d * (k - 1) for d, k in zip(window.dilations, window.kernel, strict=True)]
    pads = [r - p for r, p in zip(reach * 2, (*window.begin, *window.end), strict=True)]
    if set(window.strides) != {1} or min(pads) < 0:
        return window.transposed(g, dy, w, channels)
    axes = range(2, 2 + rank)
    turned = g.slice(w, [-1] * rank, [-k - 1 for k in window.kernel], axes, [-1] * rank)
    return g.op("Conv", dy, turned, group=channels, pads=pads, dilations=list(window.dilations))


def weight_gradient(g: Graph, x: Value, w: Value, dy: Value, window: Window) -> Value:
    """The gradient with respect to W."""
    channels = int(w.shape[0])
    if small(window):
        elements = math.prod(window.size)
        rows = g.op("Transpose", g.reshape(x, [0, channels, elements]), perm=[1, 2, 0])
        product = g.reshape(rows @ _by_channel(g, dy, channels), [channels, elements * window.pixels])
        return g.reshape_like(product @ g.constant(_flat(g, window).T.copy()), w)
    if window.rank == 2 and max(window.strides) == 1 and window.size[1] <= _WIDE:
        return _by_rows(g, x, w, dy, window)
    return _by_position(g, x, w, dy, window)


def _matrix(g: Graph, w: Value, window: Window) -> Value:
    channels = int(w.shape[0])
    return g.reshape(
        g.reshape(w, [channels, -1]) @ g.constant(_flat(g, window)),
        [channels, math.prod(window.size), window.pixels],
    )


def _flat(g: Graph, window: Window) -> np.ndarray[tuple[int, int], np.dtype[np.generic]]:
    """float[positions, elements · outputs]."""
    selection = window.selection()
    return selection.reshape(len(selection), -1).astype(g.dtype)


def _by_channel(g: Graph, x: Value, channels: int) -> Value:
    """From [n, c, ...] to [c, n, elements]."""
    return g.op("Transpose", g.reshape(x, [0, channels, -1]), perm=[1, 0, 2])


def _restored(g: Graph, x: Value, size: tuple[int, ...]) -> Value:
    """From [c, n, elements] to [n, c, ...]."""
    return g.reshape(g.op("Transpose", x, perm=[1, 0, 2]), [0, 0, *size])


def _by_rows(g: Graph, x: Value, w: Value, dy: Value, window: Window) -> Value:
    """For each row of the kernel, the products of all columns of x with all of dy, of which its diagonals count.

    96 x 24x24: 2.9 ms against 3.8 by position (5.2 M against 5.0 M instructions); 12x12: 0.39 against 0.65.
    """
    channels, (height, width), (_, out_width) = int(w.shape[0]), window.size, window.out
    rows = window.along(1)
    diagonals = rows.selection().reshape(rows.kernel[0], -1).T.astype(g.dtype)
    d, t = (g.op("Transpose", value, perm=[1, 0, 2, 3]) for value in (dy, x))
    sums = []
    for position in range(window.kernel[0]):
        shift = position * window.dilations[0] - window.begin[0]
        first, last = max(0, -shift), min(window.out[0], height - shift)
        met = g.slice(t, [first + shift], [last + shift], [2], [1])
        given = g.reshape(g.slice(d, [first], [last], [2], [1]), [channels, -1, out_width])
        turned = g.op("Transpose", g.reshape(met, [channels, -1, width]), perm=[0, 2, 1])
        product = g.reshape(turned @ given, [channels, width * out_width])
        sums.append(g.op("Unsqueeze", product @ g.constant(diagonals.copy()), [1]))
    return g.reshape_like(sums[0] if len(sums) == 1 else g.op("Concat", *sums, axis=1), w)


def _by_position(g: Graph, x: Value, w: Value, dy: Value, window: Window) -> Value:
    """For each position Σ x·dy, channels last, where they are contiguous.

    The sum is a product with ones: 2304 x 48 take 0.12 M instructions, and by ReduceSum 0.32 M.
    """
    channels, rank = int(w.shape[0]), window.rank
    order = [0, *range(2, 2 + rank), 1]
    d = g.op("Transpose", dy, perm=order)
    padded = window.padded(g, g.op("Transpose", x, perm=order), 1)
    d = g.reshape(d, [-1, window.pixels, channels])
    ones = g.constant(np.ones((1, window.pixels), g.dtype))
    sums = []
    for part in window.offsets(g, padded, 1):
        each = ones @ (g.reshape(part, [-1, window.pixels, channels]) * d)
        sums.append(g.reshape(g.sum(each, [0, 1]), [channels, 1]))
    return g.reshape_like(sums[0] if len(sums) == 1 else g.op("Concat", *sums, axis=1), w)
