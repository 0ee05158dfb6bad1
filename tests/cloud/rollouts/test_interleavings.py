"""Any interleaving of ticks, kills, reports in any order, and of devices that come and go, ends the same."""

import tempfile
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select

from cloud.audit import Audit
from cloud.database import tables
from cloud.rollouts import Phase
from cloud.rollouts.spec import Gates
from cloud.rollouts.step import BACK, allowed
from tests.cloud.rollouts.simulated import Bundle, Node, World, spec

BAD = frozenset(Bundle("kws", 2, target).sha256 for target in ("rpi4", "x86-64"))
PHASES = (Phase.read("10 %", 60), Phase.read("50 %", 60), Phase.read("100 %", 60))


class Killed(BaseException):
    """What a kill -9 looks like from within: nothing is caught, nothing is written."""


class Fault:
    """Raises within the n-th statement from now on; the transaction is left to the database."""

    def __init__(self, engine):
        self.left = None
        event.listen(engine, "before_cursor_execute", self.count)

    def count(self, *_):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Killed


FOLDER = tempfile.TemporaryDirectory(prefix="rollouts-")
WORLD = World(f"sqlite:///{FOLDER.name}/fleet.sqlite")
FAULT = Fault(WORLD.database.engine)
ACTS = st.lists(
    st.tuples(
        st.sampled_from(["tick", "tick", "kill", "deliver", "old", "pass", "leave", "come"]),
        st.integers(0, 60),
    ),
    max_size=60,
)


def fresh(bad=frozenset()):
    FAULT.left = None
    WORLD.clear()
    WORLD.nodes.clear()
    WORLD.boot()
    WORLD.add((Node(f"d-{i:02d}", "x86-64" if i % 5 == 0 else "rpi4", bad=bad) for i in range(20)), running=1)
    return WORLD


def act(world, what, number):
    names = sorted(world.nodes)
    name = names[number % len(names)]
    node = world.nodes[name]
    if what == "tick":
        world.tick()
    elif what == "kill":
        FAULT.left = number % 25
        with suppress(Killed):
            world.tick()
        FAULT.left = None
        world.boot()
    elif what == "deliver":
        world.deliver(names[number % len(names) :: 3])
    elif what == "old" and node.sent:  # a report that comes twice, or late
        world.hear(name, node.sent[number % len(node.sent)])
    elif what == "pass":
        world.pass_(number * 10)
    elif what in ("leave", "come"):
        world.connect(name, what == "come")


def settle(world):
    for name in world.nodes:
        world.connect(name, True)
    assert world.run("r", ticks=60) in ("finished", "rolled-back", "aborted")


def check(world, versions):
    """What holds at every moment."""
    found = world.rollouts.progress("r")
    most = allowed(found.rollout.spec, found.rollout.phase, found.picture.devices())
    for target, n in most.items():
        # on the way back nobody is told more, and who waits is not counted any more
        assert found.rollout.state in BACK or found.picture.of_target(target).told <= n
    for name, wish in world.wishes().items():
        assert wish.v >= versions.get(name, 0)
        versions[name] = wish.v
        assert wish.model.version in (1, 2)


@settings(max_examples=20)
@given(ACTS, st.booleans())
def test_a_good_release_ends_at_all_devices(acts, follow_clock):
    world, versions = fresh(), {}
    world.begin(spec(phases=PHASES, gates=Gates()))
    for what, number in acts:
        act(world, what, number)
        check(world, versions)
    settle(world)
    assert world.rollouts.get("r").state == "finished"
    assert len(world.told(2)) == 20
    assert all(node.model in BAD for node in world.nodes.values())
    with world.database.read() as connection:
        told = connection.scalars(select(tables.rollout_devices.c.device)).all()
    assert len(told) == len(set(told)) == 20
    assert Audit(world.database).verify()[1] is None


@settings(max_examples=20)
@given(ACTS)
def test_a_bad_release_ends_nowhere_and_never_passes_its_first_phase(acts):
    world, versions = fresh(BAD), {}
    world.begin(spec(phases=PHASES))
    for what, number in acts:
        act(world, what, number)
        check(world, versions)
        assert world.rollouts.get("r").phase == 0
    settle(world)
    found = world.rollouts.get("r")
    assert (found.state, found.phase) == ("rolled-back", 0)
    assert len(world.told(1)) == 20
    assert not any(node.model in BAD for node in world.nodes.values())


@settings(max_examples=20)
@given(ACTS, st.sampled_from(["abort", "rollback"]), st.integers(0, 20), st.integers(0, 30))
def test_whatever_is_taken_back_strands_nobody(acts, how, when, dies):
    world, versions = fresh(), {}
    world.begin(spec(phases=PHASES))
    for number, (what, which) in enumerate(acts):
        if number == when:
            getattr(world.rollouts, how)("r")
        act(world, what, which)
        check(world, versions)
    if world.rollouts.get("r").state == "running":
        getattr(world.rollouts, how)("r")
    FAULT.left = dies
    with suppress(Killed):
        world.tick()
    FAULT.left = None
    world.boot()
    settle(world)
    if world.rollouts.get("r").state == "finished":  # it was over before anybody asked
        assert len(world.told(2)) == 20
    else:
        assert len(world.told(1)) == 20
        assert not any(node.model in BAD for node in world.nodes.values())


@pytest.mark.parametrize("statement", range(14))
def test_a_kill_within_any_statement_of_a_tick_leaves_what_was_there(statement):
    world = fresh()
    world.begin(spec(phases=PHASES))
    before = (world.wishes(), world.rollouts.get("r"), Audit(world.database).head())
    FAULT.left = statement
    with suppress(Killed):
        world.tick()
        FAULT.left = None
        assert world.told(2)  # it had fewer statements
        return
    assert (world.wishes(), world.rollouts.get("r"), Audit(world.database).head()) == before
    world.boot()
    world.tick()
    assert len(world.told(2)) == 3
    assert replace(world.rollouts.get("r"), reason="").phase == 0
