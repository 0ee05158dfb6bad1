"""The layers of a model that hold weights, in the order in which it runs them."""

import math

import onnx

from converter.autodiff import weight_names
from converter.autodiff.canonical import canonical
from edge_runtime.errors import ModelError

_BEGIN = frozenset(
    ("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "Gather", "LSTM", "GRU", "RNN", "Attention")
)
"""Operators that begin a layer; weights of others (a bias, a normalisation) belong to the layer before them."""


def weighted_layers(model: onnx.ModelProto) -> list[list[str]]:
    """The names of each layer's weights, layer by layer; a bias and a normalisation count to the layer before.

    Args:
        model: as for `converter.differentiate`; weights as Constant nodes count too.

    Raises:
        ModelError: it is not of the form that can be trained.
    """
    return layers_of(canonical(model))


def layers_of(model: onnx.ModelProto) -> list[list[str]]:
    """`weighted_layers` of a model that is canonical already."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    kind = model.graph.output[0].type.tensor_type.elem_type
    layers: list[list[str]] = []
    seen: set[str] = set()
    for node in model.graph.node:
        found = [name for name in weight_names([node], tensors, kind) if name not in seen]
        if not found:
            continue
        seen.update(found)
        if node.op_type in _BEGIN or not layers:
            layers.append(found)
        else:
            layers[-1].extend(found)
    return layers


def last_layers(model: onnx.ModelProto, k: int = 1) -> list[str]:
    """The names of the weights of the last `k` layers, to give as `trainable`.

    Shallow layers hold simple features that serve many tasks; the last ones hold what is special to one.

    Args:
        model: as for `converter.differentiate`.
        k: how many layers; a convolution with its bias and its batch normalisation is one.

    Raises:
        ModelError: the model has fewer layers with weights, or `k` is less than 1.
    """
    layers = weighted_layers(model)
    if not 1 <= k <= len(layers):
        raise ModelError(
            f"last {k} layers: the model has {len(layers)} layers with weights; give 1 to {len(layers)}"
        )
    return [name for layer in layers[-k:] for name in layer]


def parameter_count(model: onnx.ModelProto, names: list[str]) -> int:
    """How many numbers those weights hold."""
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in canonical(model).graph.initializer}
    return sum(sizes[name] for name in names)
