"""Rollouts against a database, with devices that are pure functions."""

from dataclasses import replace

import pytest
from sqlalchemy import insert

from cloud import alerts
from cloud.audit import Audit
from cloud.database import tables
from cloud.rollouts import Phase, Rollouts, Spec
from cloud.rollouts.plan import rank
from cloud.rollouts.spec import Gates
from edge_runtime.errors import InputError
from edge_runtime.messages import Desired, Shadow
from tests.cloud.rollouts.simulated import Bundle, Node, Shelf, World, digest, nodes, spec


@pytest.fixture
def world():
    return World()


def test_a_good_release_reaches_all_in_phases_and_the_log_says_so(world):
    world.add(nodes(190), running=1)
    world.add(nodes(10, "x86-64"), running=1)
    world.begin(spec())
    world.tick()
    assert len(world.told(2)) == 3  # 1 % of 190 rounded up, and one of the other target
    assert {name.split("-0")[0] for name in world.told(2)} == {"rpi4", "x86-64"}
    assert world.run("r") == "finished"
    assert len(world.told(2)) == 200
    assert {node.model for node in world.nodes.values()} == {
        Bundle("kws", 2, target).sha256 for target in ("rpi4", "x86-64")
    }
    actions = [event.action for event in Audit(world.database).page(limit=1000)]
    assert actions[:2] == ["rollout.create", "rollout.start"]
    assert actions[-1] == "rollout.finished"
    assert Audit(world.database).verify() == (len(actions), None)


def test_each_target_gets_its_own_bundle_and_who_has_none_is_named(world):
    world.add([*nodes(3), *nodes(2, "x86-64"), *nodes(4, "esp32")])
    world.begin(spec(phases=(Phase.read("100 %", 0),)))
    plan = world.rollouts.dry_run(spec(name="other"))
    assert plan.left_out["esp32"][0] == 4
    world.run("r")
    for name, wish in world.wishes().items():
        target = world.nodes[name].target
        if target == "esp32":
            assert wish is None
        else:
            assert wish.model.path == f"kws/2/{target}.bundle"
    assert world.rollouts.progress("r").left_out == {"esp32": (4, "esp32-00000")}


def test_a_wish_carries_the_rules_and_keeps_what_is_not_the_rollouts(world):
    world.add(nodes(1), running=1)
    had = world.wishes()["rpi4-00000"]
    with world.database.begin() as connection:
        world.fleet.desire(
            connection, {"rpi4-00000": replace(had, federated={"run": 9}, window=("01:00", "02:00"))}
        )
    world.deliver()
    world.begin(spec(window=("02:00", "04:00"), jitter_s=30, max_kbps=512, shadow=Shadow(samples=7)))
    world.tick()
    wish = world.wishes()["rpi4-00000"]
    assert (wish.window, wish.jitter_s, wish.max_kbps, wish.shadow.samples) == (
        ("02:00", "04:00"),
        30,
        512,
        7,
    )
    assert wish.federated == {"run": 9}
    assert (wish.rollout, wish.phase, wish.v) == ("r", 0, 3)
    world.deliver()
    world.rollouts.abort("r")
    world.tick()
    back = world.wishes()["rpi4-00000"]
    assert (back.model.version, back.rollout, back.shadow.samples, back.v) == (1, "", 0, 4)
    assert back.federated == {"run": 9}


def test_a_bad_model_is_caught_at_the_canary_and_taken_back_by_itself(world):
    bad = frozenset({Bundle("kws", 2, "rpi4").sha256})
    world.add(nodes(200, bad=bad), running=1)
    world.begin(spec(phases=(Phase.read("5 %"), Phase.read("100 %"))))
    world.tick()
    assert len(world.told(2)) == 10
    world.deliver()
    assert world.run("r") == "rolled-back"
    assert world.told(2) == []
    progress = world.rollouts.progress("r").to_json()
    assert (progress["returned"], progress["answered"]) == (10, 10)
    assert len(world.told(1)) == 200
    assert {node.model for node in world.nodes.values()} == {Bundle("kws", 1, "rpi4").sha256}
    assert "went back or failed" in world.rollouts.get("r").reason
    assert [each.severity for each in alerts.open_alerts(world.database)] == ["critical"]


