"""A process of simulated devices, flat or behind gateways: ``python -m benchmarks.fleet_load.devices JSON``.

Each has a connection of its own (behind gateways: each site), beats, obeys `Desired` by the agent's states with random
times in between, reports, goes back from a model that is said to be bad, and comes back after a break. It takes the
argument's settings (`Settings`), one JSON command a line on its standard input, and answers with a line each:

``{"do": "stat", "states": false}``; ``{"do": "bad", "model": SHA, "share": 0.05}``;
``{"do": "offline", "share": 0.2}``; ``{"do": "online", "within": 10}``;
``{"do": "storm", "within": 30, "resume": false}``, where all connections break and, with `resume`, take up their TLS
sessions; ``{"do": "trace", "every": 500}``, after which each 500th device's beats are said as they are sent;
``{"do": "quit"}``.
"""

import json
import os
import random
import resource
import ssl
import sys
import time
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

from benchmarks.fleet_load import wire
from benchmarks.fleet_load.links import Links
from edge_runtime.messages import topics
from edge_runtime.messages.telemetry import batch

_UNIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """What a process simulates: `count` devices from number `first` on, or, with `per_site`, those of whole sites."""

    host: str
    port: int
    first: int
    count: int
    name: str = "device-{:06d}"
    site: str = "site-{:04d}"
    target: str = "rpi4"
    per_site: int = 0
    beat_s: float = 60.0
    batch_s: float = 1.0
    fetch_s: tuple[float, float] = (1.0, 5.0)
    switch_s: tuple[float, float] = (0.5, 2.0)
    sources: list[str] = field(default_factory=lambda: ["127.0.0.1"])
    window: int = 200
    connect_within_s: float = 0.0
    certificates: str = ""
    longest_s: float = 3600.0
    again_s: float = 10.0
    seed: int = 0


