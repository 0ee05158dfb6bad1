"""One step of a rollout: a pure function of what it shall do, where it stands, what the fleet looks like, and the time.

The rules, in this order:

- a release that was withdrawn, or a gate that is breached, ends the advance: the rollout pauses, or (`automatic`)
  takes the release back from everybody whom it told;
- within a phase, devices are told up to what the phase allows of each target, and no more;
- a phase is over when all its devices have ended, or, after `patience_s`, a quorum of those that can be reached and at
  least one with success; when that has held for the phase's soak, the next one begins;
- a rollout that was aborted or taken back goes on giving devices back what they had until none is left.

Called again with the same picture, it decides the same: what is told is counted, not remembered.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from cloud.rollouts.picture import Count, Evidence, Picture
from cloud.rollouts.spec import MILLION, Spec, spread

PER_TICK = 5000  # devices told, or given back, in one step: one transaction of about a second
BACK = ("aborted", "rolled-back")


@dataclass(frozen=True, slots=True)
class State:
    """Where a rollout stands.

    Args:
        status: "draft", "running", "paused", "finished", "aborted" or "rolled-back".
        phase: the phase it is in, from 0.
        phase_began: seconds since 1970.
        settled: since when the phase's devices are done; None while they are not.
        reason: why it stands so, one sentence.
    """

    status: str
    phase: int = 0
    phase_began: float = 0.0
    settled: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and why.

    Args:
        state: the next one.
        tell: how many more devices of each target to tell.
        back: how many told devices to give back what they had.
        reasons: one sentence for each thing decided.
        alert: severity and text of what a person should look at; ("", "") when all is well.
    """

    state: State
    tell: Mapping[str, int] = field(default_factory=dict)
    back: int = 0
    reasons: tuple[str, ...] = ()
    alert: tuple[str, str] = ("", "")


def step(spec: Spec, state: State, picture: Picture, now: float) -> Decision:
    """Decide what happens next; see the module's rules."""
    if state.status in BACK:
        return _give_back(state, picture)
    if state.status != "running":
        return Decision(state)
    broken = [picture.gone] if picture.gone else list(breaches(spec, state.phase, picture))
    if broken:
        return _stop(spec, state, picture, broken)
    need = _need(spec, state.phase, picture)
    if need:
        return _tell(spec, state, picture, need)
    return _wait(spec, state, picture, now)


def breaches(spec: Spec, phase: int, picture: Picture) -> Iterator[str]:
    """Which gates do not hold, a sentence each."""
    planned = sum(allowed(spec, phase, picture.devices()).values())
    here, total = picture.of_phase(phase), picture.all()
    before = total.told - here.told
    yield from _success(spec, here, f"phase {phase + 1}", max(planned - before, here.told))
    if total.told > here.told:
        yield from _success(spec, total, "all phases", max(planned, total.told))
    for target, found in sorted(picture.evidence.items()):
        yield from _measured(spec, target, found)


def _success(spec: Spec, count: Count, where: str, planned: int) -> Iterator[str]:
    """A breach is certain as soon as more have failed than may, of all that the phase will tell."""
    gates = spec.gates
    may_ppm = MILLION - round(gates.min_success * MILLION)
    if count.failed * MILLION > may_ppm * planned:
        may = may_ppm * planned // MILLION
        yield f"{count.failed} of {planned} devices of {where} went back or failed; at most {may} may"
    if gates.max_failed is not None and count.failed > gates.max_failed:
        yield f"{count.failed} devices of {where} went back or failed; at most {gates.max_failed} may"


def _measured(spec: Spec, target: str, found: Evidence) -> Iterator[str]:
    gates, enough = spec.gates, spec.gates.samples
    if found.agree is not None and found.shadow >= enough and found.agree < gates.min_agree:
        yield (
            f"on {target} the new model agrees with the old one in {found.agree:.1%} of {found.shadow} answers; "
            f"at least {gates.min_agree:.1%} must"
        )
    if found.drop is not None and found.labelled >= enough and found.drop > gates.max_drop:
        yield (
            f"on {target} accuracy falls by {found.drop:.1%} over {found.labelled} labelled inputs; "
            f"at most {gates.max_drop:.1%} may"
        )
    if found.slower is not None and found.slower > gates.max_slower:
        yield (
            f"on {target} the new model's 95th percentile is {found.slower:.2f} times the old one's; "
            f"at most {gates.max_slower:g} times may be"
        )
    if found.errors is not None and found.inferences >= enough and found.errors > gates.max_errors:
        yield (
            f"on {target} {found.errors:.1%} of {found.inferences} inferences failed; "
            f"at most {gates.max_errors:.1%} may"
        )
    if found.drift is not None and found.inferences >= enough and found.drift > gates.max_drift:
        yield f"on {target} the drift is {found.drift:.2f}; at most {gates.max_drift:g} may be"


def allowed(spec: Spec, phase: int, devices: Mapping[str, int]) -> dict[str, int]:
    """How many of each target may have the release by the end of the phase; never fewer than in a phase before."""
    most = dict.fromkeys(devices, 0)
    for each in spec.phases[: phase + 1]:
        for target, n in each.allowed(devices).items():
            most[target] = max(most[target], n)
    return most


