"""Learning rates over the steps of a training: plain functions of the step's number, which begins at 0."""

import math
from collections.abc import Callable
from typing import TypeAlias

Schedule: TypeAlias = Callable[[int], float]


def constant(lr: float) -> Schedule:
    """Always `lr`."""
    return lambda _step: lr


def steps(lr: float, every: int, factor: float = 0.1) -> Schedule:
    """Times `factor` after each `every` steps.

    >>> rate = steps(1.0, every=10, factor=0.5)
    >>> rate(9), rate(10), rate(25)
    (1.0, 0.5, 0.25)
    """
    return lambda step: lr * factor ** (step // every)


def cosine(lr: float, total: int, floor: float = 0.0) -> Schedule:
    """From `lr` down to `floor` over `total` steps, along half a cosine (Loshchilov and Hutter 2017, equation 5).

    >>> rate = cosine(1.0, total=10)
    >>> rate(0), round(rate(5), 9), rate(10)
    (1.0, 0.5, 0.0)
    """
    return lambda step: floor + (lr - floor) * (1 + math.cos(math.pi * min(step / total, 1))) / 2


def warm_up(after: Schedule, count: int) -> Schedule:
    """Rise in a straight line to what `after` begins with, over `count` steps; then follow `after`.

    >>> rate = warm_up(constant(1.0), count=4)
    >>> rate(0), rate(3), rate(4)
    (0.25, 1.0, 1.0)
    """
    return lambda step: after(0) * (step + 1) / count if step < count else after(step - count)
