"""A graph under construction: values that calculate like numbers, and constants that are written once.

A rule computes with `Value`s; every operator it applies becomes a node. The same operator on the same values
is emitted once, so rules need not know what other rules have already computed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array, Dim

Shape = tuple[Dim, ...]
"""Lengths; one that varies from call to call is a name, such as "batch" or "4*batch"."""

FLOATS = frozenset(
    {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.UNDEFINED}
)
"""Element types that have gradients."""


class Inferred(dict[str, Shape]):
    """Shapes by name, with what else inference found.

    `types` are ONNX element types by name, `lengths` the names of lengths that vary, and `opset` the version
    of the default domain.
    """

    def __init__(
        self, shapes: Mapping[str, Shape], types: Mapping[str, int], lengths: Sequence[str], opset: int
    ) -> None:
        super().__init__(shapes)
        self.types, self.lengths, self.opset = dict(types), tuple(lengths), opset


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of a graph. Arithmetic with values and numbers adds nodes to the graph."""

    graph: "Graph"
    name: str

    @property
    def shape(self) -> Shape:
        """The shape, which is known for the values of the forward graph.

        Raises:
            ModelError: it could not be inferred.
        """
        found = self.graph.shapes.get(self.name)
        if found is None:
            raise ModelError(
                f"the shape of '{self.name}' cannot be inferred; export the model with fixed sizes"
            )
        return found

    @property
    def elem_type(self) -> int:
        """ONNX's number of the element type: the graph's own floating type where it is not known."""
        return self.graph.types.get(self.name, self.graph.elem_type)

    def __add__(self, other: "Operand") -> "Value":
        return self.graph.op("Add", self, other)

    def __radd__(self, other: "Operand") -> "Value":
        return self.graph.op("Add", other, self)

    def __sub__(self, other: "Operand") -> "Value":
        return self.graph.op("Sub", self, other)

    def __rsub__(self, other: "Operand") -> "Value":
        return self.graph.op("Sub", other, self)

    def __mul__(self, other: "Operand") -> "Value":
        return self.graph.op("Mul", self, other)

    def __rmul__(self, other: "Operand") -> "Value":
        return self.graph.op("Mul", other, self)

    def __truediv__(self, other: "Operand") -> "Value":
        return self.graph.op("Div", self, other)

    def __rtruediv__(self, other: "Operand") -> "Value":
        return self.graph.op("Div", other, self)

    def __matmul__(self, other: "Operand") -> "Value":
        return self.graph.op("MatMul", self, other)

    def __neg__(self) -> "Value":
        return self.graph.op("Neg", self)


Operand: TypeAlias = Value | float | Sequence[int] | Array | None
"""What an operator takes: a value; a number (a scalar of the graph's floating type); integers (an int64 vector);
an array; or None for an optional input that is left out."""


