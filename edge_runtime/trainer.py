"""Trainer: a loaded training graph, which learns on the device with numpy and the stock onnxruntime wheel.

One step is one run of `train.onnx`: data, labels, learning rate, parameters and optimiser state in; loss, new
parameters and new state out. Parameters and state lie in two banks of memory. Two prepared bindings read one
bank and write the other, in turn, so nothing is copied or allocated from step to step. (Reading and writing
the same memory would be wrong: a weight may be overwritten before its last reader has run. onnxruntime does
not notice.)
"""

import dataclasses
import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_runtime.bundle import Bundle, pack
from edge_runtime.console import progress as bar
from edge_runtime.data import Samples, batches
from edge_runtime.engines import onnx as engine
from edge_runtime.errors import BundleError, InputError, ModelError
from edge_runtime.tensors import Array, TensorSpec, describe

METADATA = "littoral.training"
"""The key in train.onnx's metadata under which it says what its inputs and outputs are."""
_OLDEST = (1980, 1, 1, 0, 0, 0)  # the date of every entry, so that equal weights give equal bytes


@dataclass(frozen=True, slots=True)
class _Roles:
    """What the training graph says of its inputs and outputs; see `converter.differentiate`."""

    data: str
    labels: str
    loss: str
    kind: str
    rate: str
    parameters: Mapping[str, str]
    state: Mapping[str, str]


