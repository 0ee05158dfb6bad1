"""Sessions: a loaded bundle (or ONNX file) on an engine, ready to run."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.bundle import Bundle
from edge_runtime.engines import onnx as engine
from edge_runtime.errors import InputError, ModelError
from edge_runtime.files import existing
from edge_runtime.target import Target
from edge_runtime.tensors import Array, TensorSpec, check_inputs


class Session:
    """A model that runs: ``Session(Bundle.open("m.bundle")).run({"images": x})``.

    `inputs` and `outputs` are its signature. `run` may be called from several threads.
    """

    def __init__(
        self,
        model: Bundle | str | os.PathLike[str] | bytes,
        *,
        providers: Sequence[str] | None = None,
        threads: int = 0,
        exact_int8: bool = True,
    ) -> None:
        """Load a bundle, an ONNX file, or serialised ONNX.

        Args:
            model: a bundle, or the path of a bundle or of an .onnx file, or the bytes of an ONNX model.
            providers: execution providers, best first; None takes what the bundle's target names.
            threads: threads within an operator; 0 lets the engine choose.
            exact_int8: refuse int8 kernels that saturate (see `edge_runtime.engines.onnx`).

        Raises:
            InputError: there is nothing at the path.
            BundleError: the bundle is damaged.
            ModelError: the engine does not accept the graph.
            BackendError: the engine or a provider is missing.
        """
        graph, self.bundle, self.name = _graph(model)
        if providers is None and self.bundle is not None:
            providers = Target.load(self.bundle.manifest.target).providers
        self._session = engine.open_session(
            graph,
            where=self.name,
            providers=providers or ("CPUExecutionProvider",),
            threads=threads,
            exact_int8=exact_int8,
        )
        self.inputs: tuple[TensorSpec, ...] = engine.specs(self._session.get_inputs())
        self.outputs: tuple[TensorSpec, ...] = engine.specs(self._session.get_outputs())
        self._names = [spec.name for spec in self.outputs]
        self._run = self._session.run
        self._seen: tuple[Any, ...] = ()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once.

        Args:
            inputs: an array for each of `self.inputs`, by name; dtype and shape as declared there.

        Returns:
            An array for each of `self.outputs`, by name.

        Raises:
            InputError: a name is missing or unknown, or an array does not fit.
            ModelError: the engine failed while running.
        """
        # One comparison for the usual case, a call like the one before; the full check only when it differs.
        seen = tuple([(name, a.dtype, a.shape) for name, a in inputs.items()])
        if seen != self._seen:
            check_inputs(self.inputs, inputs)
            self._seen = seen
        try:
            return dict(zip(self._names, self._run(None, inputs), strict=False))
        except Exception as error:
            raise ModelError(f"{self.name}: failed while running: {str(error).splitlines()[0]}") from error

    def run_batches(self, x: Array, batch: int = 0) -> list[Array]:
        """Run a model of one input over many samples.

        Args:
            x: the samples, stacked: dtype and sample shape as declared.
            batch: samples a call; 0 takes the model's own batch, or 1 where that may vary.

        Returns:
            The outputs, each stacked in the order of the samples.

        Raises:
            InputError: the samples do not fit, or the model has several inputs.
        """
        if len(self.inputs) != 1:
            names = ", ".join(map(str, self.inputs))
            raise InputError(
                f"{self.name}: takes {len(self.inputs)} inputs ({names}); call run() with each of them"
            )
        spec = self.inputs[0]
        size = spec.shape[0] if spec.shape and isinstance(spec.shape[0], int) else batch or 1
        parts = []
        for start in range(0, len(x), size):
            part = x[start : start + size]
            short = size - len(part) if isinstance(spec.shape[0], int) else 0
            if short:  # a graph of fixed batch takes no less: repeat the last sample, and cut the outputs
                part = np.concatenate([part, np.repeat(part[-1:], short, axis=0)])
            parts.append([out[: size - short] for out in self.run({spec.name: part}).values()])
        return [np.concatenate(column) for column in zip(*parts, strict=True)]


def _graph(model: Bundle | str | os.PathLike[str] | bytes) -> tuple[bytes | Path, Bundle | None, str]:
    if isinstance(model, bytes):
        return model, None, "model"
    if isinstance(model, Bundle):
        return model.read("infer.onnx"), model, str(model.path)
    path = existing(model, "a bundle or an .onnx file")
    if path.is_file() and path.suffix == ".onnx":
        return path, None, str(path)
    bundle = Bundle.open(path)
    return bundle.read("infer.onnx"), bundle, str(path)
