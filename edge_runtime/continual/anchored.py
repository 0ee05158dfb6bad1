r"""Methods that tie each weight to its old value, the more so the more it mattered.

Both add ``strength/2 · Σ importance · (w - anchor)²`` to the loss. Elastic weight consolidation takes the diagonal of
the Fisher information for the importance; synaptic intelligence takes what each weight contributed to the fall of
the loss while it was learnt. The tasks' penalties are summed: a sum of parabolas is one parabola, so one importance
and one anchor are kept, however many tasks there were.

They need a bundle with gradients (`pack_trainable(..., gradients=True)`) and step by plain gradient descent.
"""

from collections.abc import Mapping

import numpy as np

from edge_runtime.data import Samples, batches
from edge_runtime.errors import InputError
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer


def fisher(
    trainer: Trainer, samples: Samples, *, count: int = 200, batch_size: int = 1, seed: int = 0
) -> dict[str, Array]:
    """The diagonal of the Fisher information: the mean of the squared gradient, by weight.

    The gradient is of the likelihood of labels drawn from the model's own answers, as Fisher's definition has it (and
    not of the true labels, on which a model that has learnt them has no gradient left; see Kunstner, Balles and
    Hennig 2019). A model that is no classifier takes the true labels.

    Args:
        trainer: a learnt model.
        samples: of the task that it learnt.
        count: how many of them are looked at.
        batch_size: 1 is exact. More is faster, and a model with batch normalisation needs it: the squared gradient of
            a batch of b, times b, estimates the same wherever the mean gradient is near zero.
        seed: of the choice.

    Raises:
        InputError: there are no samples, or the bundle has no gradients.
    """
    rng = np.random.default_rng(seed)
    chosen = _some(samples, rng.permutation(len(samples))[:count])
    if len(chosen) == 0:
        raise InputError("the importance of weights needs samples of the task; got none")
    total: dict[str, Array] = {}
    steps = 0
    for x, y in batches(_answered(trainer, chosen, rng), batch_size):
        _, gradients = trainer.gradients(x, y)
        for name, gradient in gradients.items():
            total[name] = total.get(name, np.float32(0)) + gradient * gradient * np.float32(len(x))
        steps += 1
    return {name: array / np.float32(steps) for name, array in total.items()}


class _Anchored:
    """The penalty: importance and anchor by weight, both empty until the first task has been learnt."""

    def __init__(self, strength: float) -> None:
        if not strength >= 0.0:
            raise InputError(f"strength {strength}: give 0 or more")
        self.strength = strength
        self.importance: dict[str, Array] = {}
        self.anchor: dict[str, Array] = {}

    def pulled(
        self, weights: Mapping[str, Array], gradients: Mapping[str, Array], lr: float
    ) -> dict[str, Array]:
        """The gradient that takes a step of `lr` on the loss, and on the penalty too.

        The penalty's part is taken where the step ends: w' = a + (w - lr·g - a) / (1 + lr·strength·importance).
        Taken where it begins, a strong penalty would throw the weight beyond its anchor, further each time.
        """
        found = dict(gradients)
        rate = np.float32(lr)
        for name, importance in self.importance.items():
            away = weights[name] - self.anchor[name]
            hold = 1 + rate * np.float32(self.strength) * importance
            found[name] = (away - (away - rate * gradients[name]) / hold) / rate
        return found

    def add(self, importance: Mapping[str, Array], weights: Mapping[str, Array]) -> None:
        """Add a task's parabola: its importance, and the weights at which it lies."""
        for name, new in importance.items():
            if name not in self.importance:
                self.importance[name], self.anchor[name] = new.copy(), weights[name].copy()
                continue
            total = self.importance[name] + new
            share = np.divide(new, total, out=np.ones_like(total), where=total > 0)
            self.anchor[name] = self.anchor[name] + share * (weights[name] - self.anchor[name])
            self.importance[name] = total


