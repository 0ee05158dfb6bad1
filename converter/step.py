"""A training step as it is asked for, and the graphs that it is made of."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import onnx

from converter.autodiff.losses import Loss
from converter.autodiff.optimizers import Optimizer
from converter.autodiff.rules.blocked import DOMAIN
from converter.differentiate import differentiate, update_graph
from edge_runtime.training.stepper import blocked_name


class StepArguments(TypedDict, total=False):
    """What `converter.differentiate.differentiate` takes, and explains, beside the model."""

    loss: str | Loss
    optimizer: str | Optimizer
    momentum: float
    weight_decay: float
    l1: float
    clip_norm: float
    clip_value: float
    trainable: Collection[str] | None
    penalty: bool


@dataclass(frozen=True, slots=True)
class Step:
    """A model and how it is trained; see `converter.differentiate.differentiate`."""

    model: onnx.ModelProto
    loss: str | Loss = "cross_entropy"
    optimizer: str | Optimizer = "sgd"
    momentum: float = 0.0
    weight_decay: float = 0.0
    l1: float = 0.0
    clip_norm: float = 0.0
    clip_value: float = 0.0
    trainable: Collection[str] | None = None
    penalty: bool = False

    def graphs(
        self, *, recompute: bool = False, split: bool = False, gradients: bool = False, blocked: bool = False
    ) -> dict[str, onnx.ModelProto]:
        """The step's graphs by the names of their files, the one that the data goes into first.

        Args:
            recompute: compute cheap results twice.
            split: a graph of the gradients and one of the update, in place of one of both. With the optimiser
                "none", which has no step, the update is plain descent.
            gradients: the graph of the gradients as well.
            blocked: the graphs with convolutions a second time, for onnxruntime on x86-64.

        Raises:
            ModelError: the model cannot be differentiated.
        """
        shared: dict[str, Any] = {"trainable": self.trainable}
        treated = ("momentum", "weight_decay", "l1", "clip_norm", "clip_value")
        solving = {name: getattr(self, name) for name in treated}
        first = shared | {"loss": self.loss, "penalty": self.penalty, "recompute": recompute}
        alone = self.optimizer == "none"
        found = {}
        if not split and not alone:
            found["train.onnx"] = differentiate(self.model, optimizer=self.optimizer, **first, **solving)
        if split or alone or gradients:
            found["gradient.onnx"] = differentiate(self.model, optimizer="none", accumulate=True, **first)
        if blocked:
            found |= self._blocked(found, first, solving)
        if split or alone:
            solver = "sgd" if alone else self.optimizer
            found["update.onnx"] = update_graph(self.model, optimizer=solver, **shared, **solving)
        return found

    def _blocked(
        self, plain: Mapping[str, onnx.ModelProto], first: Mapping[str, Any], solving: Mapping[str, Any]
    ) -> dict[str, onnx.ModelProto]:
        """Those of the graphs that are other ones with onnxruntime's operators of x86-64."""
        found = {}
        for name in plain:
            if name == "train.onnx":
                made = differentiate(self.model, optimizer=self.optimizer, blocked=True, **first, **solving)
            else:
                made = differentiate(self.model, optimizer="none", accumulate=True, blocked=True, **first)
            if DOMAIN in {entry.domain for entry in made.opset_import}:
                found[blocked_name(name)] = made
        return found
