"""The report of a compression: what it cost and what it gained, as a table and as pictures."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from compress.budget import Budget
from compress.compress import Compressed
from compress.report import confusion, frontier, layers, pictures
from compress.report.page import Page
from compress.search.trial import Found
from converter.optimize import optimize
from edge_runtime.console import megabytes

_SAMPLES = 8  # for each layer's sensitivity: the model runs once a layer on so many
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
        ("engine", "onnxruntime", result.preferred.engine, ""),
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


def write(result: Compressed, path: str | os.PathLike[str]) -> Path:
    """Write the page."""
    manifest = result.bundle.manifest
    page = Page(
        f"{manifest.name} for {manifest.target}",
        f"Compressed by {' → '.join(s['name'] for s in manifest.recipe)}, checked on {result.fidelity.n} samples.",
    )
    page.cards(cards(result))
    page.table(HEADER, rows(result))
    page.paragraph(f"It runs on {result.preferred.engine}: {result.preferred.why}.")
    if result.chosen.found and result.budget:
        _add_search(page, result.chosen.found, result.budget)
    page.heading("The compressed model")
    add_pictures(page, result)
    _add_answers(page, result)
    _add_layers(page, result)
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


def add_pictures(page: Page, result: Compressed) -> None:
    """Add the pictures of one compression to a page."""
    page.figure(pictures.cost(result), "What an inference costs, relative to the original.")
    if result.chosen.checked.x.ndim == 4 and result.chosen.checked.x.shape[1] in (1, 3):
        caption = (
            "Samples with the compressed model's answer: first those where the original's is another, in red."
        )
        page.figure(pictures.samples(result), caption)
    caption = "Each point is one output of one sample: on the diagonal, both models say the same."
    page.figure(pictures.outputs(result), caption)


def _add_search(page: Page, found: Found, budget: Budget) -> None:
    page.heading("What was tried")
    page.paragraph(
        f"{len(found.trials)} candidates, {len(found.feasible)} within the budget. The drop is that on the data "
        "which chose; on the frontier nothing is both cheaper and nearer to the original."
    )
    page.figure(frontier.picture(found, budget), "Drop against latency and size; dotted: the limits.")
    page.table(frontier.HEADER, frontier.rows(found))
    if found.failed:
        page.table(("candidate", "could not be made"), [(str(f.choice), f.reason) for f in found.failed])


def _add_answers(page: Page, result: Compressed) -> None:
    """Which answers changed."""
    pair, names = pictures.answers(result), result.bundle.manifest.labels
    classes = int(np.prod(result.outputs[0].shape[1:]))
    page.heading("Answers")
    if classes <= confusion.MOST:
        page.figure(
            confusion.picture(pair, result.chosen.checked.y, names, classes), "Confusion; rows add up to one."
        )
    differ = confusion.changed(pair, names)
    if differ:
        page.table(("original", "compressed", "samples"), differ)
    else:
        page.paragraph(f"Both models give the same answer to all {len(pair[0])} samples.")


def _add_layers(page: Page, result: Compressed) -> None:
    """What happened to each layer."""
    found = layers.layers(
        optimize(result.source, samples=result.chosen.checked),
        result.model,
        result.chosen.checked.x[:_SAMPLES],
    )
    if not found:
        return
    page.heading("Layers")
    page.figure(layers.cost_picture(found), "What each layer costs.")
    if any(layer.weight_sqnr is not None for layer in found):
        caption = "How well each weight survived, and what it alone does to the output: low is sensitive."
        page.figure(layers.sensitivity_picture(found), caption)
    if said := layers.coverage(found):
        page.paragraph(said)
    page.figure(
        layers.histograms(found), "Values of the largest weights, before and after (logarithmic counts)."
    )
    page.table(layers.HEADER, layers.rows(found))
