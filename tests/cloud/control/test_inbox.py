"""What the controller takes from devices and sites, and what it refuses; without a broker and without a database."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.control.inbox import Inbox
from cloud.control.known import Buffers, Known
from cloud.control.outbox import Outbox
from edge_runtime.messages import Beat, Reported, Result, Stats, topics
from edge_runtime.messages.telemetry import batch

SHA = "ab" * 32
BEAT = Beat(1_000, 10, "mains").to_bytes()


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


def controller(*devices):
    clock, sent = Clock(), []
    known = {each.name: each for each in devices}
    outbox = Outbox(known, lambda *message: sent.append(message), clock)
    return Inbox(known, outbox, clock), outbox, clock, sent


@pytest.fixture
def inbox():
    return controller(
        Known("pi-1"), Known("pi-2"), Known("home", "home"), Known("pi-3", "home", via="home"),
        Known("pi-4", "other", via="other"), Known("old", enrolled=False),
    )[0]  # fmt: skip


def reported(**fields):
    return Reported(**{"v": 1, "state": "running", "model": SHA, **fields}).to_bytes()


def test_what_a_device_says_goes_into_the_buffers(inbox):
    stats, result = Stats(SHA, 1, 2, 3), Result("c1", "done", "well")
    inbox.take(
        2,
        [
            (topics.up("pi-1", "state"), b"here"),
            (topics.up("pi-1", "beat"), BEAT),
            (topics.up("pi-1", "reported"), reported(state="fetching")),
            (topics.up("pi-1", "reported"), reported(target="rpi4")),
            (topics.up("pi-1", "stats"), stats.to_bytes()),
            (topics.up("pi-1", "result"), result.to_bytes()),
        ],
    )
    device, found = inbox.known["pi-1"], inbox.buffers
    assert (device.online, device.shard, device.target, device.reported_v) == (True, 2, "rpi4", 1)
    assert found.touched == {"pi-1"}
    assert found.beats == {"pi-1": Beat.read(BEAT)}
    assert (found.reports["pi-1"].state, found.targets) == ("running", {"pi-1": "rpi4"})
    assert [each[2] for each in found.stats] == [stats]
    assert [each[2] for each in found.results] == [result]
    assert not inbox.refused


def test_gone_and_the_last_word_of_an_old_connection(inbox):
    say = topics.up("pi-1", "state")
    inbox.take(0, [(say, b"here")])
    inbox.take(1, [(say, b"here")])  # it has moved to another shard
    inbox.take(0, [(say, b"gone")])  # and the first one notices late
    assert inbox.known["pi-1"].online
    inbox.take(1, [(say, b"gone")])
    assert not inbox.known["pi-1"].online


def test_who_is_silent_is_away(inbox):
    inbox.take(0, [(topics.up(name, "beat"), BEAT) for name in ("pi-1", "pi-2")])
    inbox._clock.now += 100
    inbox.take(0, [(topics.up("pi-2", "beat"), BEAT)])
    assert inbox.sweep(inbox._clock.now - 50) == 1
    assert [inbox.known[name].online for name in ("pi-1", "pi-2")] == [False, True]


def test_a_sites_batch(inbox):
    content = batch([("pi-3", "beat", BEAT), ("pi-3", "state", b"here"), ("pi-3", "reported", reported())])
    inbox.take(1, [(topics.site_up("home", "batch"), content)])
    device = inbox.known["pi-3"]
    assert (device.online, device.via, device.shard, device.reported_v) == (True, "home", 1, 1)
    assert inbox.known["home"].online
    assert set(inbox.buffers.touched) == {"home", "pi-3"}


def test_a_site_that_goes_takes_its_devices_along(inbox):
    inbox.take(0, [(topics.site_up("home", "batch"), batch([("pi-3", "beat", BEAT)]))])
    inbox.take(0, [(topics.site_up("home", "state"), b"gone")])
    assert not inbox.known["home"].online
    assert not inbox.known["pi-3"].online


def test_a_site_speaks_for_its_own_devices_alone(inbox):
    content = batch(
        [("pi-1", "beat", BEAT), ("pi-4", "beat", BEAT), ("home", "beat", BEAT), ("old", "beat", BEAT)]
    )
    inbox.take(0, [(topics.site_up("home", "batch"), content)])
    held = inbox.ask()
    assert {each.sender for each in held} == {"pi-1", "pi-4", "old"}
    inbox.lookup(held, {})  # the database knows no better
    assert inbox.refused["batch"] == 3
    assert set(inbox.buffers.beats) == {"home"}
    assert not inbox.known["pi-1"].online


def test_a_device_is_no_site(inbox):
    inbox.take(0, [(topics.site_up("pi-1", "batch"), batch([("pi-3", "beat", BEAT)]))])
    inbox.lookup(inbox.ask(), {})
    assert "pi-3" not in inbox.buffers.beats
    assert inbox.refused["batch"] == 1


def test_a_device_that_came_later_is_looked_up_once(inbox):
    message = (topics.up("new", "beat"), BEAT)
    inbox.take(0, [message])
    held = inbox.ask()
    assert [each.sender for each in held] == ["new"]
    inbox.lookup(held, {"new": Known("new")})
    assert inbox.known["new"].online
    inbox.take(0, [message])
    assert inbox.ask() == []


def test_a_stranger_is_asked_about_once_in_a_while(inbox):
    message = (topics.up("nobody", "beat"), BEAT)
    for _ in range(5):
        inbox.take(0, [message])
        inbox.lookup(inbox.ask(), {})
    assert inbox.refused["beat"] == 5
    inbox.take(0, [message])
    assert inbox.ask() == []
    inbox._clock.now += 60
    inbox.take(0, [message])
    assert len(inbox.ask()) == 1


def test_who_is_retired_is_refused(inbox):
    inbox.take(0, [(topics.up("old", "beat"), BEAT)])
    inbox.lookup(inbox.ask(), {"old": Known("old", enrolled=False)})
    assert not inbox.known["old"].online
    assert inbox.refused["beat"] == 1
    assert inbox.buffers.refusals[0][0].device == "old"


def test_a_device_that_comes_back_is_taken_again(inbox):
    inbox.take(0, [(topics.up("old", "beat"), BEAT)])
    inbox.lookup(inbox.ask(), {"old": Known("old")})
    assert inbox.known["old"].online


NAN = b'{"v":1,"state":"running","capabilities":{"x":NaN}}'
DEEP = b'{"v":1,"state":"running","capabilities":' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"}"
HOSTILE = [
    b"", b"{", b"null", b"[]", b"\xff\xfe", b"1e999", b'{"v":1e999}', b'{"v":-1,"state":"running"}',
    b'{"v":1,"state":"dancing"}', b'{"v":true,"state":"running"}', b'{"v":%d,"state":"running"}' % (1 << 53),
    b'{"v":1' + b"0" * 5000 + b"}", NAN, DEEP, b'{"v":1,"state":"running","error":"' + b"x" * 2000 + b'"}',
    b'{"v":1,"state":"running","target":"../../etc"}', b"x" * 70_000, b'{"v":1,"v":"2","state":"running"}',
]  # fmt: skip


@pytest.mark.parametrize("payload", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("kind", ["reported", "stats", "result", "beat", "state", "nonsense"])
def test_hostile_payloads_are_refused_and_counted(inbox, kind, payload):
    inbox.take(0, [(topics.up("pi-1", kind), payload)])
    assert sum(inbox.refused.values()) == 1
    assert len(inbox.buffers) == 0
    assert inbox.buffers.refusals[0][0].device == "pi-1"


def test_a_long_beat_is_refused(inbox):
    inbox.take(0, [(topics.up("pi-1", "beat"), json.dumps({"time": 1, "x": "y" * 3000}).encode())])
    assert inbox.refused["beat"] == 1


ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = [
    "v",
    "state",
    "model",
    "time",
    "up_s",
    "id",
    "status",
    "text",
    "n",
    "begin",
    "end",
    "capabilities",
    "shadow",
]
OBJECTS = st.dictionaries(st.sampled_from(FIELDS), ANY, max_size=8).map(
    lambda value: json.dumps(value).encode()
)
TOPICS = st.one_of(
    st.builds(
        topics.up,
        st.sampled_from(["pi-1", "home", "old", "who", "", "+", "a/b"]),
        st.sampled_from([*topics.UP, "x"]),
    ),
    st.builds(
        topics.site_up, st.sampled_from(["home", "pi-1", "who"]), st.sampled_from(["batch", "state", "x"])
    ),
    st.text(max_size=30).map(lambda text: f"{topics.ROOT}/{text}"),
    st.text(max_size=30),
)
BATCHES = st.lists(
    st.tuples(
        st.sampled_from(["pi-3", "pi-1", "x", "a/b"]), st.sampled_from(["beat", "reported", "stats"]), OBJECTS
    ),
    max_size=4,
).map(batch)


@given(st.lists(st.tuples(TOPICS, st.one_of(st.binary(max_size=80), OBJECTS, BATCHES)), max_size=8))
def test_nothing_disturbs_the_inbox(messages):
    inbox, _, _, _ = controller(
        Known("pi-1"), Known("home", "home"), Known("pi-3", "home"), Known("old", enrolled=False)
    )
    inbox.take(0, messages)
    inbox.lookup(inbox.ask(), {})
    for told in inbox.buffers.reports.values():
        assert "NaN" not in told.text
        assert "Infinity" not in told.text
        assert told.v >= 0
    assert not any(device.online and not device.enrolled for device in inbox.known.values())


def test_refusals_do_not_fill_the_log(inbox):
    inbox.take(0, [(topics.up("pi-1", "reported"), b"{")] * 10_000)
    assert inbox.refused["reported"] == 10_000
    assert len(inbox.buffers.refusals) <= 21


def test_what_could_not_be_written_is_kept_with_what_came_after():
    before = Buffers({"a"}, results=[("a", 1.0, Result("1", "done"))])
    later = Buffers({"b"}, results=[("b", 2.0, Result("2", "done"))])
    both = before.before(later, 1)
    assert both.touched == {"a", "b"}
    assert [name for name, _, _ in both.results] == ["b"]
    assert math.isclose(len(both), 3)
