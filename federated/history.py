"""What a federated run did: a value with one entry a round, its JSON, and its picture."""

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.files import atomic

SCHEMA = 1
_LEGEND = 20  # with more classes than this a legend says nothing
_BARS = 60  # with more clients than this the gaps between bars are thinner than a pixel


@dataclass(frozen=True, slots=True)
class Round:
    """One round: held-out accuracy and loss of the average, who trained, and what it cost.

    `clients` are those sampled, `failed` says why some of them are not in the average. `bytes_down` and
    `bytes_up` count the weights' serialised arrays, or the coded updates, as the server handed them out and took
    them in. `set_aside` says which clients' updates a defence left out, and why; `epsilon` is the privacy budget spent
    up to this round, at the delta of the settings. `losses` are the training losses of the clients that answered,
    `late` the clients whose answers to earlier rounds count in this one. `wire_down` and `wire_up` are the bytes at
    the coordinator's socket, with what the link, MQTT and TLS add; None where there is none, or it is not counted.
    `staleness` is how often the model had moved on, on average, when an asynchronous run's answers came.
    """

    number: int
    accuracy: float
    loss: float
    train_loss: float
    clients: tuple[int, ...]
    failed: Mapping[int, str]
    seconds: float
    bytes_down: int
    bytes_up: int
    set_aside: Mapping[int, str] = field(default_factory=dict)
    epsilon: float | None = None
    losses: Mapping[int, float] = field(default_factory=dict)
    late: tuple[int, ...] = ()
    wire_down: int | None = None
    wire_up: int | None = None
    staleness: float | None = None

    def line(self, rounds: int) -> str:
        """``round 3/20  accuracy 0.912  loss 0.31  clients 5  0.4 s``."""
        trained = len(self.clients) - len(self.failed)
        of = f" of {len(self.clients)}" if self.failed else ""
        head = f"round {self.number}/{rounds}  accuracy {self.accuracy:.3f}  loss {self.loss:.2f}"
        aside = f"  set aside {len(self.set_aside)}" if self.set_aside else ""
        spent = "" if self.epsilon is None else f"  epsilon {self.epsilon:.2f}"
        stale = "" if self.staleness is None else f"  staleness {self.staleness:.1f}"
        return f"{head}  clients {trained}{of}{aside}{spent}{stale}  {self.seconds:.1f} s"


