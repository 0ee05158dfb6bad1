"""The report of a compression: what it cost and what it gained, as a table and as pictures."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from compress.compress import Compressed
from compress.report.page import AFTER, BEFORE, Page, canvas
from converter.model import attribute, constants
from edge_runtime.console import megabytes
from edge_runtime.data import Samples
from edge_runtime.tensors import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADER = ("", "original", "compressed", "ratio")


def rows(result: Compressed) -> list[tuple[str, str, str, str]]:
    """The table that a terminal and the page show."""
    before, after, found = result.before, result.after, result.fidelity
    table = [_row("size", before.size, after.size, megabytes)]
    if found.original_accuracy is not None and found.compressed_accuracy is not None:
        table.append(("accuracy", f"{found.original_accuracy:.4f}", f"{found.compressed_accuracy:.4f}", ""))
    table += [
        ("agreement", "", f"{found.agreement:.4f}", f"n = {found.n}"),
        ("SQNR", "", f"{found.sqnr_db:.1f} dB", ""),
        _row("latency here", before.latency.median_ms, after.latency.median_ms, lambda ms: f"{ms:.2f} ms"),
    ]
    name = f"instructions, {result.bundle.manifest.target}"
    if before.instructions and after.instructions:
        table.append(_row(name, before.instructions, after.instructions, lambda n: f"{n / 1e6:.2f} M"))
    else:
        table.append((name, "not counted", "not counted", ""))
    return table


def _row(name: str, before: float, after: float, text: Callable[[float], str]) -> tuple[str, str, str, str]:
    return name, text(before), text(after), f"{after / before:.3f}"


def write(result: Compressed, samples: Samples, path: str | os.PathLike[str]) -> Path:
    """Write the page."""
    manifest = result.bundle.manifest
    page = Page(
        f"{manifest.name} for {manifest.target}",
        f"Compressed by {' → '.join(s['name'] for s in manifest.recipe)}, checked on {result.fidelity.n} samples.",
    )
    page.cards(cards(result))
    page.table(HEADER, rows(result))
    add_pictures(page, result, samples)
    return page.write(path)


def cards(result: Compressed) -> list[tuple[str, str]]:
    """The figures that matter, each with its caption."""
    before, after = result.before, result.after
    found = [
        (f"{before.size / after.size:.1f}×", "smaller"),
        (f"{result.fidelity.agreement:.1%}", "same answer"),
        (f"{before.latency.median_ms / after.latency.median_ms:.2f}×", "the speed, on this machine"),
    ]
    if before.instructions and after.instructions:
        found.append(
            (
                f"{before.instructions / after.instructions:.2f}×",
                f"fewer instructions, {result.bundle.manifest.target}",
            )
        )
    return found


def add_pictures(page: Page, result: Compressed, samples: Samples) -> None:
    """Add the pictures of one compression to a page."""
    page.figure(_cost(result), "What an inference costs, relative to the original.")
    if samples.x.ndim == 4 and samples.x.shape[1] in (1, 3):
        page.figure(
            _pictures(result, samples),
            "Samples with the class that the compressed model gives; in red where they differ.",
        )
    page.figure(
        _outputs(result), "Each point is one output of one sample: on the diagonal, both models say the same."
    )
    page.figure(
        _layers(result), "How well each weight survived: signal to quantisation noise, layer by layer."
    )


def _cost(result: Compressed) -> "Figure":
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


def _outputs(result: Compressed) -> "Figure":
    before, after = (out.reshape(-1) for out in result.outputs)
    chosen = np.random.default_rng(0).permutation(len(before))[:20_000]
    figure, (axis,) = canvas(5, 4.6)
    axis.scatter(before[chosen], after[chosen], s=3, alpha=0.25, color=AFTER, linewidths=0)
    low, high = float(before.min()), float(before.max())
    axis.plot([low, high], [low, high], color=BEFORE, linewidth=1)
    axis.set_xlabel("output of the original")
    axis.set_ylabel("output of the compressed model")
    return figure


def _pictures(result: Compressed, samples: Samples, most: int = 10) -> "Figure":
    chosen = np.linspace(0, len(samples) - 1, min(most, len(samples))).astype(int)
    figure, axes = canvas(10, 4.4, columns=5, rows=-(-len(chosen) // 5))
    labels = result.bundle.manifest.labels
    answers = [out.reshape(len(out), -1).argmax(axis=1) for out in result.outputs]
    for axis in axes:
        axis.axis("off")
    for axis, k in zip(axes, chosen, strict=False):
        axis.imshow(_picture(samples.x[k]), cmap="gray")
        old, new = (answer[k] for answer in answers)
        title = str(labels[new]) if labels else f"class {new}"
        axis.set_title(
            title if old == new else f"{title} (original: {old})",
            fontsize=8,
            color="black" if old == new else "red",
        )
    return figure


def _picture(sample: Array) -> Array:
    """A sample [channels, h, w] of any scale, as something to look at: [h, w(, 3)] between 0 and 1."""
    low, high = float(sample.min()), float(sample.max())
    picture = (sample - low) / max(high - low, 1e-12)
    return picture.transpose(1, 2, 0) if len(sample) == 3 else picture[0]


def _layers(result: Compressed) -> "Figure":
    quality = layer_quality(result.source, result.model)
    figure, (axis,) = canvas(9, 3.2)
    axis.bar(range(len(quality)), [db for _, db in quality], color=AFTER)
    axis.set_xlabel("layer, in the order of the graph")
    axis.set_ylabel("weight SQNR, dB")
    return figure


def layer_quality(source: onnx.ModelProto, model: onnx.ModelProto) -> Sequence[tuple[str, float]]:
    """Signal to quantisation noise of each quantised weight, in dB, in the graph's order."""
    known, original = constants(model.graph), constants(source.graph)
    found = []
    for node in model.graph.node:
        name = node.output[0].removesuffix(".dequantized")
        if node.op_type != "DequantizeLinear" or name not in original or node.input[0] not in known:
            continue
        integers, scale = known[node.input[0]], known[node.input[1]]
        shape = [1] * integers.ndim
        shape[int(attribute(node, "axis", 1)) if scale.ndim else 0] = -1
        noise = np.square(original[name] - integers * scale.reshape(shape if scale.ndim else ())).sum()
        found.append((name, float(10 * np.log10(np.square(original[name]).sum() / max(noise, 1e-30)))))
    return found
