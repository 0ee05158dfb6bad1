import threading
import time

import numpy as np
import pytest

from edge_runtime.data import Samples
from edge_runtime.errors import InputError
from edge_runtime.trainer import Trainer
from federated import Settings, client_app, server_app
from federated.checkpoint import load
from federated.flower.grid import InProcessGrid, run_over

SLOW = 2  # the client that is always late


class Dawdling(InProcessGrid):
    """Clients of which one answers a while after it was asked; what it learned is from the model of that time."""

    def __init__(self, app, clients, seconds):
        super().__init__(app, clients)
        self._ready, self._seconds = {}, seconds

    def push_messages(self, messages):
        messages = list(messages)
        keys = super().push_messages(messages)
        for key, message in zip(keys, messages, strict=True):
            slow = message.metadata.dst_node_id == SLOW
            self._ready[key] = time.monotonic() + (self._seconds if slow else 0.0)
        return keys

    def pull_messages(self, message_ids):
        return super().pull_messages([key for key in message_ids if self._ready[key] <= time.monotonic()])


@pytest.fixture
def app(linear, digits):
    trainer = Trainer(linear, threads=1)
    parts = [Samples(digits.x[k::3], digits.y[k::3]) for k in range(3)]
    return client_app(trainer, lambda k, _: parts[k])


def run(app, linear, held_out, out, seconds, **settings):
    settings = Settings(clients=3, sample=2, over=1.5, lr=0.02, **settings)
    server = server_app(linear, settings, test=held_out, out=out, progress=False, timeout=20)
    run_over(server, Dawdling(app, 3, seconds))
    return load(out / "checkpoint.npz")


def test_nobody_waits_for_the_slow_client(app, linear, held_out, tmp_path):
    state = run(app, linear, held_out, tmp_path, 15, rounds=3)
    assert all(set(entry.failed) == {SLOW} for entry in state.history.rounds)
    assert all(entry.seconds < 5 for entry in state.history.rounds)
    assert state.history.rounds[-1].accuracy > state.history.initial["accuracy"] + 0.2


@pytest.mark.parametrize("codec", ["", "lossless"])
def test_what_comes_late_counts_later_and_less(app, linear, held_out, tmp_path, codec):
    learned = run(app, linear, held_out, tmp_path, 0.02, rounds=8, late=5, codec=codec)
    late = [client for entry in learned.history.rounds for client in entry.late]
    assert set(late) == {SLOW}
    assert learned.history.rounds[-1].accuracy > learned.history.initial["accuracy"] + 0.3
    assert all(np.isfinite(array).all() for array in learned.parameters.values())


def test_it_is_refused_where_a_sum_must_not_depend_on_who_is_fast():
    with pytest.raises(InputError, match="who is fast"):
        Settings(clients=9, over=1.3, secure=3)
    with pytest.raises(InputError, match="expected 1 to 10"):
        Settings(over=0.5)


def test_threads_are_not_left_behind(app, linear, held_out, tmp_path):
    before = threading.active_count()
    run(app, linear, held_out, tmp_path, 1, rounds=1)
    assert threading.active_count() == before