@dataclass(frozen=True, slots=True)
class History:
    """A run so far.

    `settings` and `inputs` (digests of bundle and data) say what was asked for, `held_out` how many samples
    the evaluations rest on. `split` has for each client how many samples of each class it holds, and is
    empty where the server does not know. `initial` is the evaluation before round 1. `personal` says of each device's
    own model, where the run ended with them, its accuracy "before" and "after" on the device's samples by
    cross-validation, and whether it was "kept" (1 or 0). `names` are those of devices that have one.
    """

    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    held_out: int
    initial: Mapping[str, float]
    split: tuple[tuple[int, ...], ...] = ()
    rounds: tuple[Round, ...] = field(default=())
    personal: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)

    def name(self, client: int) -> str:
        """What a client is called: a device its name, any other its number."""
        return self.names.get(client, str(client))

    def add(self, latest: Round) -> "History":
        """This history and one more round."""
        return replace(self, rounds=(*self.rounds, latest))

    def to_json(self) -> dict[str, Any]:
        """The content of history.json; a number that is not finite becomes null."""
        clients = [
            {"client": k, "samples": sum(row), "classes": list(row)} for k, row in enumerate(self.split)
        ]
        return {
            "schema": SCHEMA,
            "settings": dict(self.settings),
            "inputs": dict(self.inputs),
            "held_out": self.held_out,
            "clients": clients,
            "initial": {name: _finite(value) for name, value in self.initial.items()},
            "rounds": [_round_json(entry) for entry in self.rounds],
            "names": {str(client): name for client, name in self.names.items()},
            "personal": {str(client): dict(found) for client, found in self.personal.items()},
        }

    @classmethod
    def from_json(cls, value: Any, where: str) -> "History":
        """Read the form that `to_json` gives.

        Raises:
            InputError: something is missing or of a wrong type, or the schema is another.
        """
        try:
            if value["schema"] != SCHEMA:
                raise ValueError(f"schema {value['schema']!r}, expected {SCHEMA}")
            return cls(
                settings=dict(value["settings"]),
                inputs=dict(value["inputs"]),
                held_out=int(value["held_out"]),
                initial={name: _number(found) for name, found in value["initial"].items()},
                split=tuple(tuple(map(int, client["classes"])) for client in value["clients"]),
                rounds=tuple(_round(entry) for entry in value["rounds"]),
                names={int(k): str(name) for k, name in value.get("names", {}).items()},
                personal={int(k): dict(found) for k, found in value.get("personal", {}).items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{where}: not the history of a federated run: {error!r}") from error


def _round_json(entry: Round) -> dict[str, Any]:
    table = asdict(entry) | {
        name: _finite(getattr(entry, name)) for name in ("accuracy", "loss", "train_loss")
    }
    return table | {
        "clients": list(entry.clients),
        "failed": {str(client): reason for client, reason in entry.failed.items()},
        "late": list(entry.late),
        "losses": {str(client): _finite(loss) for client, loss in entry.losses.items()},
        "set_aside": {str(client): reason for client, reason in entry.set_aside.items()},
        "seconds": round(entry.seconds, 4),
    }


def _round(value: Mapping[str, Any]) -> Round:
    return Round(
        number=int(value["number"]),
        accuracy=_number(value["accuracy"]),
        loss=_number(value["loss"]),
        train_loss=_number(value["train_loss"]),
        clients=tuple(map(int, value["clients"])),
        failed={int(client): str(reason) for client, reason in value["failed"].items()},
        seconds=float(value["seconds"]),
        bytes_down=int(value["bytes_down"]),
        bytes_up=int(value["bytes_up"]),
        late=tuple(map(int, value.get("late", ()))),
        losses={int(client): _number(loss) for client, loss in value.get("losses", {}).items()},
        set_aside={int(client): str(reason) for client, reason in value.get("set_aside", {}).items()},
        epsilon=None if value.get("epsilon") is None else float(value["epsilon"]),
        staleness=None if value.get("staleness") is None else float(value["staleness"]),
        **{name: None if value.get(name) is None else int(value[name]) for name in ("wire_down", "wire_up")},
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def draw(history: History, path: str | os.PathLike[str]) -> Path:
    """Write the picture (PNG): accuracy over rounds, and beside it the split, if known, in stacked bars."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11 if history.split else 6, 4.4), layout="constrained")
    columns = 2 if history.split else 1
    _draw_curve(figure.add_subplot(1, columns, 1), history)
    if history.split:
        _draw_split(figure.add_subplot(1, columns, 2), history)
    with atomic(path) as partial:
        figure.savefig(partial, format="png", dpi=130)
    return Path(path)


def _draw_curve(axes: Any, history: History) -> None:
    numbers = [0, *(entry.number for entry in history.rounds)]
    accuracies = [history.initial["accuracy"], *(entry.accuracy for entry in history.rounds)]
    axes.plot(numbers, accuracies, marker="o", markersize=3.5 if len(numbers) < 60 else 0, color="tab:blue")
    last = (numbers[-1], accuracies[-1])
    axes.annotate(f"{last[1]:.3f}", last, (0, 7), textcoords="offset points", ha="right", color="tab:blue")
    axes.set(title="Accuracy of the averaged model", xlabel="round", ylim=(0, 1.1))
    axes.set_ylabel(f"accuracy on {history.held_out} held-out samples")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)


def _draw_split(axes: Any, history: History) -> None:
    from matplotlib import colormaps

    counts = np.array(history.split)
    clients, classes = counts.shape
    palette = "tab10" if classes <= 10 else "tab20" if classes <= _LEGEND else "viridis"
    colours = colormaps[palette](range(classes) if classes <= _LEGEND else np.linspace(0, 1, classes))
    floor = np.zeros(clients)
    for label in range(classes):
        top = floor + counts[:, label]
        if clients <= _BARS:
            axes.bar(
                np.arange(clients), counts[:, label], bottom=floor, color=colours[label], label=str(label)
            )
        else:  # one shape a class: thousands of bars would take minutes to draw
            edges = np.arange(clients + 1) - 0.5
            axes.stairs(top, edges, baseline=floor, fill=True, color=colours[label], label=str(label))
        floor = top
    alpha = history.settings.get("alpha")
    kind = "IID" if alpha is None else f"Dirichlet, alpha {alpha:g}"
    axes.set(title=f"Training data by client ({kind})", xlabel="client", ylabel="samples")
    axes.xaxis.get_major_locator().set_params(integer=True)
    if classes <= _LEGEND:
        axes.legend(title="class", fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
