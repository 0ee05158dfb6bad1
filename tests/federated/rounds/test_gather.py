import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message, MessageType, RecordDict

from federated.flower.gather import Abandons, Gatherer, moved
from federated.flower.grid import InProcessGrid, identity


class Slow(InProcessGrid):
    """Clients that take their time, by a clock that moves only while somebody sleeps; some fail."""

    def __init__(self, seconds, failing=()):
        self.now, self._seconds, self._failing = 0.0, seconds, failing
        self._ready, self.abandoned = {}, []
        super().__init__(self._client, len(seconds))

    def _client(self, message, context):
        if context.node_id in self._failing:
            return Message(Error(2, "no"), reply_to=message)
        return Message(RecordDict({"config": message.content["config"]}), reply_to=message)

    def push_messages(self, messages):
        messages = list(messages)
        keys = super().push_messages(messages)
        for key, message in zip(keys, messages, strict=True):
            self._ready[key] = self.now + self._seconds[message.metadata.dst_node_id]
        return keys

    def pull_messages(self, message_ids):
        return super().pull_messages([key for key in message_ids if self._ready[key] <= self.now])

    def abandon(self, message_ids):
        self.abandoned += message_ids

    def gatherer(self, deadline, patience=0):
        return Gatherer(self, deadline, patience, clock=lambda: self.now, sleep=self._sleep)

    def _sleep(self, seconds):
        self.now += seconds


@pytest.fixture(autouse=True)
def _server():
    with identity():
        yield


def messages(number, nodes):
    return [
        Message(RecordDict({"config": ConfigRecord({"round": number})}), node, MessageType.TRAIN)
        for node in nodes
    ]


def nodes(replies):
    return sorted(reply.metadata.src_node_id for reply in replies)


def test_a_round_ends_when_enough_have_answered():
    grid = Slow([1, 2, 3, 100])
    found = grid.gatherer(50).gather(1, messages(1, range(4)), enough=3)
    assert nodes(found.replies) == [0, 1, 2]
    assert grid.now == pytest.approx(3, abs=0.02)


def test_a_round_ends_at_its_deadline():
    grid = Slow([1, 100, 100])
    found = grid.gatherer(5).gather(1, messages(1, range(3)), enough=3)
    assert nodes(found.replies) == [0]
    assert grid.now == pytest.approx(5, abs=0.02)


def test_an_error_is_told_but_not_waited_for():
    grid = Slow([1, 1, 4], failing=[0])
    found = grid.gatherer(50).gather(1, messages(1, range(3)), enough=2)
    assert nodes(found.replies) == [0, 1, 2]
    assert grid.now == pytest.approx(4, abs=0.02)


def test_nobody_waits_when_all_have_answered():
    grid = Slow([1, 1], failing=[0, 1])
    grid.gatherer(50).gather(1, messages(1, range(2)), enough=2)
    assert grid.now == pytest.approx(1, abs=0.02)


def test_a_late_reply_is_given_to_a_later_round_once():
    grid = Slow([1, 7])
    gatherer = grid.gatherer(5, patience=2)
    assert nodes(gatherer.gather(1, messages(1, [0, 1]), enough=2).replies) == [0]
    second = gatherer.gather(2, messages(2, [0]), enough=1)
    assert second.late == []  # at second 6
    third = gatherer.gather(3, messages(3, [0]), enough=1)
    assert [(came, reply.content["config"]["round"]) for came, reply in third.late] == [(1, 1)]
    assert gatherer.gather(4, messages(4, [0]), enough=1).late == []


def test_what_is_too_late_is_abandoned():
    grid = Slow([1, 1000])
    assert isinstance(grid, Abandons)
    gatherer = grid.gatherer(5, patience=1)
    for number in (1, 2, 3):
        assert gatherer.gather(number, messages(number, [0, 1] if number == 1 else [0]), enough=1).late == []
    assert len(grid.abandoned) == 1


def test_a_late_change_is_taken_from_the_model_it_began_with():
    before, late, now = ({"w": np.float32([value])} for value in (1.0, 3.0, 10.0))
    found = moved(now, before, late, by=3)
    assert found["w"].dtype == np.float32
    np.testing.assert_allclose(found["w"], [11.0])
