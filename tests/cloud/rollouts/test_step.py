"""The step as a pure function: pictures are drawn, nothing else is there."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.rollouts import Gates, Phase, State, step
from cloud.rollouts.picture import Count, Evidence, Picture
from cloud.rollouts.spec import MILLION, spread
from cloud.rollouts.step import PER_TICK, allowed, breaches
from tests.cloud.rollouts.simulated import spec

RUNNING = State("running", 0, 1000.0)
TARGETS = ("a", "b", "c")


@st.composite
def counts(draw):
    told = draw(st.integers(0, 300))
    done = draw(st.integers(0, told))
    failed = draw(st.integers(0, told - done))
    return Count(told, done, failed, draw(st.integers(0, told - done - failed)))


@st.composite
def pictures(draw):
    targets = draw(st.lists(st.sampled_from(TARGETS), unique=True))
    share = st.none() | st.floats(0, 1)
    measured = st.builds(
        Evidence, st.integers(0, 200), share, st.integers(0, 200), share, st.none() | st.floats(0, 4)
    )
    return Picture(
        {target: draw(st.integers(0, 9000)) for target in targets},
        {target: draw(st.dictionaries(st.integers(0, 2), counts(), max_size=3)) for target in targets},
        {target: draw(measured) for target in targets},
        last_told=draw(st.floats(0, 5000)),
        gone=draw(st.sampled_from(["", "", "", "it was withdrawn"])),
    )


SPECS = st.builds(
    spec,
    phases=st.lists(
        st.sampled_from(
            [Phase(count=1), Phase(share_ppm=1), Phase(share_ppm=300_000), Phase(share_ppm=MILLION)]
        ),
        min_size=1,
        max_size=3,
        unique=True,
    ).map(lambda found: tuple(sorted(found, key=lambda each: each.share_ppm))),
    gates=st.builds(Gates, st.floats(0, 1), st.none() | st.integers(0, 5)),
    max_concurrent=st.sampled_from([0, 1, 50]),
    quorum=st.sampled_from([0.1, 0.9, 1.0]),
    automatic=st.booleans(),
)


@given(SPECS, pictures(), st.integers(0, 2), st.floats(1000, 10_000))
def test_what_no_step_may_do(given_spec, picture, phase, now):
    phase = min(phase, len(given_spec.phases) - 1)
    before = replace(RUNNING, phase=phase)
    decision = step(given_spec, before, picture, now)
    assert decision == step(given_spec, before, picture, now)
    after = decision.state
    most = allowed(given_spec, phase, picture.devices())
    for target, more in decision.tell.items():
        assert 0 < more <= picture.waiting[target]
        assert picture.of_target(target).told + more <= most[target]
    assert sum(decision.tell.values()) <= PER_TICK
    if given_spec.max_concurrent:
        under_way = picture.all().pending - picture.all().away
        assert not decision.tell or under_way + sum(decision.tell.values()) <= given_spec.max_concurrent
    assert after.phase in (phase, phase + 1)
    if picture.gone or list(breaches(given_spec, phase, picture)):
        assert (after.phase, after.status) == (phase, "rolled-back" if given_spec.automatic else "paused")
        assert not decision.tell
        assert after.reason
    elif after.phase > phase or after.status == "finished":
        here = picture.of_phase(phase)
        assert not decision.tell
        assert (
            not here.told
            or here.done >= 1
            or given_spec.gates.min_success <= 1 - here.failed / here.told + 1e-9
        )
        assert picture.all().told
    if after.status == "running" and after.phase == phase:
        assert after.reason


@pytest.mark.parametrize("status", ["draft", "paused", "finished"])
@given(pictures())
def test_a_rollout_that_does_not_run_does_nothing(status, picture):
    decision = step(spec(), replace(RUNNING, status=status), picture, 2000.0)
    assert (decision.tell, decision.back, decision.state.status) == ({}, 0, status)


@given(st.integers(1, 10_000), st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3000), min_size=1))
def test_spread_is_fair_and_never_more_than_there_are(count, devices):
    found = spread(count, devices)
    total = sum(devices.values())
    assert all(min(n, 1) <= found[target] <= n for target, n in devices.items())
    assert sum(found.values()) == max(min(count, total), sum(min(n, 1) for n in devices.values()))
    assert found == spread(count, dict(reversed(devices.items())))


@given(st.dictionaries(st.sampled_from("abc"), st.integers(0, 5000)), SPECS)
def test_phases_only_widen(devices, given_spec):
    before = dict.fromkeys(devices, 0)
    for number in range(len(given_spec.phases)):
        most = allowed(given_spec, number, devices)
        assert all(before[target] <= most[target] <= devices[target] for target in devices)
        before = most


def test_a_breach_is_known_before_all_have_ended():
    one = spec(gates=Gates(min_success=0.9), phases=(Phase(share_ppm=100_000), Phase(share_ppm=MILLION)))
    picture = Picture({"a": 900}, {"a": {0: Count(100, 0, 10)}})
    assert step(one, RUNNING, picture, 1001.0).state.status == "running"
    worse = replace(picture, told={"a": {0: Count(100, 0, 11)}})
    assert "11 of 100 devices of phase 1 went back or failed; at most 10 may" in next(breaches(one, 0, worse))


def test_a_quorum_that_fails_among_those_who_answered_does_not_pass():
    one = spec(phases=(Phase(share_ppm=100_000, soak_s=0), Phase(share_ppm=MILLION)))
    few = Picture({"a": 900}, {"a": {0: Count(100, 40, 5, 55)}}, last_told=1000.0)
    decision = step(one, RUNNING, few, 9000.0)
    assert decision.state.phase == 0
    assert "too few of those that ended succeeded" in decision.state.reason
    good = replace(few, told={"a": {0: Count(100, 45, 0, 55)}})
    assert step(one, RUNNING, good, 9000.0).state.phase == 1
    assert step(one, RUNNING, good, 1010.0).state.phase == 0  # its patience is not over


def test_nobody_is_selected():
    decision = step(spec(), RUNNING, Picture(), 99_999.0)
    assert decision.state.status == "running"
    assert "no device" in decision.state.reason