class Graph:
    """The nodes and constants written so far.

    `dtype` is the floating type of the model, `shapes` and `types` what is known of the forward graph's values,
    `averages` the running averages that a step updates without a gradient (see `converter.autodiff.averages`).
    """

    def __init__(
        self, taken: Sequence[str] = (), shapes: Mapping[str, Shape] | None = None, dtype: str = "float32"
    ) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.shapes = dict(shapes or {})
        known = shapes if isinstance(shapes, Inferred) else Inferred({}, {}, (), 21)
        self.types, self.lengths, self.opset = dict(known.types), known.lengths, known.opset
        self.dtype = np.dtype(dtype)
        self.data = ""  # the input that the forward pass begins with
        self.blocked = False  # whether onnxruntime's own operators of x86-64 may be used
        self.averages: list[tuple[str, Value, float]] = []
        self.calculated: dict[str, tuple[Array, Array]] = {}  # see `converter.autodiff.expand`
        self._taken = set(taken)
        self._emitted: dict[bytes, tuple[Value, ...]] = {}
        self._pool: dict[tuple[str, tuple[int, ...], bytes], Value] = {}
        self._count = 0

    @property
    def elem_type(self) -> int:
        """ONNX's number of the graph's floating type."""
        return int(helper.np_dtype_to_tensor_dtype(self.dtype))

    def value(self, name: str) -> Value:
        """The value of that name."""
        return Value(self, name)

    def hold(self, name: str, array: Array) -> Value:
        """A constant of that name."""
        self.constants[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
        self.shapes[name], self.types[name] = array.shape, self.constants[name].data_type
        return self.value(name)

    def fresh(self, hint: str) -> str:
        """`hint`, or with a number behind it if that name is taken."""
        name = hint
        while name in self._taken:
            self._count += 1
            name = f"{hint}_{self._count}"
        self._taken.add(name)
        return name

    def constant(self, array: Array | Sequence[int] | float) -> Value:
        """A constant: an array as it is, a number in the graph's floating type, integers as an int64 vector."""
        if isinstance(array, int | float):
            content = np.array(array, self.dtype)
        else:
            content = np.asarray(array, None if isinstance(array, np.ndarray | np.generic) else np.int64)
        key = (content.dtype.str, content.shape, content.tobytes())
        if key not in self._pool:
            self._pool[key] = self.hold(self.fresh("const"), content)
        return self._pool[key]

    def op(self, kind: str, *inputs: Operand, **attributes: Any) -> Value:
        """Apply an operator of ONNX's default domain and return its first output."""
        return self.ops(kind, *inputs, outputs=1, **attributes)[0]

    def ops(self, kind: str, *inputs: Operand, outputs: int, **attributes: Any) -> tuple[Value, ...]:
        """Apply an operator and return its first `outputs` outputs."""
        names = [self._input(x) for x in inputs]
        node = helper.make_node(kind, names, [], **attributes)
        key = node.SerializeToString(deterministic=True) + bytes([outputs])
        if key not in self._emitted:
            node.output.extend(self.fresh(f"grad/{kind}") for _ in range(outputs))
            self.nodes.append(node)
            self._emitted[key] = tuple(self.value(name) for name in node.output)
        return self._emitted[key]

    def _input(self, x: Operand) -> str:
        if x is None:
            return ""
        return x.name if isinstance(x, Value) else self.constant(x).name

    def floats(self, *numbers: float) -> Value:
        """A vector of the graph's floating type."""
        return self.constant(np.array(numbers, self.dtype))

    # The few compositions that many rules need.

    def mask(self, kind: str, a: Operand, b: Operand) -> Value:
        """A comparison as 0 and 1 of the floating type: multiplying by it is far cheaper than Where."""
        return self.op("Cast", self.op(kind, a, b), to=self.elem_type)

    def positive(self, x: Value) -> Value:
        """1 where an element is above 0, else 0: in one pass and without booleans, which halves it on Arm."""
        return self.op("HardSigmoid", x, alpha=1e38, beta=0.0)

    def sum(self, x: Value, axes: Sequence[int], *, keep: bool = False) -> Value:
        """The sum over `axes`; `x` itself if there are none."""
        return self.op("ReduceSum", x, list(axes), keepdims=int(keep)) if axes else x

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """Reshape; 0 keeps the length of that axis, -1 is what is left."""
        return self.op("Reshape", x, list(shape))

    def slice(
        self, x: Value, starts: Sequence[int], stops: Sequence[int], axes: Sequence[int], steps: Sequence[int]
    ) -> Value:
        """``x[start:stop:step]`` along each of the axes."""
        return self.op("Slice", x, list(starts), list(stops), list(axes), list(steps))

    def shape_of(self, x: Value) -> Value:
        """The shape of a forward value as int64: a constant where every length is fixed."""
        if all(isinstance(dim, int) for dim in self.shapes.get(x.name) or ("?",)):
            return self.constant([int(dim) for dim in x.shape])
        return self.op("Shape", x)

    def reshape_like(self, x: Value, like: Value) -> Value:
        """`x` in the shape of a forward value with as many elements."""
        dims = self.shapes.get(like.name)
        if dims is not None and sum(isinstance(dim, str) for dim in dims) <= 1 and 0 not in dims:
            return self.reshape(x, [-1 if isinstance(dim, str) else dim for dim in dims])
        return self.op("Reshape", x, self.op("Shape", like))

    def count(self, x: Value, axes: Sequence[int]) -> Value:
        """How many elements of a forward value lie along `axes`, as a scalar of the floating type."""
        dims = [x.shape[axis] for axis in axes]
        total = self.constant(float(np.prod([dim for dim in dims if isinstance(dim, int)], initial=1.0)))
        for axis, dim in zip(axes, dims, strict=True):
            known = self.shapes.get(self.data, ())
            if isinstance(dim, str) and dim in known:  # then all layers share it
                total = self._length(self.value(self.data), known.index(dim)) * total
            elif isinstance(dim, str):
                total = self._length(x, axis) * total
        return total

    def _length(self, x: Value, axis: int) -> Value:
        found = self.op("Shape", x, start=axis, end=axis + 1)
        return self.op("Squeeze", self.op("Cast", found, to=self.elem_type))

    def unbroadcast(self, gradient: Value, shape: Shape, of: Value) -> Value:
        """The gradient of `of`, where `of` was broadcast to `shape`: summed over what it was repeated along."""
        own = of.shape
        lead = len(shape) - len(own)
        repeated = [i for i, dim in enumerate(own) if dim == 1 and shape[lead + i] != 1]
        summed = self.sum(gradient, [*range(lead), *(lead + i for i in repeated)])
        return self.reshape_like(summed, of) if repeated else summed
