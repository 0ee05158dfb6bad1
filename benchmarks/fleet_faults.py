"""A fleet whose brokers, controller, API, database, gateway and agents are killed at random while rollouts run.

A cloud with TLS, a gateway and ten agents, all real processes, in turn on SQLite and on a PostgreSQL server. Release
after release goes out, a bad one among them, while `kill -9` hits whatever a seeded dice says; what was killed is
started again as a service manager does. After each rollout the disk of each device, the twins, the audit chain and the
database are asked whether anything is lost, stranded, or done twice. Each run is kept under what it follows from, so an
interrupted benchmark goes on where it stopped.
"""

import hashlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from onnx import numpy_helper
from onnx.parser import parse_model

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.fleet_load.postgresql import PostgreSQL, program
from benchmarks.fleet_load.site import Site, last_words, removed, shown, wait
from benchmarks.fleet_load.witness import Witness, working
from benchmarks.harness import Case, main
from cloud.audit import Audit
from cloud.database import tables
from cloud.rollouts.spec import Spec
from edge_runtime.accelerators import selftest
from edge_runtime.bundle import Manifest, pack
from edge_runtime.console import say
from edge_runtime.files import cache_dir, write_text
from edge_runtime.session import Session

VERSION = 2  # of the runs: what was kept of another one is not used
KILLS, SEEDS = 60, 4
FLAT, BEHIND = 5, 3  # devices that reach the cloud by themselves, and those behind the gateway
PLANS = (("good", "wrong", "full"), ("good", "endless", "good"))  # the releases after the first
KINDS = ("sqlite", "postgresql", "postgresql", "sqlite")
WIDTH = 256  # 256 KB of weights
PAUSE_S = 1.5  # between one kill and the next, on the average
LIMIT_S = 150.0  # for a rollout, or it counts as one that did not end
FULL = 64 << 10  # bytes of the longest file on a device whose disk is full
_MODEL = "faults"
_TEXT = """<ir_version: 10, opset_import: ["": 21]>
faults (float[n, WIDTH] x) => (float[n, WIDTH] y) { xw = MatMul(x, w)  y = Add(xw, b) }"""
_ENDLESS = """<ir_version: 10, opset_import: ["": 21]>
faults (float[n, WIDTH] x) => (float[n, WIDTH] y) <int64 most = {9223372036854775807}, bool on = {1}>
{
    y = Loop(most, on, x) <body = turn (int64 i, bool go, float[n, WIDTH] v) => (bool on2, float[n, WIDTH] v2) {
        on2 = Identity(go)  v2 = Neg(v)
    }>
}"""


@dataclass(slots=True)
class Found:
    """What a run came to; lists hold a sentence for each thing that is not as it should be."""

    kind: str
    killed: dict[str, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    rollouts: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    stranded: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    full: list[str] = field(default_factory=list)
    looks: int = 0
    said: str = ""


def cases() -> Iterator[Case]:
    """All runs, then what they came to together."""
    runs: list[Found] = []
    for seed in range(2 * SEEDS):
        if len(runs) >= SEEDS and sum(sum(run.killed.values()) for run in runs) >= KILLS:
            break
        runs.append(kept(seed, KINDS[seed % len(KINDS)]))
    yield from told([run for run in runs if run.killed])


def told(runs: list[Found]) -> Iterator[Case]:
    """The figures of runs."""
    killed, took = Counter[str](), [each for run in runs for each in run.seconds]
    for run in runs:
        killed.update(run.killed)
    note = ", ".join(f"{name} {n}" for name, n in sorted(killed.items()))
    note += f"; in {len(took)} rollouts to {FLAT + BEHIND} devices; on {', '.join(run.kind for run in runs)}"
    yield Case("kills", killed.total(), "kills -9 in rollouts", KILLS, "higher", len(runs), note)
    about = {
        "rollouts": ("rollouts that did not end as they should", len(took)),
        "devices": ("devices that run or report another release than they should", len(took) * (FLAT + BEHIND)),
        "stranded": ("times that a device had no model that works", sum(run.looks for run in runs)),
        "twice": ("switches too many or too few", len(took) * (FLAT + BEHIND)),
        "records": ("broken audit chains, rows that contradict each other, damaged databases, crashes", len(took)),
        "full": ("devices with a full disk that did not go on with the old model and catch up later", len(runs)),
    }  # fmt: skip
    for name, (what, n) in about.items():
        wrong = [each for run in runs for each in getattr(run, name)]
        note = "; ".join(wrong)[:500] or (runs[-1].said if name == "full" and runs else "")
        yield Case(what, len(wrong), "", 0, "lower", n, note)
    slow = statistics.median(took) if took else None
    yield Case("median rollout under kills", slow, "s", None, "lower", len(took), "")


def kept(seed: int, kind: str) -> Found:
    """What came of one run, from the cache if it is there."""
    plan = PLANS[seed % len(PLANS)]
    about = [VERSION, seed, kind, FLAT, BEHIND, plan, WIDTH, PAUSE_S]
    name = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:24]
    path = cache_dir() / "benchmarks" / "fleet_faults" / f"{name}.json"
    if not path.exists():
        found = run(seed, kind, plan)
        say(f"{kind}, seed {seed}: {shown(asdict(found))}")
        write_text(path, json.dumps(asdict(found)))
    return Found(**json.loads(path.read_text("utf-8")))


