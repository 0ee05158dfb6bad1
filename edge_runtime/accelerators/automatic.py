"""What a `Session` does for a bundle whose target names accelerators: the best that really runs it, and says so.

Each plug-in is tried in a process of its own first, which also compiles the graph ahead for this device. What passes
runs the bundle; if it fails later, and where none passes, the engine does that the bundle would have without.
"""

import logging
import threading
from collections.abc import Callable, Mapping

import numpy as np

from edge_runtime import sealing
from edge_runtime.accelerators import context, selftest
from edge_runtime.accelerators.candidates import CPU, candidate
from edge_runtime.accelerators.select import Choice, Rejected, Rules, open_accelerator
from edge_runtime.bundle import Bundle
from edge_runtime.engines import Engine, plugins
from edge_runtime.errors import BackendError
from edge_runtime.target import Target
from edge_runtime.tensors import Array, TensorSpec

_log = logging.getLogger(__name__)
_said: set[str] = set()


class Accelerated:
    """A bundle on an accelerator, or on the CPU for the reasons that `choice` gives, as an `Engine`."""

    def __init__(self, bundle: Bundle, choice: Choice, ordinary: Callable[[], Engine]) -> None:
        self.inputs, self.outputs = bundle.manifest.inputs, bundle.manifest.outputs
        self.choice = choice
        self._name, self._ordinary = str(bundle.path), ordinary
        self._engine: Engine | None = None if choice.session is not None else ordinary()
        self._session, self._lock = choice.session, threading.Lock()
        # A plug-in has the graph with a batch of 1, whatever the bundle says.
        fixed = self._session is not None and all(
            isinstance(dim, int) for each in self._session.get_inputs() for dim in each.shape
        )
        self._by_sample = fixed and bool(selftest.lengths(self.inputs))
        self._announce()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once; see `Engine`."""
        if self._engine is None:
            try:
                return self._accelerated(inputs)
            except BackendError as error:
                self._fall_back(error)
        engine = self._engine or self._ordinary()
        return engine.run(inputs)

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> Callable[[], None]:
        """A call that runs the model into arrays that are there already; see `Engine`."""
        if self._engine is not None:
            return self._engine.bind(inputs, outputs)

        def call() -> None:
            for name, value in self.run(inputs).items():
                outputs[name][...] = value

        return call

    def _accelerated(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """On the accelerator: one sample after another where it takes fixed shapes and the batch may vary."""
        session = self._session
        count = len(next(iter(inputs.values()))) if self._by_sample else 1
        if count == 1:
            return plugins.run(session, inputs)
        rows = [plugins.run(session, {k: x[i : i + 1] for k, x in inputs.items()}) for i in range(count)]
        if not rows:  # what no sample gives has a shape and a type all the same
            return (self._engine or self._ordinary()).run(inputs)
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def _fall_back(self, error: BackendError) -> None:
        with self._lock:
            if self._engine is not None:  # another thread was here
                return
            engine = self._ordinary()
            why = (*self.choice.rejected, Rejected(self.choice.label, str(error)))
            self.choice, self._engine = Choice(CPU.label, None, rejected=why), engine
            self._announce()

    def _announce(self) -> None:
        """Log it, once a process: as a warning unless hardware runs it."""
        text = f"{self._name}: {self.choice}"
        if text not in _said:
            _said.add(text)
            hardware = self.choice.session is not None and not self.choice.simulated
            _log.log(logging.INFO if hardware else logging.WARNING, text)


def accelerated(
    bundle: Bundle, target: Target, ordinary: Callable[[], Engine], *, threads: int, simulations: bool
) -> Accelerated:
    """Open a bundle on the best of its target's accelerators.

    Args:
        bundle: with a self-test.
        target: the bundle's own.
        ordinary: opens it without any, for when none is taken or the one taken fails.
        threads: within an operator on the CPU.
        simulations: whether a simulator on this machine counts as an accelerator.

    Raises:
        TargetError: the target names an accelerator that is not known.
        BundleError: a file of the bundle cannot be read.
    """
    candidates = [candidate(entry, target.name) for entry in target.accelerators]
    varying = _varying(bundle.manifest.inputs, bundle.manifest.outputs)
    if varying:
        rejected = [Rejected(each.label, varying) for each in candidates]
        return Accelerated(bundle, Choice(CPU.label, None, rejected=tuple(rejected)), ordinary)
    # A compiled graph holds the weights: one that is encrypted at rest leaves none behind.
    sealed = any(name.endswith(sealing.SUFFIX) for name in bundle.manifest.files)
    rules = Rules(simulations=simulations, contexts=context.folder(), trials=True, keep=not sealed)
    test = selftest.stored(bundle.manifest.inputs, bundle.read(selftest.FILE))
    graph = bundle.read("infer.onnx")
    for each in candidates if rules.keep else ():
        if each.plugin:
            context.unpack(context.folder(), bundle, graph, each)
    found = open_accelerator(graph, candidates, test, threads, rules)
    return Accelerated(bundle, found, ordinary)


def _varying(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> str:
    """Why fixed shapes do not serve this signature; empty if they do: nothing varies but a batch in front."""
    inner = [dim for spec in (*inputs, *outputs) for dim in spec.shape[1:] if isinstance(dim, str)]
    if inner:
        return f"the length '{inner[0]}' varies, and it takes fixed shapes"
    fronts = {spec.shape[0] if spec.shape else 1 for spec in (*inputs, *outputs)}
    if any(isinstance(front, str) for front in fronts) and len(fronts) > 1:
        return "some of its inputs and outputs have a batch that varies, and others have none"
    return ""
