"""A fleet learns together, a site's devices through their gateway: real brokers, controller, gateway and devices."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from cloud.federation import Run, federate
from cloud.fleet import shown
from cloud.gateway.averaging import Averaging
from cloud.home import Home
from cloud.settings import Settings
from converter.trainable import pack_trainable
from edge_runtime.errors import InputError
from edge_runtime.messages import Desired, Reported
from federated.settings import Settings as Learning
from tests.cloud.gateway.test_gateway import Above, Below, Small, free_port, until
from tests.cloud.test_federation import LINEAR, samples
from tests.models import build

KEY = {"device": "hall", "number": 0, "key": "11" * 32}
PART = {
    "broker": "mqtt://127.0.0.1:9",
    "key": KEY,
    "devices": [{"device": "a", "number": 0, "key": "22" * 32}],
    "deadline_s": 30.0,
}


class Learner(Small):
    """A device that does what an agent does with a federated run: it starts the child that learns, and ends it."""

    def __init__(self, name, broker, folder, bundle):
        self.folder, self.bundle, self.child, self.parts = folder / name, bundle, None, []
        self.folder.mkdir()
        data = samples(int(name[1:]))
        np.savez(self.folder / "data.npz", x=data.x, y=data.y)
        super().__init__(name, broker)

    def message(self, topic, payload):
        if not topic.endswith("desired"):
            return
        wish = Desired.read(payload)
        if wish.federated and not self.child:
            self.parts.append(wish.federated)
            (self.folder / "own.key").write_text(json.dumps(wish.federated["key"]))
            words = {
                "broker": wish.federated["broker"],
                "bundle": self.bundle,
                "data": self.folder / "data.npz",
            }
            words |= {"key": self.folder / "own.key", "state": self.folder / "state"}
            self.child = subprocess.Popen(
                [sys.executable, "-m", "federated.device"] + [w for k, v in words.items() for w in (f"--{k}", str(v))],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )  # fmt: skip
        elif not wish.federated and self.child:
            self.end()
        self.link.send("reported", Reported(wish.v, "running", "ab" * 32, target="rpi4").to_bytes())

    def end(self):
        child, self.child = self.child, None
        if child:
            child.terminate()
            child.wait(20)


@pytest.mark.slow
def test_devices_behind_a_gateway_learn_with_those_that_are_not(tmp_path):
    above = Above(tmp_path, embedded=True)
    above.broker()
    above.add("hall", "d1", "d2")
    home = Home(tmp_path)
    Settings(tls=False).save(home)
    bundle = pack_trainable(build(LINEAR), tmp_path / "m.bundle", name="linear", target="rpi4")
    below = Below(tmp_path, above, "--federate-port", str(free_port()))
    devices = [Learner(name, below.told["brokers"][0], tmp_path, bundle.path) for name in ("d1", "d2")]
    histories = []
    try:
        with above.controller():
            above.wish("d1", "d2")
            until(lambda: all(above.fleet.device(each.name).reported_v == 1 for each in devices))
            run = Run("together", "", free_port(), Learning(rounds=6, epochs=2, lr=0.3), deadline_s=60)
            learning = threading.Thread(
                target=lambda: histories.append(federate(home, run, bundle, samples(0, 200))), daemon=True
            )
            learning.start()
            until(lambda: (tmp_path / "federated/together/run/checkpoint.npz").exists(), 60)
            below.kill()  # with its child, in the middle of the run
            below.boot()
            learning.join(120)
            assert [each.number for each in histories[0].rounds] == [1, 2, 3, 4, 5, 6]
            assert histories[0].rounds[-1].accuracy > 0.9
            until(lambda: all(each.child is None for each in devices))
            until(lambda: not (tmp_path / "gateway/averaging").exists())
            until(lambda: (twin := above.fleet.twin("hall")).reported_v == twin.desired_v > 0)
        assert {part["broker"] for each in devices for part in each.parts} == {
            f"mqtt://127.0.0.1:{below.command[-1]}"
        }
    finally:
        for each in devices:
            each.link.stop()
            each.end()
        below.kill()
        above.away()
        above.files.server.shutdown()
        above.files.server.server_close()


def averaging(folder):
    return Averaging(folder, "127.0.0.1", "127.0.0.1", 8884, tls=False)


def test_a_wish_is_kept_with_its_keys_for_their_owner_alone_until_there_is_none(tmp_path):
    made = averaging(tmp_path)
    made.wish(PART)
    words = averaging(tmp_path)._words()  # of the process after a kill
    assert words[words.index("--listen") + 1] == "127.0.0.1:8884"
    files = [each for each in (tmp_path / "averaging").rglob("*") if each.is_file()]
    assert {each.name for each in files} == {"wish.json", "own.key", "a.key"}
    assert all(each.stat().st_mode & 0o077 == 0 for each in files)
    assert not any(KEY["key"] in word for word in words)
    made.wish(None)
    assert not (tmp_path / "averaging").exists()
    assert averaging(tmp_path)._words() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"devices": [{"device": "../../etc/a", "number": 0, "key": "22" * 32}]},
        {"devices": [{"device": "a", "number": 0, "key": "zz"}]},
        {"devices": 3},
        {"key": None},
        {"broker": "nowhere"},
        {"deadline_s": "soon"},
        {"deadline_s": -1},
    ],
)
def test_a_wish_that_makes_no_sense_starts_nothing_and_leaves_the_gateway_alone(wrong, tmp_path, caplog):
    made = averaging(tmp_path)
    made.wish({**PART, **wrong})
    assert made._words() == []
    assert "takes no part" in caplog.text
    assert not list(tmp_path.rglob("../etc/a.key"))


def test_the_child_follows_the_wish(tmp_path, monkeypatch):
    began, running = [], set()

    async def keep(words):
        began.append(words)
        running.add(len(began))
        try:
            await asyncio.sleep(60)
        finally:
            running.discard(len(began))

    async def play():
        made = averaging(tmp_path)
        task = asyncio.create_task(made.run())
        for wish, count in ((None, 0), (PART, 1), (PART, 1), ({**PART, "deadline_s": 9.0}, 2), (None, 2)):
            made.wish(wish)
            await asyncio.sleep(0.05)
            assert len(began) == count
            assert len(running) == bool(wish)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    monkeypatch.setattr("cloud.gateway.averaging.keep", keep)
    asyncio.run(play())


def test_nobody_sees_the_keys_of_a_wish():
    wish = json.loads(Desired(3, federated=PART).to_bytes())
    assert shown(wish)["federated"] == {"broker": PART["broker"], "deadline_s": 30.0}
    assert "22" * 32 not in json.dumps(shown(wish))
    assert shown({"v": 1}) == {"v": 1}


def test_who_cannot_be_asked_is_named(tmp_path):
    home = Home(tmp_path)
    Settings(tls=False).save(home)
    above = Above(tmp_path, embedded=True)
    above.add("d1")
    bundle = pack_trainable(build(LINEAR), tmp_path / "m.bundle", name="linear", target="rpi4")

    def refused(selector, learning, why):
        with pytest.raises(InputError, match=why):
            federate(home, Run("r", selector, free_port(), learning), bundle, samples(0))

    try:
        refused("", Learning(), "no gateway that is enrolled")
        refused("target=rpi5", Learning(), "no device fits")
        above.add("hall")
        refused("", Learning(secure=4), "the gateway of 'hall' averages what it sees")
    finally:
        above.files.server.shutdown()
        above.files.server.server_close()
