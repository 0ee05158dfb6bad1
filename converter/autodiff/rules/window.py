"""The sliding window of a convolution or a pooling, on any number of spatial axes."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from converter.autodiff.graph import Graph, Value
from converter.autodiff.registry import Node
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array


@dataclass(frozen=True, slots=True)
class Window:
    """What ``size`` elements along each axis become ``out`` with.

    `begin` and `end` are how far the windows reach beyond the data; a negative `end` is what no window
    covers. ONNX's auto_pad and ceil_mode are resolved in them.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]
    size: tuple[int, ...]
    out: tuple[int, ...]

    @classmethod
    def of(cls, node: Node, kernel: Sequence[int]) -> "Window":
        """The window of a Conv, MaxPool or AveragePool node.

        Raises:
            ModelError: the spatial size is not fixed.
        """
        spatial = [*node.x.shape[2:], *node.y.shape[2:]]
        fixed = [dim for dim in spatial if isinstance(dim, int)]
        if len(fixed) < len(spatial):
            raise ModelError(f"{node}: its gradient needs a fixed height and width; got {node.x.shape}")
        rank = len(kernel)
        size, out = fixed[:rank], fixed[rank:]
        strides = node.attribute("strides", [1] * rank)
        dilations = node.attribute("dilations", [1] * rank)
        reach = [
            (o - 1) * s + (k - 1) * d + 1 for o, s, k, d in zip(out, strides, kernel, dilations, strict=True)
        ]
        auto = node.attribute("auto_pad", "NOTSET")
        if auto.startswith("SAME"):
            spare = [max(r - n, 0) for r, n in zip(reach, size, strict=True)]
            begin = [(p + (auto == "SAME_LOWER")) // 2 for p in spare]
        else:
            begin = [0] * rank if auto == "VALID" else node.attribute("pads", [0] * (2 * rank))[:rank]
        end = [r - n - b for r, n, b in zip(reach, size, begin, strict=True)]
        columns = (kernel, strides, dilations, begin, end, size, out)
        return cls(*(tuple(int(v) for v in column) for column in columns))

    def along(self, axis: int) -> "Window":
        """The window along one axis alone."""
        columns = (self.kernel, self.strides, self.dilations, self.begin, self.end, self.size, self.out)
        return Window(*((column[axis],) for column in columns))

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.kernel)

    @property
    def pixels(self) -> int:
        """The number of output positions."""
        count = 1
        for length in self.out:
            count *= length
        return count

    @property
    def pointwise(self) -> bool:
        """Whether every output sees exactly the input at its own position."""
        return (
            self.out == self.size
            and set(self.kernel + self.strides) == {1}
            and not any(self.begin + self.end)
        )

    @property
    def tiles(self) -> bool:
        """Whether the windows lie side by side without overlap, gap or padding."""
        dense = self.kernel == self.strides and set(self.dilations) == {1}
        return dense and not any(self.begin) and max(self.end) <= 0

    @property
    def pads(self) -> list[int]:
        """The padding as ONNX's attribute: all begins, then all ends."""
        return [*self.begin, *(max(e, 0) for e in self.end)]

    @property
    def left_over(self) -> list[int]:
        """How many elements at the end of each axis no window covers."""
        return [max(-e, 0) for e in self.end]

    def padded(self, g: Graph, x: Value, first: int) -> Value:
        """`x` with the zeros around it, its spatial axes starting at axis `first`."""
        if not any(self.pads):
            return x
        rank, trailing = self.rank, 2 - first
        low, high = self.pads[:rank], self.pads[rank:]
        lead, tail = [0] * first, [0] * trailing
        return g.op("Pad", x, [*lead, *low, *tail, *lead, *high, *tail])

    def offsets(self, g: Graph, padded: Value, first: int) -> Iterator[Value]:
        """For each position in the kernel, in order, the elements that it meets: as many as there are outputs."""
        axes = range(first, first + self.rank)
        for position in itertools.product(*map(range, self.kernel)):
            starts = [p * d for p, d in zip(position, self.dilations, strict=True)]
            stops = [a + (o - 1) * s + 1 for a, o, s in zip(starts, self.out, self.strides, strict=True)]
            yield padded if self.pointwise else g.slice(padded, starts, stops, axes, self.strides)

    def transposed(self, g: Graph, dy: Value, w: Value, groups: int) -> Value:
        """The transpose of the convolution with `w`, applied to `dy`."""
        return g.op(
            "ConvTranspose",
            dy,
            w,
            group=groups,
            kernel_shape=list(self.kernel),
            strides=list(self.strides),
            dilations=list(self.dilations),
            pads=self.pads,
            output_padding=self.left_over,
        )

    def selection(self) -> Array:
        """Which element each position in the kernel meets: 0 or 1, float32[positions, elements, outputs]."""
        chosen = np.ones((1, 1, 1), np.float32)
        for k, s, d, b, n, o in zip(
            self.kernel, self.strides, self.dilations, self.begin, self.size, self.out, strict=True
        ):
            met = np.arange(k)[:, None] * d + np.arange(o) * s - b
            axis = (met[:, None] == np.arange(n)[:, None]).astype(np.float32)
            chosen = np.kron(chosen, axis)
        return chosen
