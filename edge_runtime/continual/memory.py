"""A small memory of earlier samples, chosen on the device or sent from the cloud, and training on it jointly."""

import os
from pathlib import Path

import numpy as np

from edge_runtime import data
from edge_runtime.data import Samples
from edge_runtime.errors import InputError
from edge_runtime.files import atomic
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer


class Memory:
    """At most `capacity` samples of a stream, as evenly over its classes as the stream allows.

    Class-balancing reservoir sampling (Chrysakis and Moens, "Online continual learning from imbalanced data", 2020,
    algorithm 1): while there is room everything is kept. Then a sample of a class that never filled the largest
    place takes the place of one of the largest class; a sample of a class that did takes a place of its own class
    with the probability that keeps that class a uniform sample of all it ever showed.
    """

    def __init__(self, capacity: int, seed: int = 0) -> None:
        """An empty memory.

        Raises:
            InputError: `capacity` is less than 1.
        """
        if capacity < 1:
            raise InputError(f"a memory of {capacity} samples: at least 1 is needed")
        self.capacity = capacity
        self._rng = np.random.default_rng(seed)
        self._x: list[Array] = []
        self._y: list[int] = []
        self._seen: dict[int, int] = {}
        self._full: set[int] = set()  # classes that were the largest once

    def __len__(self) -> int:
        return len(self._y)

    @property
    def samples(self) -> Samples:
        """What is remembered: x [n, ...], y int64[n].

        Raises:
            InputError: nothing is.
        """
        if not self._y:
            raise InputError("the memory is empty; give it samples with extend")
        return Samples(np.stack(self._x), np.array(self._y, np.int64))

    def extend(self, samples: Samples) -> None:
        """Show the memory samples, in their order.

        Raises:
            InputError: they have no labels, or another shape than those before.
        """
        if samples.y is None:
            raise InputError("a memory needs labels: the data has x and no y")
        if self._x and len(samples) and samples.x[0].shape != self._x[0].shape:
            raise InputError(f"the memory holds samples of {self._x[0].shape}, got {samples.x[0].shape}")
        for x, y in zip(samples.x, samples.y, strict=True):
            self._show(np.array(x), int(y))

    def draw(self, count: int) -> tuple[Array, Array]:
        """`count` remembered samples at random (all, if there are fewer), without repeats.

        Raises:
            InputError: the memory is empty.
        """
        known = self.samples
        chosen = self._rng.permutation(len(known))[:count]
        return known.x[chosen], np.asarray(known.y)[chosen]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the samples atomically as an .npz with x and y, which is also how the cloud sends them.

        Raises:
            InputError: the memory is empty, or `path` cannot be written.
        """
        known = self.samples
        with atomic(Path(path)) as partial, partial.open("wb") as stream:
            np.savez(stream, x=known.x, y=np.asarray(known.y))

    @classmethod
    def load(cls, path: str | os.PathLike[str], capacity: int = 0, seed: int = 0) -> "Memory":
        """Read what `save` wrote; a `capacity` of 0 means as many as there are.

        Raises:
            InputError: it is not such a file.
        """
        found = data.load(path)
        made = cls(capacity or len(found), seed)
        made.extend(found)
        return made

    def _show(self, x: Array, y: int) -> None:
        self._seen[y] = self._seen.get(y, 0) + 1
        if len(self._y) < self.capacity:
            self._x.append(x)
            self._y.append(y)
            return
        held = {label: self._y.count(label) for label in set(self._y)}
        largest = max(held.values())
        self._full.update(label for label, count in held.items() if count == largest)
        if y not in self._full:
            places = [k for k, label in enumerate(self._y) if held[label] == largest]
        elif self._rng.random() <= held.get(y, 0) / self._seen[y]:
            places = [k for k, label in enumerate(self._y) if label == y]
        else:
            return
        place = places[int(self._rng.integers(len(places)))]
        self._x[place], self._y[place] = x, y


class Replay:
    """Joint training on new data and a memory: each step takes a batch of both.

    Simple and good: Rolnick et al., "Experience replay for continual learning", 2019; Chaudhry et al., "On tiny
    episodic memories in continual learning", 2019.
    """

    def __init__(self, memory: Memory, share: float = 0.5) -> None:
        """Replay from `memory`, which the cloud may have filled.

        Args:
            memory: what is replayed; `consolidate` adds to it.
            share: of each batch that comes from the memory, over 0 and under 1.

        Raises:
            InputError: `share` is out of range.
        """
        if not 0.0 < share < 1.0:
            raise InputError(f"share {share}: give a share of the batch over 0 and under 1")
        self.memory = memory
        self.share = share

    def step(self, trainer: Trainer, x: Array, y: Array, lr: float) -> float:
        """One step on the batch and what the memory adds to it."""
        if len(self.memory):
            old_x, old_y = self.memory.draw(round(len(x) * self.share / (1.0 - self.share)))
            x, y = np.concatenate([x, old_x]), np.concatenate([y, old_y])
        return trainer.step(x, y, lr)

    def consolidate(self, trainer: Trainer, samples: Samples) -> None:
        """Show the task's samples to the memory."""
        self.memory.extend(samples)