def test_without_automatic_it_pauses_before_the_second_phase_and_an_abort_strands_nobody(world):
    bad = frozenset({Bundle("kws", 2, "rpi4").sha256})
    world.add([*nodes(57), *(Node(f"bad-{i}", bad=bad) for i in range(3))], running=1)
    world.begin(spec(phases=(Phase.read("5 %"), Phase.read("100 %")), automatic=False, name="x1"))
    for _ in range(30):
        world.tick()
        world.deliver()
        world.pass_(60)
    found = world.rollouts.get("x1")
    told = [name for name in world.told(2) if name.startswith("bad")]
    assert (found.state, found.phase) == (
        ("paused", 0) if told else ("running", 1)
    ) or found.state == "paused"
    world.rollouts.abort("x1", "ada", "bad")
    assert world.run("x1") == "aborted"
    assert len(world.told(1)) == 60
    assert {node.model for node in world.nodes.values()} == {Bundle("kws", 1, "rpi4").sha256}


def test_a_model_that_is_fast_but_wrong_never_passes_the_canary(world):
    wrong = {"n": 100, "agree_ppm": 420_000, "labelled": 0, "p95_us": 500, "old_p95_us": 1000}
    world.add(nodes(100, shadow=wrong), running=1)
    world.begin(spec())
    assert world.run("r") == "rolled-back"
    assert "agrees with the old one in 42.0%" in world.rollouts.get("r").reason
    assert sum(len(node.seen) for node in world.nodes.values()) == 2  # one canary, there and back


@pytest.mark.parametrize(
    ("shadow", "word"),
    [
        (
            {"n": 100, "labelled": 100, "correct": 80, "old_correct": 90, "agree_ppm": 900_000},
            "accuracy falls",
        ),
        ({"n": 100, "agree_ppm": 990_000, "p95_us": 3000, "old_p95_us": 1000}, "3.00 times"),
    ],
)
def test_gates_of_the_shadow(world, shadow, word):
    world.add(nodes(20, shadow=shadow), running=1)
    world.begin(spec())
    assert world.run("r") == "rolled-back"
    assert word in world.rollouts.get("r").reason


@pytest.mark.parametrize(
    ("new", "word"),
    [
        ({"n": 500, "errors": 50}, "10.0% of 500 inferences failed"),
        ({"n": 500, "p95_us": 4000}, "4.00 times"),
        ({"n": 500, "labelled": 100, "correct": 50}, "accuracy falls by 45.0%"),
        ({"n": 500, "drift_ppm": 900_000}, "drift is 0.90"),
    ],
)
def test_gates_after_the_switch_against_the_old_model_on_the_same_devices(world, new, word):
    world.add(nodes(20), running=1)
    old = {"n": 500, "p95_us": 1000, "labelled": 100, "correct": 95}
    world.stats(
        {"device": name, "model": Bundle("kws", 1, "rpi4").sha256, "at": world.now - 60, "stats": old}
        for name in world.nodes
    )
    world.begin(spec(gates=Gates(max_drift=0.5)))
    world.tick()
    world.deliver()
    (canary,) = world.told(2)
    world.stats([{"device": canary, "model": Bundle("kws", 2, "rpi4").sha256, "at": world.now, "stats": new}])
    world.pass_(10)
    world.tick()
    assert world.rollouts.get("r").state == "rolled-back"
    assert word in world.rollouts.get("r").reason


def test_the_soak_lasts_and_something_wrong_within_it_counts(world):
    world.add(nodes(100), running=1)
    world.begin(spec())
    world.tick()
    world.deliver()
    (canary,) = world.told(2)
    for _ in range(2):
        world.tick()
        world.pass_(59)
    assert world.rollouts.get("r").phase == 0
    node = world.nodes[canary]
    world.hear(canary, node._say("reverted", "crashed"))
    world.pass_(60)
    world.tick()
    assert world.rollouts.get("r").state == "rolled-back"