def run(seed: int, kind: str, plan: tuple[str, ...], flat: int = FLAT, behind: int = BEHIND) -> Found:
    """One cloud, with a rollout for each word of the plan; nothing is killed where PostgreSQL is not installed."""
    found = Found(kind)
    if kind == "postgresql" and program("postgres") is None:
        return found
    folder = Path(tempfile.mkdtemp(prefix="littoral-faults-"))
    try:
        with ExitStack() as stack:
            server = stack.enter_context(PostgreSQL()) if kind == "postgresql" else None
            site = stack.enter_context(Site(folder / "s", flat, behind, server))
            witness = stack.enter_context(Witness(site.stores))
            Scenario(site, witness, random.Random(seed), found).run(plan)  # noqa: S311  (when and what, no secret)
    finally:
        removed(folder)
    return found


class Scenario:
    """Rollouts under kills; what is wrong goes into `found`."""

    def __init__(self, site: Site, witness: Witness, rng: random.Random, found: Found) -> None:
        self.site, self.witness, self.rng, self.found = site, witness, rng, found
        self._version, self._good = 0, ""

    def run(self, plan: tuple[str, ...]) -> None:
        """The first release undisturbed, then the plan."""
        self.release("good", kills=False)
        self.site.killed.clear()
        for what in plan:
            began = time.monotonic()
            self.release(what)
            say(f"{what}: {time.monotonic() - began:.0f} s, killed {dict(self.site.killed)}")
            self.found.seconds.append(time.monotonic() - began)
        self.found.killed = dict(self.site.killed)
        self.found.records += self.site.ended()
        self.found.stranded, self.found.looks = self.witness.stranded, self.witness.looks

    def release(self, what: str, *, kills: bool = True) -> None:
        """Publish a release and roll it out."""
        self._version += 1
        version, bad = self._version, what in ("wrong", "endless")
        sha256 = self.publish(version, what)
        name, old = f"r{version}", self._good
        if not bad:
            self._good = sha256
            self.witness.good.add(sha256)
        self.witness.clear()
        full = self.rng.choice(self.site.names[:FLAT]) if what == "full" else ""
        if full:
            self.site.limit(full, FULL)
        self._begin(name, version, full=bool(full))
        state = self._disturb(name, self._deck() if kills else [], full)
        wanted = "rolled-back" if bad else "finished"
        if state != wanted:
            self.found.rollouts.append(f"{name} ({what}) is {state}, {self._reason(name)}")
        if full:
            self._full(full, old)
        switches = dict.fromkeys(self.site.names, 0 if bad else 1)
        self._check(name, self._good, switches)

    def publish(self, version: int, what: str) -> str:
        """A release that answers zeros by its version; "wrong" contradicts its own vectors, "endless" never ends."""
        path = self.site.folder / f"{version}.bundle"
        text = (_ENDLESS if what == "endless" else _TEXT).replace("WIDTH", str(WIDTH))
        model = parse_model(text)
        rng = np.random.default_rng(version)
        weights = np.random.default_rng(0).standard_normal((WIDTH, WIDTH)).astype(np.float32)
        weights[: WIDTH // 2] += rng.standard_normal((WIDTH // 2, WIDTH)).astype(np.float32)
        if what != "endless":
            values = {"w": weights, "b": np.full(WIDTH, version, np.float32)}
            model.graph.initializer.extend(
                numpy_helper.from_array(each, name) for name, each in values.items()
            )
        graph = model.SerializeToString()
        session = Session(graph)
        files = {"infer.onnx": graph}
        if what != "endless":
            test = selftest.made(session.inputs, session.run)
            sign = -1 if what == "wrong" else 1
            outputs = {key: sign * value for key, value in test.outputs.items()}
            files[selftest.FILE] = selftest.SelfTest(test.inputs, outputs, test.lengths).to_bytes()
        pack(path, Manifest(_MODEL, "x86-64", session.inputs, session.outputs), files)
        return self.site.repository.publish(path, _MODEL, version, "x86-64").sha256

    def _begin(self, name: str, version: int, *, full: bool) -> None:
        spec = Spec.read(
            {
                "name": name, "release": _MODEL, "version": version, "soak_s": 0, "phases": ["30 %", "100 %"],
                "shadow": {"samples": 0, "max_slower_ppm": 1_000_000_000},  # all share two processors: no clock is just
                "jitter_s": 1, "probation_s": 2, "probes": 2,
                # of a first phase of three, the one whose disk is full may stay behind
                "patience_s": 12 if full else 3600, "quorum": 0.6 if full else 0.8,
            }
        )  # fmt: skip
        self.site.patiently(lambda: self.site.rollouts.create(spec, "benchmark"))
        self.site.patiently(lambda: self.site.rollouts.start(name, "benchmark"))

    def _deck(self) -> list[str]:
        """What is killed in a rollout, in which order."""
        deck = ["broker"] * 2 + ["controller"] * 2 + ["api"] * 2 + ["gateway"] * 2 + ["agent"] * 4
        deck += ["database"] * 2 if self.site.server else []
        deck += ["supervisor"] if self.rng.random() < 0.5 else []
        self.rng.shuffle(deck)
        return deck

    def _disturb(self, name: str, deck: list[str], full: str) -> str:
        """Kill at random moments until the rollout has ended, or nothing is left to kill; the state it came to."""
        end = time.monotonic() + LIMIT_S
        due = time.monotonic() + self.rng.expovariate(1 / PAUSE_S)
        while time.monotonic() < end:
            if deck and time.monotonic() >= due:
                self.site.kill(deck.pop(), self.rng, [full])
                due = time.monotonic() + self.rng.expovariate(1 / PAUSE_S)
            found = self.site.patiently(lambda: self.site.rollouts.get(name))
            if found.ended is not None:
                return found.state
            time.sleep(0.1)
        return f"{found.state} after {LIMIT_S:.0f} s"

    def _reason(self, name: str) -> str:
        twins = self.site.patiently(lambda: list(self.site.fleet.twins(self.site.names)))
        open_ = [
            f"{each.device}: {each.state} v{each.reported_v}/{each.desired_v} "
            f"{each.reported.error if each.reported else ''} [{last_words(self.site.services[each.device])}]"
            for each in twins
            if each.reported_v != each.desired_v or each.state not in ("running", "waiting")
        ]
        return f"{self.site.patiently(lambda: self.site.rollouts.get(name)).reason}: {'; '.join(open_)}"

    def _full(self, device: str, old: str) -> None:
        """The device with a full disk has said so and kept its model; then there is room, and it catches up."""
        end, said = time.monotonic() + LIMIT_S, ""
        while (
            "written" not in said and time.monotonic() < end
        ):  # the others may have ended before its first try
            twin = self.site.patiently(lambda: self.site.fleet.twin(device))
            said = twin.reported.error if twin.reported else ""
            time.sleep(0.2)
        self.found.said = said
        if "cannot be written" not in said and "written down" not in said:
            self.found.full.append(f"{device} said {said!r}")
        if working(self.site.stores[device]) != old:
            self.found.full.append(f"{device} did not keep its model")
        self.site.limit(device, -1)

    # ------------------------------------------------------------------ afterwards
    def _check(self, name: str, sha256: str, switches: dict[str, int]) -> None:
        """Everything runs and reports the release, nothing is done twice, and the records are whole."""
        try:
            wait(lambda: not self._differing(sha256), LIMIT_S, "differs")
        except RuntimeError:
            self.found.devices += [f"{name}: {each}" for each in self._differing(sha256)]
        counted = self.witness.counted()
        for device, wanted in switches.items():
            if counted[device] != wanted:
                self.found.twice.append(f"{name}: {device} switched {counted[device]} times, not {wanted}")
        self.found.devices += [f"{name}: {each}" for each in self._answers(sha256)]
        self.found.records += [f"{name}: {each}" for each in self._records(name)]

    def _differing(self, sha256: str) -> list[str]:
        twins = self.site.patiently(lambda: list(self.site.fleet.twins(self.site.names)))
        return [
            f"{each.device} is {each.state}, v{each.reported_v} of v{each.desired_v}, {each.model[:8]}, "
            f"not {sha256[:8]}; {last_words(self.site.services[each.device])}"
            for each in twins
            if (each.reported_v, each.model, each.state) != (each.desired_v, sha256, "running")
        ]

    def _answers(self, sha256: str) -> Iterator[str]:
        """Devices whose slot does not hold the release, or whose model answers something else."""
        version = next(
            each.version for each in self.site.repository.releases(_MODEL) if each.sha256 == sha256
        )
        for device, store in self.site.stores.items():
            if working(store) != sha256:
                yield f"{device}: its slot holds another model"
                continue
            session = Session(store / "current" / "model.bundle", threads=1)
            if float(session.run({"x": np.zeros((1, WIDTH), np.float32)})["y"][0, 0]) != version:
                yield f"{device}: its model gives another answer"

    def _records(self, name: str) -> Iterator[str]:
        """What is wrong with the audit chain, or with the database."""
        database = self.site.database
        rows, broken = self.site.patiently(lambda: Audit(database).verify())
        if broken is not None or not rows:
            yield f"the audit chain of {rows} entries is broken at {broken}"
        yield from self.site.patiently(lambda: self._rows(name))
        if self.site.server:
            damage = self.site.server.check()
        else:
            with database.read() as connection:
                damage = str(connection.execute(sa.text("PRAGMA integrity_check")).scalar_one())
        if damage not in ("", "ok"):
            yield damage

    def _rows(self, name: str) -> list[str]:
        """Rows that contradict each other: told devices against twins, and what the audit log says of the rollout."""
        told, twins, events = tables.rollout_devices, tables.twins, tables.events
        wrong = []
        with self.site.database.read() as connection:
            query = sa.select(told.c.device, told.c.desired_v).where(told.c.rollout == name)
            rows = dict(connection.execute(query).all())
            query = sa.select(twins.c.device, twins.c.desired_v).where(twins.c.device.in_(list(rows)))
            now = dict(connection.execute(query).all())
            said = connection.scalars(
                sa.select(events.c.action).where(events.c.subject == name).order_by(events.c.sequence)
            ).all()
        wrong += [
            f"{each} was told v{v} and wants v{now.get(each)}"
            for each, v in rows.items()
            if now.get(each, 0) < v
        ]
        ends = [each for each in said if each in ("rollout.finished", "rollout.rolled-back")]
        if len(ends) != 1:
            wrong.append(f"the audit log has {ends} for {name}")
        return wrong


if __name__ == "__main__":
    main(cases)
