"""Trainer: a loaded training graph, which learns on the device with numpy and the stock onnxruntime wheel.

One step is one run of `train.onnx`: data, labels, learning rate, parameters and optimiser state in; loss, new
parameters and new state out. Where memory is short, a step is several runs of `gradient.onnx`, one for each
micro-batch, which add up gradients, and one of `update.onnx`.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from edge_runtime.bundle import Bundle
from edge_runtime.data import Samples
from edge_runtime.errors import BundleError, InputError
from edge_runtime.tensors import Array, describe
from edge_runtime.training import checkpoint as checkpoints
from edge_runtime.training import fitting
from edge_runtime.training.arrays import read_parameters, write_parameters
from edge_runtime.training.evaluation import Evaluation
from edge_runtime.training.export import export
from edge_runtime.training.fitting import Epoch, Progress, Settings
from edge_runtime.training.heap import give_back, keep_little
from edge_runtime.training.program import METADATA
from edge_runtime.training.schedules import Schedule, constant
from edge_runtime.training.stepper import Stepper
from edge_runtime.training.stored import open_stored

__all__ = ["METADATA", "Epoch", "Trainer", "read_parameters", "write_parameters"]


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
        self.bundle = bundle if isinstance(bundle, Bundle) else open_stored(bundle)
        self._threads = threads
        self._stepper = Stepper(self.bundle, threads)
        self._roles, self._specs = self._stepper.roles, self._stepper.specs
        if self._roles.planned_bytes:
            keep_little()
        self._evaluation: Evaluation | None = None
        self._progress: Progress | None = None
        self.load(read_parameters(self.bundle.read("params.npz"), str(self.bundle.path)))
        give_back()

    @property
    def parameters(self) -> dict[str, Array]:
        """Copies of the current weights, and of the running statistics of batch normalisation, by name."""
        bank = self._stepper.bank
        return {name: bank[name].copy() for name in self._stepper.parameters}

    @property
    def weights(self) -> tuple[str, ...]:
        """The names of the parameters that have a gradient: all but running statistics."""
        return self._roles.weights or tuple(self._stepper.parameters)

    @property
    def norms(self) -> tuple[str, ...]:
        """The names of the parameters of what normalises: scale, shift and running statistics."""
        return self._roles.norms

    @property
    def has_state(self) -> bool:
        """Whether the optimiser keeps something between steps, as momentum does."""
        return bool(self._stepper.state)

    def release(self) -> dict[str, Array]:
        """The parameters themselves, not copies of them: for when the trainer is not used any more."""
        return {name: self._stepper.bank[name] for name in self._stepper.parameters}

    def load(self, parameters: Mapping[str, Array]) -> None:
        """Replace all parameters, and start the optimiser anew: its state becomes zeros.

        Raises:
            InputError: a name is missing or unknown, or an array has another dtype or shape; nothing is
                changed.
        """
        self._check(parameters, self._stepper.parameters, "parameter")
        bank = self._stepper.bank
        for name in self._stepper.parameters:
            np.copyto(bank[name], parameters[name])
        for name in self._stepper.state:
            bank[name].fill(0)
        self._progress = None

    def step(self, x: Array, y: Array, lr: float, extra: Mapping[str, Array] | None = None) -> float:
        """One update of all parameters.

        Args:
            x: a batch of samples, of any length: dtype and sample shape as the model's input.
            y: their labels: int64[n] class indices for cross-entropy, else dtype and shape of the output.
            lr: learning rate.
            extra: what else the loss takes, by name, as "teacher": float[n, classes] for distillation.

        Returns:
            The loss of this batch before the update. It is not checked: NaN and infinity come through.

        Raises:
            InputError: x, y or extra do not fit, or a label is not a class.
            ModelError: the engine failed while running.
        """
        return self._stepper.step(self._checked(x, y, extra), lr)

    def gradients(self, x: Array, y: Array, **extra: Array) -> tuple[float, dict[str, Array]]:
        """The loss of a batch, and its gradient for each weight; nothing is changed.

        Args:
            x: a batch of samples, as for `step`.
            y: their labels.
            extra: what else the loss takes, by name.

        Raises:
            InputError: x, y or extra do not fit.
            BundleError: the bundle was packed without its gradients.
        """
        return self._stepper.gradients(self._checked(x, y, extra))

    def apply(self, gradients: Mapping[str, Array], lr: float) -> None:
        """Take a plain step of gradient descent: w - lr·gradient for each of the weights given.

        The running statistics of batch normalisation become those that the last call of `gradients` found.

        Raises:
            InputError: a name is unknown, or an array has another dtype or shape; nothing is changed.
        """
        self._check(gradients, (), "gradient")
        bank = self._stepper.bank
        for name, gradient in gradients.items():
            bank[name] -= bank[name].dtype.type(lr) * gradient
        self._stepper.take_statistics()

    def anchor(self, importance: Mapping[str, Array], anchor: Mapping[str, Array], strength: float) -> None:
        """Hold weights near their place: the loss gains strength/2·Σ importance·(w - anchor)².

        Args:
            importance: of each element of each weight, by name; a weight left out is free.
            anchor: the place of each of the weights in `importance`.
            strength: 0 lets go of all of them.

        Raises:
            InputError: an array does not fit.
            BundleError: the bundle was packed without the penalty.
        """
        if not self._roles.penalty:
            raise BundleError(
                f"{self.bundle.path}: has no penalty; pack it with pack_trainable(..., penalty=True)"
            )
        self._check(importance, (), "importance")
        self._check(anchor, list(importance), "anchor")
        given = {"importance": importance, "anchor": anchor}
        for name, (what, weight) in self._roles.anchoring.items():
            self._stepper.fixed[name][...] = given[what].get(weight, 0)
        self._stepper.hold(strength)

    def predict(self, x: Array, batch_size: int = 0) -> Array:
        """The model's output with the current parameters, in inference mode: logits for a classifier.

        Args:
            x: samples, as for `step`.
            batch_size: samples a run; 0 takes what the bundle was planned for, or 256.

        Raises:
            InputError: the samples do not fit.
        """
        self._specs[self._roles.data].check(np.asarray(x))
        size = batch_size or self._roles.evaluation_batch
        parts = [x[i : i + size] for i in range(0, max(len(x), 1), size)]
        return np.concatenate([self._output(np.ascontiguousarray(part)) for part in parts])

    def fit(
        self,
        samples: Samples,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        lr: float | Schedule = 0.05,
        seed: int = 0,
        progress: bool = False,
        extra: Mapping[str, Array] | None = None,
        validation: Samples | None = None,
        patience: int = 0,
        checkpoint: str | os.PathLike[str] | None = None,
        every: int = 0,
        on_epoch: Callable[[Epoch], None] | None = None,
    ) -> list[float]:
        """Train on all samples, newly shuffled in each epoch; the same seed gives the same weights.

        Args:
            samples: `x` and `y` as for `step`.
            epochs: how often each sample is seen.
            batch_size: samples a step; the last step of an epoch takes what is left.
            lr: learning rate, or a function of the step's number, from 0: see `edge_runtime.training.schedules`.
            seed: of the shuffling.
            progress: draw a bar on a terminal.
            extra: what else the loss takes, by name, a row for each sample; None takes it from the samples' own.
            validation: other samples, on which the model is measured after each epoch.
            patience: stop after so many epochs without a lower loss on `validation`, and return to the weights
                of the best one; 0 does not.
            checkpoint: a file to write after each epoch, as `checkpoint` does.
            every: write it after so many steps as well.
            on_epoch: called after each epoch.

        Returns:
            The mean loss of each epoch. After `restore` of a checkpoint that was written by a fit, this fit goes
            on where that one stood, and the losses are those of all epochs.

        Raises:
            InputError: the samples are empty, do not fit or have no labels, an argument is out of range, or a
                restored fit was of other samples.
            ModelError: the loss became NaN or infinite; the weights are then of no use, load others.
        """
        rate = constant(lr) if isinstance(lr, int | float) else lr
        more = self._extra(samples, extra)
        chosen = Settings(epochs, batch_size, rate, seed, progress, more, validation, patience)
        chosen = replace(chosen, checkpoint=checkpoint, every=every, on_epoch=on_epoch)
        fitting.check(samples, chosen)
        begun = self._progress
        if begun is None or not begun.goes_on(len(samples), chosen):
            begun = self._progress = Progress.start(len(samples), chosen)
        try:
            return fitting.fit(self, samples, chosen, begun)
        finally:
            self._progress = None

    def evaluate(
        self, samples: Samples, batch_size: int = 0, extra: Mapping[str, Array] | None = None
    ) -> dict[str, float]:
        """Measure the current parameters.

        Args:
            samples: `x` and `y` as for `step`.
            batch_size: samples a run; 0 takes what the bundle was planned for, or 256.
            extra: what else the loss takes, by name, a row for each sample; None takes it from the samples' own.

        Returns:
            "loss", the number of samples "n", and for a classifier "accuracy", the share that is right.

        Raises:
            InputError: the samples are empty, do not fit or have no labels.
        """
        if len(samples) == 0:
            raise InputError("evaluation needs at least one sample; got none")
        loss = right = 0.0
        size = batch_size or self._roles.evaluation_batch
        given = self._extra(samples, extra)
        for start in range(0, len(samples), size):
            part = slice(start, start + size)
            more = {name: array[part] for name, array in given.items()}
            data = self._checked(samples.x[part], fitting.labels(samples)[part], more)
            output = self._output(data[self._roles.data])
            loss += self._evaluator().loss(output, data) * len(output)
            if self._roles.classes:
                right += float((output.argmax(axis=1) == data[self._roles.labels]).mean()) * len(output)
        found = {"loss": loss / len(samples), "n": len(samples)}
        return {"accuracy": right / len(samples), **found} if self._roles.classes else found

    def checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Write everything that training depends on: parameters, optimiser state, and how far a fit has come.

        The file appears whole or not at all: a checkpoint that stood there before stays until the new one is
        complete.

        Raises:
            InputError: it cannot be written; what stood there before is intact.
        """
        names, bank = self._stepper, self._stepper.bank
        parts = {"parameters": {name: bank[name] for name in names.parameters}}
        parts["state"] = {name: bank[name] for name in names.state}
        progress = self._progress
        if progress:
            parts["best"] = progress.best
        checkpoints.write(path, parts, progress.to_json() if progress else None)

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Go back to a checkpoint; a `fit` that it was written in goes on where it stood.

        Raises:
            InputError: there is nothing at the path, it is not a whole checkpoint, or of another model; nothing
                is changed.
        """
        parts, progress = checkpoints.read(path)
        parameters, state = parts.get("parameters", {}), parts.get("state", {})
        self._check(parameters, self._stepper.parameters, f"{os.fspath(path)}: parameter")
        self._check(state, self._stepper.state, f"{os.fspath(path)}: state")
        bank = self._stepper.bank
        for name, array in {**parameters, **state}.items():
            np.copyto(bank[name], array)
        self._progress = None if progress is None else Progress(**progress, best=parts.get("best", {}))

    def put(self, parameters: Mapping[str, Array]) -> None:
        """Replace some of the parameters, and keep the optimiser's state.

        Raises:
            InputError: a name is unknown, or an array has another dtype or shape; nothing is changed.
        """
        self._check(parameters, (), "parameter")
        for name, array in parameters.items():
            np.copyto(self._stepper.bank[name], array)

    def export(self, path: str | os.PathLike[str]) -> Bundle:
        """Write the bundle with the current parameters; it runs with them, and more training starts from them.

        What was measured of the old weights is left out of the manifest. A quantised model stays quantised.

        Raises:
            InputError: `path` cannot be written.
            BundleError: the bundle is not complete.
        """
        made = export(self.bundle, self.release(), path)
        if made.path.resolve() == self.bundle.path.resolve():
            self.bundle = made
        return made

    def _extra(self, samples: Samples, extra: Mapping[str, Array] | None) -> Mapping[str, Array]:
        """What the loss takes beside labels: as it was given, or as it came with the samples."""
        if extra is not None:
            return extra
        return {name: samples.extra[name] for name in self._roles.extra if name in samples.extra}

    def _evaluator(self) -> Evaluation:
        if self._evaluation is None:
            self._evaluation = Evaluation(self.bundle, self._roles, self._threads)
        return self._evaluation

    def _output(self, x: Array) -> Array:
        bank = self._stepper.bank
        return self._evaluator().output(x, {name: bank[name] for name in self._stepper.parameters})

    def _check(self, arrays: Mapping[str, Array], needed: Sequence[str], what: str) -> None:
        """Whether `arrays` are of the model's parameters or state, by name, and all of `needed` are there."""
        known = self._stepper.bank if needed is self._stepper.state else self._stepper.parameters
        for name in arrays:
            if name not in known:
                raise InputError(
                    f"{what} '{name}': the model has no such parameter; it has {', '.join(known)}"
                )
        for name in needed:
            if name not in arrays:
                raise InputError(f"{what} '{name}': missing; all {len(needed)} are needed")
        for name, given in arrays.items():
            array, spec = np.asarray(given), self._specs[name]
            if array.dtype != np.dtype(spec.dtype) or not spec.accepts(array.shape):
                wanted = str(spec).partition(": ")[2]
                raise InputError(f"{what} '{name}': expected {wanted}, got {describe(array)}")

    def _checked(self, x: Array, y: Array, extra: Mapping[str, Array] | None) -> dict[str, Array]:
        """The arrays of a step by the graph's names, contiguous."""
        roles = self._roles
        given = {roles.data: x, roles.labels: y, **(extra or {})}
        for name in given:
            if name not in (roles.data, roles.labels, *roles.extra):
                takes = ", ".join(roles.extra) or "nothing more"
                raise InputError(f"extra '{name}': the loss {roles.kind} takes {takes}")
        for name in roles.extra:
            if name not in given:
                raise InputError(
                    f"the loss {roles.kind} needs '{name}': give it in extra, or beside x with a row for each sample"
                )
        data = {name: np.ascontiguousarray(array) for name, array in given.items()}
        for name, array in data.items():
            self._specs[name].check(array)
            if len(array) != len(data[roles.data]) or len(array) == 0:
                raise InputError(
                    "a batch needs as many labels as samples, and at least one; "
                    f"got {len(data[roles.data])} and {len(array)}"
                )
        labels = data[roles.labels]
        if roles.classes and (labels.min() < 0 or labels.max() >= roles.classes):
            wrong = labels[(labels < 0) | (labels >= roles.classes)][0]
            raise InputError(
                f"label {wrong} is not a class of this model; its labels are 0 to {roles.classes - 1}"
            )
        return data
