"""Pruning in rounds with training between: what goes little by little is missed less.

The share of zeros rises as ``s_k = s (1 - (1 - k/n)³)``, most of it early, while there is much to choose from (Zhu and
Gupta, "To prune, or not to prune", 2017, equation 1). Channels that are removed shrink the model each time, so there
each round takes the same part of what is left: ``1 - (1 - amount)^(1/n)``.
"""

from dataclasses import replace

from compress.pruning.prune import Prune
from compress.pruning.sparsify import Sparsify
from compress.step import Step
from edge_runtime.errors import ModelError


def rounds(step: Prune | Sparsify, between: Step, count: int) -> tuple[Step, ...]:
    """The steps of a recipe that comes to `step` in `count` rounds, each followed by the step `between`.

    >>> [each.amount for each in rounds(Sparsify(0.8), Sparsify(), 2)[::2]]
    [0.7, 0.8]

    Raises:
        ModelError: there is not at least one round.
    """
    if count < 1:
        raise ModelError(f"rounds: count is {count}; there is at least one round")
    made: list[Step] = []
    for k in range(1, count + 1):
        if isinstance(step, Sparsify):
            rise = 1 - (1 - k / count) ** 3
            layers = {name: round(share * rise, 6) for name, share in step.layers.items()}
            made.append(replace(step, amount=round(step.amount * rise, 6), layers=layers))
        else:
            made.append(replace(step, amount=1 - (1 - step.amount) ** (1 / count)))
        made.append(between)
    return tuple(made)
