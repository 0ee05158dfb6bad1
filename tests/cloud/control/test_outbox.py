"""What is sent when: at once, again while it is unanswered, and when the device comes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.control.known import Known
from cloud.control.outbox import Ask, Outbox, Wish
from edge_runtime.messages import topics
from tests.cloud.control.test_inbox import Clock


class Bench:
    """An outbox, what it sent, and the wishes as the database would hold them."""

    def __init__(self, *devices):
        self.clock, self.sent, self.wishes = Clock(), [], {}
        self.known = {each.name: each for each in devices}
        self.outbox = Outbox(self.known, lambda *message: self.sent.append(message), self.clock)

    def wish(self, name, v):
        self.wishes[name] = Wish(name, v, json.dumps({"v": v}).encode())
        self.outbox.send([self.wishes[name]])

    def later(self, seconds):
        self.clock.now += seconds
        while due := self.outbox.due(10):
            self.outbox.send([self.wishes[name] for name in due])

    def report(self, name, v):
        self.known[name].reported_v = v
        self.outbox.answered(self.known[name])

    def online(self, name, *, shard=0, via=""):
        device = self.known[name]
        device.online, device.shard, device.via = True, shard, via
        self.outbox.here(device)


@pytest.fixture
def bench():
    found = Bench(Known("pi-1"), Known("pi-2", "home"), Known("home", "home"))
    found.online("pi-1", shard=3)
    return found


def test_a_new_wish_goes_out_at_once(bench):
    bench.wish("pi-1", 1)
    assert bench.sent == [(3, topics.down("pi-1", "desired"), b'{"v": 1}')]


def test_it_goes_out_again_until_it_is_answered_ever_more_rarely(bench):
    bench.wish("pi-1", 1)
    for _ in range(3600):
        bench.later(1)
    assert 6 <= len(bench.sent) <= 16
    bench.report("pi-1", 1)
    count = len(bench.sent)
    bench.later(10_000)
    assert len(bench.sent) == count
    assert bench.outbox.unanswered == 0


def test_a_newer_wish_begins_anew(bench):
    bench.wish("pi-1", 1)
    bench.wish("pi-1", 2)
    bench.report("pi-1", 1)
    assert bench.outbox.unanswered == 1
    bench.later(30)
    assert bench.sent[-1][2] == b'{"v": 2}'
    bench.report("pi-1", 2)
    assert bench.outbox.unanswered == 0


def test_nothing_is_sent_to_who_is_away_and_all_when_it_comes(bench):
    bench.known["pi-1"].online = False
    bench.wish("pi-1", 1)
    bench.later(5000)
    assert bench.sent == []
    bench.online("pi-1", shard=2)
    bench.later(0)
    assert [shard for shard, _, _ in bench.sent] == [2]


def test_coming_again_and_again_is_answered_once_a_second_at_most(bench):
    bench.wish("pi-1", 1)
    for _ in range(100):
        bench.online("pi-1")
        bench.later(0.01)
    assert len(bench.sent) <= 3


def test_a_device_that_forgot_is_told_again(bench):
    bench.wish("pi-1", 5)
    bench.report("pi-1", 5)
    bench.report("pi-1", 0)  # its disk was replaced
    bench.later(0)
    assert len(bench.sent) == 2


def test_an_old_report_again_and_again_is_no_reason_to_send(bench):
    bench.wish("pi-1", 5)
    for _ in range(1000):
        bench.report("pi-1", 4)
        bench.later(0.001)
    assert len(bench.sent) == 1


def test_the_way_through_a_gateway(bench):
    bench.online("home", shard=7)
    bench.online("pi-2", shard=7, via="home")
    bench.wish("pi-2", 1)
    assert bench.sent == [(7, topics.through("home", "pi-2", "desired"), b'{"v": 1}')]
    bench.known["home"].online = False
    bench.wish("pi-2", 2)
    assert len(bench.sent) == 1
    bench.online("home", shard=8)
    bench.outbox.here(bench.known["pi-2"])
    bench.later(1)
    assert bench.sent[-1][0] == 8


def test_the_retired_get_nothing(bench):
    bench.known["pi-1"].enrolled = False
    bench.wish("pi-1", 1)
    assert bench.sent == []


def test_a_command_goes_out_until_it_is_answered_or_expires(bench):
    now = bench.clock.now
    bench.outbox.ask([Ask("c1", "pi-1", b"x", now + 100), Ask("c2", "pi-1", b"y", now + 5)])
    assert bench.outbox.remind() == 2
    bench.outbox.resulted("pi-1", "c1")
    bench.clock.now += 50
    assert bench.outbox.remind() == 0
    assert bench.outbox.asked == 0


def test_a_command_to_who_is_away_waits(bench):
    bench.outbox.ask([Ask("c1", "pi-2", b"x", bench.clock.now + 100)])
    assert bench.outbox.remind() == 0
    bench.online("pi-2")
    assert bench.outbox.remind() == 1
    assert bench.sent[-1][1] == topics.down("pi-2", "command")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wish"), st.integers(0, 2)),
        st.tuples(st.just("report"), st.integers(0, 2)),
        st.tuples(st.just("away"), st.integers(0, 2)),
        st.tuples(st.just("here"), st.integers(0, 2)),
        st.tuples(st.just("later"), st.integers(1, 1000)),
    ),
    max_size=40,
)


@given(STEPS)
def test_whatever_happens_the_last_wish_arrives_in_the_end(steps):
    names = ["a", "b", "c"]
    bench, v = Bench(*map(Known, names)), dict.fromkeys(names, 0)
    for what, value in steps:
        if what == "later":
            bench.later(value)
        elif what == "wish":
            v[names[value]] += 1
            bench.wish(names[value], v[names[value]])
        elif what == "report":
            bench.report(names[value], max(0, v[names[value]] - 1))
        elif what == "here":
            bench.online(names[value])
        else:
            bench.known[names[value]].online = False
    for name in names:
        bench.online(name)
    bench.sent.clear()
    bench.later(2000)
    for name in names:
        told = [json.loads(body)["v"] for _, topic, body in bench.sent if topics.device_of(topic) == name]
        assert told[-1:] == [v[name]] if v[name] else told == []
        bench.report(name, v[name])
    bench.sent.clear()
    bench.later(5000)
    assert bench.sent == []