class Ewc(_Anchored):
    """Elastic weight consolidation: Kirkpatrick et al., "Overcoming catastrophic forgetting", 2017, equation 3."""

    def __init__(self, strength: float = 100.0, count: int = 200, batch_size: int = 1) -> None:
        """EWC.

        Args:
            strength: λ of the paper; for clipped or averaged losses of about 1, between 10 and 10,000.
            count: samples of a task that its importance is taken from.
            batch_size: see `fisher`.

        Raises:
            InputError: `strength` is negative.
        """
        super().__init__(strength)
        self.count = count
        self.batch_size = batch_size

    def step(self, trainer: Trainer, x: Array, y: Array, lr: float) -> float:
        """Descend the loss and the penalty."""
        if not self.importance:
            return trainer.step(x, y, lr)
        loss, gradients = trainer.gradients(x, y)
        trainer.apply(self.pulled(trainer.parameters, gradients, lr), lr)
        return loss

    def consolidate(self, trainer: Trainer, samples: Samples) -> None:
        """Take the task's Fisher information at the current weights."""
        found = fisher(trainer, samples, count=self.count, batch_size=self.batch_size)
        self.add(found, trainer.parameters)


class SynapticIntelligence(_Anchored):
    """Synaptic intelligence: Zenke, Poole and Ganguli, "Continual learning through synaptic intelligence", 2017.

    Along the way, ω sums each weight's share of the fall of the loss, -gradient · change (equation 3). At the end of a
    task the importance grows by ω / (distance² + ξ) (equation 5). `strength` is twice the paper's c, for its penalty
    has no half. Every step, of the first task too, must be a step of this method.
    """

    def __init__(self, strength: float = 1.0, damping: float = 1e-3) -> None:
        """SI.

        Args:
            strength: 2c of the paper.
            damping: ξ of the paper, which bounds the importance of a weight that did not move.

        Raises:
            InputError: `strength` is negative.
        """
        super().__init__(strength)
        self.damping = damping
        self._path: dict[str, Array] = {}
        self._start: dict[str, Array] = {}

    def step(self, trainer: Trainer, x: Array, y: Array, lr: float) -> float:
        """Descend the loss and the penalty, and sum what each weight contributed."""
        if not self._start:
            self._start = trainer.parameters
        loss, gradients = trainer.gradients(x, y)
        whole = self.pulled(trainer.parameters, gradients, lr) if self.importance else gradients
        trainer.apply(whole, lr)
        for name, gradient in gradients.items():  # the change is -lr times the whole gradient
            self._path[name] = self._path.get(name, 0) + np.float32(lr) * gradient * whole[name]
        return loss

    def consolidate(self, trainer: Trainer, samples: Samples) -> None:
        """Turn the path of this task into importance, and begin a new one."""
        weights = trainer.parameters
        found = {
            name: np.maximum(path, 0) / ((weights[name] - self._start[name]) ** 2 + np.float32(self.damping))
            for name, path in self._path.items()
        }
        for name, new in found.items():  # the paper moves the anchor of all tasks to the newest weights
            self.importance[name] = self.importance.get(name, np.float32(0)) + new
            self.anchor[name] = weights[name]
        self._path, self._start = {}, weights


def _answered(trainer: Trainer, samples: Samples, rng: np.random.Generator) -> Samples:
    """The samples with labels drawn from what the model thinks of them."""
    logits = trainer.predict(samples.x)
    if logits.ndim != 2 or logits.shape[1] < 2 or np.asarray(samples.y).dtype != np.int64:
        return samples
    # The largest of logits + Gumbel noise is a draw from their softmax.
    return Samples(samples.x, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1))


def _some(samples: Samples, chosen: Array) -> Samples:
    if samples.y is None:
        raise InputError("the importance of weights needs labels: the data has x and no y")
    return Samples(samples.x[chosen], samples.y[chosen])
