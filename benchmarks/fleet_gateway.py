"""One real gateway before a thousand devices: what it takes, and a kill -9 while a release goes out.

Each simulated device has a connection of its own to the gateway's broker; the gateway is a process of `littoral
gateway`, the cloud that of `littoral cloud up`. `LITTORAL_GATEWAY=1000:60` takes another number of devices and seconds
to hold them for.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.fleet import Figure, Scenario
from benchmarks.fleet_load.cloud import Cloud, Crowd, folder, free
from benchmarks.fleet_load.devices import Settings as Load
from benchmarks.harness import Case, main
from edge_runtime.console import say

DEVICES, HOLD_S = (int(part) for part in os.environ.get("LITTORAL_GATEWAY", "1000:60").split(":"))
_KILL_S = 3.0  # after a release has begun
_DOWN_S = 1.0  # until a service manager starts it again


class Gateway:
    """A gateway as a process, before all devices of a cloud whose only site it is."""

    def __init__(self, cloud: Cloud, home: Path) -> None:
        site = Load("", 0, 0, 0).site.format(0)
        self.port, front = free(2), f"http://127.0.0.1:{cloud.settings.port}"
        (home / "credential").mkdir(parents=True)
        broker = f"mqtt://127.0.0.1:{cloud.settings.broker_port}"
        identity = {"device": site, "site": site, "url": front, "brokers": [broker]}
        identity["repository"] = f"{front}/repository"
        (home / "credential" / "identity.json").write_text(json.dumps(identity))
        self._command = [
            *(sys.executable, "-m", "edge_runtime", "gateway", "--home", str(home), "--json", "--no-agent"),
            *("--broker-port", str(self.port), "--port", str(self.port + 1)),
        ]
        self._ended_s = 0.0  # processor time of processes that were killed

    def __enter__(self) -> Self:
        """Start it; return when devices can come."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise RuntimeError(f"the gateway ended with status {self._process.wait()}")
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(30)

    def kill(self) -> None:
        """kill -9, and start it again."""
        self._ended_s += self.cost()[0]
        self._process.kill()
        self._process.wait()
        time.sleep(_DOWN_S)
        self.__enter__()

    def cost(self) -> tuple[float, float]:
        """Seconds of processor of this process, and megabytes resident."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return cpu, int(fields[21]) * resource.getpagesize() / 1e6


class Behind(Scenario):
    """What is done to the devices of one site."""

    def __init__(self, cloud: Cloud, crowd: Crowd, gateway: Gateway) -> None:
        super().__init__(cloud, crowd, HOLD_S)
        self.gateway = gateway

    def run(self) -> Iterator[Figure]:
        """All steps."""
        yield from self.connect()
        before = self.gateway.cost()[0]
        yield from self.hold()
        cores = (self.gateway.cost()[0] - before) / self.hold_s
        yield "cores", cores, "cores of the gateway, with a beat a minute", None, "lower", ""
        yield from self.rollout()
        yield from self.kill_in_rollout()
        yield from self.storm()
        yield "resident_mb", self.gateway.cost()[1], "MB of the gateway", None, "lower", ""

    def kill_in_rollout(self) -> Iterator[Figure]:
        """kill -9 of the gateway while a release goes out."""
        before, done = self.crowd.stat(), list[float]()

        def kill(at: float) -> None:
            if at > _KILL_S and not done:
                done.append(at)
                self.gateway.kill()

        *_, whole = self._roll("killed", 2, ["100 %"], kill)
        after = self.crowd.stat()
        yield "kill_rollout_s", whole, "s until all report it", None, "lower", "kill -9 of the gateway"
        effects = after["effects"] - before["effects"] - self.count
        yield "kill_duplicates", float(effects), "updates carried out twice", 0, "lower", ""
        yield (
            "kill_missing",
            float(self.count - self.cloud.running(self.cloud.releases[1])),
            "devices",
            0,
            "lower",
            "",
        )

    def _connections(self) -> int:
        return self.count


def cases() -> Iterator[Case]:
    """All of it."""
    with (
        folder() as where,
        Cloud(where, DEVICES, per_site=DEVICES) as cloud,
        Gateway(cloud, where / "gateway") as gateway,
    ):
        crowd = Crowd(cloud, window=100, longest_s=HOLD_S + 3600, port=gateway.port, per_site=0)
        try:
            for case, value, unit, goal, better, note in Behind(cloud, crowd, gateway).run():
                say(f"{case}: {value:.4g} {unit} {note}")
                yield Case(case, value, unit, goal, better, DEVICES, note)
        finally:
            crowd.close()


if __name__ == "__main__":
    main(cases)
