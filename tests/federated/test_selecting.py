"""Devices are asked by what they say of themselves, over a real broker."""

import json
import signal
import threading
from contextlib import ExitStack

import pytest

from edge_runtime.errors import FleetError, InputError
from edge_runtime.trainer import Trainer
from federated import Settings, federate
from federated.checkpoint import load
from federated.device.client import Device
from federated.flower.choosing import Chooser, Pool
from federated.link.hub import Hub
from federated.rounds import selection
from federated.rounds.selection import Condition, Policy, Record
from federated.serve import serve
from tests.federated.link.conftest import Inbox, Ring, address_of, run
from tests.federated.link.test_link import until
from tests.federated.test_mqtt_grid import desk, join, listening, shares_of  # noqa: F401  (desk is a fixture)

ANN, BOB, EVE = 0, 1, 2


@pytest.fixture(scope="module")
def ring():
    return Ring()


def devices(stack, port, ring, bundle, shares, folder, says):
    """Devices in threads, each with a table of what it says of itself."""
    for name, key in ring.devices.items():
        device = Device(
            Trainer(bundle, threads=1), shares[key.number], key, address_of(port, key), folder / name,
            conditions=lambda name=name: dict(says[name]),
        )  # fmt: skip
        thread = threading.Thread(target=device.run)
        thread.start()
        stack.callback(thread.join, 10)
        stack.callback(device.stop)


@pytest.mark.parametrize("kind", ["embedded", "mosquitto"])
def test_who_is_not_ready_is_left_alone_until_it_is(kind, ring, linear, digits, held_out, tmp_path):
    says = {"ann": {"charging": False}, "bob": {"charging": True, "unmetered": True}, "eve": {}}
    shares = shares_of(digits, Settings(clients=3))

    def rounds(count, deadline_s=60, **more):
        settings = Settings(rounds=count, clients=3, select="ready", **more)
        history = serve(
            linear, held_out, settings, keys=ring.devices, address=address_of(running.port, ring.own),
            out=tmp_path / "run", progress=False, deadline_s=deadline_s,
        )  # fmt: skip
        return [set(entry.clients) for entry in history.rounds]

    with run(kind, ring.passwords) as running, ExitStack() as stack:
        devices(stack, running.port, ring, linear, shares, tmp_path, says)
        assert rounds(3, sample=2) == [{BOB, EVE}] * 3
        says["ann"]["charging"], says["eve"]["idle"] = True, False
        threading.Event().wait(2.5)  # devices look once a second
        assert rounds(5, sample=2) == [{BOB, EVE}] * 3 + [{ANN, BOB}] * 2
        says["bob"]["unmetered"] = False
        threading.Event().wait(2.5)
        assert rounds(6, sample=2, deadline_s=4)[-1] == {ANN}  # at the deadline it goes on with whom there is


def test_a_round_waits_for_devices_to_become_ready(ring, linear, digits, held_out, tmp_path):
    says = {"ann": {"idle": False}, "bob": {}, "eve": {}}
    shares = shares_of(digits, Settings(clients=3))
    with run("embedded", ring.passwords) as running, ExitStack() as stack:
        devices(stack, running.port, ring, linear, shares, tmp_path, says)
        timer = threading.Timer(1.5, lambda: says["ann"].update(idle=True))
        timer.start()
        stack.callback(timer.join)
        history = serve(
            linear, held_out, Settings(rounds=2, clients=3, select="ready"), keys=ring.devices,
            address=address_of(running.port, ring.own), out=tmp_path / "run", progress=False, deadline_s=60,
        )  # fmt: skip
    assert [entry.clients for entry in history.rounds] == [(ANN, BOB, EVE)] * 2
    # Everybody took part, so it is the model of a run without selection.
    federate(
        linear, digits, Settings(rounds=2, clients=3), out=tmp_path / "sim", test=held_out, progress=False
    )
    served, simulated = (load(tmp_path / each / "checkpoint.npz") for each in ("run", "sim"))
    assert all((served.parameters[name] == array).all() for name, array in simulated.parameters.items())


@pytest.mark.slow
def test_a_device_says_what_its_file_says(desk, linear):  # noqa: F811
    from federated.link import keys

    (desk / "conditions.json").write_text('{"charging": false, "unmetered": true}')
    with listening(desk) as running:
        own, ring = keys.coordinator(desk / "keys"), keys.load_all(desk / "keys")
        with Hub(address_of(running.port, own), ring, Inbox()) as hub:
            process = join(desk, 0, running.port, linear, "--conditions", desk / "conditions.json")
            until(lambda: hub.about.get("d0", {}).get("charging") is False, 20)
            assert hub.about["d0"]["unmetered"] is True
            (desk / "conditions.json").write_text('{"charging": true}')
            until(lambda: hub.about["d0"].get("charging") is True)
            (desk / "conditions.json").write_text("{broken")  # says nothing new
            process.send_signal(signal.SIGTERM)
            assert json.loads(process.communicate(timeout=20)[0])["worked"] == 0


# ------------------------------------------------------------------------------------------ without a link
class Fleet:
    """A grid whose nodes say how they are."""

    def __init__(self, conditions, seconds=None):
        self._conditions, self._seconds = conditions, seconds or {}

    def get_node_ids(self):
        return list(self._conditions)

    def conditions(self):
        return self._conditions

    def seconds(self, node):
        return self._seconds.get(node, 0.0)