def _need(spec: Spec, phase: int, picture: Picture) -> dict[str, int]:
    """How many more of each target to tell to fill the phase."""
    most = allowed(spec, phase, picture.devices())
    need = {
        target: min(most[target] - picture.of_target(target).told, picture.waiting.get(target, 0))
        for target in most
    }
    return {target: n for target, n in need.items() if n > 0}


def _tell(spec: Spec, state: State, picture: Picture, need: Mapping[str, int]) -> Decision:
    total = picture.all()
    room = PER_TICK
    if spec.max_concurrent:
        room = min(room, spec.max_concurrent - (total.pending - total.away))
    name = f"phase {state.phase + 1} of {len(spec.phases)} ({spec.phases[state.phase]})"
    if room <= 0:
        reason = f"{name}: {total.pending - total.away} devices are under way, as many as may be at one time"
        return Decision(replace(state, settled=None, reason=reason))
    share = spread(room, need)
    if sum(share.values()) > room:  # more targets than room: the first by name begin
        share = dict.fromkeys(sorted(need)[:room], 1)
    tell = {target: n for target, n in share.items() if n}
    reason = f"{name}: {sum(tell.values())} devices told, {sum(need.values()) - sum(tell.values())} to follow"
    return Decision(replace(state, settled=None, reason=reason), tell, reasons=(reason,))


def _wait(spec: Spec, state: State, picture: Picture, now: float) -> Decision:
    phase = spec.phases[state.phase]
    name = f"phase {state.phase + 1} of {len(spec.phases)} ({phase})"
    here = picture.of_phase(state.phase)
    if not picture.all().told:
        held = f"; {picture.held} are in an earlier rollout's hands" if picture.held else ""
        return Decision(
            replace(state, settled=None, reason=f"no device is selected that lacks this release{held}")
        )
    late = now - max(picture.last_told, state.phase_began) >= spec.patience_s
    over, why = _over(spec, here, late=late)
    if not over:
        alert = ("warning", f"{name}: {why}") if late else ("", "")
        return Decision(replace(state, settled=None, reason=f"{name}: {why}"), alert=alert)
    # a later phase of a small fleet may have nobody of its own to tell: then there is nothing to soak
    soak = phase.soak_s if here.told else 0
    settled = now if state.settled is None else state.settled
    if now - settled < soak:
        reason = f"{name}: {why}; it must hold for {soak} s"
        return Decision(replace(state, settled=settled, reason=reason))
    short = _short(spec, picture)
    if short:
        return Decision(replace(state, settled=settled, reason=f"{name}: {short}"))
    return _advance(spec, replace(state, settled=settled), picture, f"{name}: {why}", now)


def _over(spec: Spec, here: Count, *, late: bool) -> tuple[bool, str]:
    """Whether the phase's devices have ended, and how that is said."""
    ended = here.done + here.failed
    if not here.pending:
        return True, f"all {here.told} devices have ended, {here.done} of them with success"
    reachable = here.told - here.away
    enough = ended >= spec.quorum * reachable and here.done >= 1
    # with fewer answers than planned, the gate must hold among those that came
    fair = here.done * MILLION >= round(spec.gates.min_success * MILLION) * ended
    if late and enough and fair:
        return True, f"{ended} of {reachable} devices within reach have ended, {here.away} are away"
    text = f"{ended} of {here.told} devices have ended, {here.away} are away"
    if late and not fair:
        return False, f"{text}, and too few of those that ended succeeded"
    return False, f"{text}; waiting for the others"


def _short(spec: Spec, picture: Picture) -> str:
    """Whether a target has measured too little to go on."""
    if not spec.gates.needed:
        return ""
    for target in sorted(picture.told):
        if picture.of_target(target).told:
            found = picture.evidence.get(target, Evidence())
            seen = max(found.shadow, found.labelled)
            if seen < spec.gates.needed:
                return f"{target} has {seen} samples of shadow or labels; {spec.gates.needed} are needed"
    return ""


def _advance(spec: Spec, state: State, picture: Picture, why: str, now: float) -> Decision:
    if state.phase + 1 < len(spec.phases):
        reason = f"{why}: phase {state.phase + 2} begins"
        return Decision(State("running", state.phase + 1, now, None, reason), reasons=(reason,))
    if picture.held:
        reason = f"{why}; waiting for {picture.held} devices that an earlier rollout has not finished with"
        return Decision(replace(state, reason=reason))
    if spec.follow:
        return Decision(replace(state, reason=f"{why}; devices that come later are told too"))
    reason = f"{why}: the rollout is finished"
    return Decision(replace(state, status="finished", reason=reason), reasons=(reason,))


def _stop(spec: Spec, state: State, picture: Picture, broken: list[str]) -> Decision:
    why = "; ".join(broken)
    if spec.automatic:
        reason = f"taken back: {why}"
        next_state = replace(state, status="rolled-back", settled=None, reason=reason)
        back = min(picture.all().told, PER_TICK)
        return Decision(next_state, back=back, reasons=(reason,), alert=("critical", reason))
    reason = f"paused: {why}"
    paused = replace(state, status="paused", settled=None, reason=reason)
    return Decision(paused, reasons=(reason,), alert=("critical", reason))


def _give_back(state: State, picture: Picture) -> Decision:
    return Decision(state, back=min(picture.all().told, PER_TICK))