def test_who_is_away_does_not_block_for_ever(world):
    world.add(nodes(80), running=1)
    world.add((Node(f"away-{i:02d}", online=False) for i in range(20)), running=1)
    world.begin(spec(phases=(Phase.read("10 %", 0), Phase.read("100 %", 0))))
    world.tick()
    assert not any(name.startswith("away") for name in world.told(2))  # a canary that is away tells nothing
    assert world.run("r") == "finished"
    assert "20 are away" in world.rollouts.get("r").reason
    for name in [name for name in world.nodes if name.startswith("away")]:
        world.connect(name, True)
    world.deliver()
    assert {node.model for node in world.nodes.values()} == {Bundle("kws", 2, "rpi4").sha256}


def test_nobody_within_reach_is_no_evidence(world):
    world.add(nodes(10, online=False), running=1)
    world.begin(spec())
    for _ in range(50):
        world.tick()
        world.pass_(600)
    assert world.rollouts.get("r").phase == 0
    assert [each.severity for each in alerts.open_alerts(world.database)] == ["warning"]


def test_late_joiners_come_in(world):
    world.add(nodes(20), running=1)
    world.begin(spec(phases=(Phase.read("50 %"), Phase.read("100 %"))))
    world.tick()
    assert len(world.told(2)) == 10
    world.add((Node(f"late-{i}") for i in range(20)), running=1)
    world.tick()
    assert len(world.told(2)) == 20
    assert world.run("r") == "finished"
    assert len(world.told(2)) == 40


def test_a_rollout_that_follows_stays_open(world):
    world.add(nodes(4))
    world.begin(spec(phases=(Phase.read("100 %", 0),), follow=True))
    world.run("r", ticks=10)
    assert world.rollouts.get("r").state == "running"
    world.add([Node("late")])
    world.run("r", ticks=3)
    assert world.wanted()["late"] == 2


def test_pause_tells_nobody_more_and_resume_goes_on(world):
    world.add(nodes(100), running=1)
    world.begin(spec())
    world.tick()
    world.deliver()
    world.rollouts.pause("r", "ada", "lunch")
    before = world.told(2)
    for _ in range(20):
        world.tick()
        world.pass_(600)
    assert world.told(2) == before
    assert world.rollouts.get("r").reason == "paused by ada: lunch"
    world.rollouts.resume("r", "ada")
    assert world.run("r") == "finished"


def test_finish_ends_it_where_it_stands(world):
    world.add(nodes(100), running=1)
    world.begin(spec())
    world.tick()
    world.deliver()
    told = world.told(2)
    assert 0 < len(told) < 100
    assert world.rollouts.finish("r", "ada", "enough").state == "finished"
    assert world.rollouts.get("r").ended is not None
    for _ in range(20):
        world.tick()
        world.pass_(600)
    assert world.told(2) == told
    with pytest.raises(InputError, match="resume takes one that is paused"):
        world.rollouts.resume("r")


def test_a_release_that_is_withdrawn_is_not_given_to_anybody_more(world):
    world.add(nodes(100), running=1)
    world.begin(spec())
    world.tick()
    world.deliver()
    world.shelf.withdraw("kws", 2)
    assert world.run("r") == "rolled-back"
    assert len(world.told(1)) == 100


def test_a_finished_rollout_can_be_taken_back(world):
    world.add(nodes(30), running=1)
    world.add([Node("fresh")])
    world.begin(spec(phases=(Phase.read("100 %", 0),)))
    assert world.run("r") == "finished"
    world.rollouts.rollback("r", "ada", "second thoughts")
    assert world.run("r") == "rolled-back"
    assert world.told(2) == []
    assert world.nodes["fresh"].model == ""
    assert len(world.told(1)) == 30


def test_what_a_device_ran_without_a_wish_comes_back(world):
    known, unknown = Bundle("kws", 1, "rpi4").sha256, digest("made in the factory")
    world.add([Node("known", model=known), Node("unknown", model=unknown)])
    world.begin(spec(phases=(Phase.read("100 %", 0),)))
    world.run("r")
    world.rollouts.rollback("r")
    world.run("r")
    assert (world.nodes["known"].model, world.nodes["unknown"].model) == (known, unknown)
    (alert,) = alerts.open_alerts(world.database)
    assert "1 devices (unknown) had a model that the repository does not have" in alert.text


