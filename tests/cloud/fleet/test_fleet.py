"""Devices, twins, groups and commands, in SQLite and in PostgreSQL."""

import threading

import pytest

from cloud.audit import Audit
from cloud.database import tables
from cloud.fleet import Device, Fleet
from edge_runtime.errors import InputError
from edge_runtime.messages import Desired, Release, Reported

RELEASE = Release("kws", 3, "kws/3/rpi4.bundle", "ab" * 32, 1000)


@pytest.fixture
def fleet(database):
    found = Fleet(database)
    devices = [
        Device("pi-1", target="rpi4", labels={"room": "kitchen"}, online=True, enrolled=1.0),
        Device("pi-2", target="rpi4", labels={"room": "hall"}, enrolled=1.0),
        Device("pi-3", "home", target="rpi5", labels={"room": "kitchen", "floor": "1"}, enrolled=1.0),
        Device("home", "home", target="x86-64", enrolled=1.0),
    ]
    with database.begin() as connection:
        assert found.add(connection, devices) == 4
    return found


def names(fleet, selector=None, **options):
    return [each.name for each in fleet.devices(selector, **options)]


def test_devices_come_in_pages_in_the_order_of_their_names(fleet):
    assert names(fleet) == ["home", "pi-1", "pi-2", "pi-3"]
    assert names(fleet, limit=2) == ["home", "pi-1"]
    assert names(fleet, after="pi-1", limit=2) == ["pi-2", "pi-3"]


def test_a_gateway_has_its_sites_name(fleet):
    assert fleet.device("home").gateway
    assert not fleet.device("pi-3").gateway
    assert not fleet.device("pi-1").gateway


def test_counts(fleet):
    found = fleet.count()
    assert (found["total"], found["online"]) == (4, 1)
    assert found["target"] == {"rpi4": 2, "rpi5": 1, "x86-64": 1}
    assert found["site"] == {"": 2, "home": 2}
    assert fleet.count("room=kitchen")["total"] == 2


def test_adding_again_keeps_what_was_heard(fleet, database):
    with database.begin() as connection:
        fleet.desire(connection, {"pi-1": Desired(1, RELEASE)})
        fleet.add(connection, [Device("pi-1", "home", labels={"new": "yes"})])
    device = fleet.device("pi-1")
    assert (device.site, device.labels, device.target, device.desired_v) == (
        "home",
        {"new": "yes"},
        "rpi4",
        1,
    )


def test_versions_only_rise(fleet, database):
    for expected in (1, 2, 3):
        with database.begin() as connection:
            given = fleet.desire(
                connection, {name: Desired(77, RELEASE, "r", 2) for name in ("pi-1", "pi-2")}
            )
        assert given == {"pi-1": expected, "pi-2": expected}
    twin = fleet.twin("pi-1")
    assert (twin.desired, twin.desired_v) == (Desired(3, RELEASE, "r", 2), 3)
    assert (twin.rollout, twin.phase, twin.sent_at) == ("r", 2, 0.0)
    assert twin.desired_at > 0


