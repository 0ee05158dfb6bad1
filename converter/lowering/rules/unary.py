"""Operators of one value, element by element."""

import math

import numpy as np
import onnx

from converter.lowering.builder import Builder, label
from converter.lowering.layout import permuted
from converter.lowering.program import Quantization
from converter.lowering.registry import lowers
from converter.model import attribute
from edge_runtime.errors import ModelError

_CODES = {
    "Abs": "ABS",
    "Ceil": "CEIL",
    "Cos": "COS",
    "Exp": "EXP",
    "Floor": "FLOOR",
    "HardSwish": "HARD_SWISH",
    "Log": "LOG",
    "Neg": "NEG",
    "Not": "LOGICAL_NOT",
    "Relu": "RELU",
    "Round": "ROUND",
    "Sigmoid": "LOGISTIC",
    "Sign": "SIGN",
    "Sin": "SIN",
    "Sqrt": "SQRT",
    "Tanh": "TANH",
}
_IN_INTEGERS = frozenset({"HardSwish", "Relu"})
FIXED_OUTPUT = {
    "Sigmoid": Quantization((1 / 256,), -128),
    "Tanh": Quantization((1 / 128,), 0),
    "Softmax": Quantization((1 / 256,), -128),
}
"""The only quantisation in which these kernels write int8."""


def fixed_output(b: Builder, node: onnx.NodeProto, wanted: Quantization | None) -> Quantization | None:
    """The quantisation that the kernel writes, which QuantizeLinear behind it rescales; None if that is too coarse."""
    fixed = FIXED_OUTPUT[node.op_type]
    if wanted is None or (fixed.scale[0] > 1.05 * wanted.scale[0] and not b.native):
        return None
    return fixed


@lowers(*_CODES)
def unary(b: Builder, node: onnx.NodeProto) -> None:
    """``f(x)`` with an operator of its own."""
    x, out = node.input[0], node.output[0]
    order = b.order(x)
    wanted = b.integer(node, [x])
    if node.op_type in FIXED_OUTPUT:
        wanted = fixed_output(b, node, wanted)
    elif node.op_type == "HardSwish" and not b.native:
        wanted = None  # XNNPACK has it for real numbers only, and is better at that than the plain kernel of integers
    elif node.op_type not in _IN_INTEGERS:
        wanted = None
    source = b.tensor(x, order, real=wanted is None)
    b.program.emit(_CODES[node.op_type], [source], b.define(out, order, wanted))


@lowers("Clip")
def clip(b: Builder, node: onnx.NodeProto) -> None:
    """Limits; those of Relu and Relu6 have operators that later become part of the operator before."""
    bounds = [b.constant(node, k) for k in (1, 2)]
    low = -math.inf if bounds[0] is None else float(bounds[0].reshape(()))
    high = math.inf if bounds[1] is None else float(bounds[1].reshape(()))
    x, out = node.input[0], node.output[0]
    order, wanted = b.order(x), b.integer(node, [x])
    known = {
        (0.0, math.inf): "RELU",
        (0.0, 6.0): "RELU6",
        (-1.0, 1.0): "RELU_N1_TO_1",
        (0.0, 1.0): "RELU_0_TO_1",
    }
    code = known.get((low, high)) if b.dtype(out) == "float32" else None
    if code is not None and code != "RELU_0_TO_1":
        source = b.tensor(x, order, real=wanted is None)
        b.program.emit(code, [source], b.define(out, order, wanted))
        return
    source = b.tensor(x, order, real=True)
    if code is not None:
        b.program.emit(code, [source], b.define(out, order))
        return
    limits = [(c, v) for c, v in (("MAXIMUM", low), ("MINIMUM", high)) if math.isfinite(v)]
    if not limits:
        b.hold(out, source, order)
    for k, (operator, value) in enumerate(limits, 1):
        last = k == len(limits)
        made = (
            b.define(out, order) if last else b.temporary(permuted(b.shape(x), order), f"{out}.{k}", source)
        )
        source = b.program.emit(operator, [source, b.scalar(value, b.dtype(out))], made)


@lowers("LeakyRelu")
def leaky_relu(b: Builder, node: onnx.NodeProto) -> None:
    """``x`` where positive, else ``alpha x``."""
    x, out = node.input[0], node.output[0]
    order, wanted = b.order(x), b.integer(node, [x])
    source = b.tensor(x, order, real=wanted is None)
    alpha = float(attribute(node, "alpha", 0.01))
    b.program.emit("LEAKY_RELU", [source], b.define(out, order, wanted), alpha=alpha)


@lowers("Gelu")
def gelu(b: Builder, node: onnx.NodeProto) -> None:
    """Gelu, exact or by tanh."""
    x = node.input[0]
    order = b.order(x)
    approximate = attribute(node, "approximate", b"none") == b"tanh"
    source = b.tensor(x, order, real=True)
    b.program.emit("GELU", [source], b.define(node.output[0], order), approximate=approximate)


