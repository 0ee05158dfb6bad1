r"""Which channels hang together: what must be removed from every tensor when one channel is removed from one.

Each tensor gets an array of *labels*, broadcastable to its shape without the batch's length: ``[1, C, 1, 1]`` for a
feature map whose channels could go one by one. An operator passes labels on (a Reshape reshapes them, a Concat joins
them) and says which are one and the same (an Add: label by label; a convolution ties its weight's axes to the channels
of its input and output). A union-find joins them; what must stay (a model's outputs, operators that are not known) is
joined to the label 0. In the end each class of labels is a *unit*: a set of indices along axes of weights, which can be
removed together so that the graph stays valid - through residuals, concatenations, channel shuffles, depthwise and
grouped convolutions, flattening and attention heads alike.

The method is that of dependency graphs (Fang et al., "DepGraph: Towards Any Structural Pruning", CVPR 2023), carried
out on indices instead of layers, on the ONNX graph instead of autograd's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import onnx

from converter.model import constants, copy
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array

Labels: TypeAlias = Array
"""int64, broadcastable to the tensor's shape; 0 where a position belongs to no channel that could be removed."""


class Classes:
    """A union-find over labels; label 0 is what must stay."""

    def __init__(self) -> None:
        self._parent = np.zeros(1, np.int64)

    @property
    def count(self) -> int:
        """How many labels there are."""
        return len(self._parent)

    def fresh(self, count: int) -> Labels:
        """`count` new labels, each a class of its own."""
        made = np.arange(len(self._parent), len(self._parent) + count, dtype=np.int64)
        self._parent = np.concatenate([self._parent, made])
        return made

    def root(self, labels: Labels) -> Labels:
        """The representative of each label's class, the smallest of them."""
        found = self._parent[labels]
        while not np.array_equal(above := self._parent[found], found):
            found = above
        return found

    def join(self, a: Labels, b: Labels) -> None:
        """Declare that the labels are pairwise the same; the arrays broadcast."""
        left, right = (side.reshape(-1) for side in np.broadcast_arrays(self.root(a), self.root(b)))
        for x, y in np.unique(np.stack([left, right]), axis=1).T:
            low, high = sorted((self._top(int(x)), self._top(int(y))))
            self._parent[high] = low

    def lock(self, labels: Labels) -> None:
        """Declare that these must stay."""
        self.join(labels, np.zeros(1, np.int64))

    def _top(self, label: int) -> int:
        while (above := int(self._parent[label])) != label:
            label = above
        return label


@dataclass(frozen=True, slots=True)
class Tie:
    """The labels along one axis of a constant: what is removed from it with each channel."""

    name: str
    axis: int
    labels: Labels


