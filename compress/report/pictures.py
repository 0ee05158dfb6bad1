"""Pictures of one compression: what it costs, what it answers, where it differs."""

from typing import TYPE_CHECKING

import numpy as np

from compress.compress import Compressed
from compress.report.page import AFTER, BEFORE, canvas
from edge_runtime.tensors import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def cost(result: Compressed) -> "Figure":
    """Size, time and instructions as shares of the original's."""
    before, after = result.before, result.after
    shares = [
        ("size", after.size / before.size),
        ("latency here", after.latency.median_ms / before.latency.median_ms),
    ]
    if before.instructions and after.instructions:
        shares.append(
            (f"instructions\n{result.bundle.manifest.target}", after.instructions / before.instructions)
        )
    figure, (axis,) = canvas(7.5, 0.7 + 0.6 * len(shares))
    places = np.arange(len(shares))[::-1]
    axis.barh(places, [1.0] * len(shares), color=BEFORE, height=0.62, label="original")
    axis.barh(places, [share for _, share in shares], color=AFTER, height=0.62, label="compressed")
    for place, (_, share) in zip(places, shares, strict=True):
        axis.text(max(share, 0) + 0.01, place, f"{share:.2f}", va="center", color="black")
    axis.set_yticks(places, [name for name, _ in shares])
    axis.set_xlabel("share of the original")
    axis.set_xlim(0, max(1.05, *(share * 1.1 for _, share in shares)))
    return figure


def outputs(result: Compressed) -> "Figure":
    """Every output of the compressed model against the original's."""
    before, after = (out.reshape(-1) for out in result.outputs)
    chosen = np.random.default_rng(0).permutation(len(before))[:20_000]
    figure, (axis,) = canvas(5, 4.6)
    axis.scatter(before[chosen], after[chosen], s=3, alpha=0.25, color=AFTER, linewidths=0)
    low, high = float(before.min()), float(before.max())
    axis.plot([low, high], [low, high], color=BEFORE, linewidth=1)
    axis.set_xlabel("output of the original")
    axis.set_ylabel("output of the compressed model")
    return figure


def samples(result: Compressed, most: int = 10) -> "Figure":
    """Samples with the answers: first those where the models differ, in red."""
    labels = result.bundle.manifest.labels
    old, new = answers(result)
    spread = np.linspace(0, len(old) - 1, min(most, len(old))).astype(int)
    chosen = list(dict.fromkeys([*np.flatnonzero(old != new).tolist(), *spread.tolist()]))[:most]
    figure, axes = canvas(10, 2.2 * -(-len(chosen) // 5), columns=5, rows=-(-len(chosen) // 5))
    for axis in axes:
        axis.axis("off")
    for axis, k in zip(axes, chosen, strict=False):
        axis.imshow(_picture(result.chosen.checked.x[k]), cmap="gray")
        title = str(labels[new[k]]) if labels else f"class {new[k]}"
        differ = f"{title} (original: {labels[old[k]] if labels else old[k]})"
        same = old[k] == new[k]
        axis.set_title(title if same else differ, fontsize=8, color="black" if same else "red")
    return figure


def answers(result: Compressed) -> tuple[Array, Array]:
    """The class of each sample, by the original and by the compressed model: int64[n] each."""
    old, new = (out.reshape(len(out), -1).argmax(axis=1) for out in result.outputs)
    return old, new


def _picture(sample: Array) -> Array:
    """A sample [channels, h, w] of any scale, as something to look at: [h, w(, 3)] between 0 and 1."""
    low, high = float(sample.min()), float(sample.max())
    picture = (sample - low) / max(high - low, 1e-12)
    return picture.transpose(1, 2, 0) if len(sample) == 3 else picture[0]
