"""The folder of a run: its checkpoint while it runs, then the model, its history, picture, page and events."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from edge_runtime import console
from edge_runtime.errors import InputError
from edge_runtime.files import write_text
from edge_runtime.trainer import Trainer
from federated import checkpoint, report
from federated.checkpoint import State
from federated.history import History, draw
from federated.settings import Settings

_CHECKPOINT, _HISTORY, _PICTURE, _MODEL = "checkpoint.npz", "history.json", "curve.png", "model.bundle"
_REPORT, _EVENTS = "report.html", "events"


def prepare(out: str | os.PathLike[str]) -> Path:
    """Make the folder, before any work is spent on what could not be written there.

    Raises:
        InputError: it is a file, or may not be written.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be the folder of the results ({error.strerror}); give another"
        ) from error
    if not os.access(folder, os.W_OK):
        raise InputError(f"{folder}: cannot be written; give another folder")
    return folder


def resume(
    out: str | os.PathLike[str], settings: Settings, inputs: Mapping[str, str], *, progress: bool
) -> State | None:
    """The state to go on from, or None where there is no checkpoint.

    Raises:
        InputError: the checkpoint is damaged, or of a run with other settings or inputs.
    """
    path = Path(out) / _CHECKPOINT
    if not path.exists():
        return None
    state = checkpoint.load(path)
    checkpoint.check_same(path, state, settings.to_json(), inputs)
    if progress:
        console.say(
            f"{path}: going on after round {state.round} of {settings.rounds}; --restart begins again"
        )
    return state


def commit(out: str | os.PathLike[str], state: State) -> None:
    """Keep the state of a finished round."""
    checkpoint.save(Path(out) / _CHECKPOINT, state)


def live(out: str | os.PathLike[str]) -> report.Live:
    """What shows the run while it goes on."""
    return report.Live(Path(out) / _REPORT, Path(out) / _EVENTS)


def finish(out: str | os.PathLike[str], state: State, trainer: Trainer) -> None:
    """Write the bundle with the trainer's weights, the history, and its picture, page and events."""
    folder = Path(out)
    trainer.export(folder / _MODEL)
    draw(state.history, folder / _PICTURE)
    if state.history.rounds:
        report.write(state.history, folder / _REPORT)
        with suppress(ImportError):  # TensorBoard's format is for those who have its writer
            report.write_events(state.history, folder / _EVENTS)
    write_text(folder / _HISTORY, json.dumps(state.history.to_json(), indent=1, allow_nan=False) + "\n")


def read_history(out: str | os.PathLike[str]) -> History:
    """The history that `finish` left in the folder.

    Raises:
        InputError: there is none, or it is damaged.
    """
    path = Path(out) / _HISTORY
    try:
        return History.from_json(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
