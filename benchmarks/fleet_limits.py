"""How far one machine goes: devices with certificates, real agents, and ever more devices until something stops it.

All on the loopback, the simulator on the same processors as the cloud. `LITTORAL_LIMITS=tls,agents,most` chooses parts;
`LITTORAL_TLS=10000:60` takes another number of devices and seconds to hold them for, `LITTORAL_AGENTS=100` another
number of processes, `LITTORAL_MOST=50000,100000:60` other levels and seconds. Run by itself, on an idle machine.
"""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.fleet import Scenario
from benchmarks.fleet_load import certificates, growth
from benchmarks.fleet_load.agents import Agents, releases, until
from benchmarks.fleet_load.cloud import PER_SHARD, Cloud, Crowd, folder
from benchmarks.fleet_load.growth import Level
from benchmarks.harness import ROOT, Case, main
from cloud.identity import Authority
from edge_runtime.console import say
from edge_runtime.errors import LittoralError
from edge_runtime.files import atomic

PARTS = os.environ.get("LITTORAL_LIMITS", "tls,agents,most").split(",")
TLS, TLS_HOLD_S = (int(part) for part in os.environ.get("LITTORAL_TLS", "10000:60").split(":"))
AGENTS = int(os.environ.get("LITTORAL_AGENTS", "100"))
FULL = "50000,100000,150000,200000,250000,350000,500000,750000,1000000:60"
LEVELS, _, LEVEL_HOLD_S = os.environ.get("LITTORAL_MOST", FULL).partition(":")
PICTURE = ROOT / "docs" / "pictures" / "fleet_growth.png"
_COLOURS = {"kernel": "silver", "brokers": "tab:blue", "controller": "tab:orange", "api": "tab:green"}
_BEAT_S, _STORM_S, _LONGEST_S = 60.0, 10.0, 1800.0
_SPARE_MB = 2000.0  # of memory, that a level must leave
_MOST_SHARDS = 64  # that a cloud takes


def cases() -> Iterator[Case]:
    """Each part apart, said as it comes, for all of them take a long time."""
    for part, run in (("tls", tls), ("agents", agents), ("most", most)):
        if part in PARTS:
            for case in run():
                say(f"{case.case}: {case.value} {case.unit} {case.note}")
                yield case


# ------------------------------------------------------------------------------------- certificates
def tls() -> Iterator[Case]:
    """Devices that prove who they are, each with a certificate of its own, by TLS 1.3."""
    with folder() as where, Cloud(where, TLS, tls=True) as cloud:
        pems = where / "devices"
        names = [f"device-{i:06d}" for i in range(TLS)]
        seconds = certificates.issue(Authority(cloud.home.ca), cloud.database, names, pems)
        note = "signing alone; keys and requests are the devices' work"
        yield Case("tls/issue_ms", 1000 * seconds / TLS, "ms a certificate", None, "lower", TLS, note)
        before = _brokers(cloud)
        crowd = Crowd(cloud, certificates=str(pems), window=100, longest_s=TLS_HOLD_S + _LONGEST_S)
        try:
            yield from _handshakes("tls/connect", cloud, crowd, lambda: None)
            per = 1000 * (_brokers(cloud)[1] - before[1]) / TLS
            yield Case("tls/kb_per_connection", per, "kB of the brokers", None, "lower", TLS)
            scenario = Scenario(cloud, crowd, TLS_HOLD_S)
            for step in (scenario.hold, scenario.rollout):
                for case, value, unit, goal, better, note in step():
                    yield Case(f"tls/{case}", value, unit, goal, better, TLS, note)
            for resume in (False, True):
                what = "tls/storm_resumed" if resume else "tls/storm"
                yield from _handshakes(
                    what, cloud, crowd,
                    lambda resume=resume: crowd.tell(do="storm", within=_STORM_S, resume=resume),
                )  # fmt: skip
            load = crowd.stat()
            note = f"{load['cpu_s']:.0f} s of processor altogether"
            yield Case("tls/simulator_mb", load["rss_mb"], "MB", None, "lower", TLS, note)
        finally:
            crowd.close()


