"""Activations written out in small operators become the operator that they are.

What a region of elementwise operators calculates is compared with the definitions in the ONNX specification: Gelu
(opset 20, both forms), HardSwish (14), HardSigmoid, Mish (18), Softplus, Sigmoid, Tanh, Relu, Identity. Swish (24) is
left as Sigmoid and Mul: onnxruntime 1.31 takes 2.7 times as long for the operator.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import onnx_ir as ir

from converter.fusion import values
from converter.fusion.region import FUNCTIONS, Region, regions
from edge_runtime.tensors import Array

_TOLERANCE = 1e-7
"""Of the value, or of 1: constants such as sqrt(2) come rounded to float32."""


@dataclass(frozen=True, slots=True)
class Activation:
    """An operator, since which opset it exists, and what it calculates."""

    operator: str
    opset: int
    function: Callable[[Array], Array]
    attributes: Mapping[str, float | str] = field(default_factory=dict)


def _gelu(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + FUNCTIONS["Erf"](x / np.sqrt(2))))


def _gelu_tanh(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))


def _hard_sigmoid(x: Array) -> Array:
    return np.asarray(np.clip(x / 6 + 0.5, 0, 1))


ACTIVATIONS = (
    Activation("Relu", 6, FUNCTIONS["Relu"]),
    Activation("Sigmoid", 6, FUNCTIONS["Sigmoid"]),
    Activation("Tanh", 6, FUNCTIONS["Tanh"]),
    Activation("Softplus", 1, FUNCTIONS["Softplus"]),
    Activation("HardSigmoid", 6, _hard_sigmoid, {"alpha": 1 / 6, "beta": 0.5}),
    Activation("HardSigmoid", 6, lambda x: np.clip(0.2 * x + 0.5, 0, 1), {"alpha": 0.2, "beta": 0.5}),
    Activation("HardSwish", 14, lambda x: x * _hard_sigmoid(x)),
    Activation("Gelu", 20, _gelu),
    Activation("Gelu", 20, _gelu_tanh, {"approximate": "tanh"}),
    Activation("Mish", 18, lambda x: x * np.tanh(FUNCTIONS["Softplus"](x))),
)
_NOTHING = Activation("Identity", 1, lambda x: x)
_ENDS = frozenset({"Mul", "Div", "Add", "Sub", "Reciprocal", "Max", "Log", "Identity"})
"""Operators in which a formula for one of them may end."""


def fuse_activation(root: ir.Node) -> bool:
    """Replace the formula that ends in `root` by its operator; whether there was one."""
    if root.op_type not in _ENDS:
        return False
    found: tuple[Region, Activation] | None = None
    for region in regions(root, rows=False):
        activation = _recognised(region)
        if activation is not None:
            found = (
                region,
                activation,
            )  # a larger region may be a larger formula: HardSigmoid is within HardSwish
    if found is None:
        return False
    region, activation = found
    out = root.outputs[0]
    if activation.operator == "Identity":
        return values.replace(out, region.source)
    (made,) = values.insert(
        root,
        activation.operator,
        [region.source],
        activation.attributes,
        name=f"{out.name}.{activation.operator}",
    )
    return values.replace(out, made)


def _recognised(region: Region) -> Activation | None:
    if len(region.nodes) < 2 and not _may_do_nothing(region):
        return None
    points = _points(tuple(region.constants()))
    got = region(points)
    if got.shape != points.shape:
        return None
    version = values.opset(region.root)
    if np.array_equal(got, points):  # exactly: an epsilon before a logarithm is there for a reason
        return _NOTHING
    if len(region.nodes) < 2:
        return None
    return next((a for a in ACTIVATIONS if a.opset <= version and _equal(got, a.function(points))), None)


def _may_do_nothing(region: Region) -> bool:
    return region.root.op_type in ("Mul", "Div", "Add", "Sub", "Identity")


def _equal(got: Array, wanted: Array) -> bool:
    with np.errstate(all="ignore"):
        return bool((np.abs(got - wanted) <= _TOLERANCE * np.maximum(np.abs(wanted), 1.0)).all())


@cache
def _points(constants: tuple[float, ...]) -> Array:
    """Where functions are compared: densely around zero, at every order of magnitude, and around each constant."""
    dense = np.linspace(-12, 12, 481)
    orders = np.logspace(-6, 4, 61)
    around = [c + d for number in constants for c in (number, -number) for d in (-1e-2, 0.0, 1e-2)]
    return np.unique(np.concatenate([dense, orders, -orders, np.array(around, np.float64)]))
