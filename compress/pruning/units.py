"""What can be removed: classes of channels, with the layer that each belongs to and how much it matters."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from compress.pruning.channels import Channels, Labels
from compress.pruning.importance import Importance
from converter.model import layer_weights
from edge_runtime.tensors import Array


@dataclass(frozen=True, slots=True)
class Units:
    """Classes `roots` int64[n], the `layer` that each belongs to, int64[n], and the layers' `names`.

    A layer is named by the weight that makes its channels.
    """

    roots: Labels
    layer: Array
    names: tuple[str, ...]

    @classmethod
    def of(cls, model: onnx.ModelProto, channels: Channels) -> "Units":
        """Every class that some weight carries."""
        weights = set(layer_weights(model.graph))
        layer: dict[int, int] = {}
        names: list[str] = []
        for tie in channels.ties.values():
            if tie.name not in weights:
                continue
            fresh = [
                root for root in channels.classes.root(tie.labels).tolist() if root and root not in layer
            ]
            if fresh:
                layer |= dict.fromkeys(fresh, len(names))
                names.append(tie.name)
        roots = np.array(sorted(layer), np.int64)
        return cls(roots, np.array([layer[root] for root in roots.tolist()], np.int64), tuple(names))

    def scores(self, channels: Channels, importance: Mapping[str, Importance], *, relative: bool) -> Array:
        """How much each unit matters: float64[n], the mean over the weights that it runs through.

        `relative` takes a share of the mean of each weight's channels: for criteria that differ in size from layer to
        layer.
        """
        total, count = np.zeros(channels.classes.count), np.zeros(channels.classes.count)
        for tie in channels.ties.values():
            if tie.name in importance:
                score = importance[tie.name].slices[tie.axis]
                score = score / max(float(score.mean()), 1e-30) if relative else score
                root = channels.classes.root(tie.labels)
                np.add.at(total, root, score)
                np.add.at(count, root, 1)
        return np.asarray(total[self.roots] / np.maximum(count[self.roots], 1))

    def order(self, scores: Array) -> tuple[Labels, ...]:
        """For each layer its classes, the least important first."""
        ranked = np.argsort(scores, kind="stable")
        return tuple(self.roots[ranked[self.layer[ranked] == k]] for k in range(len(self.names)))
