"""One level of a growing fleet: so many devices connect and stay, and what that took, each part of it apart."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.fleet_load.cloud import Cloud, Crowd

_STALLED_S = 30.0  # without another device: no more will come
_ARRIVAL_S = 300.0  # that what comes with the connections may take
_FULL_CORE = 0.95  # of a core: who takes more can do no more
_LEAST_MB = 1000.0  # of memory, below which the machine is full
PARTS = ("brokers", "controller", "api", "devices")
"""What runs: the last is the simulator."""


@dataclass(frozen=True, slots=True)
class Level:
    """What was seen; memory in megabytes, processor time in cores during the hold, by part.

    Args:
        asked: devices that were to come.
        connected: devices that did, by their connections.
        online: devices that the database held for online at the end.
        connect_s: seconds until the last of them had.
        lost: connections that broke during the hold.
        away: devices that the database held for away at its end.
        staleness_p99_s: how long a beat took into the database.
        beats_per_s: beats that were sent.
        memory: of each part.
        cores: of each part.
        kernel_mb: how much more the kernel's slab took than before: sockets, at both ends.
        idle: share of the machine's processors that nobody took.
        free_mb: memory that is available.
        reasons: why connections broke or were refused, and how often.
    """

    asked: int
    connected: int
    online: int
    connect_s: float
    lost: int
    away: int
    staleness_p99_s: float
    beats_per_s: float
    memory: dict[str, float]
    cores: dict[str, float]
    kernel_mb: float
    idle: float
    free_mb: float
    reasons: dict[str, int]

    @property
    def memory_mb(self) -> float:
        """Of the cloud and of the kernel, without the simulator."""
        return sum(mb for part, mb in self.memory.items() if part != "devices") + self.kernel_mb

    @property
    def cloud_cores(self) -> float:
        """Of the cloud, without the simulator."""
        return sum(cores for part, cores in self.cores.items() if part != "devices")

    def stopped(self, beat_s: float) -> str:
        """Why no more can be held than before; empty where all is well."""
        due = self.asked / beat_s
        busiest = max(("controller", "api"), key=lambda part: self.cores[part])
        ends = (
            (self.free_mb < _LEAST_MB, f"memory: {self.free_mb:.0f} MB left"),
            ("socket: Too many open files" in self.reasons, "a simulator's file limit"),
            ("socket: Cannot assign requested address" in self.reasons, "no port is left to connect from"),
            (self.connected < self.asked, f"{self.connected} of {self.asked} connected"),
            (self.lost > 0, f"{self.lost} connections broke"),
            (self.online < self.asked, f"{self.asked - self.online} devices away, by the database"),
            (self.staleness_p99_s > 2, f"a beat took {self.staleness_p99_s:.1f} s into the database"),
            (self.beats_per_s < 0.95 * due, f"{self.beats_per_s:.0f} of {due:.0f} beats a second were sent"),
        )
        found = [said for true, said in ends if true]
        if not found:
            return ""
        if self.cores[busiest] > _FULL_CORE:
            found.append(f"the {busiest} takes {self.cores[busiest]:.2f} of the one core that it can")
        found.append(f"{100 * self.idle:.0f} % of the processors idle")
        return "; ".join(found)


def hold(cloud: Cloud, crowd: Crowd, slab_before: float, steps: Any) -> Level:
    """Wait until all are there, then watch them through `steps`, which gives (name, value) of each figure."""
    began = time.monotonic()
    connected = _settled(lambda: int(crowd.stat()["up"]), cloud.count)
    online = _settled(cloud.online, cloud.count)
    took = time.monotonic() - began
    _calm(cloud)
    at, before, load = time.monotonic(), cloud.costs(), crowd.stat()
    idle = _processors()
    figures = dict(steps())
    seconds, after, loaded = time.monotonic() - at, cloud.costs(), crowd.stat()
    used = [b - a for a, b in zip(idle, _processors(), strict=True)]
    online = cloud.online()
    memory = dict.fromkeys(PARTS, 0.0) | {"devices": float(loaded["rss_mb"])}
    cores = dict.fromkeys(PARTS, 0.0) | {"devices": (loaded["cpu_s"] - load["cpu_s"]) / seconds}
    for name, (cpu, mb) in after.items():
        part = "brokers" if name.startswith("broker") else name
        memory[part] += mb
        cores[part] += (cpu - before.get(name, (0.0, 0.0))[0]) / seconds
    return Level(
        cloud.count, connected, online, took, int(figures["lost"]), int(figures["away"]),
        figures["staleness_p99_s"], figures["beats_per_s"], memory, cores, slab() - slab_before,
        used[1] / max(used[0], 1e-9), _meminfo("MemAvailable"), dict(loaded["reasons"]),
    )  # fmt: skip


def slab() -> float:
    """What the kernel takes for its objects, sockets among them: megabytes."""
    return _meminfo("Slab")


def _settled(count: Any, want: int) -> int:
    """Wait until `count` is as wanted, or has not grown for a while; the number that it is."""
    most, grown = 0, time.monotonic()
    while True:
        began = time.monotonic()
        n = int(count())
        if n > most:
            most, grown = n, time.monotonic()
        if n >= want or time.monotonic() - grown > _STALLED_S:
            return n
        time.sleep(max(0.5, 4 * (time.monotonic() - began)))  # what is looked at shall have the processor


def _calm(cloud: Cloud) -> None:
    """Wait until what devices said when they came is in the database, so that what is held is not the arrival."""
    end, calm = time.monotonic() + _ARRIVAL_S, 0
    while calm < 5 and time.monotonic() < end:
        time.sleep(1)
        waiting = cloud.figures().get("littoral_waiting_rows", float("inf"))
        calm = calm + 1 if waiting < max(2 * cloud.count / cloud.beat_s, 1000) else 0


def _meminfo(name: str) -> float:
    for line in Path("/proc/meminfo").read_text("ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def _processors() -> tuple[float, float]:
    """Seconds of all processors, and of these the idle ones."""
    fields = [int(each) for each in Path("/proc/stat").read_text("ascii").split("\n", 1)[0].split()[1:9]]
    return sum(fields) / os.sysconf("SC_CLK_TCK"), (fields[3] + fields[4]) / os.sysconf("SC_CLK_TCK")