class _Formula:
    """Writes a formula of one value: each call gives a tensor; the last writes the node's output."""

    def __init__(self, b: Builder, node: onnx.NodeProto) -> None:
        self.b, self.out = b, node.output[0]
        self.order = b.order(node.input[0])
        self.x = b.tensor(node.input[0], self.order, real=True)

    def __call__(self, code: str, *parts: float, last: bool = False) -> int:
        tensors = [self.b.scalar(part) if isinstance(part, float) else part for part in parts]
        shape = permuted(self.b.shape(self.out), self.order)
        made = (
            self.b.define(self.out, self.order)
            if last
            else self.b.temporary(shape, f"{self.out}.{code.lower()}", "float32")
        )
        return self.b.program.emit(code, tensors, made)

    def softplus(self, *, last: bool = False) -> int:
        """``max(x, 0) + log(1 + exp(-|x|))``, which does not overflow."""
        small = self("EXP", self("NEG", self("ABS", self.x)))
        return self("ADD", self("RELU", self.x), self("LOG", self("ADD", small, 1.0)), last=last)


@lowers("Elu", "Selu", "Celu")
def elu(b: Builder, node: onnx.NodeProto) -> None:
    """``x`` where positive, else ``alpha (exp(x / beta) - 1)``, times ``gamma``."""
    f = _Formula(b, node)
    alpha = float(attribute(node, "alpha", 1.67326319217681884765625 if node.op_type == "Selu" else 1.0))
    gamma = float(attribute(node, "gamma", 1.05070102214813232421875)) if node.op_type == "Selu" else 1.0
    if alpha == gamma == 1.0:
        f("ELU", f.x, last=True)
        return
    inner = f("DIV", f.x, alpha) if node.op_type == "Celu" else f.x
    below = f("MUL", f("MINIMUM", f("ELU", inner), 0.0), alpha * gamma)
    above = f("RELU", f.x) if gamma == 1.0 else f("MUL", f("RELU", f.x), gamma)
    f("ADD", above, below, last=True)


@lowers("HardSigmoid")
def hard_sigmoid(b: Builder, node: onnx.NodeProto) -> None:
    """``clip(alpha x + beta, 0, 1)``."""
    f = _Formula(b, node)
    alpha, beta = (float(np.float32(attribute(node, n, d))) for n, d in (("alpha", 0.2), ("beta", 0.5)))
    line = f("ADD", f("MUL", f.x, alpha), beta)
    f("MINIMUM", f("RELU", line), 1.0, last=True)


@lowers("Softplus", "Mish", "Softsign", "Reciprocal", "Swish", "ThresholdedRelu")
def formula(b: Builder, node: onnx.NodeProto) -> None:
    """Functions that TFLite has no operator for."""
    f = _Formula(b, node)
    if node.op_type == "Softplus":
        f.softplus(last=True)
    elif node.op_type == "Mish":
        f("MUL", f.x, f("TANH", f.softplus()), last=True)
    elif node.op_type == "Softsign":
        f("DIV", f.x, f("ADD", f("ABS", f.x), 1.0), last=True)
    elif node.op_type == "Swish":
        alpha = float(attribute(node, "alpha", 1.0))
        f("MUL", f.x, f("LOGISTIC", f.x if alpha == 1.0 else f("MUL", f.x, alpha)), last=True)
    elif node.op_type == "Reciprocal":
        f("DIV", 1.0, f.x, last=True)
    else:
        raise ModelError(f"{label(node)}: this operator has no form in TFLite")


@lowers("Identity", "Dropout")
def same(b: Builder, node: onnx.NodeProto) -> None:
    """The value itself; Dropout does nothing in inference."""
    x, out = node.input[0], node.output[0]
    if x in b.constants:
        b.constants[out] = b.constants[x]
    elif x in b.weights:
        b.weights[out] = b.weights[x]
    else:
        b.hold(out, b.values[x].tensor, b.order(x))


@lowers("Cast")
def cast(b: Builder, node: onnx.NodeProto) -> None:
    """Another type; float16 constants stay as they are in the file."""
    x, out = node.input[0], node.output[0]
    order, source = b.order(x), b.tensor(x, b.order(x), real=True)
    before, after = b.program.tensors[source].dtype, b.dtype(out)
    if before == after:
        b.hold(out, source, order)
    elif before == "float16" and after == "float32" and x in b.constants:
        b.program.emit("DEQUANTIZE", [source], b.define(out, order))
    else:
        b.program.emit("CAST", [source], b.define(out, order), inDataType=before, outDataType=after)


@lowers("QuantizeLinear")
def quantize(b: Builder, node: onnx.NodeProto) -> None:
    """The value in integers, if it is not already."""
    from converter.lowering import quantized

    x, out = node.input[0], node.output[0]
    wanted = quantized.activation(b.constants, node)
    order = b.order(x)
    b.hold(out, b.requantized(b.tensor(x, order), wanted), order)


@lowers("DequantizeLinear")
def dequantize(b: Builder, node: onnx.NodeProto) -> None:
    """The real numbers; they stay integers as long as nobody asks."""
    from converter.lowering import quantized

    x, out = node.input[0], node.output[0]
    if x in b.constants:
        found = quantized.weight(b.constants, node)
        if found is None:
            raise ModelError(f"{label(node)}: its constant has no quantised form in TFLite")
        b.weights[out] = found
        return
    wanted = quantized.activation(b.constants, node)
    value = b.values[x]
    tensor = b.program.tensors[value.tensor]
    if tensor.quantization is None:  # an input of the graph that is of integers
        shift = 128 if tensor.dtype == "uint8" else 0
        tensor.quantization = Quantization(wanted.scale, wanted.zero_point + shift)
        b.hold(out, b.requantized(value.tensor, wanted), value.order)
    elif tensor.quantization != wanted:
        raise ModelError(f"{label(node)}: reads integers with another scale than they were written with")
    else:
        b.hold(out, value.tensor, value.order)
