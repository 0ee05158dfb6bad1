"""The bridge's rules, without sockets."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.gateway.bridge import BATCH_BYTES, Bridge
from cloud.gateway.store import Store
from edge_runtime.errors import BackendError
from edge_runtime.messages import Beat, Command, Desired, Reported, Result, Stats, topics
from edge_runtime.messages.telemetry import unbatch

MODEL = "ab" * 32


class Site:
    def __init__(self, path, **more):
        self.path, self.more, self.now = path, more, 1000.0
        self.told: list[tuple[str, bytes]] = []
        self.boot()

    def boot(self):
        """The same gateway after a kill -9: the store's file is all that it has."""
        self.store = Store(self.path, **self.more)
        self.bridge = Bridge("hall", self.store, lambda *it: self.told.append(it), lambda: self.now)

    def say(self, device, kind, message):
        body = message if isinstance(message, bytes) else message.to_bytes()
        self.bridge.heard(topics.up(device, kind), body)

    def send(self, device, kind, message):
        self.bridge.told(topics.through("hall", device, kind), message.to_bytes())

    def up(self):
        """Everything that goes up now, as the cloud reads it."""
        found = []
        while batch := self.bridge.batch():
            found += unbatch(batch.payload)
            self.bridge.sent(batch)
        return found

    def down(self, kind):
        return [topic.split("/")[3] for topic, _ in self.told if topic.endswith(kind)]


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path / "site.sqlite")


def test_a_gateway_averages_and_its_devices_learn_with_it(tmp_path):
    own, part = [], {"broker": "mqtts://cloud:8900", "devices": []}
    bridge = Bridge("hall", Store(tmp_path / "s"), lambda *_: None, own=own.append, run="mqtts://here:8884")

    def kept(device, v, wished):
        bridge.told(topics.through("hall", device, "desired"), Desired(v, federated=wished).to_bytes())
        return Desired.read(bridge._store.twin(device).desired).federated

    assert kept("hall", 1, part) is None  # the agent beside the gateway has no part in it
    assert [wish.federated for wish in own] == [part]
    assert kept("a", 1, {"broker": "", "threads": 1}) == {"broker": "mqtts://here:8884", "threads": 1}
    assert kept("b", 1, {"broker": "mqtts://elsewhere:1"}) == {"broker": "mqtts://elsewhere:1"}
    assert kept("hall", 2, None) is None
    assert kept("hall", 1, part) is None  # late, and of no effect
    assert [wish.v for wish in own] == [1, 2]


def stats(n):
    return Stats(MODEL, n, n + 1, n)


def test_what_devices_say_goes_up_in_one_batch(site):
    for i in range(30):
        site.say(f"d{i}", "state", b"here")
        site.say(f"d{i}", "beat", Beat(5, i))
        site.say(f"d{i}", "beat", Beat(6, i))
    site.say("d0", "reported", Reported(3, "running", MODEL))
    site.say("d0", "stats", stats(1))
    batch = site.bridge.batch()
    found = unbatch(batch.payload)
    assert len(found) == 62
    assert sum(kind == "beat" for _, kind, _ in found) == 30  # the last of each
    assert ("d0", "state", b"here") in found
    assert json.loads(next(body for _, kind, body in found if kind == "reported"))["v"] == 3
    assert len(unbatch(site.bridge.batch().payload)) == 62  # until the broker has it
    site.bridge.sent(batch)
    assert site.bridge.batch() is None


def test_a_wish_reaches_a_device_when_it_comes_and_again_until_it_answers(site):
    site.send("d1", "desired", Desired(4, brokers=("mqtts://cloud:8883",), time=7))
    assert site.told == []
    site.say("d1", "state", b"here")
    (sent,) = [Desired.read(body) for topic, body in site.told if topic == topics.down("d1", "desired")]
    assert (sent.v, sent.time, sent.brokers) == (4, 7, ())  # it stays behind its gateway
    for seconds, count in ((5, 1), (6, 2), (15, 2), (10, 3)):
        site.now += seconds
        site.bridge.again()
        assert len(site.told) == count
    site.say("d1", "reported", Reported(4, "running", MODEL))
    site.now += 10_000
    site.bridge.again()
    assert len(site.told) == 3


def test_without_the_cloud_a_site_that_was_killed_goes_on(site):
    site.send("d1", "desired", Desired(4))
    site.say("d2", "stats", stats(1))
    site.say("d2", "reported", Reported(9, "running", MODEL))
    site.boot()
    site.say("d1", "state", b"here")
    assert site.down("desired") == ["d1"]
    assert [kind for _, kind, _ in site.up()] == ["state", "stats", "reported"]


def test_an_older_wish_is_not_told(site):
    site.send("d1", "desired", Desired(4))
    site.say("d1", "state", b"here")
    site.send("d1", "desired", Desired(3))
    assert [Desired.read(body).v for _, body in site.told] == [4]


def test_a_wish_that_was_answered_already_is_answered_again_for_the_device(site):
    site.send("d1", "desired", Desired(4))
    site.say("d1", "state", b"here")
    site.say("d1", "reported", Reported(4, "running", MODEL))
    site.up()
    site.send("d1", "desired", Desired(4))
    assert len(site.told) == 1
    assert [(device, kind) for device, kind, _ in site.up()] == [("d1", "reported")]


