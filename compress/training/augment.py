"""Pictures moved and mirrored at random, so that few samples teach more."""

from collections.abc import Callable, Mapping

import numpy as np

from edge_runtime.errors import ModelError
from edge_runtime.tensors import Array


def augment(x: Array, kinds: str, rng: np.random.Generator) -> Array:
    """A batch of pictures, each changed at random.

    Args:
        x: [n, channels, height, width].
        kinds: "shift" moves by up to a twelfth of the side, "flip" mirrors every second picture left to right;
            several are joined by commas, and nothing changes nothing.
        rng: decides.

    Raises:
        ModelError: there is no change of that name, or the samples are not pictures.
    """
    for kind in filter(None, (part.strip() for part in kinds.split(","))):
        if kind not in KINDS:
            raise ModelError(f"augment '{kind}': there are {', '.join(KINDS)}")
        if x.ndim != 4:
            raise ModelError(
                f"augment '{kind}' needs pictures [n, channels, height, width]; got {list(x.shape)}"
            )
        x = KINDS[kind](x, rng)
    return x


def shift(x: Array, rng: np.random.Generator) -> Array:
    """Move by whole pixels; what comes in at a border repeats it."""
    moved = np.empty_like(x)
    rows, columns = (np.arange(length) for length in x.shape[2:])
    most = max(1, round(max(x.shape[2:]) / 12))
    for k, (down, right) in enumerate(rng.integers(-most, most + 1, (len(x), 2)).tolist()):
        own = np.clip(rows + down, 0, len(rows) - 1), np.clip(columns + right, 0, len(columns) - 1)
        moved[k] = x[k][:, own[0][:, None], own[1]]
    return moved


def flip(x: Array, rng: np.random.Generator) -> Array:
    """Mirror left to right, each with a chance of a half."""
    chosen = rng.random(len(x)) < 0.5
    return np.where(chosen[:, None, None, None], x[..., ::-1], x)


KINDS: Mapping[str, Callable[[Array, np.random.Generator], Array]] = {"shift": shift, "flip": flip}
