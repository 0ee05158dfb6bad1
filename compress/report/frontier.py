"""The frontier of a search: what was tried, what it costs, and how far it is from the original."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from compress.budget import Budget
from compress.report.page import AFTER, BEFORE, INK, canvas
from compress.search.trial import Found, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEADER = ("candidate", "epochs", "drop", "latency", "size", "instructions", "engine", "")


def frontier(trials: Sequence[Trial], figure: str) -> list[Trial]:
    """The trials that no other betters both in drop and in `figure` (``latency_ms`` or ``size_mb``), cheapest first."""
    kept: list[Trial] = []
    for trial in sorted(trials, key=lambda t: (t.figures[figure], t.drop)):
        if not kept or trial.drop < kept[-1].drop:
            kept.append(trial)
    return kept


def rows(found: Found) -> list[tuple[str, ...]]:
    """Every trial, those that meet the budget first."""
    best = {id(trial): k for k, trial in enumerate(found.feasible)}
    ordered = sorted(found.trials, key=lambda trial: (best.get(id(trial), len(best)), trial.drop))
    return [
        (
            str(trial.choice),
            f"{trial.epochs:g}",
            f"{trial.drop:.4f}",
            f"{trial.figures['latency_ms']:.3g} ms",
            f"{trial.figures['size_mb']:.3g} MB",
            f"{count / 1e6:.2f} M" if (count := trial.price.on(trial.engine).instructions) else "–",
            trial.engine,
            "chosen" if best.get(id(trial)) == 0 else "within the budget" if id(trial) in best else "",
        )
        for trial in ordered
    ]


def picture(found: Found, budget: Budget) -> "Figure":
    """Drop against latency and against size, with the limits and the frontier."""
    figure, axes = canvas(10, 4, columns=2)
    _panel(axes[0], found, "latency_ms", f"latency, ms ({found.original.how})", budget.max_latency_ms)
    _panel(axes[1], found, "size_mb", "size, MB", budget.max_size_mb)
    for axis in axes:
        if budget.max_drop is not None:
            axis.axhline(budget.max_drop, color=INK, linewidth=0.8, linestyle=":")
        axis.set_yscale("symlog", linthresh=0.01)
        axis.set_ylabel("drop")
    axes[0].legend(fontsize=8, frameon=False)
    return figure


def _panel(axis: "Axes", found: Found, name: str, label: str, limit: float | None) -> None:
    values = [trial.figures[name] for trial in found.trials]
    trained = [trial.epochs > 0 for trial in found.trials]
    for word, colour, which in (("not trained", BEFORE, False), ("trained", AFTER, True)):
        chosen = [k for k, each in enumerate(trained) if each is which]
        drops = [found.trials[k].drop for k in chosen]
        axis.scatter([values[k] for k in chosen], drops, s=22, color=colour, label=word, zorder=2)
    line = frontier(found.trials, name)
    axis.plot([t.figures[name] for t in line], [t.drop for t in line], color=INK, linewidth=0.8, zorder=1)
    best = found.feasible[0]
    axis.scatter(
        [best.figures[name]], [best.drop], s=110, facecolors="none", edgecolors="#c2410c", label="chosen"
    )
    axis.scatter([getattr(found.original, name)], [0], marker="s", s=26, color=INK, label="original")
    if limit is not None:
        axis.axvline(limit, color=INK, linewidth=0.8, linestyle=":")
    axis.set_xscale("log")
    axis.set_xlabel(label, fontsize=8)
