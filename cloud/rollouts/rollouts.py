"""The rollouts of a fleet: made, started, stopped by people; carried on by `tick`, one transaction a step.

Nothing is remembered outside the database: whoever calls `tick` next, after a kill -9 too, counts what is there and
goes on. A step that did not end has not begun.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from cloud import alerts
from cloud.audit import Audit
from cloud.database.tables import groups, rollouts
from cloud.fleet.selector import Selector
from cloud.rollouts import counting, telling
from cloud.rollouts.counting import Scope
from cloud.rollouts.picture import Picture
from cloud.rollouts.plan import Variant, first
from cloud.rollouts.spec import Spec
from cloud.rollouts.step import BACK, Decision, State, allowed, step
from cloud.rollouts.views import Plan, PlannedPhase, Progress, Rollout
from edge_runtime.errors import InputError, hint

if TYPE_CHECKING:
    from cloud.database import Database
    from cloud.fleet import Fleet
    from cloud.repository import Repository

__all__ = ["Plan", "Progress", "Rollout", "Rollouts"]

_EVIDENCE_S = 5.0  # how old measured evidence may be while nothing is decided by it


class Rollouts:
    """All rollouts of one database.

    Args:
        database: where they are.
        fleet: who tells devices.
        repository: where the releases are.
        pace: a step that found nothing to do is not made again before this many times what it took, so that looking at
            a large fleet once a second leaves the processor to others.
    """

    def __init__(
        self,
        database: "Database",
        fleet: "Fleet",
        repository: "Repository",
        *,
        pace: float = 4.0,
    ) -> None:
        self._database, self._fleet, self._repository = database, fleet, repository
        self._pace, self._due = pace, dict[str, float]()
        self._audit = Audit(database)
        self._evidence: dict[str, tuple[float, int, Any]] = {}

    # ------------------------------------------------------------------ what people do
    def create(self, spec: Spec, actor: str = "operator", *, now: float | None = None) -> Rollout:
        """Write a rollout down, as a draft.

        Raises:
            InputError: there is another of that name, its release is not in the repository, or its selector is wrong.
        """
        at = time.time() if now is None else now
        if not self._variants(spec):
            raise InputError(self._gone(spec))
        with self._database.begin() as connection:
            self._selected(connection, spec)
            if self._row(connection, spec.name) is not None:
                raise InputError(f"there is a rollout {spec.name!r} already; give this one another name")
            try:
                connection.execute(
                    insert(rollouts).values(name=spec.name, spec=spec.to_json(), state="draft", created=at)
                )
            except IntegrityError as error:
                raise InputError(f"there is a rollout {spec.name!r} already") from error
            self._audit.add(connection, actor, "rollout.create", spec.name, spec.to_json(), at=at)
        return self.get(spec.name)

    def start(self, name: str, actor: str = "operator", *, now: float | None = None) -> Rollout:
        """Begin a draft; a rollout that runs already stays as it is. Raises InputError where it has ended."""
        return self._move(name, "start", {"draft": "running"}, "running", actor, now)

    def pause(
        self, name: str, actor: str = "operator", reason: str = "", *, now: float | None = None
    ) -> Rollout:
        """Tell nobody more; who was told goes on. Raises InputError where it does not run."""
        return self._move(name, "pause", {"running": "paused"}, "paused", actor, now, reason)

    def resume(self, name: str, actor: str = "operator", *, now: float | None = None) -> Rollout:
        """Go on after a pause; a gate that is still breached pauses it again. Raises InputError where it has ended."""
        return self._move(name, "resume", {"paused": "running"}, "running", actor, now)

    def abort(
        self, name: str, actor: str = "operator", reason: str = "", *, now: float | None = None
    ) -> Rollout:
        """End it before it is finished; every device that was told gets back what it had.

        Raises:
            InputError: it is finished, or was ended otherwise.
        """
        moves = dict.fromkeys(("draft", "running", "paused"), "aborted")
        return self._move(name, "abort", moves, "aborted", actor, now, reason)

    def rollback(
        self, name: str, actor: str = "operator", reason: str = "", *, now: float | None = None
    ) -> Rollout:
        """Take the release back from every device that was told, also after the rollout has finished.

        Raises:
            InputError: it never began, or was aborted.
        """
        moves = dict.fromkeys(("running", "paused", "finished"), "rolled-back")
        return self._move(name, "rollback", moves, "rolled-back", actor, now, reason)

    def finish(
        self, name: str, actor: str = "operator", reason: str = "", *, now: float | None = None
    ) -> Rollout:
        """End it where it stands: who was told keeps the release, nobody more is told. Raises InputError as `abort`."""
        moves = dict.fromkeys(("running", "paused"), "finished")
        return self._move(name, "finish", moves, "finished", actor, now, reason)

    def list(self) -> Sequence[Rollout]:
        """All of them, the newest first."""
        with self._database.read() as connection:
            query = select(rollouts).order_by(rollouts.c.created.desc(), rollouts.c.name)
            return [_rollout(row) for row in connection.execute(query)]

    def get(self, name: str) -> Rollout:
        """One of them; raises InputError where there is none of that name."""
        with self._database.read() as connection:
            return _rollout(self._found(connection, name))

    # ------------------------------------------------------------------ what there is to see
    def dry_run(self, spec: Spec) -> Plan:
        """What it would do, without doing it: devices by phase and target, who goes first, who is left out.

        Raises:
            InputError: the release is not in the repository, or the selector is wrong.
        """
        variants = self._variants(spec)
        if not variants:
            raise InputError(self._gone(spec))
        with self._database.read() as connection:
            scope = self._scope(connection, spec, variants)
            waiting = counting.waiting(connection, scope)
            most = [allowed(spec, number, waiting) for number in range(len(spec.phases))]
            canaries = {
                target: first(spec.name, counting.candidates(connection, scope, target), n)
                for target, n in most[0].items()
            }
            out = counting.left_out(connection, scope)
        phases = tuple(
            PlannedPhase(str(phase), count, sum(count.values()), phase.soak_s)
            for phase, count in zip(spec.phases, most, strict=True)
        )
        moved = sum(variants[target].bytes * n for target, n in most[-1].items())
        return Plan(spec, waiting, phases, canaries, out, {t: v.path for t, v in variants.items()}, moved)

    def progress(self, name: str) -> Progress:
        """How far it is: counts by target and phase, what was measured, who is left out.

        Raises:
            InputError: there is no rollout of that name.
        """
        with self._database.read() as connection:
            found = _rollout(self._found(connection, name))
            variants = self._variants(found.spec)
            scope = self._scope(connection, found.spec, variants)
            picture = self._picture(connection, scope, found, time.time(), fresh=True)
            out, back = counting.left_out(connection, scope), telling.returned(connection, scope)
        return Progress(found, picture, allowed(found.spec, found.phase, picture.devices()), out, *back)

    def devices(self, name: str, *, after: str = "", limit: int = 100) -> Sequence[dict[str, Any]]:
        """The devices that a rollout told, by name: phase, when, and where they stand."""
        with self._database.read() as connection:
            return telling.told_devices(connection, _rollout(self._found(connection, name)), after, limit)

    # ------------------------------------------------------------------ what goes by itself
    def tick(self, now: float | None = None) -> "dict[str, Decision]":
        """Carry every rollout that is under way one step on; what was decided, by name."""
        at = time.time() if now is None else now
        query = select(rollouts.c.name).where(
            rollouts.c.ended.is_(None), rollouts.c.state.in_(("running", *BACK))
        )
        with self._database.read() as connection:
            names = sorted(connection.scalars(query))
        due = [name for name in names if time.monotonic() >= self._due.get(name, 0.0)]
        return {name: self._paced(name, at) for name in due}

    def _paced(self, name: str, now: float) -> Decision:
        began = time.monotonic()
        decision = self._step(name, now)
        ended = time.monotonic()
        busy = bool(decision.tell or decision.back)
        self._due[name] = ended if busy else ended + self._pace * (ended - began)
        return decision

    def _step(self, name: str, now: float) -> Decision:
        with self._database.begin() as connection:
            found = _rollout(self._found(connection, name, lock=True))
            state = _state(found)
            scope = self._scope(connection, found.spec, self._variants(found.spec))
            picture = self._picture(connection, scope, found, now)
            decision = step(found.spec, state, picture, now)
            if (decision.state.status, decision.state.phase) != (state.status, state.phase):
                # nothing is decided by evidence that is seconds old
                picture = self._picture(connection, scope, found, now, fresh=True)
                decision = step(found.spec, state, picture, now)
            self._carry_out(connection, scope, found, decision, now)
        return decision

    def _carry_out(
        self, connection: Connection, scope: Scope, found: Rollout, decision: Decision, now: float
    ) -> None:
        name, state, wrap = found.name, decision.state, self._repository.wrap
        if decision.tell:
            told = telling.tell(connection, self._fleet, scope, state.phase, decision.tell, now, wrap)
            detail = {
                "phase": state.phase,
                "devices": told,
                "release": f"{scope.spec.release}/{scope.spec.version}",
            }
            self._audit.add(connection, "rollouts", "rollout.tell", name, detail, at=now)
        kept = ""
        if decision.back:
            known = {each.sha256: each for each in self._repository.releases()}
            given, kept = telling.give_back(connection, self._fleet, scope, known, decision.back, now, wrap)
            self._audit.add(connection, "rollouts", "rollout.restore", name, {"devices": given}, at=now)
            if kept:
                state = replace(state, reason=f"{state.reason}; {kept}"[:2000])
                alerts.raise_(connection, "critical", f"rollout/{name}/kept", kept, at=now)
        if (state.status, state.phase) != (found.state, found.phase):
            detail = {"state": state.status, "phase": state.phase, "reason": state.reason}
            self._audit.add(connection, "rollouts", f"rollout.{state.status}", name, detail, at=now)
        severity, sentence = decision.alert
        if severity:
            alerts.raise_(connection, severity, f"rollout/{name}", f"rollout {name}: {sentence}", at=now)
        elif state.status in ("running", "finished"):
            alerts.end(connection, f"rollout/{name}", at=now)
        ended = found.ended
        if state.status == "finished" or (state.status in BACK and not telling.remaining(connection, scope)):
            ended = now
            self._evidence.pop(name, None)
        connection.execute(
            update(rollouts)
            .where(rollouts.c.name == name)
            .values(
                state=state.status,
                phase=state.phase,
                phase_began=state.phase_began,
                settled=state.settled,
                reason=state.reason,
                ended=ended,
            )
        )

    # ------------------------------------------------------------------ parts
    def _move(
        self,
        name: str,
        action: str,
        moves: Mapping[str, str],
        already: str,
        actor: str,
        now: float | None,
        reason: str = "",
    ) -> Rollout:
        """Change the state by hand; what stands there already is no error, so that a request may come twice."""
        at = time.time() if now is None else now
        with self._database.begin() as connection:
            found = _rollout(self._found(connection, name, lock=True))
            if found.state == already:
                return found
            if found.state not in moves:
                raise InputError(
                    f"rollout {name!r} is {found.state}; {action} takes one that is {' or '.join(moves)}"
                )
            values: dict[str, Any] = {
                "state": moves[found.state],
                "settled": None,
                "reason": f"{moves[found.state]} by {actor}" + (f": {reason}" if reason else ""),
            }
            if action == "start":
                values["phase_began"] = at
            if moves[found.state] in BACK:
                values["ended"] = None  # until every device has got back what it had
            if action == "finish":
                values["ended"] = at
            connection.execute(update(rollouts).where(rollouts.c.name == name).values(**values))
            if action in ("resume", "abort", "rollback", "finish"):
                alerts.end(connection, f"rollout/{name}", at=at)
            self._audit.add(connection, actor, f"rollout.{action}", name, {"reason": reason}, at=at)
        return self.get(name)

    def _picture(
        self, connection: Connection, scope: Scope, found: Rollout, now: float, *, fresh: bool = False
    ) -> Picture:
        told, last = counting.told(connection, scope)
        if found.state in BACK:
            return Picture(told=told, last_told=last)
        kept = self._evidence.get(found.name)
        # the clock of a test may stand still, or jump: only what is of this phase and just measured is taken again
        if fresh or kept is None or kept[1] != found.phase or not 0 <= now - kept[0] < _EVIDENCE_S:
            measured = counting.evidence(connection, scope, found.phase, found.created) if told else {}
            kept = self._evidence[found.name] = (now, found.phase, measured)
        waiting, held = counting.waiting(connection, scope), counting.held(connection, scope)
        gone = "" if scope.variants else self._gone(found.spec)
        return Picture(waiting, told, kept[2], held, last, gone)

    def _variants(self, spec: Spec) -> dict[str, Variant]:
        """The release's bundles that the repository gives out, by target."""
        found = self._repository.releases(spec.release)
        return {each.target: each for each in found if each.version == spec.version}

    def _gone(self, spec: Spec) -> str:
        known = sorted({each.version for each in self._repository.releases(spec.release)})
        if known:
            text = ", ".join(map(str, known))
            return f"the repository does not give out {spec.release} version {spec.version}; it has {text}"
        near = hint(spec.release, {each.name for each in self._repository.releases()})
        return f"the repository has no model {spec.release!r}{near}"

    def _scope(self, connection: Connection, spec: Spec, variants: Mapping[str, Variant]) -> Scope:
        others, earlier = counting.others(connection, spec.name)
        return Scope(spec, variants, self._selected(connection, spec), others, earlier)

    def _selected(self, connection: Connection, spec: Spec) -> Any:
        known = dict(connection.execute(select(groups.c.name, groups.c.selector)).all())
        return Selector.parse(spec.selector).expand(known).where()

    def _row(self, connection: Connection, name: str, *, lock: bool = False) -> "Row[Any] | None":
        query = select(rollouts).where(rollouts.c.name == name)
        return connection.execute(query.with_for_update() if lock else query).first()

    def _found(self, connection: Connection, name: str, *, lock: bool = False) -> "Row[Any]":
        row = self._row(connection, name, lock=lock)
        if row is None:
            near = hint(name, connection.scalars(select(rollouts.c.name)))
            raise InputError(f"no rollout {name!r}{near}; 'littoral rollout list' shows them")
        return row


def _rollout(row: "Row[Any]") -> Rollout:
    fields = dict(row._mapping)
    return Rollout(**fields | {"spec": Spec.read(fields["spec"])})


def _state(found: Rollout) -> State:
    return State(found.state, found.phase, found.phase_began, found.settled, found.reason)
