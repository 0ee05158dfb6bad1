"""The same rollouts on SQLite and on a real PostgreSQL server, on migrated tables; and a kill that is one."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cloud.audit import Audit
from cloud.database import Database
from cloud.rollouts import Gates, Phase
from cloud.rollouts.spec import Spec
from tests.cloud.rollouts.simulated import Bundle, Node, World, nodes, spec


@pytest.fixture
def world(database):
    return World(database=database)


def test_a_whole_rollout_and_its_way_back(world):
    world.add(nodes(60), running=1)
    world.add(nodes(6, "x86-64"), running=1, labels={"room": "hall"})
    world.add([Node("newer")], running=3)
    world.add([Node("fresh"), Node("other", "esp32")])
    world.begin(spec())
    assert world.run("r") == "finished"
    assert len(world.told(2)) == 67
    assert world.rollouts.progress("r").left_out == {"esp32": (1, "other")}
    world.rollouts.rollback("r")
    assert world.run("r") == "rolled-back"
    assert (len(world.told(1)), world.told(2), world.told(3)) == (66, [], ["newer"])
    assert Audit(world.database).verify()[1] is None


@pytest.mark.parametrize(
    ("shadow", "new", "word"),
    [
        ({"n": 100, "agree_ppm": 420_000}, None, "agrees with the old one in 42.0%"),
        (None, {"n": 500, "errors": 50}, "10.0% of 500"),
        (None, {"n": 500, "p95_us": 4000}, "4.00 times"),
        (None, {"n": 500, "labelled": 100, "correct": 50}, "accuracy falls by 45.0%"),
        (None, {"n": 500, "drift_ppm": 900_000}, "drift is 0.90"),
    ],
)
def test_what_was_measured_is_read_alike(world, shadow, new, word):
    world.add(nodes(20, shadow=shadow), running=1)
    old = {"n": 500, "p95_us": 1000, "labelled": 100, "correct": 95}
    world.stats(
        {"device": name, "model": Bundle("kws", 1, "rpi4").sha256, "at": world.now - 60, "stats": old}
        for name in world.nodes
    )
    world.begin(spec(gates=Gates(max_drift=0.5)))
    world.tick()
    world.deliver()
    (canary,) = world.told(2)
    if new:
        world.stats(
            [{"device": canary, "model": Bundle("kws", 2, "rpi4").sha256, "at": world.now, "stats": new}]
        )
    world.pass_(10)
    world.tick()
    assert word in world.rollouts.get("r").reason
    assert world.run("r") == "rolled-back"


def test_the_log_is_one_chain_whoever_writes(world):
    def write(name):
        for number in range(15):
            with world.database.begin() as connection:
                Audit(world.database).add(connection, name, "x", "", {"n": number, "x": 0.1})

    threads = [threading.Thread(target=write, args=(f"w{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Audit(world.database).verify() == (60, None)


def test_two_controllers_tell_nobody_twice(world):
    world.add(nodes(40), running=1)
    world.begin(spec(phases=(Phase.read("100 %", 0),), max_concurrent=10))
    other = World(database=world.database)
    threads = [
        threading.Thread(target=lambda w=each: [w.rollouts.tick(w.now) for _ in range(5)])
        for each in (world, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(world.told(2)) == 10
    assert all(wish.v == 2 for name, wish in world.wishes().items() if name in world.told(2))


_TICKING = """
import sys
from tests.cloud.rollouts.simulated import World, Database
world = World(database=Database(sys.argv[1]))
print("ready", flush=True)
while True:
    world.rollouts.tick()
"""


@pytest.mark.slow
def test_a_controller_that_is_killed_again_and_again(tmp_path):
    url = f"sqlite:///{tmp_path / 'fleet.sqlite'}"
    world = World(url)
    world.add(nodes(3000), running=1)
    world.rollouts.create(
        Spec.read({"name": "r", "release": "kws", "version": 2, "phases": ["100 %"], "soak_s": 0})
    )
    world.rollouts.start("r")
    for number in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", _TICKING, url], stdout=subprocess.PIPE, cwd=Path.cwd()
        )
        process.stdout.readline()
        time.sleep(0.05 * number)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        told = world.rollouts.progress("r").picture.all().told
        assert len(world.told(2)) == told  # both or neither
        world.deliver(world.told(2))
        if number == 3:
            world.rollouts.abort("r")
    assert world.run("r") == "aborted"
    assert len(world.told(1)) == 3000
    assert {node.model for node in world.nodes.values()} == {Bundle("kws", 1, "rpi4").sha256}
    assert Audit(Database(url)).verify()[1] is None
