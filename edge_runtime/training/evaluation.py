"""The model in inference mode with the current parameters, and the loss of what it gives."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_runtime.bundle import Bundle
from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array
from edge_runtime.training.program import Roles, open_graph


class Evaluation:
    """`output` for samples, and `loss` for outputs."""

    def __init__(self, bundle: Bundle, roles: Roles, threads: int) -> None:
        """Load eval.onnx and loss.onnx.

        Raises:
            BundleError: the bundle lacks one of them.
            ModelError: the engine does not accept it.
        """
        self._roles = roles
        self._where = str(bundle.path)
        self._model = open_graph(bundle, "eval.onnx", threads)
        self._loss = open_graph(bundle, "loss.onnx", threads)
        self._given = self._loss.get_inputs()[0].name

    def output(self, x: Array, parameters: Mapping[str, Array]) -> Array:
        """The model's output (logits for a classifier) of the samples `x`.

        Raises:
            ModelError: the engine failed.
        """
        return self._run(self._model, {self._roles.data: x, **parameters})

    def loss(self, output: Array, data: Mapping[str, Array]) -> float:
        """The mean loss of an output; `data` holds the labels, and what else the loss takes.

        Raises:
            ModelError: the engine failed.
        """
        names = [self._roles.labels, *self._roles.extra]
        return float(self._run(self._loss, {self._given: output, **{name: data[name] for name in names}}))

    def _run(self, session: Any, feed: Mapping[str, Array]) -> Array:
        try:
            found: Array = np.asarray(session.run(None, dict(feed))[0])
        except Exception as error:
            first = str(error).splitlines()[0]
            raise ModelError(f"{self._where}: the evaluation failed while running: {first}") from error
        return found
