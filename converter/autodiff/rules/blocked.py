"""Convolutions on blocked channels: operators of onnxruntime's own, for x86-64.

Its domain ``com.microsoft.nchwc`` keeps the channels of an image in blocks that fill a register: [n, c/b, h, w, b]
in memory, under the shape [n, c, h, w]. b is 8 or 16, as the processor has it, and nothing here depends on which: the
engine's own ReorderInput makes the layout also of the filters, which are images for it. Whole blocks of 16 are
whole blocks of 8. The aarch64 build has no such operators, and they are not part of ONNX, so
`converter.differentiate` uses them only where it is asked to.

Milliseconds of x86-64 (one thread, AVX-512, 16 samples), reordering included:

=====================  ===========  ===========  ===========
depthwise, 3x3         forward      dx           dW
=====================  ===========  ===========  ===========
96 x 24x24             1.36, 0.36   1.35, 0.37   3.46, 1.07
48 x 48x48, stride 2   1.40, 0.63   1.77, 1.32   3.61, 1.04
480 x 3x3              0.82, 0.05   0.83, 0.06   0.19, 0.09
=====================  ===========  ===========  ===========

A dense 3x3 of 64 channels on 16x16 takes 1.36 instead of 1.86 forwards, one of 256 channels on 4x4 1.7 instead of
3.3 backwards; on 2x2 the reordering of the weights eats it up.
"""

import math

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from converter.autodiff.graph import Graph, Value
from converter.autodiff.rules.window import Window

DOMAIN = "com.microsoft.nchwc"
_BLOCK = 16  # the larger of the two
_SMALL = 8  # up to so many pixels of a dense convolution, one product over the whole batch is faster


def fits(g: Graph, w: Value, window: Window, groups: int) -> bool:
    """Whether the convolution can and should be computed on blocked channels.

    Either one filter a channel, or all channels with all. 1x1 is a product of matrices as it is.
    """
    if not g.blocked or g.dtype != np.float32 or window.rank != 2 or len(set(window.strides)) > 1:
        return False
    outputs, inputs = int(w.shape[0]), int(w.shape[1])
    if groups == outputs and inputs == 1:
        return outputs % _BLOCK == 0
    whole = outputs % _BLOCK == inputs % _BLOCK == 0
    return groups == 1 and whole and math.prod(window.kernel) > 1 and window.pixels > _SMALL


def forward(g: Graph, x: Value, w: Value, b: Value | None, window: Window, groups: int) -> Value:
    """The convolution."""
    pads, strides = window.pads, list(window.strides)
    return _conv(g, _reordered(g, x), w, b, window, groups=groups, pads=pads, strides=strides)


def input_gradient(g: Graph, w: Value, dy: Value, window: Window, groups: int) -> Value | None:
    """The gradient with respect to x, or None where it is not to be had so.

    A convolution with the filters turned round; for strides above 1, of dy with zeros in between.
    """
    stride = window.strides[0]
    if stride > 1 and groups == 1:
        return None  # three quarters of the work would be on zeros
    pads = _turned_pads(window)
    if min(pads) < 0:
        return None
    turned = g.slice(w, [-1, -1], [-k - 1 for k in window.kernel], [2, 3], [-1, -1])
    if groups == 1:
        turned = g.op("Transpose", turned, perm=[1, 0, 2, 3])
        g.shapes[turned.name] = (w.shape[1], w.shape[0], *w.shape[2:])
    else:
        g.shapes[turned.name] = w.shape
    spread = dy if stride == 1 else _spread(g, dy, window)
    given = _reordered(g, spread, again=True)
    return _conv(g, given, turned, None, window, groups=groups, pads=pads, strides=[1, 1])