def test_versions_rise_when_two_write_at_once(fleet, database):
    def wish():
        for _ in range(10):
            with database.begin() as connection:
                fleet.desire(connection, {name: Desired(1) for name in ("pi-2", "pi-1", "home")})

    threads = [threading.Thread(target=wish) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert {twin.desired_v for twin in fleet.twins(["pi-1", "pi-2", "home"])} == {30}


def test_unknown_and_retired_devices_are_left_out(fleet, database):
    fleet.retire("pi-2")
    with database.begin() as connection:
        given = fleet.desire(connection, {name: Desired(1) for name in ("pi-1", "pi-2", "nobody")})
    assert given == {"pi-1": 1}


def test_a_wish_is_above_what_the_device_reported(fleet, database):
    """So that a database that was brought back from a backup is still heeded."""
    with database.begin() as connection:
        connection.execute(
            tables.twins.update()
            .where(tables.twins.c.device == "pi-1")
            .values(reported_v=41, reported={"v": 41})
        )
        assert fleet.desire(connection, {"pi-1": Desired(1)}) == {"pi-1": 42}


def test_twins_of_a_rollout(fleet, database):
    with database.begin() as connection:
        fleet.desire(connection, {"pi-1": Desired(1, RELEASE, "r1"), "pi-2": Desired(1, RELEASE, "r2")})
        row = Reported(1, "running", "cd" * 32)
        connection.execute(
            tables.twins.update()
            .where(tables.twins.c.device == "pi-1")
            .values(reported={"v": 1, "state": "running", "model": "cd" * 32}, reported_v=1)
        )
    (twin,) = fleet.twins(rollout="r1")
    assert (twin.device, twin.reported) == ("pi-1", row)
    assert len(list(fleet.twins())) == 4


def test_commands(fleet):
    (first,) = fleet.command("pi-1", "probe")
    both = fleet.command(["pi-1", "pi-2", "pi-1"], "logs", {"lines": 10}, seconds=60)
    assert len(both) == 2
    latest, older = fleet.commands("pi-1")
    assert (older.id, older.status) == (first, "pending")
    assert (latest.command.op, latest.command.arguments) == ("logs", {"lines": 10})
    assert latest.command.expires == pytest.approx(latest.created + 60, abs=1)


@pytest.mark.parametrize(
    ("names_", "op", "arguments", "says"),
    [
        ("nobody", "probe", None, "none of that name"),
        ("pi-1", "rm -rf", None, "op"),
        ("pi-1", "probe", {"x": float("nan")}, "JSON"),
    ],
)
def test_commands_that_cannot_be(fleet, names_, op, arguments, says):
    with pytest.raises(InputError, match=says):
        fleet.command(names_, op, arguments)
    assert fleet.commands("pi-1") == []


def test_labels(fleet):
    assert fleet.label("pi-1", {"room": None, "owner": "ada"}) == {"owner": "ada"}
    assert names(fleet, "owner=ada") == ["pi-1"]


@pytest.mark.parametrize(
    "labels",
    [{"site": "x"}, {"a b": "x"}, {"room": "a,b"}, {"room": ""}, {"room": "x" * 257}, {"room": "a*"}],
)
def test_labels_that_cannot_be(fleet, labels):
    with pytest.raises(InputError):
        fleet.label("pi-1", labels)
    assert fleet.device("pi-1").labels == {"room": "kitchen"}


def test_retiring_ends_everything(fleet, database):
    fleet.command("pi-1", "probe")
    with database.begin() as connection:
        row = {"serial": "ab", "device": "pi-1", "digest": "d", "key": "k", "issued": 1.0, "expires": 9e9}
        connection.execute(tables.certificates.insert(), [row])
    fleet.retire("pi-1", actor="ada")
    assert (fleet.device("pi-1").status, fleet.device("pi-1").online) == ("retired", False)
    assert fleet.commands("pi-1")[0].status == "expired"
    assert "pi-1" not in fleet.names()
    with database.read() as connection:
        assert connection.scalar(
            tables.certificates.select().with_only_columns(tables.certificates.c.revoked)
        )
    with pytest.raises(InputError, match="retired"):
        fleet.command("pi-1", "probe")
    event = Audit(database).latest(1)[0]
    assert (event.actor, event.action, event.subject) == ("ada", "retire", "pi-1")


def test_groups(fleet):
    fleet.save_group("kitchens", "room=kitchen")
    fleet.save_group("small", "group=kitchens,target=rpi4")
    assert names(fleet, "group=small") == ["pi-1"]
    assert names(fleet, "group!=kitchens") == ["home", "pi-2"]
    fleet.save_group("kitchens", "room=hall")
    assert names(fleet, "group=small") == ["pi-2"]
    fleet.delete_group("small")
    assert fleet.groups() == {"kitchens": "room=hall"}


@pytest.mark.parametrize(
    ("name", "selector"), [("a b", "x=y"), ("g", "nonsense"), ("g", "group=g"), ("g", "group=no")]
)
def test_groups_that_cannot_be(fleet, name, selector):
    with pytest.raises(InputError):
        fleet.save_group(name, selector)
    assert fleet.groups() == {}


@pytest.mark.parametrize("call", ["device", "twin", "retire", "delete_group"])
def test_who_is_not_there(fleet, call):
    with pytest.raises(InputError, match="'nobody'"):
        getattr(fleet, call)("nobody")