def _handshakes(what: str, cloud: Cloud, crowd: Crowd, begin: object) -> Iterator[Case]:
    """Everybody connects; what that takes."""
    before, load, began = _brokers(cloud), crowd.stat(), time.monotonic()
    assert callable(begin)
    begin()
    here = until(lambda: crowd.stat()["up"] == cloud.count, _LONGEST_S)
    known = here and until(lambda: cloud.online() == cloud.count, _LONGEST_S)
    seconds = time.monotonic() - began if known else None
    after, loaded = _brokers(cloud), crowd.stat()
    made = max(loaded["connects"] - load["connects"], cloud.count)
    broken, resumed = loaded["breaks"] - load["breaks"], loaded["resumed"] - load["resumed"]
    note = f"{resumed} sessions resumed, {broken} tries failed" + (
        f"; they break at one moment and come within {_STORM_S:.0f} s" if "storm" in what else ""
    )
    yield Case(f"{what}_s", seconds, "s until all are back", None, "lower", made, note)
    note = f"and {1000 * (loaded['cpu_s'] - load['cpu_s']) / made:.2f} ms of the simulated device"
    cost = 1000 * (after[0] - before[0]) / made
    yield Case(f"{what}_broker_ms", cost, "ms of processor a connection", None, "lower", made, note)


def _brokers(cloud: Cloud) -> tuple[float, float]:
    """Processor seconds and megabytes of all shards."""
    found = [cost for name, cost in cloud.costs().items() if name.startswith("broker")]
    return sum(cpu for cpu, _ in found), sum(mb for _, mb in found)


