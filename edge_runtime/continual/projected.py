"""Methods that bend the gradient until it no longer harms what a memory of earlier tasks stands for.

They need a bundle with gradients (`pack_trainable(..., gradients=True)`) and step by plain gradient descent.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from edge_runtime.continual.memory import Memory
from edge_runtime.data import Samples
from edge_runtime.errors import InputError
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer


def project(gradient: Array, references: Array, margin: float = 0.0) -> Array:
    """The vector nearest to `gradient` that has no negative product with any reference.

    The dual of Lopez-Paz and Ranzato 2017, equation 11: minimise ½ vᵀG Gᵀv + gᵀGᵀv over v >= `margin`; the answer is
    Gᵀv + g. It has one unknown a task, and is solved by coordinate descent.

    Args:
        gradient: g, float[n].
        references: G, float[tasks, n]; scaled to length 1 here, which changes no sign.
        margin: γ of the paper, 0 or more: how far the result is pushed towards the references.

    Returns:
        float[n].
    """
    lengths = np.linalg.norm(references, axis=1, keepdims=True)
    unit = references / np.maximum(lengths, np.finfo(references.dtype).tiny)
    against = unit @ gradient
    if (against >= 0).all():
        return gradient
    gram = (unit @ unit.T).astype(np.float64)
    slope = against.astype(np.float64)
    v = np.full(len(unit), margin)
    for _ in range(1000):
        before = v.copy()
        for k in range(len(v)):
            if gram[k, k] > 0:
                v[k] = max(margin, v[k] - (gram[k] @ v + slope[k]) / gram[k, k])
        if np.abs(v - before).max() <= 1e-9 * (1.0 + np.abs(v).max()):
            break
    bent: Array = gradient + v.astype(gradient.dtype) @ unit
    return bent


class Gem:
    """Gradient episodic memory: Lopez-Paz and Ranzato, 2017, algorithm 1. A gradient a task is taken in each step."""

    def __init__(self, per_task: int = 100, margin: float = 0.0, seed: int = 0) -> None:
        """GEM.

        Args:
            per_task: samples remembered of each task, evenly over its classes.
            margin: see `project`; the paper uses 0.5 where tasks are alike.
            seed: of the choice.

        Raises:
            InputError: `per_task` is less than 1.
        """
        if per_task < 1:
            raise InputError(f"a memory of {per_task} samples a task: at least 1 is needed")
        self.per_task = per_task
        self.margin = margin
        self.memories: list[Memory] = []
        self._seed = seed

    def step(self, trainer: Trainer, x: Array, y: Array, lr: float) -> float:
        """Descend along the gradient, bent away from what would raise the loss on a memory."""
        if not self.memories:
            return trainer.step(x, y, lr)
        rows = [_flat(trainer.gradients(*_labelled(memory.samples))[1]) for memory in self.memories]
        loss, gradients = trainer.gradients(x, y)  # last, so that the running statistics are of the new data
        bent = project(_flat(gradients), np.stack(rows), self.margin)
        trainer.apply(_like(bent, gradients), lr)
        return loss

    def consolidate(self, trainer: Trainer, samples: Samples) -> None:
        """Remember some samples of the task."""
        memory = Memory(self.per_task, self._seed + len(self.memories))
        memory.extend(samples)
        self.memories.append(memory)


class AveragedGem:
    """A-GEM: Chaudhry et al., "Efficient lifelong learning with A-GEM", 2019, equation 11: one gradient for all tasks.

    If the gradient g points against the gradient r on a batch of the memory, it becomes g - (gᵀr / rᵀr) r.
    """

    def __init__(self, memory: Memory, batch_size: int = 64) -> None:
        """A-GEM.

        Args:
            memory: what is remembered, which the cloud may have filled; `consolidate` adds to it.
            batch_size: remembered samples looked at in a step.
        """
        self.memory = memory
        self.batch_size = batch_size

    def step(self, trainer: Trainer, x: Array, y: Array, lr: float) -> float:
        """Descend along the gradient, bent if it would raise the loss on the memory."""
        if not len(self.memory):
            return trainer.step(x, y, lr)
        _, reference = trainer.gradients(*self.memory.draw(self.batch_size))
        loss, gradients = trainer.gradients(x, y)  # last, so that the running statistics are of the new data
        bent = project(_flat(gradients), _flat(reference)[None])
        trainer.apply(_like(bent, gradients), lr)
        return loss

    def consolidate(self, trainer: Trainer, samples: Samples) -> None:
        """Show the task's samples to the memory."""
        self.memory.extend(samples)


def _labelled(samples: Samples) -> tuple[Array, Array]:
    return samples.x, np.asarray(samples.y)


def _flat(gradients: Mapping[str, Array]) -> Array:
    return np.concatenate([gradient.ravel() for gradient in gradients.values()])


def _like(flat: Array, gradients: Mapping[str, Array]) -> dict[str, Array]:
    """The vector cut into arrays of the names and shapes of `gradients`."""
    ends: Sequence[int] = np.cumsum([gradient.size for gradient in gradients.values()]).tolist()
    parts = np.split(flat, ends[:-1])
    return {
        name: part.reshape(gradient.shape)
        for (name, gradient), part in zip(gradients.items(), parts, strict=True)
    }
