"""Windows of convolutions and pools: strides, dilations and padding, always as for two spatial axes.

TFLite's SAME pads so that the output has ``ceil(input / stride)`` places, the odd one behind; VALID pads nothing. Any
other padding becomes an operator PAD before, which XNNPACK takes into the convolution again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from converter.lowering.builder import Builder, label
from converter.lowering.layout import channels_last
from converter.lowering.program import Lengths
from converter.model import attribute
from edge_runtime.errors import ModelError

LOWEST = -3.4028234663852886e38
"""The smallest float32: what a pool of maxima is padded with."""


@dataclass(frozen=True, slots=True)
class Window:
    """`kernel`, `stride` and `dilation` as (height, width); `before` and `behind` are the zeros around the input."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]
    behind: tuple[int, int]

    @property
    def extent(self) -> tuple[int, int]:
        """How far the kernel reaches, with its dilation."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))  # type: ignore[return-value]

    def options(self) -> dict[str, Any]:
        """The strides under the schema's names."""
        return {"strideH": self.stride[0], "strideW": self.stride[1]}

    def dilations(self) -> dict[str, Any]:
        """The dilations under the schema's names."""
        return {"dilationHFactor": self.dilation[0], "dilationWFactor": self.dilation[1]}

    def is_same(self, size: Sequence[int]) -> bool:
        """Whether an input of `size` is padded as TFLite's SAME would."""
        for k in range(2):
            total = max(
                (math.ceil(size[k] / self.stride[k]) - 1) * self.stride[k] + self.extent[k] - size[k], 0
            )
            if (self.before[k], self.behind[k]) != (total // 2, total - total // 2):
                return False
        return True


def window(b: Builder, node: onnx.NodeProto, kernel: Sequence[int]) -> Window:
    """The window of a convolution or pool of one or two spatial axes.

    Raises:
        ModelError: it has three.
    """
    x, out = node.input[0], node.output[0]
    size, result = b.shape(x)[2:], b.shape(out)[2:]
    if len(size) not in (1, 2):
        raise ModelError(f"{label(node)}: {len(size)} spatial axes; 1 and 2 have a form in TFLite")
    n = len(size)
    stride = list(attribute(node, "strides", [1] * n))
    dilation = list(attribute(node, "dilations", [1] * n))
    pads = list(attribute(node, "pads", [0] * 2 * n))
    auto = attribute(node, "auto_pad", b"NOTSET").decode()
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if auto.startswith("SAME"):
        for k in range(n):
            total = max((math.ceil(size[k] / stride[k]) - 1) * stride[k] + reach[k] - size[k], 0)
            half = total // 2 if auto == "SAME_UPPER" else total - total // 2
            pads[k], pads[n + k] = half, total - half
    if attribute(node, "ceil_mode", 0):  # the last window may reach beyond what is padded
        for k in range(n):
            needed = (result[k] - 1) * stride[k] + reach[k] - size[k] - pads[k]
            pads[n + k] = max(pads[n + k], needed)
    return Window(_two(kernel, 1), _two(stride, 1), _two(dilation, 1), _two(pads[:n], 0), _two(pads[n:], 0))


def spatial_input(b: Builder, name: str, *, real: bool) -> int:
    """The value as a tensor [n, h, w, c]; a signal becomes a picture of height 1."""
    shape = b.shape(name)
    found = b.tensor(name, channels_last(len(shape)), real=real)
    return found if len(shape) == 4 else b.reshape(found, (shape[0], 1, shape[2], shape[1]))


def spatial_shape(shape: Lengths) -> Lengths:
    """The shape of `spatial_input` for a value of `shape`."""
    return (shape[0], *(shape[2:] if len(shape) == 4 else (1, shape[2])), shape[1])


def define_spatial(b: Builder, name: str, index: int) -> None:
    """Say that the tensor [n, h, w, c] is the value `name`."""
    shape = b.shape(name)
    order = channels_last(len(shape))
    b.hold(name, index if len(shape) == 4 else b.reshape(index, (shape[0], shape[2], shape[1])), order)


def padded(b: Builder, index: int, w: Window, value: float = 0.0) -> tuple[int, str]:
    """The tensor [n, h, w, c] with its padding, and the padding that the kernel is still to do."""
    source = b.program.tensors[index]
    size = source.shape[1:3]
    if not any((*w.before, *w.behind)):
        return index, "VALID"
    if w.is_same(size):
        return index, "SAME"
    pads = [[0, 0], [w.before[0], w.behind[0]], [w.before[1], w.behind[1]], [0, 0]]
    return pad(b, index, pads, value), "VALID"


def pad(b: Builder, index: int, pads: Sequence[Sequence[int]], value: float = 0.0) -> int:
    """The tensor with `value` (a real number) around it; `pads` has (before, behind) for each axis."""
    source = b.program.tensors[index]
    shape = tuple(type(n)(n + p + q) if p + q else n for n, (p, q) in zip(source.shape, pads, strict=True))
    made = b.temporary(shape, f"{source.name}.padded", index)
    amounts = b.array(np.asarray(pads, np.int32), name="pads")
    scale = source.quantization
    integer = 0 if scale is None else round(value / scale.scale[0]) + scale.zero_point
    integer = max(-128, min(127, integer))
    if value == 0.0 or (scale is not None and integer == scale.zero_point):  # PAD writes the zero point
        return b.program.emit("PAD", [index, amounts], made)
    fill = b.scalar(value, source.dtype) if scale is None else b.array(np.asarray(integer, np.int8), scale)
    return b.program.emit("PADV2", [index, amounts, fill], made)


def _two(values: Sequence[int], missing: int) -> tuple[int, int]:
    two = [missing, *values] if len(values) == 1 else list(values)
    return int(two[0]), int(two[1])
