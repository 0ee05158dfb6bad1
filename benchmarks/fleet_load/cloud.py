"""A cloud to be loaded: its folder, its processes, and as many enrolled devices as wanted, all on the loopback."""

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from onnx.parser import parse_model
from sqlalchemy import func, insert, select

from benchmarks.fleet_load.devices import Settings as Load
from cloud.database import Database
from cloud.database.tables import devices, twins
from cloud.fleet import Fleet
from cloud.home import Home
from cloud.repository import Repository
from cloud.rollouts import Rollouts
from cloud.settings import Settings
from cloud.up import initialise, running
from edge_runtime.bundle import Manifest, pack
from edge_runtime.tensors import TensorSpec

PER_SHARD = 17_000  # a process may have 20,000 files open here
_MODEL = "load"
_TEXT = """<ir_version: 10, opset_import: ["": 21]>
load (float[1] x) => (float[1] y) <float[1] b = {VERSION}> { y = Add(x, b) }"""


class Cloud:
    """A running cloud with `count` enrolled devices, `per_site` behind each gateway or, with 0, all by themselves.

    With `tls` connections need certificates (`certificates.issue`), else names are believed, on the loopback alone.
    """

    def __init__(
        self, folder: Path, count: int, *, per_site: int = 0, beat_s: float = 60.0, tls: bool = False
    ) -> None:
        self.count, self.per_site, self.beat_s, self.tls = count, per_site, beat_s, tls
        connections = count // per_site if per_site else count
        self.shards = max(-(-connections // PER_SHARD), 1)
        self.home = Home(folder / "cloud")
        first = free(self.shards + 1)
        self.settings = Settings(
            port=first, broker_port=first + 1, shards=self.shards, beat_s=beat_s, tls=tls
        )
        initialise(self.home, self.settings)
        self.database = Database(self.settings.database_url(self.home))
        self.repository = Repository.open(self.home.repository, self.home.keys)
        self.rollouts = Rollouts(self.database, Fleet(self.database), self.repository)
        self.releases = [self._publish(folder, version) for version in range(1, 6)]
        self.enrol(count)
        self._process: subprocess.Popen[bytes] | None = None

    def enrol(self, count: int) -> None:
        """Enter devices, and their gateways, as enrolment does."""
        load, now, per = Load("", 0, 0, 0), time.time(), self.per_site
        names = [load.name.format(i) for i in range(count)]
        sites = [load.site.format(i // per) if per else "" for i in range(count)]
        rows = [(name, site, load.target) for name, site in zip(names, sites, strict=True)]
        rows += [(site, site, "gateway") for site in dict.fromkeys(sites) if site]
        with self.database.begin() as connection:
            for k in range(0, len(rows), 5000):
                part = rows[k : k + 5000]
                connection.execute(
                    insert(devices),
                    [{"name": n, "site": s, "target": t, "labels": {}, "enrolled": now} for n, s, t in part],
                )
                connection.execute(insert(twins), [{"device": n} for n, _, _ in part])

    def _publish(self, folder: Path, version: int) -> str:
        """A release, whose SHA-256 is given; simulated devices do not fetch it."""
        spec = TensorSpec("x", "float32", (1,))
        manifest = Manifest(_MODEL, "rpi4", (spec,), (TensorSpec("y", "float32", (1,)),))
        model = parse_model(_TEXT.replace("VERSION", str(version)))
        pack(folder / f"{version}.bundle", manifest, {"infer.onnx": model.SerializeToString()})
        return self.repository.publish(folder / f"{version}.bundle", _MODEL, version, "rpi4").sha256

    def __enter__(self) -> Self:
        """Start it: shards, controller, API."""
        command = [sys.executable, "-m", "edge_runtime", "cloud", "up", "--home", str(self.home.root)]
        log = (self.home.root / "log").open("wb")
        self._process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + 60 + self.count / 5_000
        while len(self.figures()) == 0 or self.figures().get("littoral_shards_connected") != self.shards:
            if time.monotonic() > end or self._process.poll() is not None:
                raise RuntimeError((self.home.root / "log").read_text("utf-8")[-2000:])
            time.sleep(0.2)
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60 + self.count / 5_000)
        self.database.close()

    def pids(self) -> dict[str, int]:
        """Its processes."""
        return running(self.home)

    def kill(self, part: str) -> None:
        """kill -9 of one process, which the supervisor starts again."""
        os.kill(self.pids()[part], signal.SIGKILL)

    def costs(self) -> dict[str, tuple[float, float]]:
        """CPU seconds and resident megabytes of each process."""
        found = {}
        for name, pid in self.pids().items():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
                cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                found[name] = (cpu, int(fields[21]) * resource.getpagesize() / 1e6)
        return found

    def figures(self) -> dict[str, float]:
        """The controller's own figures, those without a label."""
        link = socket.socket(socket.AF_UNIX)
        try:
            link.settimeout(5)
            link.connect(str(self.home.run / "controller.sock"))
            link.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            text = b"".join(iter(lambda: link.recv(65536), b"")).decode()
        except OSError:
            return {}
        finally:
            link.close()
        rows = (
            line.split() for line in text.splitlines() if line.startswith("littoral_") and "{" not in line
        )
        return {row[0]: float(row[1]) for row in rows}

    def online(self) -> int:
        """Devices that are online, by the database."""
        query = (
            select(func.count()).select_from(devices).where(devices.c.online, devices.c.target != "gateway")
        )
        with self.database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def running(self, sha256: str) -> int:
        """Devices that report that they run this model and have answered their last wish, by the database."""
        query = (
            select(func.count())
            .select_from(twins)
            .where(twins.c.model == sha256, twins.c.reported_v == twins.c.desired_v)
        )
        with self.database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def seen(self, names: list[str]) -> dict[str, float]:
        """When each was last heard, by the database."""
        query = select(devices.c.name, devices.c.seen).where(devices.c.name.in_(names))
        with self.database.read() as connection:
            return {row.name: row.seen for row in connection.execute(query)}


class Crowd:
    """The processes that simulate the devices of a `Cloud`, one for each shard."""

    def __init__(self, cloud: Cloud, certificates: str = "", **more: Any) -> None:
        per, shards = cloud.per_site or 1, cloud.shards
        groups = cloud.count // per
        self.processes: list[subprocess.Popen[str]] = []
        self.traced: dict[str, float] = {}
        for i in range(shards):
            begin, end = groups * i // shards * per, groups * (i + 1) // shards * per
            told = {
                "host": "127.0.0.1", "port": cloud.settings.broker_port + i, "first": begin, "count": end - begin,
                "per_site": cloud.per_site, "beat_s": cloud.beat_s, "certificates": certificates,
                "sources": [f"127.{i + 1}.{k}.1" for k in range(4)], "seed": i, **more,
            }  # fmt: skip
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.fleet_load.devices", json.dumps(told)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                )
            )  # fmt: skip

    def tell(self, **command: Any) -> list[dict[str, Any]]:
        """One command to all, and their answers; beats that are traced on the way are kept in `traced`."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps(command) + "\n")
            process.stdin.flush()
        return [self._answer(process) for process in self.processes]

    def _answer(self, process: "subprocess.Popen[str]") -> dict[str, Any]:
        assert process.stdout is not None
        while line := process.stdout.readline():
            said = json.loads(line)
            if "did" in said:
                return dict(said)
            self.traced[said["beat"]] = said["at"]
        raise RuntimeError(f"a process of simulated devices ended with status {process.wait()}")

    def stat(self, **more: Any) -> dict[str, Any]:
        """What all of them count, added up; `states=True` counts devices by state too."""
        total: dict[str, Any] = {"states": {}, "reasons": {}}
        for each in self.tell(do="stat", **more):
            for name, value in each.items():
                if isinstance(value, dict):
                    for key, n in value.items():
                        total[name][key] = total[name].get(key, 0) + n
                elif isinstance(value, int | float):
                    total[name] = total.get(name, 0) + value
        return total

    def close(self) -> None:
        """End them."""
        for process in self.processes:
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.close()
        for process in self.processes:
            process.wait(30)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder for a cloud, removed at the end."""
    found = Path(tempfile.mkdtemp(prefix="littoral-load-"))
    try:
        yield found
    finally:
        shutil.rmtree(found, ignore_errors=True)


def free(count: int) -> int:
    """The first of `count` ports in a row that are free."""
    for first in range(18_000, 60_000, 100):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    link = stack.enter_context(socket.socket())
                    link.bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise RuntimeError("no free ports")
