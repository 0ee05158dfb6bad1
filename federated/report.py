"""A run as a page that is read without a network, and as the events that TensorBoard draws."""

import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.console import megabytes
from edge_runtime.page import Page
from federated.history import History, Round

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TEAL, _GREY, _RED = "#0f7a7a", "#9fb4c0", "#b4492f"
_MOST_ROWS = 200


def write(history: History, path: str | os.PathLike[str]) -> Path:
    """Write the page: curves of accuracy, loss, bytes and participation, fairness, and what was set aside.

    Args:
        history: of a run with one round at least.
        path: of the page.
    """
    last = history.rounds[-1]
    page = Page("Federated run", _lead(history))
    down, up = (sum(getattr(each, name) for each in history.rounds) for name in ("bytes_down", "bytes_up"))
    cards = [
        (f"{last.accuracy:.2%}", f"accuracy on {history.held_out} held-out samples"),
        (f"{history.initial['accuracy']:.2%}", "before the first round"),
        (str(last.number), "rounds"),
        (megabytes(up), "from devices"),
        (megabytes(down), "to devices"),
    ]
    if last.wire_up is not None:
        up, down = (
            sum(getattr(each, name) or 0 for each in history.rounds) for name in ("wire_up", "wire_down")
        )
        cards += [
            (megabytes(up), "from devices, at the socket"),
            (megabytes(down), "to devices, at the socket"),
        ]
    if last.staleness is not None:
        mean = sum(each.staleness or 0 for each in history.rounds) / len(history.rounds)
        cards.append((f"{mean:.1f}", "versions old, an answer on average"))
    if last.epsilon is not None:
        cards.append((f"{last.epsilon:.2f}", "epsilon spent"))
    page.cards(cards)
    page.heading("Round by round")
    page.figure(_curves(history), "Accuracy and loss of the model, bytes in all, and who took part.")
    if any(each.losses for each in history.rounds):
        page.heading("Fairness")
        page.paragraph(
            "How well the model fits each device's own samples while it learns there: the spread counts."
        )
        page.figure(
            _fairness(history), "Training loss by device: the median, the middle half, and all of them."
        )
        page.table(["device", "rounds", "last loss"], _worst(history))
    if history.personal:
        _own(page, history)
    _setbacks(page, history)
    page.heading("Settings")
    page.table(["setting", "value"], [(name, _value(value)) for name, value in history.settings.items()])
    return page.write(path)


def write_events(history: History, folder: str | os.PathLike[str]) -> Path:
    """Write the curves as event files for TensorBoard into a folder of their own, replacing those that were there.

    Raises:
        ImportError: tensorboardX is not installed.
    """
    from tensorboardX import SummaryWriter

    where = Path(folder)
    for old in where.glob("events.out.tfevents.*"):
        old.unlink()
    with SummaryWriter(str(where)) as writer:
        for entry in history.rounds:
            for name, value in _scalars(entry).items():
                writer.add_scalar(name, value, entry.number)
            if entry.losses:
                writer.add_histogram("device/loss", np.array(list(entry.losses.values())), entry.number)
    return where


def _scalars(entry: Round) -> dict[str, float]:
    found = {
        "held-out/accuracy": entry.accuracy,
        "held-out/loss": entry.loss,
        "train/loss": entry.train_loss,
        "bytes/down": entry.bytes_down,
        "bytes/up": entry.bytes_up,
        "round/seconds": entry.seconds,
        "round/answered": len(entry.clients) - len(entry.failed),
        "round/set aside": len(entry.set_aside),
    }
    if entry.losses:
        losses = list(entry.losses.values())
        found |= {
            "device/loss of the worst": max(losses),
            "device/loss of the median": float(np.median(losses)),
        }
    more = {
        "privacy/epsilon": entry.epsilon,
        "bytes/down at the socket": entry.wire_down,
        "bytes/up at the socket": entry.wire_up,
        "round/staleness": entry.staleness,
    }
    return found | {name: value for name, value in more.items() if value is not None}


