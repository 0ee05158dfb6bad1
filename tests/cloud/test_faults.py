"""Rollouts under `kill -9` of whatever takes part in them; `benchmarks/fleet_faults.py` does more of it."""

import json
import time

import pytest

from benchmarks import fleet_faults
from benchmarks.fleet_load import postgresql
from benchmarks.fleet_load.witness import Witness, working
from edge_runtime.agent.slots import Slots
from edge_runtime.files import sha256
from edge_runtime.messages import Release


def put(store, slot, content):
    """A model in a slot, and its SHA-256."""
    store.mkdir(exist_ok=True)
    (store / "new").write_bytes(content)
    digest = sha256(store / "new")
    Slots(store).install(slot, store / "new", Release("m", 1, "m/1/x.bundle", digest, len(content)))
    return digest


@pytest.fixture
def watched(tmp_path):
    """A device's store whose model works, somebody who watches it, and the model's SHA-256."""
    store = tmp_path / "pi-1"
    digest = put(store, "a", b"one")
    Slots(store).switch("a")
    with Witness({"pi-1": store}) as witness:
        witness.good.add(digest)
        until(lambda: witness.looks > 2)
        yield store, witness, digest


def until(condition):
    """Wait for it; it fails after 10 s."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_each_switch_is_seen_however_short(watched):
    store, witness, first = watched
    assert working(store) == first
    second = put(store, "b", b"two")
    witness.good.add(second)
    for slot in "baba":
        Slots(store).switch(slot)
    assert witness.counted()["pi-1"] == 4
    witness.clear()
    assert witness.counted()["pi-1"] == 0
    assert witness.stranded == []


@pytest.mark.parametrize("harm", ["damage", "bad model", "no link", "no release"])
def test_a_device_without_a_good_model_is_noticed(watched, harm):
    store, witness, _ = watched
    if harm == "damage":
        (store / "slots" / "a" / "model.bundle").write_bytes(b"onf")
    elif harm == "bad model":
        put(store, "b", b"bad")
        Slots(store).switch("b")
    elif harm == "no link":
        (store / "current").unlink()
    else:
        (store / "slots" / "a" / "release.json").write_text("{")
    until(lambda: witness.stranded)
    assert witness.stranded[0].startswith("pi-1: ")


def test_who_never_had_a_model_is_not_missed(tmp_path):
    (tmp_path / "pi-2").mkdir()
    with Witness({"pi-2": tmp_path / "pi-2"}) as witness:
        until(lambda: witness.looks > 3)
    assert witness.stranded == []


def test_what_is_wrong_is_a_figure():
    run = fleet_faults.Found("sqlite", {"broker": 2}, [10.0, 20.0], stranded=["pi-1: no model that works"])
    found = {case.case: case for case in fleet_faults.told([run])}
    assert found["kills"].value == 2
    assert found["times that a device had no model that works"].met == "no"
    assert sum(case.met == "no" for case in found.values()) == 2
    assert json.dumps(found["median rollout under kills"].value) == "15.0"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_rollouts_go_on_whatever_is_killed(kind):
    if kind == "postgresql" and postgresql.program("postgres") is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    found = fleet_faults.run(1, kind, ("good", "wrong"), flat=2, behind=1)
    assert sum(found.killed.values()) >= 5
    for wrong in (found.rollouts, found.devices, found.stranded, found.twice, found.records, found.full):
        assert wrong == []