def weight_gradient(g: Graph, x: Value, w: Value, dy: Value, window: Window) -> Value | None:
    """The gradient of a depthwise convolution with respect to W, or None where it is not to be had so.

    dW = x * dy, sample by sample: a depthwise convolution of x with dy for its filters.
    """
    channels, kernel = int(w.shape[0]), window.kernel
    begin = list(window.begin)
    reach = [(o - 1) * s + k for o, s, k in zip(window.out, window.strides, kernel, strict=True)]
    if set(window.dilations) != {1}:
        return None
    end = [r - n - b for r, n, b in zip(reach, window.size, begin, strict=True)]
    if min(end) < 0:
        return None  # what no window covers would have to be cut off first
    body = _per_sample(channels, window, [*begin, *end])
    sums = g.op(
        "Scan", _reordered(g, x, again=True), _reordered(g, dy, again=True), body=body, num_scan_inputs=2
    )
    size = channels * math.prod(kernel)
    total = g.reshape(g.sum(g.reshape(sums, [-1, size]), [0]), [1, channels, *kernel])
    return g.reshape_like(_restored(g, total, channels), w)


def _per_sample(channels: int, window: Window, pads: list[int]) -> object:
    """The body of a Scan: from one sample's blocked x and dy to its part of dW."""
    axes = [numpy_helper.from_array(np.array([axis]), f"blocked.axis{axis}") for axis in (0, 1)]
    nodes = [
        helper.make_node("Unsqueeze", ["blocked.x", "blocked.axis0"], ["blocked.image"]),
        helper.make_node("Unsqueeze", ["blocked.dy", "blocked.axis1"], ["blocked.filters"]),
        helper.make_node(
            "Conv",
            ["blocked.image", "blocked.filters"],
            ["blocked.dw"],
            domain=DOMAIN,
            group=channels,
            kernel_shape=list(window.out),
            dilations=list(window.strides),
            pads=pads,
        ),
    ]
    shapes = {
        "x": [channels, *window.size],
        "dy": [channels, *window.out],
        "dw": [1, channels, *window.kernel],
    }
    x, dy, dw = (
        helper.make_tensor_value_info(f"blocked.{name}", TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    )
    return helper.make_graph(nodes, "sample", [x, dy], [dw], axes)


def _conv(
    g: Graph,
    blocked: Value,
    w: Value,
    b: Value | None,
    window: Window,
    *,
    groups: int,
    pads: list[int],
    strides: list[int],
) -> Value:
    outputs = int(w.shape[0])
    shape = {"kernel_shape": list(window.kernel), "dilations": list(window.dilations)}
    y = g.op(
        "Conv",
        blocked,
        _filters(g, w),
        *([] if b is None else [b]),
        domain=DOMAIN,
        group=groups,
        pads=pads,
        strides=strides,
        **shape,
    )
    return _restored(g, y, outputs)


def _filters(g: Graph, w: Value) -> Value:
    """The filters, blocked by the channels that they read and, innermost, by those that they make."""
    outputs, inputs, *kernel = (int(length) for length in w.shape)
    if inputs > 1:
        w = _reordered(g, w)
    flat = _reordered(g, g.reshape(w, [1, outputs, inputs * math.prod(kernel), 1]))
    return g.reshape(flat, [outputs, inputs, *kernel])


def _reordered(g: Graph, x: Value, *, again: bool = False) -> Value:
    """`x` in blocks. `again`: not the result of the forward pass, which would have to be kept until then."""
    given = {"channels_last": 0} if again else {}
    return g.op("ReorderInput", x, domain=DOMAIN, **given)


def _restored(g: Graph, x: Value, channels: int) -> Value:
    return g.op("ReorderOutput", x, domain=DOMAIN, channels=channels)


def _turned_pads(window: Window) -> list[int]:
    """The padding with which the turned filters lead from dy, spread by the strides, back to x."""
    columns = (window.kernel, window.dilations, window.strides, window.begin, window.size, window.out)
    begin, end = [], []
    for k, d, s, p, n, o in zip(*columns, strict=True):
        reach = d * (k - 1)
        begin.append(reach - p)
        end.append(n - o * s + p)
    return [*begin, *end]


def _spread(g: Graph, dy: Value, window: Window) -> Value:
    """dy with zeros behind each element, as many as the strides leave out."""
    scales = np.array([1, 1, *window.strides], np.float32)
    large = g.op(
        "Resize",
        dy,
        None,
        scales,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    mask = np.zeros([o * s for o, s in zip(window.out, window.strides, strict=True)], g.dtype)
    mask[tuple(slice(None, None, s) for s in window.strides)] = 1
    return large * g.constant(mask)
