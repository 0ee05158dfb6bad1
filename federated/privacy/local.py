"""What a device does to its weights before they leave it, as the round's configuration asks.

Two requests are known: ``clip`` and ``sigma`` (local differential privacy, `federated.privacy.dp`), and Flower's
``clipping_norm`` (its central privacy with clipping on the device), to which the answer also says whether the norm was
within it.
"""

from collections.abc import Mapping

import numpy as np

from edge_runtime.tensors import Array
from federated.privacy.dp import local_noise
from federated.robust.submission import changed, flatten

CLIP, SIGMA = "clip", "sigma"
_FLOWER_CLIP, _FLOWER_BIT = "clipping_norm", "norm_bit"


def protect(
    before: Mapping[str, Array], after: Mapping[str, Array], config: Mapping[str, object]
) -> tuple[Mapping[str, Array], dict[str, int]]:
    """The weights to send, and metrics to add.

    Args:
        before: the weights that the device was sent.
        after: those that it learned.
        config: of the round.
    """
    asked = config.get(CLIP, config.get(_FLOWER_CLIP))
    if not isinstance(asked, float):
        return after, {}
    sigma = config.get(SIGMA, 0.0)
    base = flatten(before)
    delta = flatten(after) - base
    within = int(np.linalg.norm(delta) <= asked)
    safe = changed(before, local_noise(delta, asked, float(sigma) if isinstance(sigma, int | float) else 0.0))
    return safe, {_FLOWER_BIT: within} if _FLOWER_CLIP in config else {}
