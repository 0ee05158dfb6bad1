"""What data must be to compress by: samples that fit, and that differ."""

from collections.abc import Sequence

from edge_runtime.console import say
from edge_runtime.data import Samples, fit
from edge_runtime.errors import InputError
from edge_runtime.tensors import TensorSpec


def usable(samples: Samples, inputs: Sequence[TensorSpec], where: str) -> Samples:
    """The samples as a model with these inputs takes them.

    Raises:
        InputError: they do not fit, or are all the same: ranges and agreement would be those of one sample.
    """
    fitting = fit(samples, inputs, where)
    parts = [fitting.x[name] for name in fitting.x.dtype.names] if fitting.x.dtype.names else [fitting.x]
    if len(fitting) > 1 and all((part == part[:1]).all() for part in parts):
        raise InputError(
            f"{where}: all {len(fitting)} samples are the same; expected typical ones, that differ"
        )
    if all((part == part.reshape(-1)[:1]).all() for part in parts if part.size > 1):
        raise InputError(f"{where}: every value is the same; expected typical samples")
    if len(fitting) == 1:
        say(f"{where}: one sample says little about ranges, and nothing about agreement; a hundred is usual")
    return fitting
