"""Attacks to test a defence against: what a hostile device does to its data, and to its update.

- `label_flip`: it learns from wrong labels, y -> classes - 1 - y (Tolpegin et al. 2020).
- `backdoor`: it puts a patch on some of its pictures and calls them `target`; the update is then scaled so that it
  outweighs the honest ones (model replacement, Bagdasaryan et al. 2020).
- `sign_flip`, `scaling`, `gaussian`: it sends -s delta, s delta, or noise of s times its norm.

Those on data take and give samples, those on updates take and give a change float64[d].
"""

from typing import Literal, get_args

import numpy as np

from edge_runtime.data import Samples
from edge_runtime.tensors import Array
from federated.robust.submission import Vector

Attack = Literal["label-flip", "sign-flip", "scaling", "backdoor", "gaussian"]
ATTACKS: tuple[Attack, ...] = get_args(Attack)

_PATCH = 4  # pixels a side, in the lower right corner


def poison_data(attack: Attack, samples: Samples, classes: int, seed: int, target: int = 0) -> Samples:
    """The samples that a hostile device trains on: x float32[n, c, h, w] in 0 to 1, y int64[n]."""
    if samples.y is None:
        return samples
    if attack == "label-flip":
        return Samples(samples.x, classes - 1 - samples.y)
    if attack != "backdoor":
        return samples
    chosen = (
        np.random.default_rng(seed).random(len(samples)) < 0.5
    )  # half: it has to look right without the patch
    x, y = samples.x.copy(), samples.y.copy()
    x[chosen], y[chosen] = patched(x[chosen]), target
    return Samples(x, y)


def poison_update(attack: Attack, delta: Vector, seed: int, strength: float) -> Vector:
    """The change float64[d] that a hostile device sends in place of its own; `strength` is s above."""
    if attack == "sign-flip":
        return -strength * delta
    if attack in ("scaling", "backdoor"):
        return strength * delta
    if attack == "gaussian":
        noise = np.random.default_rng(seed).standard_normal(delta.shape)
        noise *= strength * float(np.linalg.norm(delta)) / np.sqrt(delta.size)
        return noise
    return delta


def patched(x: Array) -> Array:
    """Pictures [n, c, h, w] with the backdoor's patch: a white square in the corner."""
    found = x.copy()
    found[..., -_PATCH:, -_PATCH:] = 1
    return found
