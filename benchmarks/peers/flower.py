"""Flower's deployment engine as a peer: a SuperLink, SuperNodes with TLS and keys, and the same apps."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

from benchmarks.peers import federation
from edge_runtime.bundle import Bundle
from edge_runtime.data import Samples
from edge_runtime.errors import LittoralError
from federated import Settings
from federated.flower import deployment
from federated.flower.deployment import Place

_LIMIT_S = 150


class DeploymentError(Exception):
    """The engine did not start, or a run did not end."""


class Deployment:
    """A SuperLink with a SuperNode for each file of data, while the block runs."""

    def __init__(self, folder: Path, bundle: Bundle, data: Sequence[Path]) -> None:
        self._folder, self._bundle, self._data = folder, bundle, data
        self._link: subprocess.Popen[bytes] | None = None
        self._nodes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        place, folder = Place(_free_port()), self._folder
        try:
            deployment.make_certificates(folder)
            self._link = deployment.superlink(folder, place)
            for number, path in enumerate(self._data):
                key = deployment.make_node_key(folder / "nodes", f"n{number}")
                deployment.flwr(folder, "supernode", "register", f"{key}.pub")
                files = {"LITTORAL_BUNDLE": str(self._bundle.path.absolute()), "LITTORAL_DATA": str(path)}
                node = deployment.supernode(folder, key, number, len(self._data), place, _free_port(), files)
                self._nodes.append(node)
        except LittoralError as error:
            self.__exit__()
            raise DeploymentError(str(error)) from error
        return self

    def __exit__(self, *_: object) -> None:
        for process in [*self._nodes, *filter(None, [self._link])]:
            try:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                process.kill()

    def run(self, rounds: int, test: Samples) -> tuple[list[float], float]:
        """Run the apps: seconds of each round, and the largest memory of one node's processes in megabytes.

        Raises:
            DeploymentError: the run does not end in time.
        """
        held_out = federation.save(test, self._folder / "test.npz")
        out, settings = self._folder / "run", Settings(rounds=rounds, clients=len(self._data))
        app = deployment.write_app(self._folder / "app", self._bundle.path, held_out, out, settings)
        try:
            deployment.flwr(self._folder, "run", str(app))
        except LittoralError as error:
            raise DeploymentError(str(error)) from error
        largest, ends = 0.0, time.monotonic() + _LIMIT_S
        while not (out / "history.json").exists():
            if time.monotonic() > ends:
                raise DeploymentError(f"{rounds} rounds took more than {_LIMIT_S} s")
            trees = _descendants(node.pid for node in self._nodes)
            largest = max([largest, *(sum(map(federation.resident_mb, tree)) for tree in trees)])
            time.sleep(0.05)
        history = json.loads((out / "history.json").read_text("utf-8"))
        return [entry["seconds"] for entry in history["rounds"]], largest


def _descendants(roots: Iterable[int]) -> list[list[int]]:
    """Each root with all processes below it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    trees = [[root] for root in roots]
    for tree in trees:
        for pid in tree:  # it grows while it is walked
            tree += [child for child, parent in parents.items() if parent == pid]
    return trees


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
