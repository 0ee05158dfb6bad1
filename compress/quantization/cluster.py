"""Clustering: the weights of a layer share a few values, found by k-means, so that they store as small indices.

Han et al., "Deep Compression", ICLR 2016, section 3: one codebook a layer, centroids that begin evenly spaced between
the smallest and the largest weight (which keeps the rare large ones), Lloyd's algorithm. A weight that is zero, as
after pruning, stays zero and needs no centroid. The graph keeps its form and its speed; `edge_runtime.storage` makes
the file small.
"""

from dataclasses import dataclass

import numpy as np
import onnx

from compress.step import Work
from converter.model import Model, constants, copy, layer_weights, load, set_constant
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array


@dataclass(frozen=True, slots=True)
class Cluster:
    """Parameters of the step: 2**`bits` shared values a layer, found in `rounds` rounds of k-means."""

    bits: int = 5
    rounds: int = 25

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """Apply the step."""
        return cluster(model, self)


def cluster(model: Model, options: Cluster | None = None) -> onnx.ModelProto:
    """Replace the weights of every layer by 2**bits shared values.

    Args:
        model: a float model, or its path; it is not changed.
        options: how many values.

    Returns:
        The model with as many different values in each weight; biases and small weights stay as they are.

    Raises:
        ModelError: bits is not between 1 and 8.
    """
    chosen = options or Cluster()
    if not 1 <= chosen.bits <= 8:
        raise ModelError(f"cluster: bits is {chosen.bits}; expected 1 to 8")
    result = copy(load(model))
    known = constants(result.graph)
    for name in layer_weights(result.graph):
        if known[name].dtype == np.float32 and known[name].size > 4 * 2**chosen.bits:
            set_constant(result.graph, name, share(known[name], chosen))
    return result


def share(weight: Array, options: Cluster) -> Array:
    """A weight with at most 2**bits values apart from zero: float32 of the same shape."""
    values = weight[weight != 0].astype(np.float64)
    if not values.size:
        return weight
    centroids = np.linspace(values.min(), values.max(), 2**options.bits)
    ordered = np.sort(values)
    totals = np.concatenate([[0.0], np.cumsum(ordered)])
    for _ in range(options.rounds):
        # Of sorted values, each cluster is a stretch between the midpoints of its neighbours.
        ends = np.searchsorted(ordered, (centroids[:-1] + centroids[1:]) / 2)
        bounds = np.concatenate([[0], ends, [len(ordered)]])
        sizes = np.diff(bounds)
        means = np.diff(totals[bounds]) / np.maximum(sizes, 1)
        centroids = np.sort(np.where(sizes > 0, means, centroids))
    nearest = np.searchsorted((centroids[:-1] + centroids[1:]) / 2, weight)
    return np.where(weight == 0, 0, centroids[nearest]).astype(np.float32)