def test_who_was_told_something_else_since_is_left_alone(world):
    world.add(nodes(10), running=1)
    world.begin(spec(phases=(Phase.read("100 %", 0),)))
    world.tick()
    with world.database.begin() as connection:
        world.fleet.desire(connection, {"rpi4-00003": Desired(0, Bundle("kws", 3, "rpi4").release())})
    world.rollouts.abort("r")
    assert world.run("r") == "aborted"
    assert world.told(3) == ["rpi4-00003"]
    assert len(world.told(1)) == 9


def test_two_rollouts_do_not_share_a_device(world):
    world.add(nodes(10), running=1)
    world.begin(spec(phases=(Phase.read("50 %"), Phase.read("100 %"))))
    world.tick()
    world.begin(spec(name="s", version=3, phases=(Phase.read("100 %", 0),)))
    world.tick()
    assert len(world.told(2)) == 5
    assert len(world.told(3)) == 5
    world.deliver()
    assert world.run("r") == "finished"
    assert world.run("s") == "finished"
    assert len(world.told(3)) == 10


def test_no_device_goes_to_an_older_version_unless_it_is_asked_for(world):
    world.add(nodes(3), running=3)
    world.add([Node("old")], running=1)
    world.begin(spec(phases=(Phase.read("100 %", 0),)))
    assert world.run("r") == "finished"
    assert world.told(2) == ["old"]
    world.begin(spec(name="down", phases=(Phase.read("100 %", 0),), downgrade=True))
    assert world.run("down") == "finished"
    assert len(world.told(2)) == 4


def test_at_most_so_many_are_under_way_at_one_time(world):
    world.add(nodes(40), running=1)
    world.begin(spec(phases=(Phase.read("100 %", 0),), max_concurrent=7))
    for _ in range(3):
        world.tick()
        assert len(world.told(2)) == 7
    for _ in range(10):
        world.deliver()
        world.tick()
        under_way = sum(world.nodes[name].model != Bundle("kws", 2, "rpi4").sha256 for name in world.told(2))
        assert under_way <= 7
    assert len(world.told(2)) == 40


def test_the_order_is_by_hash_and_by_nothing_else(world):
    world.add(nodes(50), running=1)
    plan = world.rollouts.dry_run(spec(phases=(Phase.read("20 %"), Phase.read("100 %"))))
    assert plan.canaries["rpi4"] == sorted(world.nodes, key=lambda name: rank("r", name))[:10]
    world.begin(spec(phases=(Phase.read("20 %"), Phase.read("100 %"))))
    world.tick()
    assert world.told(2) == sorted(plan.canaries["rpi4"])


def test_a_dry_run_changes_nothing_and_says_what_moves(world):
    world.add(nodes(50), running=1)
    before = (world.wishes(), world.rollouts.list())
    plan = world.rollouts.dry_run(spec()).to_json()
    assert (world.wishes(), world.rollouts.list()) == before
    assert [phase["devices"] for phase in plan["phases"]] == [1, 5, 25, 50]
    assert plan["bytes"] == 50_000


def test_a_selector_and_a_group_choose(world):
    world.add(nodes(5), running=1, labels={"room": "kitchen"})
    world.add((Node(f"hall-{i}") for i in range(5)), running=1, labels={"room": "hall"})
    world.fleet.save_group("upstairs", "room=hall")
    world.begin(spec(selector="group=upstairs", phases=(Phase.read("100 %", 0),)))
    world.run("r")
    assert world.told(2) == [f"hall-{i}" for i in range(5)]


def test_wrong_use_is_one_sentence(world):
    with pytest.raises(InputError, match="does not give out kws version 9; it has 1, 2, 3"):
        world.rollouts.create(spec(version=9))
    with pytest.raises(InputError, match=r"no model 'kwz' \(did you mean 'kws'\?\)"):
        world.rollouts.create(spec(release="kwz"))
    with pytest.raises(InputError, match="group"):
        world.rollouts.create(spec(selector="group=nobody"))
    world.rollouts.create(spec())
    with pytest.raises(InputError, match="already"):
        world.rollouts.create(spec())
    with pytest.raises(InputError, match="pause takes one that is running"):
        world.rollouts.pause("r")
    with pytest.raises(InputError, match="no rollout 's'"):
        world.rollouts.start("s")
    assert world.rollouts.start("r").state == world.rollouts.start("r").state == "running"
    world.rollouts.abort("r")
    with pytest.raises(InputError, match="resume takes one that is paused"):
        world.rollouts.resume("r")