class Trainer:
    """A model that learns: ``Trainer("m.bundle").fit(samples, epochs=3)``, then ``export("better.bundle")``.

    Not for use from several threads at once.
    """

    def __init__(self, bundle: Bundle | str | os.PathLike[str], *, threads: int = 0) -> None:
        """Load a bundle that was packed with a training step.

        Args:
            bundle: the bundle or its path.
            threads: threads within an operator; 0 lets the engine choose.

        Raises:
            InputError: there is nothing at the path.
            BundleError: the bundle is damaged, or has no training step.
            ModelError: the engine does not accept the graph.
            BackendError: onnxruntime is missing.
        """
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
        if "train.onnx" not in self.bundle:
            raise BundleError(
                f"{self.bundle.path}: cannot be trained, it has no train.onnx; "
                "make it with: littoral convert MODEL --train -o m.bundle"
            )
        self._threads = threads
        self._session = self._open("train.onnx")
        self._roles = _roles(self._session.get_modelmeta().custom_metadata_map, str(self.bundle.path))
        self._specs = {spec.name: spec for spec in engine.specs(self._session.get_inputs())}
        self._evaluation: Any = None
        width = self.bundle.manifest.outputs[0].shape[-1]
        self._classes = width if self._roles.kind == "cross_entropy" and isinstance(width, int) else 0
        kept = [*self._roles.parameters, *self._roles.state]
        self._banks = [{name: _zeros(self._specs[name]) for name in kept} for _ in range(2)]
        self._current = 0
        self._loss = _zeros(TensorSpec(self._roles.loss, self._specs[self._roles.rate].dtype, ()))
        self._rate = np.zeros_like(self._loss)
        self._bindings = [self._bind(self._banks[i], self._banks[1 - i]) for i in range(2)]
        self.load(read_parameters(self.bundle.read("params.npz"), str(self.bundle.path)))

    @property
    def parameters(self) -> dict[str, Array]:
        """Copies of the current weights, and of the running statistics of batch normalisation, by name."""
        return {name: self._banks[self._current][name].copy() for name in self._roles.parameters}

    def load(self, parameters: Mapping[str, Array]) -> None:
        """Replace all parameters, and start the optimiser anew: its state becomes zeros.

        Raises:
            InputError: a name is missing or unknown, or an array has another dtype or shape; nothing is
                changed.
        """
        known = self._roles.parameters
        for name in parameters:
            if name not in known:
                raise InputError(
                    f"parameter '{name}': the model has no such parameter; it has {', '.join(known)}"
                )
        for name in known:
            if name not in parameters:
                raise InputError(f"parameter '{name}': missing; all {len(known)} parameters are needed")
            array, spec = np.asarray(parameters[name]), self._specs[name]
            if array.dtype != np.dtype(spec.dtype) or not spec.accepts(array.shape):
                wanted = str(spec).partition(": ")[2]
                raise InputError(f"parameter '{name}': expected {wanted}, got {describe(array)}")
        bank = self._banks[self._current]
        for name in known:
            np.copyto(bank[name], parameters[name])
        for name in self._roles.state:
            bank[name].fill(0)

    def step(self, x: Array, y: Array, lr: float) -> float:
        """One update of all parameters.

        Args:
            x: a batch of samples, of any length: dtype and sample shape as the model's input.
            y: their labels: int64[n] class indices for cross-entropy, else dtype and shape of the output.
            lr: learning rate.

        Returns:
            The loss of this batch before the update. It is not checked: NaN and infinity come through.

        Raises:
            InputError: x or y do not fit, or a label is not a class.
            ModelError: the engine failed while running.
        """
        x, y = self._checked(x, y)
        binding = self._bindings[self._current]
        binding.bind_cpu_input(self._roles.data, x)
        binding.bind_cpu_input(self._roles.labels, y)
        self._rate[...] = lr
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:
            first = str(error).splitlines()[0]
            raise ModelError(
                f"{self.bundle.path}: the training step failed while running: {first}"
            ) from error
        self._current = 1 - self._current
        return float(self._loss)

    def fit(
        self,
        samples: Samples,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        lr: float = 0.05,
        seed: int = 0,
        progress: bool = False,
    ) -> list[float]:
        """Train on all samples, newly shuffled in each epoch; the same seed gives the same weights.

        Args:
            samples: `x` and `y` as for `step`.
            epochs: how often each sample is seen.
            batch_size: samples a step; the last step of an epoch takes what is left.
            lr: learning rate.
            seed: of the shuffling.
            progress: draw a bar on a terminal.

        Returns:
            The mean loss of each epoch.

        Raises:
            InputError: the samples are empty, do not fit or have no labels, or an argument is out of range.
            ModelError: the loss became NaN or infinite; the weights are then of no use, load others.
        """
        if len(samples) == 0 or batch_size < 1 or epochs < 0:
            raise InputError(
                f"training needs samples, a batch_size of at least 1 and no negative epochs; "
                f"got {len(samples)} samples, batch_size {batch_size}, epochs {epochs}"
            )
        rng = np.random.default_rng(seed)
        losses = []
        for epoch in range(1, epochs + 1):
            steps = enumerate(batches(samples, batch_size, rng), start=1)
            count = -(-len(samples) // batch_size)
            total = 0.0
            for number, (x, y) in bar(steps, f"epoch {epoch}/{epochs}", count) if progress else steps:
                loss = self.step(x, y, lr)
                if not np.isfinite(loss):
                    raise ModelError(
                        f"the loss is {loss} at epoch {epoch}, step {number}: training diverged; "
                        f"lower the learning rate (it is {lr})"
                    )
                total += loss * len(x)
            losses.append(total / len(samples))
        return losses

    def evaluate(self, samples: Samples, batch_size: int = 256) -> dict[str, float]:
        """Measure the current parameters.

        Returns:
            "loss", the number of samples "n", and for a classifier "accuracy", the share that is right.

        Raises:
            InputError: the samples are empty, do not fit or have no labels.
        """
        if len(samples) == 0:
            raise InputError("evaluation needs at least one sample; got none")
        if self._evaluation is None:
            self._evaluation = self._open("eval.onnx")
        weights = {name: self._banks[self._current][name] for name in self._roles.parameters}
        loss = right = 0.0
        for x, y in batches(samples, batch_size):
            x, y = self._checked(x, y)
            output = self._evaluation.run(None, {self._roles.data: x, **weights})[0].astype(np.float64)
            if self._classes:
                loss += float(_cross_entropy(output, y))
                right += float((output.argmax(axis=1) == y).sum())
            else:
                loss += float(((output - y) ** 2).mean() * len(x))
        found = {"loss": loss / len(samples), "n": len(samples)}
        return {"accuracy": right / len(samples), **found} if self._classes else found

    def export(self, path: str | os.PathLike[str]) -> Bundle:
        """Write the bundle with the current parameters; it runs with them, and more training starts from them.

        What was measured of the old weights is left out of the manifest.

        Raises:
            InputError: `path` cannot be written.
            BundleError: the bundle is not complete.
        """
        files = {name: self.bundle.read(name) for name in self.bundle.manifest.files}
        graph, places = (
            bytearray(self.bundle.read("infer.onnx")),
            json.loads(self.bundle.read("weights.json")),
        )
        for name, array in self.parameters.items():
            place = places[name]
            if place["length"] != array.nbytes:
                raise BundleError(
                    f"{self.bundle.path}: weights.json does not fit parameter '{name}'; convert it again"
                )
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            graph[place["offset"] : place["offset"] + place["length"]] = little.tobytes()
        files["infer.onnx"] = bytes(graph)
        files["params.npz"] = write_parameters(self.parameters)
        return pack(path, dataclasses.replace(self.bundle.manifest, metrics={}), files)

    def _open(self, name: str) -> Any:
        # The memory pattern of onnxruntime is made for fixed shapes, and doubles the peak of a training step.
        return engine.open_session(
            self.bundle.read(name),
            where=f"{self.bundle.path}, {name}",
            threads=self._threads,
            options={"enable_mem_pattern": False},
        )

    def _bind(self, source: Mapping[str, Array], destination: Mapping[str, Array]) -> Any:
        """Everything but the data, which is new in each step."""
        binding = self._session.io_binding()
        for name, output in {**self._roles.parameters, **self._roles.state}.items():
            binding.bind_ortvalue_input(name, engine.ortvalue(source[name]))
            binding.bind_ortvalue_output(output, engine.ortvalue(destination[name]))
        binding.bind_ortvalue_input(self._roles.rate, engine.ortvalue(self._rate))
        binding.bind_ortvalue_output(self._roles.loss, engine.ortvalue(self._loss))
        return binding

    def _checked(self, x: Array, y: Array) -> tuple[Array, Array]:
        x, y = np.ascontiguousarray(x), np.ascontiguousarray(y)
        self._specs[self._roles.data].check(x)
        self._specs[self._roles.labels].check(y)
        if len(x) != len(y) or len(x) == 0:
            raise InputError(
                f"a batch needs as many labels as samples, and at least one; got {len(x)} and {len(y)}"
            )
        if self._classes and (y.min() < 0 or y.max() >= self._classes):
            wrong = y[(y < 0) | (y >= self._classes)][0]
            raise InputError(
                f"label {wrong} is not a class of this model; its labels are 0 to {self._classes - 1}"
            )
        return x, y


def write_parameters(parameters: Mapping[str, Array]) -> bytes:
    """Arrays by name as an .npz: the same arrays give the same bytes, as `numpy.savez` does not promise."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in parameters.items():
            content = io.BytesIO()
            np.lib.format.write_array(
                content, np.asarray(array, order="C"), version=(1, 0), allow_pickle=False
            )
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _OLDEST), content.getvalue())
    return stream.getvalue()


def read_parameters(content: bytes, where: str) -> dict[str, Array]:
    """What `write_parameters` wrote.

    Raises:
        BundleError: it is not an .npz of plain arrays.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as loaded:
            return {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(f"{where}: params.npz is not a NumPy archive of plain arrays ({error})") from error


def _roles(metadata: Mapping[str, str], where: str) -> _Roles:
    try:
        table = json.loads(metadata[METADATA])
        return _Roles(
            data=table["data"][0],
            labels=table["labels"],
            loss=table["loss"],
            kind=table["kind"],
            rate=table["learning_rate"],
            parameters=table["parameters"],
            state=table["state"],
        )
    except (KeyError, IndexError, TypeError, json.JSONDecodeError) as error:
        raise BundleError(
            f"{where}: train.onnx does not say what its inputs are ({error!r}); convert it again"
        ) from error


def _zeros(spec: TensorSpec) -> Array:
    return np.zeros([int(dim) for dim in spec.shape], spec.dtype)


def _cross_entropy(logits: Array, labels: Array) -> Any:
    """The sum of -log softmax(logits)[label]; logits: float[n, classes], labels: int64[n]."""
    top = logits.max(axis=1)
    log_sum = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top
    return (log_sum - logits[np.arange(len(labels)), labels]).sum()
