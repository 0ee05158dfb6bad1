"""A federated run through gateways, over real brokers, is the run over their devices."""

import itertools
import threading
from contextlib import ExitStack

import numpy as np
import pytest

from cloud.gateway.federation import SiteDevice
from edge_runtime.data import Samples
from edge_runtime.trainer import Trainer
from federated import Settings, client_app, server_app
from federated.checkpoint import load
from federated.device.client import Device
from federated.flower.grid import run_in_process
from federated.link import brokers
from federated.link.brokers import Listener
from federated.link.keys import COORDINATOR
from federated.serve import serve
from tests.federated.link.conftest import address_of, key

SITES = {"hall": ["a", "b"], "yard": ["c", "d", "e"]}


@pytest.fixture(scope="module")
def shares(digits):
    """Shares of unequal size, one a device."""
    edges = np.cumsum([0, 40, 130, 10, 60, 90])
    return [Samples(digits.x[a:b], digits.y[a:b]) for a, b in itertools.pairwise(edges)]


def in_thread(stack, device):
    thread = threading.Thread(target=device.run)
    thread.start()
    stack.callback(thread.join, 15)
    stack.callback(device.stop)


@pytest.mark.slow
def test_the_model_is_that_of_the_devices_without_gateways(linear, shares, held_out, tmp_path):
    rounds = {"rounds": 2, "lr": 0.02}
    flat = Settings(clients=5, **rounds)
    app = client_app(Trainer(linear, threads=1), lambda k, _: shares[k])
    server = server_app(linear, flat, test=held_out, out=tmp_path / "flat", progress=False)
    run_in_process(server, app, 5)
    own = key(COORDINATOR)
    gateways = {name: key(name, number) for number, name in enumerate(SITES)}
    numbers = itertools.count()
    with ExitStack() as stack:
        cloud = stack.enter_context(brokers.embedded(Listener(), brokers.passwords(gateways, own)))
        for name, devices in SITES.items():
            inside = key(COORDINATOR)
            keys = {device: key(device, next(numbers)) for device in devices}
            site = stack.enter_context(brokers.embedded(Listener(), brokers.passwords(keys, inside)))
            for held in keys.values():
                trainer = Trainer(linear, threads=1)
                address = address_of(site.port, held)
                in_thread(stack, Device(trainer, shares[held.number], held, address, tmp_path / held.device))
            gateway = SiteDevice(
                gateways[name],
                address_of(cloud.port, gateways[name]),
                site=address_of(site.port, inside),
                devices=keys,
                folder=tmp_path / name,
                deadline_s=60,
            )
            in_thread(stack, gateway)
        history = serve(
            linear, held_out, Settings(clients=2, **rounds), keys=gateways, address=address_of(cloud.port, own),
            out=tmp_path / "tree", progress=False, deadline_s=90,
        )  # fmt: skip
    assert [each.failed for each in history.rounds] == [{}, {}]
    expected = load(tmp_path / "flat" / "checkpoint.npz").parameters
    found = load(tmp_path / "tree" / "checkpoint.npz").parameters
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-6)