def test_a_retired_device_is_forgotten(world):
    world.add(nodes(10), running=1)
    world.begin(spec(phases=(Phase.read("100 %", 0),)))
    world.tick()
    world.fleet.retire("rpi4-00004")
    world.deliver(name for name in world.nodes if name != "rpi4-00004")
    assert world.run("r") == "finished"


def test_needed_evidence_is_waited_for():
    world = World(shelf=Shelf(*(Bundle("kws", v, "rpi4") for v in (1, 2))))
    world.add(nodes(10), running=1)
    world.begin(spec(gates=Gates(needed=30), phases=(Phase.read("10 %", 0), Phase.read("100 %", 0))))
    world.run("r", ticks=5)
    assert world.rollouts.get("r").phase == 0
    (canary,) = world.told(2)
    world.nodes[canary].shadow = {"n": 40, "agree_ppm": 990_000}
    world.hear(canary, world.nodes[canary]._say("running"))
    for node in world.nodes.values():
        node.shadow = {"n": 40, "agree_ppm": 990_000}
    assert world.run("r") == "finished"


def test_a_spec_that_is_read_again_is_the_same(world):
    one = Spec.read(
        {"name": "a", "release": "kws", "version": 2, "phases": [3, "10 %", {"share": "50 %", "soak_s": 5}]}
    )
    assert Spec.read(one.to_json()) == one
    world.rollouts.create(one)
    assert world.rollouts.get("a").spec == one


def test_a_sealed_bundle_comes_with_its_key_for_each_device():
    sealed = Bundle("kws", 2, "rpi4", custom={"sealed": 1})
    world = World(shelf=Shelf(Bundle("kws", 1, "rpi4"), sealed))
    world.add(nodes(3), running=1)
    rows = [
        {
            "serial": f"{name}-{n}",
            "device": name,
            "digest": "",
            "key": f"{name} {n}",
            "issued": n,
            "expires": 9e9,
        }
        for name in world.nodes
        for n in (1, 2)
    ]
    with world.database.begin() as connection:
        connection.execute(insert(tables.certificates), rows)
    world.begin(spec(phases=(Phase.read("100 %", 0),)))
    world.tick()
    assert {name: wish.model.key for name, wish in world.wishes().items()} == {
        name: f"kws for {name} 2" for name in world.nodes
    }


def test_a_fleet_that_is_slow_to_count_is_looked_at_less_often(world):
    world.add(nodes(10), running=1)
    world.begin(spec())
    paced = Rollouts(world.database, world.fleet, world.shelf, pace=1e9)
    assert list(paced.tick(world.now)) == ["r"]
    assert list(paced.tick(world.now)) == ["r"]  # it told somebody; this time nothing was to do
    assert list(paced.tick(world.now)) == []


def test_who_has_the_release_already_is_not_told_again(world):
    world.add(nodes(5), running=2)
    world.add((Node(f"old-{i}") for i in range(5)), running=1)
    world.begin(spec(phases=(Phase.read("100 %", 0),)))
    assert world.run("r") == "finished"
    assert {name: wish.v for name, wish in world.wishes().items()} == {
        name: 2 if name.startswith("old") else 1 for name in world.nodes
    }
    assert world.rollouts.progress("r").picture.all().told == 5


def test_nothing_is_decided_by_evidence_that_is_seconds_old(world):
    world.add(nodes(20), running=1)
    world.begin(spec(phases=(Phase.read("5 %", 1), Phase.read("100 %", 1))))
    world.tick()
    world.deliver()
    world.tick()  # it has looked, and the soak begins
    (canary,) = world.told(2)
    bad = {"n": 500, "errors": 400}
    world.stats([{"device": canary, "model": Bundle("kws", 2, "rpi4").sha256, "at": world.now, "stats": bad}])
    world.pass_(2)
    world.tick()
    assert world.rollouts.get("r").state == "rolled-back"
