"""A run's state in one file, written after each round, so that an interrupted run goes on.

The file is an `.npz` of plain arrays (never a pickle): one array a weight, and the history as JSON bytes.
"""

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import InputError
from edge_runtime.files import atomic
from edge_runtime.tensors import Array
from federated.history import History
from federated.settings import Settings

_HISTORY = "history"
_MEMORY = "memory"
_WEIGHT = "weight:"  # a prefix, for a weight may have any name
_CARRIED = "carried:"


@dataclass(frozen=True, slots=True)
class State:
    """Everything that the next round depends on: the averaged weights, the history that led to them, and more.

    `memory` is what else the server goes by, as JSON has it (the privacy ledger, suspicions, secrets), and `arrays`
    what its strategy carries along (moments). Neither leaves the checkpoint.
    """

    parameters: Mapping[str, Array]
    history: History
    memory: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)

    @property
    def round(self) -> int:
        """The number of the last finished round; 0 before the first."""
        return len(self.history.rounds)


def save(path: str | os.PathLike[str], state: State) -> Path:
    """Write the state; the file at `path` is at every moment the one before or this one, whole."""
    text = json.dumps(state.history.to_json(), allow_nan=False)
    texts = {_HISTORY: text, _MEMORY: json.dumps(dict(state.memory), allow_nan=False)}
    arrays = {name: np.frombuffer(each.encode(), np.uint8) for name, each in texts.items()}
    arrays |= {_WEIGHT + name: array for name, array in state.parameters.items()}
    arrays |= {_CARRIED + name: array for name, array in state.arrays.items()}
    with atomic(path) as partial, partial.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
    return Path(path)


def load(path: str | os.PathLike[str]) -> State:
    """Read the state back.

    Raises:
        InputError: the file is not a checkpoint, or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as found:
            history = History.from_json(json.loads(found[_HISTORY].tobytes()), str(path))
            memory = json.loads(found[_MEMORY].tobytes()) if _MEMORY in found.files else {}
            weights, carried = (
                {name.removeprefix(kind): found[name] for name in found.files if name.startswith(kind)}
                for kind in (_WEIGHT, _CARRIED)
            )
    except (ValueError, KeyError, OSError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a checkpoint, or cut short; remove it, or give --restart") from error
    return State(weights, history, memory, carried)


def check_same(
    path: str | os.PathLike[str], state: State, settings: Mapping[str, Any], inputs: Mapping[str, str]
) -> None:
    """Do nothing if a run with `settings` on `inputs` may go on from `state`; `rounds` may grow.

    Raises:
        InputError: the state is of another run; the sentence names the first difference.
    """
    known = (
        Settings().to_json() if state.history.settings else {}
    )  # a setting newer than the checkpoint had no effect
    before = {**known, **state.history.inputs, **state.history.settings}
    now = {**known, **inputs, **settings}
    way_out = "give the same again, another --out, or --restart"
    for name in [*settings, *sorted((now.keys() | before.keys()) - settings.keys())]:
        if name == "rounds" or now.get(name) == before.get(name):
            continue
        if name in inputs:
            raise InputError(f"{path}: is of a run where the {name.replace('_', ' ')} was another; {way_out}")
        raise InputError(
            f"{path}: is of a run with {name} {_said(before.get(name))}, not {_said(now.get(name))}; {way_out}"
        )
    if settings["rounds"] < state.round:
        raise InputError(
            f"{path}: has finished round {state.round}, beyond rounds {settings['rounds']}; {way_out}"
        )


def _said(value: Any) -> Any:
    return "none" if value == "" else value