class Devices:
    """The devices of one process; what each knows stands in lists, by its number."""

    def __init__(self, settings: Settings) -> None:
        self.settings, n = settings, settings.count
        self.names = [settings.name.format(settings.first + i) for i in range(n)]
        self.number = {name: i for i, name in enumerate(self.names)}
        self.v, self.model, self.previous = [0] * n, [""] * n, [""] * n
        self.state = ["running"] * n
        self.ill: set[int] = set()  # devices on which the bad model fails
        self.bad = ""
        self.count = dict.fromkeys(
            ("beats", "desired", "effects", "repeats", "older", "reports", "reverted", "commands"), 0
        )
        self._random = random.Random(settings.seed + settings.first)  # noqa: S311  (spreads load)
        self._timers: list[tuple[float, int, int, str]] = []
        self._again: list[tuple[float, int]] = []  # connections that say "here" once more, and when
        self._began, self._beaten = time.monotonic(), 0
        self._order = self._random.sample(range(n), n)
        self.trace = 0
        per = settings.per_site
        self._sites = (
            [settings.site.format((settings.first + i) // per) for i in range(0, n, per)] if per else []
        )
        self._waiting: list[list[tuple[str, str, bytes]]] = [[] for _ in self._sites]
        self._batched = [
            self._began + settings.batch_s * i / max(len(self._sites), 1) for i in range(len(self._sites))
        ]
        self.links = Links(
            len(self._sites) or n, self._hello, self._ready, self._heard,
            (settings.host, settings.port), settings.sources, self._tls() , settings.window,
            settings.connect_within_s, settings.seed + settings.first,
        )  # fmt: skip

    def _tls(self) -> Any:
        folder = self.settings.certificates
        if not folder:
            return None
        names = self._sites or self.names
        shared = ssl.SSLContext(
            ssl.PROTOCOL_TLS_CLIENT
        )  # one for all: one for each would take more than the rest
        shared.load_verify_locations(Path(folder) / "ca.pem")

        def context(i: int) -> ssl.SSLContext:
            shared.load_cert_chain(Path(folder) / f"{names[i]}.pem")
            return shared

        return context

    # What links ask.

    def _hello(self, i: int) -> bytes:
        keepalive = int(4 * self.settings.beat_s)
        if self._sites:
            site = self._sites[i]
            will = topics.site_up(site, "state")
            asked = f"{topics.ROOT}/s/{site}/down/#"
        else:
            site, will = self.names[i], topics.up(self.names[i], "state")
            asked = f"{topics.ROOT}/d/{site}/down/#"
        patterns = asked.encode(), topics.ALL.encode()
        return wire.connect(site.encode(), will.encode(), keepalive) + wire.subscribe(*patterns)

    def _ready(self, i: int) -> None:
        if not self._sites:
            self._say(i, "state", b"here")
            self._report(i)
            return
        topic = topics.site_up(self._sites[i], "state")
        self.links.send(i, wire.publish(topic.encode(), b"here", 1))
        per = self.settings.per_site
        for device in range(i * per, min((i + 1) * per, self.settings.count)):
            self._report(device)

    def _heard(self, i: int, topic: bytes, payload: bytes) -> None:
        if topic.endswith(b"/desired"):
            self._desired(
                self.number[topic.split(b"/")[6].decode()] if self._sites else i, json.loads(payload)
            )
        elif topic.endswith(b"/command"):
            self.count["commands"] += 1
        elif payload == b"who":  # not all at once: a controller that begins anew has enough to do
            heappush(self._again, (time.monotonic() + self._random.uniform(0, self.settings.again_s), i))

    # What a device does.

    def _desired(self, i: int, wish: dict[str, Any]) -> None:
        self.count["desired"] += 1
        v = int(wish["v"])
        if v < self.v[i]:
            self.count["older"] += 1
            return
        if v == self.v[i]:
            self.count["repeats"] += 1
            self._report(i)
            return
        self.v[i] = v
        model = str((wish.get("model") or {}).get("sha256", ""))
        self.count["effects"] += 1
        if model == self.model[i]:
            self.state[i] = "running"
            self._report(i)
            return
        self.state[i] = "fetching"
        self._report(i)
        heappush(self._timers, (time.monotonic() + self._random.uniform(*self.settings.fetch_s), i, v, model))

    def _ripe(self, now: float) -> None:
        """Go on with the updates whose next step is due; one that a newer wish overtook is left."""
        while self._timers and self._timers[0][0] <= now:
            _, i, v, model = heappop(self._timers)
            if v != self.v[i]:
                continue
            if self.state[i] == "fetching":
                self.state[i] = "probation"
                self.previous[i], self.model[i] = self.model[i], model
                heappush(self._timers, (now + self._random.uniform(*self.settings.switch_s), i, v, model))
            elif model == self.bad and i in self.ill:
                self.state[i] = "reverted"
                self.model[i], self.previous[i] = self.previous[i], ""
                self.count["reverted"] += 1
            else:
                self.state[i] = "running"
            self._report(i)

    def _report(self, i: int) -> None:
        parts = [
            f'{{"v":{self.v[i]},"state":"{self.state[i]}","target":"{self.settings.target}","agent":"simulated"'
        ]
        if self.model[i]:
            parts.append(f',"model":"{self.model[i]}"')
        if self.previous[i]:
            parts.append(f',"previous":"{self.previous[i]}"')
        if self.state[i] == "reverted":
            parts.append(',"error":"the health probe failed: 3 of 3 self-test vectors differ"')
        self.count["reports"] += 1
        self._say(i, "reported", ("".join(parts) + "}").encode())

    def _beat(self, now: float) -> None:
        """The beats that are due: each device's, `beat_s` after its last, evenly spread."""
        n = self.settings.count
        due = int((now - self._began) / self.settings.beat_s * n)
        while self._beaten < due:
            i = self._order[self._beaten % n]
            self._beaten += 1
            clock = time.time()
            body = f'{{"time":{int(clock)},"up_s":{int(now - self._began)},"power":"mains","free_mb":{1000 + i % 997}}}'
            if self._say(i, "beat", body.encode()):
                self.count["beats"] += 1
                if self.trace and i % self.trace == 0:
                    _answer(beat=self.names[i], at=clock)

    def _say(self, i: int, kind: str, body: bytes) -> bool:
        if self._sites:
            self._waiting[i // self.settings.per_site].append((self.names[i], kind, body))
            return True
        return self.links.send(
            i, wire.publish(topics.up(self.names[i], kind).encode(), body, int(kind != "beat"))
        )

    def _flush(self, now: float) -> None:
        """Sites' batches: each `batch_s` seconds what their devices said, kept while the link is away."""
        for site, due in enumerate(self._batched):
            if due > now:
                continue
            self._batched[site] = now + self.settings.batch_s
            waiting = self._waiting[site]
            topic = topics.site_up(self._sites[site], "batch").encode()
            if waiting and self.links.send(site, wire.publish(topic, batch(waiting), 1)):
                waiting.clear()

    def tick(self) -> None:
        """One turn of the loop."""
        self.links.pump(0.01)
        now = time.monotonic()
        self._beat(now)
        self._ripe(now)
        while self._again and self._again[0][0] <= now:
            self._ready(heappop(self._again)[1])
        if self._sites:
            self._flush(now)

    def obey(self, told: dict[str, Any]) -> None:
        """One command from the standard input."""
        number = len(self._sites) or self.settings.count
        if told["do"] == "bad":
            self.bad = told["model"]
            self.ill = set(
                self._random.sample(range(self.settings.count), round(told["share"] * self.settings.count))
            )
        elif told["do"] == "trace":
            self.trace = int(told["every"])
        elif told["do"] == "offline":
            for i in self._random.sample(range(number), round(told["share"] * number)):
                self.links.close(i)
        elif told["do"] in ("online", "storm"):
            for i in range(number):
                if told["do"] == "storm" or not self.links.wanted[i]:
                    back_in = self._random.uniform(0, told["within"])
                    self.links.close(i, back_in=back_in, resume=bool(told.get("resume")))
        _answer(did=told["do"], **(self.stat(bool(told.get("states"))) if told["do"] == "stat" else {}))

    def stat(self, by_state: bool = False) -> dict[str, Any]:
        """Everything that is counted; `by_state` looks at each device."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        states: dict[str, int] = {}
        for state, model in zip(self.state, self.model, strict=True) if by_state else ():
            key = f"{state} {model[:8]}".strip()
            states[key] = states.get(key, 0) + 1
        return {
            **self.count,
            "connections": len(self._sites) or self.settings.count,
            "up": self.links.up,
            "connects": self.links.connects,
            "resumed": self.links.resumed,
            "breaks": self.links.breaks,
            "reasons": self.links.reasons,
            "states": states,
            "cpu_s": round(used.ru_utime + used.ru_stime, 2),
            "rss_mb": _resident(),
            "behind_s": round(max(0.0, time.monotonic() - self._timers[0][0]) if self._timers else 0.0, 2),
        }


def _resident() -> int:
    """Megabytes now: the largest of `getrusage` is, in a child, at least what its parent had."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() // 1_000_000


def _answer(**said: Any) -> None:
    print(json.dumps(said, separators=(",", ":")), flush=True)


def main(told: dict[str, Any]) -> None:
    """Simulate until told to quit, the standard input ends, or the longest time is over."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))
    devices = Devices(Settings(**told))
    os.set_blocking(0, False)
    end, line = time.monotonic() + devices.settings.longest_s, b""
    while time.monotonic() < end:
        devices.tick()
        try:
            read = os.read(0, 65536)
        except BlockingIOError:
            continue
        line += read
        *lines, line = line.split(b"\n")
        for each in lines:
            command = json.loads(each)
            if command["do"] == "quit":
                return
            devices.obey(command)
        if not read:
            return


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