@dataclass(slots=True)
class Channels:
    """The labels of every tensor of a graph; the rules of the operators fill it in, node by node.

    `ambiguous` are the tensors that could lose slices along one axis or along another; for those in `turned` it is
    not the axis that is usually meant.
    """

    shapes: Mapping[str, tuple[int, ...]]
    known: Mapping[str, Array]
    classes: Classes = field(default_factory=Classes)
    labels: dict[str, Labels] = field(default_factory=dict)
    ties: dict[tuple[str, int], Tie] = field(default_factory=dict)
    turned: frozenset[str] = frozenset()
    ambiguous: dict[str, Labels] = field(default_factory=dict)

    @classmethod
    def of(cls, model: onnx.ModelProto, turned: frozenset[str] = frozenset()) -> "Channels":
        """Nothing known yet but the shapes; a length that varies counts as 1."""
        inferred = onnx.shape_inference.infer_shapes(with_batch(model, 1), data_prop=True).graph
        known = constants(inferred)
        shapes: dict[str, tuple[int, ...]] = {name: value.shape for name, value in known.items()}
        for value in (*inferred.value_info, *inferred.input, *inferred.output):
            if value.type.tensor_type.HasField("shape"):
                dims = value.type.tensor_type.shape.dim
                shapes.setdefault(value.name, tuple(dim.dim_value or 1 for dim in dims))
        return cls(shapes, known, turned=turned)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor.

        Raises:
            ModelError: it is not known.
        """
        if name not in self.shapes:
            raise ModelError(f"the shape of '{name}' cannot be inferred; export the model with fixed sizes")
        return self.shapes[name]

    def get(self, name: str) -> Labels:
        """The labels of a tensor; none where nothing has given it any."""
        return self.labels.get(name, np.zeros((1,) * len(self.shape(name)), np.int64))

    def put(self, name: str, labels: Labels) -> None:
        """Give a tensor its labels; an axis along which they do not vary takes no room."""
        for axis, length in enumerate(labels.shape):
            if length > 1 and (labels == labels.take([0], axis)).all():
                labels = labels.take([0], axis)
        self.labels[name] = labels

    def along(self, name: str, axis: int) -> Labels:
        """The labels along one axis of a tensor, int64[length]; what varies along another is locked first."""
        labels, rank = self.get(name), len(self.shape(name))
        axis %= rank
        if any(labels.shape[k] > 1 for k in range(rank) if k != axis):
            self.classes.lock(labels)
            labels = np.zeros((1,) * rank, np.int64)
        return np.broadcast_to(labels.reshape(-1), (self.shape(name)[axis],))

    def spread(self, name: str, axis: int, labels: Labels) -> None:
        """Give a tensor labels along one axis, and none along the others."""
        shape = [1] * len(self.shape(name))
        shape[axis] = len(labels)
        self.put(name, labels.reshape(shape))

    def tie(self, name: str, axis: int, labels: Labels) -> None:
        """Say that a constant's axis carries these labels; what is not constant is locked instead."""
        if name not in self.known or len(labels) != self.shape(name)[axis]:
            self.classes.lock(labels)
        elif (name, axis) in self.ties:
            self.classes.join(self.ties[name, axis].labels, labels)
        else:
            self.ties[name, axis] = Tie(name, axis, labels)

    def free(self) -> int:
        """How many classes of channels could be removed."""
        roots = [self.classes.root(tie.labels) for tie in self.ties.values()]
        return int((np.unique(np.concatenate(roots)) > 0).sum()) if roots else 0

    def kept(self, name: str, removed: Labels) -> tuple[int, ...]:
        """The shape of a tensor after the classes `removed` are gone."""
        roots = self.classes.root(self.get(name))
        gone = np.isin(roots, removed) & (roots > 0)
        lengths = list(self.shape(name))
        for axis, length in enumerate(roots.shape):
            if length > 1:
                others = tuple(k for k in range(roots.ndim) if k != axis)
                lengths[axis] -= int(gone.any(axis=others).sum())
        return tuple(lengths)


def with_batch(model: onnx.ModelProto, length: int) -> onnx.ModelProto:
    """A copy, for the inference of shapes, whose inputs have this length on a first axis that is free."""
    fixed = copy(model)
    del fixed.graph.value_info[:]
    for value in fixed.graph.input:
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].dim_value:
            dims[0].dim_value = length
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    return fixed


Rule = Callable[[Channels, onnx.NodeProto], None]
"""Gives a node's outputs their labels, and joins, ties or locks those of its inputs."""

RULES: dict[str, Rule] = {}


def rule(*kinds: str) -> Callable[[Rule], Rule]:
    """Register the decorated function for these operators."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(kinds, function))
        return function

    return register


def aligned(labels: Labels, rank: int) -> Labels:
    """The labels with axes of length 1 before them, up to `rank`."""
    return labels.reshape((1,) * (rank - labels.ndim) + labels.shape)


def unknown(channels: Channels, node: onnx.NodeProto) -> None:
    """An operator without a rule: nothing that goes into it may be removed."""
    for name in node.input:
        if name and name not in channels.known:
            channels.classes.lock(channels.get(name))
