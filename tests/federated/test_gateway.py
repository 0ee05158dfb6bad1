import itertools

import numpy as np
import pytest
from flwr.app import Message, RecordDict
from flwr.clientapp import ClientApp

from edge_runtime.data import Samples
from edge_runtime.errors import InputError
from edge_runtime.trainer import Trainer
from federated import Settings, client_app, server_app
from federated.checkpoint import load
from federated.flower.gateway import SiteWork, gateway_app
from federated.flower.grid import InProcessGrid, run_in_process
from federated.link import wire

SITES = (2, 3, 1)  # devices of each


@pytest.fixture(scope="module")
def shares(digits):
    """Shares of unequal size, one a device."""
    edges = np.cumsum([0, 40, 130, 10, 60, 90, 70])
    return [Samples(digits.x[a:b], digits.y[a:b]) for a, b in itertools.pairwise(edges)]


class Numbered(InProcessGrid):
    """A site whose devices have the numbers that they have in the whole fleet: they shuffle by them."""

    def __init__(self, app, first, count):
        super().__init__(app, first + count)
        self._site = range(first, first + count)

    def get_node_ids(self):
        return list(self._site)


def train(client, count, linear, held_out, out, **settings):
    settings = Settings(rounds=3, clients=count, lr=0.02, **settings)
    run_in_process(server_app(linear, settings, test=held_out, out=out, progress=False), client, count)
    return load(out / "checkpoint.npz")


def devices(linear, shares):
    return client_app(Trainer(linear, threads=1), lambda k, _: shares[k])


def through_gateways(app):
    firsts = np.cumsum([0, *SITES])
    sites = [Numbered(app, int(first), count) for first, count in zip(firsts, SITES, strict=False)]
    return gateway_app(lambda context: sites[context.node_id])


@pytest.mark.parametrize("codec", ["", "lossless"])
def test_gateways_give_the_model_that_their_devices_would(linear, shares, held_out, tmp_path, codec):
    app = devices(linear, shares)
    flat = train(app, sum(SITES), linear, held_out, tmp_path / "flat", codec=codec)
    tree = train(through_gateways(app), len(SITES), linear, held_out, tmp_path / "tree", codec=codec)
    for name, array in flat.parameters.items():
        np.testing.assert_allclose(tree.parameters[name], array, rtol=0, atol=1e-6)
    assert tree.history.rounds[-1].train_loss == pytest.approx(flat.history.rounds[-1].train_loss, abs=1e-5)


class Returning(Numbered):
    """A site that knows who is enrolled, and whose last device is back only when it has been looked for a while."""

    def __init__(self, app, first, count):
        super().__init__(app, first, count)
        self.names, self.looks = dict.fromkeys(self._site), 0

    def get_node_ids(self):
        self.looks += 1
        return list(self._site)[: None if self.looks > 3 else -1]


def test_a_round_waits_for_a_device_that_was_killed(linear, shares, held_out, tmp_path):
    app, firsts = devices(linear, shares), np.cumsum([0, *SITES])
    sites = [Returning(app, int(first), count) for first, count in zip(firsts, SITES, strict=False)]
    tree = train(
        gateway_app(lambda context: sites[context.node_id]), len(SITES), linear, held_out, tmp_path / "tree"
    )
    whole = train(through_gateways(app), len(SITES), linear, held_out, tmp_path / "whole")
    for name, array in whole.parameters.items():
        np.testing.assert_array_equal(tree.parameters[name], array)


def test_what_crosses_the_uplink_does_not_grow_with_the_devices(linear, shares, held_out, tmp_path):
    app = devices(linear, shares)
    flat = train(app, sum(SITES), linear, held_out, tmp_path / "flat")
    tree = train(through_gateways(app), len(SITES), linear, held_out, tmp_path / "tree")
    ups = [state.history.rounds[0].bytes_up for state in (flat, tree)]
    assert ups[0] / ups[1] == pytest.approx(sum(SITES) / len(SITES), rel=0.01)


def test_a_site_goes_on_without_a_device_and_fails_when_none_is_left(linear, shares, held_out, tmp_path):
    broken = ClientApp()

    def fail(message, context):
        raise InputError("no data here")

    broken.train()(fail)
    app = devices(linear, shares)

    def some(message, context):
        return (broken if context.node_id in (0, 5) else app)(message, context)

    mixed = ClientApp()
    mixed.train()(some)
    state = train(through_gateways(mixed), len(SITES), linear, held_out, tmp_path / "some")
    failed = state.history.rounds[0].failed
    assert failed == {2: "all 1 devices of this site failed; device 5: no data here"}
    assert state.history.rounds[-1].accuracy > state.history.initial["accuracy"] + 0.05


def test_a_gateway_answers_in_a_process_that_runs_no_server_of_flowers():
    app = ClientApp()
    app.train()(lambda message, _context: Message(RecordDict(), reply_to=message))
    assert SiteWork(app, 3).answer(wire.Message({"kind": "train"}), "ab").head == {"work": "ab"}
