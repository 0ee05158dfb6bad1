"""A run on Flower's deployment engine by one call: SuperLink, keys, nodes of this machine, the app, its end."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime import console
from edge_runtime.errors import FleetError, InputError, TransferError
from federated import checkpoint, outputs
from federated.flower import deployment
from federated.flower.deployment import Place
from federated.history import History
from federated.settings import Settings

_POLL_S, _ASK_S = (
    0.5,
    20.0,
)  # looking into the folder of results, and asking Flower, which costs seconds of processor
_END_S = 15


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes of a run: those of this machine by their data, and the names of those elsewhere; numbered in order."""

    here: Sequence[Path] = ()
    elsewhere: Sequence[str] = ()

    @property
    def names(self) -> list[str]:
        """Of all nodes; a name is that of its key."""
        return [*(f"here-{number}" for number in range(len(self.here))), *self.elsewhere]


def up(
    bundle: Path,
    test: Path,
    settings: Settings,
    nodes: Nodes,
    *,
    out: Path,
    folder: Path,
    place: Place,
    listen: str = "",
    restart: bool = False,
    progress: bool = True,
    deadline_s: float = 3600,
) -> History:
    """Train on SuperNodes and return what happened; what was started is ended, whatever happens.

    A run that was interrupted goes on from `out`, for the ServerApp is that of every other way.

    Args:
        bundle: the trainable bundle, which the nodes have too.
        test: held-out data.
        settings: rounds and how to train; `clients` is the number of nodes.
        nodes: of the run.
        out: the folder of results.
        folder: of certificates, keys, logs and Flower's own files.
        place: where nodes and `flwr` reach the SuperLink: the name that its certificate is for.
        listen: the address that it listens on; empty: that name.
        restart: begin at round 1 even if there is a checkpoint.
        progress: a line a round on stderr.
        deadline_s: how long a round waits for its nodes, and the run for their coming.

    Raises:
        BackendError: Flower's programs or openssl are missing.
        TransferError: the SuperLink does not answer.
        FleetError: the run failed.
    """
    if settings.encrypt:
        raise InputError(
            "homomorphic encryption is for the device link and for simulations: a SuperNode's process is new for each "
            "message, and does not hold the devices' key; take secure aggregation"
        )
    out, folder = outputs.prepare(out), folder.absolute()
    if restart:
        for name in ("checkpoint.npz", "history.json"):
            (out / name).unlink(missing_ok=True)
    if not (folder / "server.pem").exists():
        deployment.make_certificates(folder, place.host)
    with ExitStack() as stack:
        stack.enter_context(ending(deployment.superlink(folder, place, listen)))
        keys = [enrolled(folder, name) for name in nodes.names]
        if progress:
            _tell(folder, place, nodes, bundle)
        for number, path in enumerate(nodes.here):
            files = {"LITTORAL_BUNDLE": str(bundle.absolute()), "LITTORAL_DATA": str(path.absolute())}
            node = deployment.supernode(folder, keys[number], number, len(keys), place, free_port(), files)
            stack.enter_context(ending(node))
        app = deployment.write_app(folder / "app", bundle, test, out, settings, deadline_s)
        run = json.loads(deployment.flwr(folder, "run", str(app), "--format", "json"))
        _follow(folder, str(run["run-id"]), out, settings, progress=progress)
    return outputs.read_history(out)


def enrolled(folder: Path, name: str) -> Path:
    """The node's key, made and made known to the SuperLink if need be."""
    key = folder / "nodes" / name
    if not key.exists():
        key = deployment.make_node_key(folder / "nodes", name)
    known = folder / "nodes" / f"{name}.registered"  # the SuperLink's data base knows it beyond its end
    if not known.exists():
        deployment.flwr(folder, "supernode", "register", f"{key}.pub")
        known.touch()
    return key


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def ending(process: "subprocess.Popen[bytes]") -> Iterator["subprocess.Popen[bytes]"]:
    """End the process and what it started with the block."""
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _tell(folder: Path, place: Place, nodes: Nodes, bundle: Path) -> None:
    for number, name in enumerate(nodes.names):
        if name in nodes.elsewhere:
            console.say(
                f"on {name}, with copies of {folder / 'ca.pem'} and {folder / 'nodes' / name}: littoral federate node "
                f"{place} --ca ca.pem --key {name} --number {number} --of {len(nodes.names)} "
                f"--bundle {bundle.name} --data DATA"
            )


def _follow(folder: Path, run: str, out: Path, settings: Settings, *, progress: bool) -> None:
    """Return when the run has left its results.

    Raises:
        FleetError: it ended without.
    """
    said, asked = _rounds(out), time.monotonic()
    before = _changed(out / "history.json")
    while _changed(out / "history.json") == before:
        time.sleep(_POLL_S)
        found = _rounds(out)
        for entry in found[len(said) :] if progress else ():
            console.say(entry.line(settings.rounds))
        said = found
        if time.monotonic() - asked > _ASK_S:
            asked = time.monotonic()
            status = _status(folder, run)
            if status.startswith("finished") and _changed(out / "history.json") == before:
                raise FleetError(
                    f"the run ended as '{status}'; what its app said: {_last_words(folder, run)}"
                )


def _rounds(out: Path) -> Sequence[Any]:
    try:
        return checkpoint.load(out / "checkpoint.npz").history.rounds
    except InputError:
        return ()


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def _status(folder: Path, run: str) -> str:
    with suppress(TransferError, ValueError, KeyError, IndexError, TypeError):
        found: Mapping[str, Any] = json.loads(
            deployment.flwr(folder, "list", "--run-id", run, "--format", "json")
        )
        return str(found["runs"][0]["status"])
    return ""


def _last_words(folder: Path, run: str) -> str:
    with suppress(TransferError):
        lines = [line.strip() for line in deployment.flwr(folder, "log", run, "--show").splitlines()]
        return next((line for line in reversed(lines) if "Error" in line), "nothing")
    return f"see {folder / 'flower-superlink.log'}"