def test_a_late_report_does_not_replace_a_newer(site):
    site.say("d1", "reported", Reported(5, "running", MODEL))
    site.say("d1", "reported", Reported(4, "fetching", MODEL))
    (found,) = [Reported.read(body) for _, kind, body in site.up() if kind == "reported"]
    assert (found.v, found.state) == (5, "running")


def test_a_command_is_kept_for_who_is_away_and_done_once(site):
    site.send("d1", "command", Command("c1", "probe", 5000))
    site.send("d1", "command", Command("c2", "probe", 900))  # over before the device comes
    site.say("d1", "state", b"here")
    assert [Command.read(body).id for _, body in site.told] == ["c1"]
    site.say("d1", "result", Result("c1", "done", "well"))
    site.boot()
    site.told.clear()
    site.up()
    site.send("d1", "command", Command("c1", "probe", 5000))  # the cloud has lost the answer
    assert site.told == []
    assert [Result.read(body).text for _, kind, body in site.up() if kind == "result"] == ["well"]


def test_when_all_are_asked_the_site_answers_for_its_devices(site):
    for i in range(3):
        site.say(f"d{i}", "state", b"here")
        site.say(f"d{i}", "reported", Reported(1, "running", MODEL))
    site.say("d2", "state", b"gone")
    site.up()
    site.bridge.told(topics.ALL, b"who")
    found = site.up()
    assert sorted(device for device, kind, _ in found if kind == "reported") == ["d0", "d1", "d2"]
    assert sorted(device for device, kind, _ in found if kind == "state") == ["d0", "d1"]
    assert site.told == []


def test_the_gateways_own_wish_comes_by_its_own_topic(site):
    site.bridge.told(topics.down("hall", "desired"), Desired(2).to_bytes())
    site.say("hall", "state", b"here")
    assert site.down("desired") == ["hall"]


def test_the_disk_is_bounded_and_the_last_report_stays(tmp_path):
    site = Site(tmp_path / "s.sqlite", max_bytes=50_000)
    site.say("d1", "reported", Reported(1, "running", MODEL))
    site.say("d1", "result", Result("c1", "done"))
    for i in range(400):
        site.say("d1", "stats", stats(i))
        assert site.store.waiting_bytes <= 50_000
    found = [each for each in site.up() if each[1] != "state"]
    assert found[0][1] == "reported"
    assert found[1][1] == "result"
    newest = [json.loads(body)["n"] for _, kind, body in found if kind == "stats"]
    assert newest == list(range(400 - len(newest), 400))  # the oldest went
    assert site.store.dropped == 400 - len(newest)
    assert site.store.waiting_bytes == 0


def test_a_batch_is_not_longer_than_brokers_take(site):
    for i in range(400):
        site.say(f"d{i}", "result", Result(f"c{i}", "done", "x" * 900))
    count = 0
    while batch := site.bridge.batch():
        found = unbatch(batch.payload)
        assert sum(len(body) for _, _, body in found) <= BATCH_BYTES
        assert len(batch.payload) <= 200_000
        count += sum(kind == "result" for _, kind, _ in found)
        site.bridge.sent(batch)
    assert count == 400


def test_what_cannot_be_kept_is_not_taken(site):
    site.store.close()
    with pytest.raises(BackendError):
        site.say("d1", "stats", stats(1))


@given(st.text(max_size=12), st.sampled_from([*topics.UP, "link", "x"]), st.binary(max_size=60))
def test_whatever_comes_a_batch_can_be_read(tmp_path_factory, device, kind, payload):
    site = Site(tmp_path_factory.mktemp("s") / "s.sqlite")
    site.bridge.heard(f"{topics.ROOT}/d/{device}/up/{kind}", payload)
    site.bridge.heard(topics.up("good", "beat"), b'{ "time": 5,\n "up_s": 1}')
    assert ("good", "beat") in [(name, what) for name, what, _ in site.up()]
    site.store.close()


@given(st.lists(st.sampled_from(["stats", "report", "send", "kill", "acked", "half"]), max_size=30))
def test_nothing_that_was_taken_is_ever_lost(tmp_path_factory, acts):
    site = Site(tmp_path_factory.mktemp("s") / "s.sqlite")
    said, got = set(), set()
    for number, act in enumerate(acts):
        if act == "stats":
            site.say("d1", "stats", stats(number))
            said.add(number)
        elif act == "report":
            site.say("d1", "reported", Reported(number, "running", MODEL))
        elif act == "kill":
            site.store.close()
            site.boot()
        elif act in ("acked", "half") and (batch := site.bridge.batch()):
            got |= {json.loads(body)["n"] for _, kind, body in unbatch(batch.payload) if kind == "stats"}
            if act == "acked":  # else it is killed before it hears that the broker has it
                site.bridge.sent(batch)
    got |= {json.loads(body)["n"] for _, kind, body in site.up() if kind == "stats"}
    assert got == said
    site.store.close()
