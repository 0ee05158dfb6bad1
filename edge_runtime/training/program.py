"""Training graphs on the engine: what they say of their inputs and outputs, and bindings to memory.

`converter.differentiate` describes the metadata that is read here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_runtime.bundle import Bundle
from edge_runtime.engines import onnx as engine
from edge_runtime.errors import BundleError, ModelError
from edge_runtime.tensors import Array, TensorSpec

METADATA = "littoral.training"
"""The key in a training graph's metadata under which it says what its inputs and outputs are."""

# The memory pattern of onnxruntime is made for fixed shapes, and doubles the peak of a training step. Its reuse
# keeps what is free until a result of that very size comes along, from the forward to the backward pass.
OPTIONS = {"enable_mem_pattern": False, "enable_mem_reuse": False}
# Equal nodes must stay two: a result that is computed again was made so on purpose.
WITHOUT = ("CommonSubexpressionElimination",)


@dataclass(frozen=True, slots=True)
class Roles:
    """What a training graph says of its inputs and outputs; empty where it has no such part."""

    data: str = ""
    labels: str = ""
    extra: tuple[str, ...] = ()
    loss: str = ""
    kind: str = ""
    classes: int = 0
    learning_rate: str = ""
    share: str = ""
    micro_batch: int = 0
    evaluation_batch: int = 256
    planned_bytes: int = 0
    weights: tuple[str, ...] = ()
    norms: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    state: Mapping[str, str] = field(default_factory=dict)
    gradients: Mapping[str, str] = field(default_factory=dict)
    buffers: Mapping[str, str] = field(default_factory=dict)
    penalty: Mapping[str, Any] = field(default_factory=dict)
    in_place: frozenset[str] = frozenset()

    @classmethod
    def read(cls, metadata: Mapping[str, str], where: str) -> "Roles":
        """The roles in a graph's metadata.

        Raises:
            BundleError: they are missing, or not understood.
        """
        try:
            table = json.loads(metadata[METADATA])
            table["data"] = table["data"][0] if table.get("data") else ""
            for name, kind in (
                ("extra", tuple),
                ("weights", tuple),
                ("norms", tuple),
                ("in_place", frozenset),
            ):
                table[name] = kind(table.get(name, ()))
            return cls(**table)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise BundleError(
                f"{where} does not say what its inputs are ({error!r}); convert it again"
            ) from error

    @property
    def anchoring(self) -> dict[str, tuple[str, str]]:
        """Inputs of the penalty, each with what it is and of which weight: ("importance", "fc.weight")."""
        return {
            input_: (what, weight)
            for what in ("importance", "anchor")
            for weight, input_ in self.penalty.get(what, {}).items()
        }


class Program:
    """A training graph that is loaded. `roles` says what its inputs and outputs are, `specs` what they look like."""

    def __init__(self, bundle: Bundle, name: str, threads: int) -> None:
        """Load one of the bundle's graphs.

        Raises:
            BundleError: the bundle has none of that name, or it does not say what its inputs are.
            ModelError: the engine does not accept the graph.
            BackendError: onnxruntime is missing.
        """
        self._where = f"{bundle.path}, {name}"
        self._session = open_graph(bundle, name, threads)
        self.roles = Roles.read(self._session.get_modelmeta().custom_metadata_map, f"{bundle.path}: {name}")
        self.specs: dict[str, TensorSpec] = {
            spec.name: spec for spec in engine.specs(self._session.get_inputs())
        }
        scalars = (self.roles.learning_rate, self.roles.share, self.roles.penalty.get("strength", ""))
        self.scalars = {name: zeros(self.specs[name]) for name in scalars if name}
        self.loss = np.zeros((), next(iter(self.scalars.values())).dtype)

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> Any:
        """Tie everything but the data, which is new in each run, to memory. Scalars and the loss come along."""
        binding = self._session.io_binding()
        for name, array in {**inputs, **self.scalars}.items():
            binding.bind_ortvalue_input(name, engine.ortvalue(array))
        written = dict(outputs)
        if self.roles.loss:
            written[self.roles.loss] = self.loss
        for name, array in written.items():
            binding.bind_ortvalue_output(name, engine.ortvalue(array))
        return binding

    def run(self, binding: Any, data: Mapping[str, Array]) -> None:
        """Run once, on the memory of `binding`.

        Raises:
            ModelError: the engine failed while running.
        """
        for name, array in data.items():
            binding.bind_cpu_input(name, array)
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:
            first = str(error).splitlines()[0]
            raise ModelError(f"{self._where}: the training step failed while running: {first}") from error


def open_graph(bundle: Bundle, name: str, threads: int) -> Any:
    """An engine's session for one of the bundle's graphs, with the settings that training needs."""
    return engine.open_session(
        bundle.read(name),
        where=f"{bundle.path}, {name}",
        threads=threads,
        options=OPTIONS,
        without=WITHOUT,
    )


def zeros(spec: TensorSpec) -> Array:
    """An array of the shape and type of `spec`, all of whose lengths are fixed."""
    return np.zeros([int(dim) for dim in spec.shape], spec.dtype)
