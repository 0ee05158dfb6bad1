"""Homomorphic encryption of small heads; skipped where TenSEAL is not installed."""

import sys

import numpy as np
import pytest

from edge_runtime.errors import BackendError, FleetError
from federated.privacy import he


@pytest.fixture(scope="module")
def pair():
    pytest.importorskip("tenseal", reason="TenSEAL is not installed")
    return he.generate()


@pytest.mark.parametrize("size", [1, 2048, 5000])
def test_the_server_adds_what_it_cannot_read(pair, size):
    import tenseal

    device, server = pair
    deltas = np.random.default_rng(0).standard_normal((4, size)) * 0.1
    sums = server.add([device.encrypt(delta) for delta in deltas])
    np.testing.assert_allclose(device.decrypt(sums, size), deltas.sum(axis=0), atol=1e-5)
    assert tenseal.context_from(device.context).is_private()
    assert not tenseal.context_from(server.context).is_private()
    with pytest.raises(FleetError, match="cannot be decrypted"):
        he.DeviceKey(server.context).decrypt(sums, size)


def test_two_encryptions_of_the_same_differ(pair):
    device, _ = pair
    assert device.encrypt(np.ones(3)) != device.encrypt(np.ones(3))


def test_what_does_not_fit_is_refused(pair):
    device, server = pair
    with pytest.raises(FleetError, match="must be there"):
        server.add([])
    with pytest.raises(FleetError, match="of one size"):
        server.add([device.encrypt(np.ones(3)), device.encrypt(np.ones(3000))])
    with pytest.raises(FleetError, match="cannot be added"):
        server.add([[b"junk"]])
    with pytest.raises(FleetError, match="expected a sum of 4 numbers, got 3"):
        device.decrypt(server.add([device.encrypt(np.ones(3))]), 4)


def test_without_tenseal_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tenseal", None)
    with pytest.raises(BackendError, match=r"pip install 'littoral\[he\]'"):
        he.generate()