def test_nobody_ready_by_the_deadline_is_an_error_that_says_so():
    chooser = Chooser(Policy(), 0, 0.05)
    with pytest.raises(
        FleetError, match=r"no device that is charging and idle and unmetered within 0\.05 s; 2 are"
    ):
        chooser.pool(Fleet({1: Condition(idle=False), 2: Condition(charging=False)}), 1, 2)


def test_without_a_policy_all_that_are_there_may_be_asked():
    assert Chooser(None, 0, 1).pool(Pool([3, 1]), 1, 2).get_node_ids() == [1, 3]


def test_what_devices_say_counts_until_it_is_seen_and_no_more_than_what_was_seen():
    fleet = Fleet({1: Condition(samples=10**9, loss=1e6), 2: Condition(samples=50, loss=0.1), 3: Condition()})
    chooser = Chooser(Policy(useful=True), 0, 1)
    assert chooser._known(fleet.conditions()) == {}  # nothing was seen: nothing is believed
    chooser.records[2] = Record(80, 2.0, 1.0, 1)
    assert chooser._known(fleet.conditions()) == {1: Record(80, 2.0, 0.0, 0), 2: Record(80, 2.0, 1.0, 1)}
    again = Chooser(Policy(useful=True), 0, 1)
    again.restore(json.loads(json.dumps(chooser.memory)))
    assert again.records == chooser.records


@pytest.mark.parametrize(
    "said", [{"charging": "no"}, {"samples": -1, "loss": "nan"}, {"samples": True}, {"loss": 1e9}]
)
def test_what_cannot_be_a_condition_is_not_said(said):
    assert Condition.read(said) == Condition()


def test_policies_by_name():
    assert selection.parse("ready") == Policy()
    assert selection.parse("ready:needs=none").needs == ()
    wanted = Policy(("idle",), useful=True, explore=0.5, seconds=2.0)
    assert selection.parse("useful:needs=idle,explore=0.5,seconds=2") == wanted
    for bad, says in (
        ("best", "there are ready, useful"),
        ("ready:explore=1", "it takes needs"),
        ("ready:needs=sunny", "condition 'sunny' is unknown"),
    ):
        with pytest.raises(InputError, match=says):
            selection.parse(bad)


def test_selection_by_use_in_a_simulation_learns_and_resumes(linear, digits, held_out, tmp_path):
    settings = {"clients": 6, "sample": 2, "select": "useful"}

    def to(rounds, out):
        history = federate(
            linear,
            digits,
            Settings(rounds=rounds, **settings),
            out=tmp_path / out,
            test=held_out,
            progress=False,
        )
        return history, load(tmp_path / out / "checkpoint.npz")

    to(3, "cut")
    (resumed, cut), (straight, whole) = to(6, "cut"), to(6, "whole")
    assert [entry.clients for entry in resumed.rounds] == [entry.clients for entry in straight.rounds]
    assert all((cut.parameters[name] == array).all() for name, array in whole.parameters.items())
    assert straight.rounds[-1].accuracy > straight.initial["accuracy"] + 0.2


def test_it_is_refused_where_chance_alone_must_choose():
    with pytest.raises(InputError, match="by chance alone"):
        Settings(clients=20, sample=5, select="ready", privacy="central:epsilon=8")


class Coming:
    """A grid whose nodes come and go with a clock that only sleeping moves."""

    def __init__(self, here):
        self.here, self.now = here, 0.0

    def get_node_ids(self):
        return self.here(self.now)

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def waited(grid, chooser, wanted, **more):
    before = grid.now
    found = chooser.pool(grid, 1, wanted, **more).get_node_ids()
    return found, round(grid.now - before)


def test_who_is_gone_for_good_costs_one_deadline_and_is_welcome_again():
    grid = Coming(lambda now: [1, 2] if now < 100 else [1, 2, 3])
    chooser = Chooser(None, 0, 10.0, grid.clock, grid.sleep)
    assert waited(grid, chooser, 3, enough=2) == ([1, 2], 0.0)  # those asked beyond need are not waited for
    assert waited(grid, chooser, 3) == ([1, 2], 10.0)
    assert waited(grid, chooser, 3) == ([1, 2], 0.0)
    grid.now = 100
    assert waited(grid, chooser, 3) == ([1, 2, 3], 0.0)
    grid.here = lambda now: [1, 2] if now < 105 else [1, 2, 3]
    assert waited(grid, chooser, 3) == ([1, 2, 3], 5.0)  # it is there again, so it is waited for again


def test_who_let_the_round_pass_is_not_waited_for_unless_it_is_there():
    grid = Coming(lambda _now: [1, 2])
    chooser = Chooser(None, 0, 10.0, grid.clock, grid.sleep)
    chooser.missed([2], grid)  # slow, but there
    assert waited(grid, chooser, 3) == ([1, 2], 10.0)
    chooser = Chooser(None, 0, 10.0, grid.clock, grid.sleep)
    chooser.missed([3], grid)
    assert waited(grid, chooser, 3) == ([1, 2], 0.0)
