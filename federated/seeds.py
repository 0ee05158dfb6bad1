"""Every random choice of a run, derived from its one seed by what it is for and where it falls.

A choice depends on nothing but (seed, purpose, numbers), never on what was drawn before it. That is what lets
an interrupted run go on bit for bit, and a client train the same wherever and whenever it is reached.
"""

from typing import Literal, get_args

import numpy as np

Purpose = Literal["holdout", "split", "sample", "train", "codec", "delay"]
_KEY = {purpose: i for i, purpose in enumerate(get_args(Purpose))}


def _sequence(seed: int, purpose: Purpose, numbers: tuple[int, ...]) -> np.random.SeedSequence:
    # As a spawn key, for SeedSequence pads bare entropy with zeros: (1, 2) and (1, 2, 0) would be the same.
    return np.random.SeedSequence(seed, spawn_key=(_KEY[purpose], *numbers))


def generator(seed: int, purpose: Purpose, *numbers: int) -> np.random.Generator:
    """A generator of its own for this purpose, such as ``generator(seed, "sample", round)``."""
    return np.random.default_rng(_sequence(seed, purpose, numbers))


def number(seed: int, purpose: Purpose, *numbers: int) -> int:
    """A seed to hand on (0 to 2**32 - 1), such as ``number(seed, "train", round, client)``."""
    return int(_sequence(seed, purpose, numbers).generate_state(1)[0])
