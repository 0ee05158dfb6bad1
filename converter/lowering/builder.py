"""What a rule works with: the ONNX graph that is read, the program that is written, and where each value is held."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from converter.lowering import quantized
from converter.lowering.layout import (
    Order,
    Value,
    natural,
    permuted,
    reshaped,
    same_memory,
    transposition,
)
from converter.lowering.program import (
    Lengths,
    Program,
    Quantization,
    Tensor,
    fixed,
    integers,
    pattern,
)
from converter.model import constants, consumers
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array


class Builder:
    """Translates names of the ONNX graph into tensors of the program, in the order and type that a rule asks for.

    A value that the graph holds as integers (behind QuantizeLinear) is the tensor of these integers; it stays so
    until a rule asks for it with `real=True`.
    """

    def __init__(
        self,
        graph: onnx.GraphProto,
        shapes: Mapping[str, Lengths],
        types: Mapping[str, str],
        *,
        native: bool = False,
    ) -> None:
        self.graph = graph
        self.program = Program()
        self.constants: dict[str, Array] = constants(graph)
        self.weights: dict[str, tuple[Array, Quantization]] = {}
        self.values: dict[str, Value] = {}
        self.pinned, self.native = "", native
        self._shapes, self._types = shapes, types
        self._readers = consumers(graph)
        self._outputs = {value.name for value in graph.output}
        self._made: dict[tuple[Any, ...], int] = {}

    # ------------------------------------------------------------------ what the graph says

    def shape(self, name: str) -> Lengths:
        """The shape of a value.

        Raises:
            ModelError: it depends on the data.
        """
        if name in self.constants:
            return self.constants[name].shape
        if name in self.weights:
            return self.weights[name][0].shape
        shape = self._shapes.get(name)
        if shape is None:
            raise ModelError(f"the shape of '{name}' is not known before a run; TFLite needs it")
        return shape

    def declared(self, name: str) -> Lengths:
        """The shape that the graph gives a value, also where a shorter constant stands for it."""
        return self._shapes.get(name, self.shape(name))

    def rank(self, name: str) -> int:
        """How many axes a value has."""
        return len(self.shape(name))

    def dtype(self, name: str) -> str:
        """NumPy's name of a value's type."""
        return self.constants[name].dtype.name if name in self.constants else self._types[name]

    def constant(self, node: onnx.NodeProto, k: int) -> Array | None:
        """Input `k` of a node as an array; None if it is left out.

        Raises:
            ModelError: it is known only in a run.
        """
        name = given(node, k)
        if name and name not in self.constants:
            raise ModelError(f"{label(node)}: its input '{name}' must be a constant for TFLite")
        return self.constants[name] if name else None

    def pin(self, reason: str) -> None:
        """Note that the program fits only the lengths that it is made with."""
        self.pinned = self.pinned or reason

    # ------------------------------------------------------------------ integers or real numbers

    def quantized(self, name: str) -> bool:
        """Whether a value is held as 8-bit integers."""
        if name in self.weights:
            return True
        return name in self.values and self.quantization(name) is not None

    def quantization(self, name: str) -> Quantization | None:
        """The quantisation of a value that is no constant."""
        return self.program.tensors[self.values[name].tensor].quantization

    def target(self, name: str) -> Quantization | None:
        """The quantisation in which every reader of a value wants it, looking through activations."""
        after = self._readers.get(name, [])
        if not after or name in self._outputs:
            return None
        if len(after) == 1 and after[0].op_type in ("Relu", "Clip"):
            return self.target(after[0].output[0])
        if any(node.op_type != "QuantizeLinear" for node in after):
            return None
        wanted = {quantized.activation(self.constants, node) for node in after}
        return wanted.pop() if len(wanted) == 1 else None

    def integer(self, node: onnx.NodeProto, names: Sequence[str]) -> Quantization | None:
        """The quantisation of the node's output if it can be calculated in integers from the values `names`."""
        return self.target(node.output[0]) if all(map(self.quantized, names)) else None

    def sole_reader(self, name: str) -> onnx.NodeProto | None:
        """The node that reads a value, if it is one and the value is no output of the graph."""
        after = self._readers.get(name, [])
        return after[0] if len(after) == 1 and name not in self._outputs else None

    # ------------------------------------------------------------------ tensors

    def order(self, name: str) -> Order:
        """The order in which a value's axes are held now; a constant is held in any."""
        return self.values[name].order if name in self.values else natural(self.rank(name))

    def tensor(self, name: str, order: Order | None = None, *, real: bool = False) -> int:
        """The tensor that holds a value in `order` (ONNX's own if None), as real numbers if asked."""
        wanted = natural(self.rank(name)) if order is None else order
        if name in self.values:
            value = self.values[name]
            found = self.reorder(value.tensor, value.order, wanted, self.shape(name))
        elif name in self.constants:
            found = self._constant_tensor(name, self.constants[name], None, wanted)
        elif name in self.weights:
            found = self._constant_tensor(name, *self.weights[name], wanted)
        else:
            raise ModelError(f"'{name}' is read before it is calculated")
        return self.real(found) if real else found

    def real(self, index: int) -> int:
        """The tensor's real numbers: itself, or dequantised."""
        source = self.program.tensors[index]
        if source.quantization is None:
            return index
        return self._once(
            ("real", index),
            lambda: self.program.emit(
                "DEQUANTIZE", [index], self.temporary(source.shape, f"{source.name}.real", "float32")
            ),
        )

    def requantized(self, index: int, wanted: Quantization, dtype: str = "int8") -> int:
        """The tensor in other integers."""
        source = self.program.tensors[index]
        if source.quantization == wanted and source.dtype == dtype:
            return index
        return self._once(
            ("quantized", index, wanted, dtype),
            lambda: self.program.emit(
                "QUANTIZE",
                [index],
                self.program.add(
                    Tensor(f"{source.name}.requantized", source.shape, dtype, quantization=wanted)
                ),
            ),
        )

    def reorder(self, index: int, have: Order, want: Order, shape: Lengths) -> int:
        """The tensor with its axes in another order; `shape` is the value's."""
        if have == want:
            return index
        after = permuted(shape, want)
        if same_memory(shape, have, want):
            return self.reshape(index, after)
        perm = transposition(have, want)

        def make() -> int:
            made = self.temporary(after, f"{self.program.tensors[index].name}.transposed", index)
            return self.program.emit("TRANSPOSE", [index, self.vector(perm)], made)

        return self._once(("transpose", index, perm), make)

    def reshape(self, index: int, shape: Lengths) -> int:
        """The tensor's elements, in the same places of memory, in another shape."""
        source = self.program.tensors[index]
        if pattern(source.shape) == pattern(shape):
            return index
        target = pattern(shape)
        if target.count(-1) > 1:
            self.pin(f"'{source.name}' has two lengths that vary")
            target = list(fixed(shape))

        def make() -> int:
            made = self.temporary(shape, f"{source.name}.reshaped", index)
            return self.program.emit("RESHAPE", [index, self.vector(target)], made, newShape=target)

        return self._once(("reshape", index, tuple(target)), make)

    def reshape_value(self, name: str, after: Lengths) -> Value:
        """A value in another shape: the tensor and its order, with no more movement than is needed."""
        before = self.shape(name)
        have, then = reshaped(before, after, self.order(name))
        return Value(self.reshape(self.tensor(name, have), permuted(after, then)), then)

    def vector(self, values: Sequence[int]) -> int:
        """A constant int32 vector."""
        return self._constant_tensor(f"integers.{len(self.program.tensors)}", integers(values), None, (0,))

    def scalar(self, value: float, dtype: str = "float32") -> int:
        """A constant of no axes."""
        return self.array(np.asarray(value, dtype))

    def array(self, data: Array, quantization: Quantization | None = None, name: str = "constant") -> int:
        """A constant as it is."""
        shape = natural(data.ndim)
        return self._constant_tensor(f"{name}.{len(self.program.tensors)}", data, quantization, shape)

    def temporary(self, shape: Sequence[int], name: str, like: int | str) -> int:
        """A tensor that belongs to no value of the graph; its type is a name, or another tensor's."""
        if isinstance(like, str):
            return self.program.add(Tensor(name, tuple(shape), like))
        source = self.program.tensors[like]
        return self.program.add(Tensor(name, tuple(shape), source.dtype, quantization=source.quantization))

    def define(self, name: str, order: Order | None = None, quantization: Quantization | None = None) -> int:
        """A new tensor for a value of the graph, held in `order`; an operator must write it."""
        held = natural(self.rank(name)) if order is None else order
        dtype = "int8" if quantization is not None else self.dtype(name)
        made = self.program.add(Tensor(name, permuted(self.shape(name), held), dtype, None, quantization))
        self.values[name] = Value(made, held)
        return made

    def hold(self, name: str, tensor: int, order: Order | None = None) -> None:
        """Say that a tensor that exists holds the value `name`."""
        self.values[name] = Value(tensor, natural(self.rank(name)) if order is None else order)

    def _constant_tensor(
        self, name: str, data: Array, quantization: Quantization | None, order: Order
    ) -> int:
        def make() -> int:
            held = np.ascontiguousarray(np.transpose(data, order)) if data.ndim else data
            scales = quantization
            if scales is not None and len(scales.scale) > 1:
                scales = Quantization(scales.scale, scales.zero_point, order.index(scales.axis))
            return self.program.add(Tensor(name, held.shape, held.dtype.name, held, scales))

        key = data.tobytes() if data.size <= 16 else name
        return self._once(("constant", key, data.shape, data.dtype.name, order, quantization), make)

    def _once(self, key: tuple[Any, ...], make: Any) -> int:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def given(node: onnx.NodeProto, k: int) -> str:
    """The name of input `k`; empty if it is left out."""
    return node.input[k] if len(node.input) > k else ""


def label(node: onnx.NodeProto) -> str:
    """What to call a node in an error."""
    return f"node '{node.name or node.output[0]}' ({node.op_type})"
