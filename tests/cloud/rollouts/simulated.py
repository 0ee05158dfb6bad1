"""A fleet without brokers: devices are pure functions of the wish they have, their answers go into the twin's table."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import insert, select, update

from cloud.database import Database, tables
from cloud.fleet.fleet import Fleet
from cloud.rollouts import Rollouts, Spec
from edge_runtime.messages import Desired, Release, Reported


def digest(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()


@dataclass(frozen=True)
class Bundle:
    name: str
    version: int
    target: str

    @property
    def path(self) -> str:
        return f"{self.name}/{self.version}/{self.target}.bundle"

    @property
    def sha256(self) -> str:
        return digest(self.path)

    bytes: int = 1000
    custom: Mapping[str, Any] = field(default_factory=dict)

    def release(self, key: str = "") -> Release:
        return Release(self.name, self.version, self.path, self.sha256, self.bytes, key)


class Shelf:
    """A repository in memory: `Repository.releases` and `withdraw`."""

    def __init__(self, *bundles: Bundle) -> None:
        self.bundles = list(bundles)

    def releases(self, name: str | None = None) -> list[Bundle]:
        return [each for each in self.bundles if name in (None, each.name)]

    def wrap(self, name: str, device: bytes) -> str:
        return f"{name} for {device.decode()}"

    def withdraw(self, name: str, version: int) -> None:
        self.bundles = [each for each in self.bundles if (each.name, each.version) != (name, version)]


@dataclass
class Node:
    """A device: what it runs, and what it does with a wish for a model that is not in `good`."""

    name: str
    target: str = "rpi4"
    model: str = ""
    v: int = 0
    online: bool = True
    bad: frozenset[str] = frozenset()  # digests of models that fail on it
    shadow: Mapping[str, Any] | None = None
    sent: list[Reported] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)  # every model that it has run

    def answer(self, wish: Desired) -> Reported:
        """Carry a wish out at once; an older one changes nothing."""
        if wish.v > self.v:
            self.v = wish.v
            wanted = wish.model.sha256 if wish.model else ""
            if wanted in self.bad:
                return self._say("reverted", "the probe failed")
            if wanted != self.model:
                self.seen.append(wanted)
            self.model = wanted
        return self._say("running")

    def _say(self, state: str, error: str = "") -> Reported:
        said = Reported(self.v, state, model=self.model, error=error, target=self.target, shadow=self.shadow)
        self.sent.append(said)
        return said


class World:
    """Database, fleet and rollouts, with devices and a clock that only `pass_` moves."""

    def __init__(
        self, url: str = "sqlite://", *, shelf: Shelf | None = None, database: Database | None = None
    ) -> None:
        self.database = database or Database(url)
        if database is None:
            tables.metadata.create_all(self.database.engine)
        self.now = 1_000_000.0
        self.shelf = shelf or Shelf(*(Bundle("kws", v, t) for v in (1, 2, 3) for t in ("rpi4", "x86-64")))
        self.nodes: dict[str, Node] = {}
        self.boot()

    def boot(self) -> None:
        """A new controller, which knows nothing but the database."""
        self.fleet = Fleet(self.database, clock=lambda: self.now)
        self.rollouts = Rollouts(self.database, self.fleet, self.shelf, pace=0)  # type: ignore[arg-type]

    def clear(self) -> None:
        with self.database.begin() as connection:
            for table in reversed(tables.metadata.sorted_tables):
                connection.execute(table.delete())

    def add(
        self, nodes: Iterable[Node], *, running: int | None = None, labels: Mapping[str, str] | None = None
    ) -> None:
        """Enrol devices; with `running` they have been told that version of "kws", and run it."""
        rows, twins = [], []
        for node in nodes:
            self.nodes[node.name] = node
            wish = None
            if running is not None:
                bundle = Bundle("kws", running, node.target)
                wish, node.model, node.v = Desired(1, bundle.release()), bundle.sha256, 1
            rows.append(
                {
                    "name": node.name,
                    "target": node.target,
                    "labels": dict(labels or {}),
                    "enrolled": self.now,
                    "online": node.online,
                }
            )
            twins.append(
                {
                    "device": node.name,
                    "desired": _json(wish) if wish else None,
                    "desired_v": node.v,
                    "reported_v": node.v,
                    "state": "running" if node.model else "",
                    "model": node.model,
                }
            )
        with self.database.begin() as connection:
            connection.execute(insert(tables.devices), rows)
            connection.execute(insert(tables.twins), twins)

    def connect(self, name: str, online: bool) -> None:
        self.nodes[name].online = online
        with self.database.begin() as connection:
            connection.execute(
                update(tables.devices).where(tables.devices.c.name == name).values(online=online)
            )

    def deliver(self, names: Iterable[str] | None = None) -> int:
        """Connected devices carry out what they shall be, and say so; how many had something to do."""
        wanted = self.wishes()
        done = 0
        for name in self.nodes if names is None else names:
            node, wish = self.nodes[name], wanted[name]
            if node.online and wish is not None and wish.v > node.v:
                self.hear(name, node.answer(wish))
                done += 1
        return done

    def hear(self, name: str, said: Reported) -> None:
        """What the controller does with a report: one that is older than what is known is not taken."""
        twins = tables.twins
        with self.database.begin() as connection:
            connection.execute(
                update(twins)
                .where(twins.c.device == name, twins.c.reported_v <= said.v)
                .values(
                    reported=_json(said),
                    reported_v=said.v,
                    reported_at=self.now,
                    state=said.state,
                    model=said.model,
                )
            )

    def stats(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Rows of (device, model, at, stats)."""
        with self.database.begin() as connection:
            connection.execute(insert(tables.stats), [dict(row) for row in rows])

    def wishes(self) -> dict[str, Desired | None]:
        query = select(tables.twins.c.device, tables.twins.c.desired)
        with self.database.read() as connection:
            return {d: Desired.read(w) if w else None for d, w in connection.execute(query)}

    def wanted(self) -> dict[str, int]:
        """The version that each device shall have; 0 for none."""
        return {d: w.model.version if w and w.model else 0 for d, w in self.wishes().items()}

    def told(self, version: int) -> list[str]:
        return sorted(name for name, v in self.wanted().items() if v == version)

    def pass_(self, seconds: float) -> None:
        self.now += seconds

    def tick(self) -> dict[str, Any]:
        return dict(self.rollouts.tick(self.now))

    def run(self, name: str, *, ticks: int = 100, seconds: float = 60) -> str:
        """Tick and deliver until it has ended; its state."""
        for _ in range(ticks):
            self.tick()
            self.deliver()
            self.pass_(seconds)
            if self.rollouts.get(name).ended is not None:
                break
        return self.rollouts.get(name).state

    def begin(self, spec: Spec) -> None:
        self.rollouts.create(spec, now=self.now)
        self.rollouts.start(spec.name, now=self.now)


def spec(**changes: Any) -> Spec:
    """A rollout of kws version 2 with short soaks."""
    base = Spec.read({"name": "r", "release": "kws", "version": 2, "soak_s": 120, "patience_s": 600})
    return replace(base, **changes)


def nodes(count: int, target: str = "rpi4", **more: Any) -> list[Node]:
    return [Node(f"{target}-{i:05d}", target, **more) for i in range(count)]


def _json(message: Any) -> Any:
    import json

    return json.loads(message.to_bytes())
