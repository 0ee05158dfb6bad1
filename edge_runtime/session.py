"""Sessions: a loaded bundle (or ONNX file) on an engine, ready to run."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.bundle import Bundle
from edge_runtime.data import feeds
from edge_runtime.engines import FILES, engine_for, installed, open_engine
from edge_runtime.errors import InputError
from edge_runtime.files import existing
from edge_runtime.target import Target
from edge_runtime.tensors import Array, check_inputs


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
        engine: str | None = None,
    ) -> None:
        """Load a bundle, an ONNX file, or serialised ONNX.

        Args:
            model: a bundle, or the path of a bundle or of an .onnx file, or the bytes of an ONNX model.
            providers: execution providers, best first; None takes what the bundle's target names.
            threads: threads within an operator; 0 lets the engine choose.
            exact_int8: refuse int8 kernels that saturate (see `edge_runtime.engines.onnx`).
            engine: "onnxruntime" or "litert"; None takes the first, in the order of the bundle's target, whose file is
                there.

        Raises:
            InputError: there is nothing at the path.
            BundleError: the bundle is damaged.
            ModelError: the engine does not accept the graph.
            BackendError: the engine or a provider is missing.
        """
        graph, self.bundle, self.name, chosen = _graph(model, engine)
        options: dict[str, Any] = {}
        if chosen == "onnxruntime":
            if providers is None and self.bundle is not None:
                providers = Target.load(self.bundle.manifest.target).providers
            options = {"providers": providers or ("CPUExecutionProvider",), "exact_int8": exact_int8}
        opened = open_engine(chosen, graph, where=self.name, threads=threads, **options)
        self.engine = chosen
        self.inputs, self.outputs, self._run = opened.inputs, opened.outputs, opened.run
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
        return self._run(inputs)

    def run_batches(self, x: Array, batch: int = 0) -> list[Array]:
        """Run the model over many samples.

        Args:
            x: the samples, stacked: dtype and sample shape as declared; for several inputs, records (see `data`).
            batch: samples a call; 0 takes the model's own batch, or 1 where that may vary.

        Returns:
            The outputs, each stacked in the order of the samples.

        Raises:
            InputError: the samples do not fit, or an output has another shape for each call.
        """
        if x.dtype.names is None and len(self.inputs) != 1:
            names = ", ".join(map(str, self.inputs))
            raise InputError(
                f"{self.name}: takes {len(self.inputs)} inputs ({names}); expected an array for each, by its name"
            )
        parts = []
        for feed, count in feeds(x, self.inputs, batch):
            parts.append([out[:count] if count else out[None] for out in self.run(feed).values()])
        try:
            return [np.concatenate(column) for column in zip(*parts, strict=True)]
        except ValueError as error:
            raise InputError(
                f"{self.name}: an output has another shape for each sample, which cannot be compared: {error}"
            ) from error


def _graph(
    model: Bundle | str | os.PathLike[str] | bytes, engine: str | None
) -> tuple[bytes | Path, Bundle | None, str, str]:
    """What is loaded, of which bundle, what to call it, and the engine that was asked for or that reads it."""
    if isinstance(model, bytes):
        return model, None, "model", engine or "onnxruntime"
    if not isinstance(model, Bundle):
        path = existing(model, "a bundle, an .onnx or a .tflite file")
        if path.is_file() and path.suffix in (".onnx", ".tflite"):
            return path, None, str(path), engine or engine_for(path)
        model = Bundle.open(path)
    chosen = engine or _preferred(model)
    return model.read(FILES[chosen]), model, str(model.path), chosen


def _preferred(bundle: Bundle) -> str:
    """The first engine of the target's order that the bundle has a file for and that is installed."""
    there = [name for name in Target.load(bundle.manifest.target).engines if FILES[name] in bundle]
    return next((name for name in there if installed(name)), there[-1] if there else "onnxruntime")