class Live:
    """The page and the events of a run that goes on: written again from time to time."""

    def __init__(
        self, page: Path, events: Path, every_s: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Nothing is written before the run has gone on for `every_s` seconds."""
        self._page, self._events, self._every_s, self._clock = page, events, every_s, clock
        self._due = clock() + every_s

    def show(self, history: History) -> None:
        """Write if it is time: a twentieth of the time at most goes into it."""
        began = self._clock()
        if began < self._due:
            return
        write(history, self._page)
        with suppress(ImportError):  # TensorBoard's format is for those who have its writer
            write_events(history, self._events)
        cost = self._clock() - began
        self._due = began + max(self._every_s, 20 * cost)


def _lead(history: History) -> str:
    settings = history.settings
    extras = [
        str(settings[name])
        for name in ("strategy", "method", "codec", "defence", "privacy")
        if settings.get(name)
    ]
    kind = ", ".join(extras) or "federated averaging"
    if settings.get("asynchronous"):
        kind += f", asynchronous: a step every {settings['asynchronous']} changes"
    done, wanted = len(history.rounds), settings.get("rounds", 0)
    going = f"; round {done} of {wanted}, and it goes on" if done < wanted else ""
    return f"{settings.get('clients', '?')} devices, {kind}{going}"


def _value(value: Any) -> str:
    return "–" if value in (None, "") else str(value)


def _curves(history: History) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 5.6), layout="constrained")
    axes = figure.subplots(2, 2).flat
    numbers = [each.number for each in history.rounds]
    _line(
        axes[0],
        [0, *numbers],
        [history.initial["accuracy"], *(each.accuracy for each in history.rounds)],
        "accuracy",
    )
    axes[0].set_ylim(0, 1.02)
    _line(axes[1], numbers, [each.loss for each in history.rounds], "loss", "held-out")
    axes[1].plot(numbers, [each.train_loss for each in history.rounds], color=_GREY, label="training")
    axes[1].legend(frameon=False)
    up, down = (
        np.cumsum([getattr(each, name) for each in history.rounds]) / 1e6
        for name in ("bytes_up", "bytes_down")
    )
    _line(axes[2], numbers, up, "MB in all", "from devices")
    axes[2].plot(numbers, down, color=_GREY, label="to devices")
    axes[2].legend(frameon=False)
    _participation(axes[3], history)
    return figure


def _participation(axes: "Axes", history: History) -> None:
    numbers = [each.number for each in history.rounds]
    aside = np.array([len(each.set_aside) for each in history.rounds])
    failed = np.array([len(each.failed) for each in history.rounds])
    kept = np.array([len(each.clients) for each in history.rounds]) - aside - failed
    floor = np.zeros(len(numbers))
    for count, colour, label in (
        (kept, _TEAL, "averaged"),
        (aside, _RED, "set aside"),
        (failed, _GREY, "failed"),
    ):
        if count.any():
            axes.bar(numbers, count, bottom=floor, color=colour, width=0.9, label=label)
        floor = floor + count
    axes.set(xlabel="round", ylabel="devices", ylim=(0, 1.2 * max(floor.max(), 1)))
    axes.legend(frameon=False, ncols=3, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)


def _line(axes: "Axes", x: Any, y: Any, label: str, legend: str = "") -> None:
    axes.plot(x, y, color=_TEAL, label=legend or None)
    axes.set(xlabel="round", ylabel=label)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _fairness(history: History) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.2), layout="constrained")
    axes = figure.subplots()
    rounds = [each for each in history.rounds if each.losses]
    bands = np.array([np.percentile(list(each.losses.values()), [0, 25, 50, 75, 100]) for each in rounds]).T
    numbers = [each.number for each in rounds]
    axes.fill_between(numbers, bands[0], bands[4], color=_TEAL, alpha=0.12)
    axes.fill_between(numbers, bands[1], bands[3], color=_TEAL, alpha=0.25)
    _line(axes, numbers, bands[2], "training loss of devices")
    return figure


def _worst(history: History) -> list[tuple[str, int, str]]:
    """The devices that the model fits least, by their last round."""
    asked = Counter(device for each in history.rounds for device in each.losses)
    latest = {device: loss for each in history.rounds for device, loss in each.losses.items()}
    ordered = sorted(latest, key=lambda device: -latest[device])[:10]
    return [(history.name(device), asked[device], f"{latest[device]:.3f}") for device in ordered]


def _own(page: Page, history: History) -> None:
    """What devices say of the models of their own."""
    found = history.personal
    page.heading("Own models")
    before, after = (sum(each[name] for each in found.values()) / len(found) for name in ("before", "after"))
    kept = {node: each for node, each in found.items() if each["kept"]}
    page.paragraph(
        f"{len(kept)} of {len(found)} devices keep a model that they trained on alone; the others keep that of all, "
        "for their own data do not say that theirs is better. Accuracy on a device's own samples by cross-validation, "
        f"in the mean: {before:.1%} with the model of all, {after:.1%} fine-tuned."
    )
    ordered = sorted(found, key=lambda node: found[node]["after"] - found[node]["before"], reverse=True)
    rows = [
        (
            history.name(node),
            f"{found[node]['before']:.1%}",
            f"{found[node]['after']:.1%}",
            "yes" if node in kept else "no",
        )
        for node in ordered[:_MOST_ROWS]
    ]
    page.table(["device", "model of all", "fine-tuned", "kept"], rows)


def _setbacks(page: Page, history: History) -> None:
    """Tables of what was set aside and of what failed, and why."""
    for title, name in (("Set aside", "set_aside"), ("Failed", "failed")):
        rows = [
            (history.name(device), each.number, reason)
            for each in history.rounds
            for device, reason in sorted(getattr(each, name).items())
        ]
        if rows:
            page.heading(title)
            page.table(["device", "round", "why"], rows[:_MOST_ROWS])
            if len(rows) > _MOST_ROWS:
                page.paragraph(f"{len(rows) - _MOST_ROWS} more are in history.json.")