# ------------------------------------------------------------------------------------------- agents
def agents() -> Iterator[Case]:
    """Real agents do the whole update: metadata, fetch, probe, switch, probation; the second time by a patch."""
    with folder() as where, Cloud(where, 0, tls=True) as cloud:
        first, second = releases(where)
        crowd = Agents(cloud, where / "agents", AGENTS)
        (where / "agents").mkdir()
        seconds = crowd.enrol()
        note = "token, key, certificate; four at a time, start of the process included"
        yield Case("agents/enrol_s", seconds / AGENTS, "s each", None, "lower", AGENTS, note)
        began = time.monotonic()
        with crowd:
            until(lambda: cloud.online() == AGENTS, _LONGEST_S)
            seconds = time.monotonic() - began
            yield Case("agents/connect_s", seconds, "s until all are online", None, "lower", AGENTS)
            for version, path in enumerate((first, second), 1):
                yield from _update(cloud, crowd, version, path)
            lost = AGENTS - min(crowd.alive(), cloud.online())
            yield Case("agents/lost", lost, "agents that ended, or are away", 0, "lower", AGENTS)
            own = sorted(crowd.watch.most.values())
        note = f"most {own[-1]:.1f} MB; largest child {crowd.watch.child:.0f} MB; all at one time "
        note += f"{crowd.watch.together:.0f} MB, pages that they share counted in each"
        yield Case(
            "agents/resident_mb", own[len(own) // 2], "MB, median of the largest", 60, "lower", AGENTS, note
        )
        yield Case("agents/resident_most_mb", own[-1], "MB, of the largest", 60, "lower", AGENTS)


def _update(cloud: Cloud, crowd: Agents, version: int, path: Path) -> Iterator[Case]:
    made = cloud.repository.publish(path, "digits", version, "x86-64")
    before = cloud.costs()["api"][0]
    seconds, what = crowd.roll(version, made.sha256, _LONGEST_S), "delta" if version > 1 else "first"
    done, moved = crowd.running(made.sha256), crowd.moved()
    errors = sorted({str(each.get("error", "")) for each in crowd.reports()} - {""})
    note = f"{done} of {AGENTS} run it; a probation of 5 s and three probes each {'; '.join(errors)[:200]}"
    yield Case(f"agents/{what}_s", seconds, "s until all run it", None, "lower", AGENTS, note.strip())
    yield Case(f"agents/{what}_failed", AGENTS - done, "agents without it", 0, "lower", AGENTS)
    cost = 1000 * (cloud.costs()["api"][0] - before) / AGENTS
    yield Case(f"agents/{what}_api_ms", cost, "ms of the API's processor an update", None, "lower", AGENTS)
    share, note = moved / (made.bytes * AGENTS), f"{moved} bytes of {AGENTS} times {made.bytes}"
    goal = None if version == 1 else 0.75
    yield Case(f"agents/{what}_moved", share, "of the bundles' bytes", goal, "lower", AGENTS, note)


# --------------------------------------------------------------------------------------------- most
def most() -> Iterator[Case]:
    """More and more devices, each level with a cloud of its own, until one is not held."""
    held, slab, why = list[Level](), growth.slab(), "no level is left"
    for count in map(int, LEVELS.split(",")):
        if why := _no_room(count, held):
            break
        try:
            level = _level(count, slab)
        except (RuntimeError, OSError, ValueError, LittoralError) as error:
            why = f"{count}: {error}"[-300:]
            break
        yield from _figures(level)
        if why := level.stopped(_BEAT_S):
            why = f"{count}: {why}"
            break
        held.append(level)
    last = held[-1].online if held else 0
    yield Case("most/devices", last, "devices held", 250_000, "higher", len(held), why or "no level is left")
    if len(held) > 2:
        yield from _linear(held)
    if f"{LEVELS}:{LEVEL_HOLD_S}" == FULL and len(held) > 2:
        draw(held)


def _no_room(count: int, held: list[Level]) -> str:
    """Why a level need not be tried; empty if it may."""
    if count > _MOST_SHARDS * PER_SHARD:
        return f"{count}: {_MOST_SHARDS} shards of {PER_SHARD} devices are as many as a cloud takes"
    if held:
        each = (held[-1].memory_mb + held[-1].memory["devices"]) / held[-1].asked
        room = held[-1].free_mb + each * held[-1].asked
        if each * count > room - _SPARE_MB:
            return f"{count}: memory: it would take {each * count:.0f} MB of {room:.0f}"
    return ""


def _level(count: int, slab: float) -> Level:
    seconds = float(LEVEL_HOLD_S or 60)
    with folder() as where, Cloud(where, count, beat_s=_BEAT_S) as cloud:
        crowd = Crowd(cloud, window=100, longest_s=seconds + 2 * _LONGEST_S)
        try:
            scenario = Scenario(cloud, crowd, seconds)
            return growth.hold(cloud, crowd, slab, lambda: [figure[:2] for figure in scenario.hold()])
        finally:
            crowd.close()


def _figures(level: Level) -> Iterator[Case]:
    what, n = f"most/{level.asked}", level.asked
    rate = f"{level.connected / level.connect_s:.0f} connections a second"
    yield Case(f"{what}/online", level.online, "devices, by the database", n, "higher", n, rate)
    yield Case(f"{what}/lost", level.lost, "connections lost", 0, "lower", n, str(level.reasons or ""))
    note = f"{level.beats_per_s:.0f} beats a second"
    yield Case(f"{what}/staleness_p99_s", level.staleness_p99_s, "s", 2, "lower", n, note)
    note = f"{_parts(level.memory, '.0f')}, kernel {level.kernel_mb:.0f} MB; {level.free_mb:.0f} MB left"
    yield Case(
        f"{what}/kb_per_device", 1000 * level.memory_mb / n, "kB, no simulator", None, "lower", n, note
    )
    note = f"{_parts(level.cores, '.2f')} cores; {100 * level.idle:.0f} % idle"
    yield Case(f"{what}/cores", level.cloud_cores, "cores, no simulator", None, "lower", n, note)


def _parts(values: dict[str, float], form: str) -> str:
    names = {"devices": "simulator"}
    return ", ".join(f"{names.get(part, part)} {value:{form}}" for part, value in values.items())


def _linear(held: list[Level]) -> Iterator[Case]:
    """What one more device costs in the upper half of the levels, against the lower half."""
    both = {"MB": [each.memory_mb for each in held], "cores": [each.cloud_cores for each in held]}
    first, middle, last = 0, len(held) // 2, len(held) - 1
    for unit, of in both.items():
        low = (of[middle] - of[first]) / (held[middle].asked - held[first].asked)
        high = (of[last] - of[middle]) / (held[last].asked - held[middle].asked)
        note = f"a device more, above {held[middle].asked} against below; a million more: {1e6 * high:.3g} {unit}"
        yield Case(f"most/linear_{unit.lower()}", high / low, "ratio", 1.25, "lower", len(held), note)


def draw(held: list[Level]) -> None:
    """Memory and processor time against devices."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    devices = [level.asked / 1000 for level in held]
    kernel = [level.kernel_mb / 1000 for level in held]
    panels = (
        ("memory, GB", [{part: mb / 1000 for part, mb in level.memory.items()} for level in held]),
        ("processor, cores", [level.cores for level in held]),
    )
    for place, (what, values) in enumerate(panels, 1):
        axes = figure.add_subplot(1, 2, place)
        lines = {part: [each[part] for each in values] for part in growth.PARTS}
        lines = ({"kernel": kernel} if place == 1 else {}) | lines
        simulator = lines.pop("devices")
        axes.stackplot(
            devices, *lines.values(), labels=list(lines), colors=[_COLOURS[part] for part in lines]
        )
        axes.plot(devices, simulator, "k:", label="simulator (apart)")
        axes.set(xlabel="thousand devices, each connected, a beat a minute", ylabel=what)
        axes.set(xlim=(0, None), ylim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend(loc="upper left")
    with atomic(PICTURE) as partial:
        figure.savefig(partial, format="png", dpi=110)


if __name__ == "__main__":
    main(cases)
