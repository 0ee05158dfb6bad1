"""The control plane under a fleet: beats, rollouts, kills, storms and a bad model, over real MQTT on the loopback.

Each simulated device has a connection of its own (flat), or stands behind one of 500 gateways; shards, controller, API
and database are those of `littoral cloud up`, on the same two cores as what loads them. `LITTORAL_FLEET=5000:30`
takes another number of devices and seconds to hold them for than 50,000 and 600.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.fleet_load.cloud import Cloud, Crowd, folder
from benchmarks.harness import Case, main
from cloud.rollouts.spec import Spec
from edge_runtime.console import say

DEVICES, HOLD_S = (int(part) for part in os.environ.get("LITTORAL_FLEET", "50000:600").split(":"))
_LONGEST_S = 240.0


def cases() -> Iterator[Case]:
    """Flat, then behind gateways."""
    for kind, per_site in (("flat", 0), ("gateways", max(DEVICES // 500, 10))):
        with folder() as where, Cloud(where, DEVICES, per_site=per_site) as cloud:
            crowd = Crowd(cloud, window=100, longest_s=HOLD_S + 3600)
            try:
                for case, value, unit, goal, better, note in Scenario(cloud, crowd).run():
                    say(f"{kind}/{case}: {value:.4g} {unit} {note}")
                    yield Case(f"{kind}/{case}", value, unit, goal, better, DEVICES, note)
            finally:
                crowd.close()


Figure = tuple[str, float, str, float | None, str, str]


class Scenario:
    """What is done to a fleet, one after the other; each step gives its figures."""

    def __init__(self, cloud: Cloud, crowd: Crowd, hold_s: float = HOLD_S) -> None:
        self.cloud, self.crowd, self.count, self.hold_s = cloud, crowd, cloud.count, hold_s

    def run(self) -> Iterator[Figure]:
        """All steps."""
        for step in (
            self.connect, self.hold, self.rollout, self.kill_in_rollout, self.storm, self.offline, self.bad, self.cost,
        ):  # fmt: skip
            yield from step()

    def connect(self) -> Iterator[Figure]:
        """Everybody comes."""
        seconds = self._until(lambda: self.crowd.stat()["up"] == self._connections())
        settled = self._until(lambda: self.cloud.online() == self.count)
        yield (
            "devices",
            float(self.cloud.online()),
            "devices online, by the database",
            self.count,
            "higher",
            "",
        )
        yield "connect_s", seconds, "s until all are connected", None, "lower", ""
        yield "known_s", seconds + settled, "s until the database says so", None, "lower", ""

    def hold(self) -> Iterator[Figure]:
        """They stay for `hold_s`; how long a beat takes into the database, looked at ten times a second."""
        before = self.crowd.stat()
        self.crowd.tell(do="trace", every=max(self.count // 200, 1))
        late, end, waiting = list[float](), time.monotonic() + self.hold_s, dict[str, float]()
        while time.monotonic() < end:
            time.sleep(0.1)
            self.crowd.tell(do="trace", every=max(self.count // 200, 1))
            waiting |= self.crowd.traced
            self.crowd.traced.clear()
            if waiting:
                seen, now = self.cloud.seen(list(waiting)), time.time()
                for name in [name for name, at in waiting.items() if seen[name] >= at]:
                    late.append(now - waiting.pop(name))
        self.crowd.tell(do="trace", every=0)
        now = time.time()
        late += [now - at for at in waiting.values() if now - at > 5]  # which have not come: so late at least
        after = self.crowd.stat()
        lost = self._connections() - after["up"] + after["breaks"] - before["breaks"]
        away = self.count - self.cloud.online()
        late.sort()
        note = (
            f"held {self.hold_s:.0f} s, {len(late)} beats looked at, median {statistics.median(late):.2f} s"
        )
        yield "lost", float(lost), "connections lost", 0, "lower", f"of {self._connections()}, by the broker"
        yield "away", float(away), "devices the database holds for away", 0, "lower", ""
        yield "staleness_p99_s", late[int(0.99 * len(late))], "s", 2, "lower", note
        rate = (after["beats"] - before["beats"]) / self.hold_s
        yield "beats_per_s", rate, "beats a second", None, "higher", ""

    def rollout(self) -> Iterator[Figure]:
        """A release to all at once."""
        before = self.crowd.stat()
        half, most, whole = self._roll("first", 1, ["100 %"])
        after = self.crowd.stat()
        note = f"50 % in {half:.1f} s, 99 % in {most:.1f} s; devices take 2 to 7 s of their own"
        yield "rollout_all_s", whole, "s until all report it, by the database", 60, "lower", note
        effects = after["effects"] - before["effects"] - self.count
        yield "duplicates", float(effects), "updates carried out twice", 0, "lower", ""
        sent = after["desired"] - before["desired"]
        yield "sends", sent / self.count, "times that each was told", None, "lower", ""

    def kill_in_rollout(self) -> Iterator[Figure]:
        """kill -9 of the controller and of a shard while a release goes out."""
        before = self.crowd.stat()

        def kill(at: float, done: set[str]) -> None:
            for part, when in (("controller", 2.0), ("broker-0", 5.0)):
                if at > when and part not in done:
                    self.cloud.kill(part)
                    done.add(part)

        done: set[str] = set()
        *_, whole = self._roll("killed", 2, ["100 %"], lambda at: kill(at, done))
        after = self.crowd.stat()
        yield (
            "kill_rollout_s",
            whole,
            "s until all report it",
            None,
            "lower",
            "kill -9 of controller and shard",
        )
        effects = after["effects"] - before["effects"] - self.count
        yield "kill_duplicates", float(effects), "updates carried out twice", 0, "lower", ""
        back = self._until(lambda: self.crowd.stat()["up"] == self._connections())
        back += self._until(lambda: self.cloud.online() == self.count)
        yield "kill_back_s", back, "s more until all are back", None, "lower", ""

    def storm(self) -> Iterator[Figure]:
        """Everybody's connection breaks at one moment; they come back within 30 s, drawn at random."""
        began = time.monotonic()
        self.crowd.tell(do="storm", within=30)
        self._until(lambda: self.crowd.stat()["up"] == self._connections())
        self._until(lambda: self.cloud.online() == self.count)
        yield "storm_s", time.monotonic() - began, "s until all are back", None, "lower", "jitter 30 s"

    def offline(self) -> Iterator[Figure]:
        """A fifth is away while a release goes out, and comes afterwards."""
        self.crowd.tell(do="offline", share=0.2)
        away = self._connections() - self.crowd.stat()["up"]
        here = self.count - away * (self.cloud.per_site or 1)
        *_, whole = self._roll("fifth-away", 3, ["100 %"], want=here, follow=True)
        yield "offline_rollout_s", whole, "s until those that are here have it", None, "lower", "20 % away"
        began = time.monotonic()
        self.crowd.tell(do="online", within=10)
        self._until(lambda: self.cloud.running(self.cloud.releases[2]) == self.count)
        yield (
            "offline_late_s",
            time.monotonic() - began,
            "s until the others have it too",
            None,
            "lower",
            "jitter 10 s",
        )
        self.cloud.rollouts.finish("fifth-away", "benchmark")

    def bad(self) -> Iterator[Figure]:
        """A model that fails its probe on a twentieth of the devices goes out in phases."""
        good, bad = self.cloud.releases[2], self.cloud.releases[3]
        self._until(lambda: self.cloud.running(good) == self.count)
        self.crowd.tell(do="bad", model=bad, share=0.05)
        self._start("bad", 4, ["1 %", "10 %", "50 %", "100 %"], gates={"min_success": 0.98})
        self._until(lambda: self._state("bad") in ("paused", "rolled-back", "finished"))
        phase = self.cloud.rollouts.get("bad").phase
        self._until(lambda: self.cloud.running(good) == self.count)
        stranded = self.count - self.cloud.running(good)
        told = sum(1 for _ in self._told("bad"))
        note = f"{self._state('bad')}: {self.cloud.rollouts.get('bad').reason}"[:160]
        yield "bad_phase", float(phase + 1), "phase in which it was stopped", 1, "lower", note
        yield "bad_told", told / self.count, "share of the devices that were told", 0.011, "lower", ""
        yield "stranded", float(stranded), "devices not back on the good model", 0, "lower", ""

    def cost(self) -> Iterator[Figure]:
        """What it took altogether."""
        costs, load = self.cloud.costs(), self.crowd.stat()
        memory = sum(megabytes for _, megabytes in costs.values())
        each = ", ".join(
            f"{name} {cpu:.0f} s, {megabytes:.0f} MB" for name, (cpu, megabytes) in costs.items()
        )
        yield (
            "mb_per_device",
            memory / self.count,
            "MB resident, all of the cloud's processes",
            None,
            "lower",
            each,
        )
        note = f"{load['cpu_s']:.0f} s of processor, {load['rss_mb']} MB"
        yield "simulator_cpu_s", float(load["cpu_s"]), "s, the devices themselves", None, "lower", note

    # ------------------------------------------------------------------ parts of steps
    def _connections(self) -> int:
        return self.count // (self.cloud.per_site or 1)

    def _until(self, true: Callable[[], bool]) -> float:
        began = time.monotonic()
        while not true() and time.monotonic() - began < _LONGEST_S:
            time.sleep(0.5)
        return time.monotonic() - began

    def _start(self, name: str, version: int, phases: list[str], **more: Any) -> None:
        spec: dict[str, Any] = {
            "name": name, "release": "load", "version": version, "phases": phases, "soak_s": 0, "jitter_s": 0,
            "shadow": {"samples": 0}, "probation_s": 1, "patience_s": 120, **more,
        }  # fmt: skip
        self.cloud.rollouts.create(Spec.read(spec), "benchmark")
        self.cloud.rollouts.start(name, "benchmark")

    def _roll(
        self, name: str, version: int, phases: list[str], meanwhile: Callable[[float], None] | None = None,
        want: int = 0, **more: Any,
    ) -> tuple[float, float, float]:  # fmt: skip
        """Seconds until a half, 99 % and all of `want` devices report the version."""
        want = want or self.count
        began = time.monotonic()
        self._start(name, version, phases, **more)
        half = most = 0.0
        while (at := time.monotonic() - began) < _LONGEST_S:
            n = self.cloud.running(self.cloud.releases[version - 1])
            half = half or (at if n >= want / 2 else 0.0)
            most = most or (at if n >= 0.99 * want else 0.0)
            if n >= want:
                break
            if meanwhile:
                meanwhile(at)
            time.sleep(0.25)
        return half, most, time.monotonic() - began

    def _state(self, name: str) -> str:
        return str(self.cloud.rollouts.get(name).state)

    def _told(self, name: str) -> Iterator[dict[str, Any]]:
        after = ""
        while found := self.cloud.rollouts.devices(name, after=after, limit=1000):
            yield from found
            after = found[-1]["device"]


if __name__ == "__main__":
    main(cases)
