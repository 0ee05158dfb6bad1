"""Federated averaging, which every other method varies: in what is sent, in a device's steps, or in the merge.

What travels is always a table of arrays that the server averages by n_k / n. A method that needs more than weights
sends it beside them, in a form whose average is what it needs. Weights that are not sent stay on the device.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from edge_runtime.continual.learning import Method as Stepping
from edge_runtime.continual.learning import Plain, learn
from edge_runtime.data import Samples
from edge_runtime.errors import InputError
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer, read_parameters
from federated import seeds
from federated.steps import Learned, Steps

Memory = dict[str, Array]
"""What a device keeps for itself from round to round, by name."""


@dataclass(frozen=True, slots=True)
class Averaged:
    """Federated averaging: all weights travel, a device takes plain steps (McMahan et al. 2017)."""

    def start(self, trainer: Trainer) -> dict[str, Array]:
        """What the server sends in round 1: the arrays that travel."""
        return trainer.parameters

    def stepping(self, sent: Mapping[str, Array], memory: Mapping[str, Array]) -> Stepping:
        """How a device takes a step."""
        return Plain()

    def update(
        self,
        trainer: Trainer,
        sent: Mapping[str, Array],
        samples: Samples,
        steps: Steps,
        client: int,
        memory: Memory,
    ) -> Learned:
        """A device's work in a round.

        Args:
            trainer: what learns; its weights are replaced.
            sent: what the server sent.
            samples: the device's own.
            steps: what the server asks for.
            client: the device's number.
            memory: what the device kept; changed to what it keeps now.

        Raises:
            InputError: the arrays or the samples do not fit the model.
            ModelError: training diverged.
        """
        trainer.load(self.weights(trainer, sent, memory))
        losses = learn(
            trainer,
            samples,
            self.stepping(sent, memory),
            epochs=steps.epochs,
            batch_size=steps.batch_size,
            lr=steps.lr,
            seed=seeds.number(steps.seed, "train", steps.round_number, client),
        )
        learned = trainer.parameters
        memory.update({name: array for name, array in learned.items() if name not in sent})
        answer = {name: array for name, array in learned.items() if name in sent}
        return Learned(answer, len(samples), losses[-1])

    def merge(self, before: Mapping[str, Array], average: Mapping[str, Array]) -> dict[str, Array]:
        """What is sent in the next round, from what was sent in this one and the average of the answers."""
        return dict(average)

    def weights(
        self, trainer: Trainer, sent: Mapping[str, Array], memory: Mapping[str, Array]
    ) -> dict[str, Array]:
        """The model's parameters: those sent, else those that the device keeps, else those that it was packed with."""
        names = trainer.parameters
        known = {**memory, **sent}
        if names.keys() - known.keys():
            bundle = trainer.bundle
            known = read_parameters(bundle.read("params.npz"), str(bundle.path)) | known
        return {name: known[name] for name in names}


_METHODS = {
    "fedavg": "method:Averaged",
    "fedprox": "proximal:Proximal",
    "scaffold": "scaffold:Scaffold",
    "reptile": "meta:Reptile",
    "per-fedavg": "meta:PerFedAvg",
    "fedper": "private:PrivateHead",
    "fedbn": "private:PrivateNorms",
}


def parse(spec: str) -> Averaged:
    """A method from its name and numbers, as "fedprox:mu=0.1" or "fedper:layers=2".

    Raises:
        InputError: there is no such method, or it has no such number.
    """
    name, _, rest = spec.partition(":")
    if name not in _METHODS:
        raise InputError(f"method '{spec}': expected one of {', '.join(_METHODS)}")
    module, _, kind = _METHODS[name].partition(":")
    make: Callable[..., Any] = getattr(import_module(f"federated.methods.{module}"), kind)
    try:
        numbers = {}
        for part in filter(None, rest.split(",")):
            key, _, value = part.partition("=")
            numbers[key] = int(value) if value.isdecimal() else float(value)
        made: Averaged = make(**numbers)
    except (TypeError, ValueError) as error:
        raise InputError(f"method '{spec}': {error}; such as fedprox:mu=0.1") from error
    return made
