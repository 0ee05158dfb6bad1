"""Runs in which devices encrypt and the server adds what it cannot read; skipped where TenSEAL is not installed."""

import threading
from contextlib import ExitStack

import numpy as np
import pytest

from edge_runtime.__main__ import main
from edge_runtime.errors import FleetError, InputError
from edge_runtime.trainer import Trainer
from federated import Settings, client_app, federate, server_app
from federated.checkpoint import load
from federated.device.client import Device
from federated.flower import encrypted
from federated.flower.grid import InProcessGrid, run_over
from federated.privacy import he
from federated.privacy.rounds import ENCRYPT, OPEN, Devices
from federated.serve import serve
from tests.federated.link.conftest import Ring, address_of
from tests.federated.link.conftest import run as broker
from tests.federated.test_mqtt_grid import shares_of

CLIENTS = 3


@pytest.fixture(scope="module")
def pair():
    pytest.importorskip("tenseal", reason="TenSEAL is not installed")
    return he.generate()


def parameters(folder):
    return load(folder / "checkpoint.npz").parameters


def plain(linear, digits, held_out, folder, **more):
    settings = Settings(rounds=2, clients=CLIENTS, **more)
    federate(linear, digits, settings, out=folder, test=held_out, progress=False)
    return parameters(folder)


def test_the_model_is_that_of_plain_averaging(pair, linear, digits, held_out, tmp_path):
    wanted = plain(linear, digits, held_out, tmp_path / "plain")
    found = plain(linear, digits, held_out, tmp_path / "encrypted", encrypt=True)
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, atol=2e-6)
    history = load(tmp_path / "encrypted/checkpoint.npz").history
    assert [entry.failed for entry in history.rounds] == [{}, {}]
    assert history.rounds[0].bytes_up > 4 * CLIENTS * 7850 * 4  # it grows, and the history says so
    assert history.rounds[0].train_loss == pytest.approx(
        load(tmp_path / "plain/checkpoint.npz").history.rounds[0].train_loss, abs=1e-4
    )


def test_over_the_link_the_server_sees_no_single_update(
    pair, linear, digits, held_out, tmp_path, monkeypatch
):
    ring, (device_key, server_key) = Ring(), pair
    shares, seen = shares_of(digits, Settings(clients=CLIENTS)), []
    unpack = he.unpack
    monkeypatch.setattr(encrypted.he, "unpack", lambda text: seen.append(bytes(text)) or unpack(text))
    with broker("embedded", ring.passwords) as running, ExitStack() as stack:
        for name, key in ring.devices.items():
            device = Device(
                Trainer(linear, threads=1), shares[key.number], key, address_of(running.port, key), tmp_path / name,
                encryption=device_key,
            )  # fmt: skip
            thread = threading.Thread(target=device.run)
            thread.start()
            stack.callback(thread.join, 10)
            stack.callback(device.stop)
        history = serve(
            linear, held_out, Settings(rounds=2, clients=CLIENTS, encrypt=True), keys=ring.devices,
            address=address_of(running.port, ring.own), out=tmp_path / "run", progress=False, deadline_s=60,
            encryption=server_key,
        )  # fmt: skip
    assert [entry.failed for entry in history.rounds] == [{}, {}]
    wanted = plain(linear, digits, held_out, tmp_path / "plain")
    for name, array in parameters(tmp_path / "run").items():
        np.testing.assert_allclose(array, wanted[name], atol=2e-6)
    updates = [text for text in seen if len(text) > 100_000]
    assert len(updates) >= 2 * CLIENTS
    with pytest.raises(FleetError, match="cannot be decrypted"):
        he.DeviceKey(server_key.context).decrypt(unpack(updates[0]), 7852)


def test_who_has_no_key_or_sends_rubbish_is_left_out_and_two_are_too_few(
    pair, linear, digits, held_out, tmp_path
):
    device_key, server_key = pair
    shares = shares_of(digits, Settings(clients=4))

    class Odd(InProcessGrid):
        """Some nodes run another app, or answer with noise."""

        def __init__(self, apps):
            super().__init__(apps[0], len(apps))
            self.apps = apps

        def _answer(self, message):
            self._app = self.apps[message.metadata.dst_node_id]
            return super()._answer(message)

    def run(keys, out):
        trainer = Trainer(linear, threads=1)
        apps = [client_app(trainer, lambda k, _: shares[k], encryption=key) for key in keys]
        server = server_app(
            linear, Settings(rounds=1, clients=4, encrypt=True), test=held_out, out=tmp_path / out, progress=False,
            encryption=server_key,
        )  # fmt: skip
        run_over(server, Odd(apps))
        return load(tmp_path / out / "checkpoint.npz").history.rounds[0]

    class Noise:
        def encrypt(self, delta):
            return [b"noise" * 1000] * 4

    entry = run([device_key, device_key, device_key, None], "keyless")
    assert set(entry.failed) == {3}
    assert "has no key" in entry.failed[3]
    entry = run([device_key, Noise(), device_key, device_key], "noise")
    assert set(entry.failed) == {1}
    assert "cannot be added" in entry.failed[1]
    with pytest.raises(FleetError, match="less than 3 hides nobody"):
        run([device_key, device_key, None, None], "few")


def test_a_device_opens_one_sum_a_round(pair):
    device_key, server_key = pair
    delta = np.arange(5.0)
    devices = Devices(device_key)
    texts = [devices.mask({"stage": ENCRYPT, "round": 1}, k, delta * (k + 1), 10, 0.5) for k in range(3)]
    total = he.pack(server_key.add([he.unpack(text) for text in texts]))
    request = {"stage": OPEN, "round": 1, "size": 5, "text": total}
    opened = he.read_sum(devices.answer(request, 0), 5, 3)
    np.testing.assert_allclose(opened.delta, delta * 2, atol=1e-4)
    assert opened.num_examples == 30
    with pytest.raises(FleetError, match="has opened the sum of round 1"):
        devices.answer({**request, "text": texts[1]}, 0)  # a single one, for instance
    with pytest.raises(FleetError, match="has no key"):
        Devices().answer({**request, "round": 2}, 0)


@pytest.mark.parametrize("text", [b"", b"\0\0", b"\0\0\0\x09abc", b"\0\0\0\0"])
def test_damaged_messages_are_refused(text):
    if not text:
        assert he.unpack(text) == []
        return
    with pytest.raises(FleetError, match="cut short"):
        he.unpack(text)


@pytest.mark.parametrize("opened", [b"", np.full(7, np.nan).tobytes(), np.zeros(7).tobytes()])
def test_an_opened_sum_that_is_none_is_refused(opened):
    with pytest.raises(FleetError, match="opened sum"):
        he.read_sum(opened, 5, 3)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"codec": "default"}, "look random"),
        ({"downlink": "qsgd"}, "sent whole"),
        ({"defence": "median"}, "nothing to judge"),
        ({"secure": 5}, "either hides"),
        ({"privacy": "central:epsilon=8"}, "privacy 'local'"),
        ({"strategy": "krum:num_malicious_nodes=1"}, "compares single devices"),
        ({"method": "scaffold"}, "fedprox"),
        ({"over": 1.2}, "who is fast"),
        ({"asynchronous": 2}, "same request"),
        ({"clients": 2}, "at least 3"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_reason(more, says):
    with pytest.raises(InputError, match=says):
        Settings(**{"clients": 9, "encrypt": True, **more})


def test_large_models_are_refused_with_the_way_out(pair, linear, digits, held_out, tmp_path, monkeypatch):
    monkeypatch.setattr(encrypted, "MOST", 1000)
    with pytest.raises(InputError, match=r"7850 weights.*secure aggregation"):
        plain(linear, digits, held_out, tmp_path, encrypt=True)


def test_keys_by_command(pair, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["federate", "encryption"]) == 0
    assert (tmp_path / "device.he").stat().st_mode & 0o77 == 0
    device, server = he.load_device("device.he"), he.load_server("server.he")
    delta = np.ones(4)
    np.testing.assert_allclose(
        device.decrypt(server.add([device.encrypt(delta)] * 2), 4), delta * 2, atol=1e-5
    )
    assert main(["federate", "encryption"]) == 2
    assert "is there already" in capsys.readouterr().err
    with pytest.raises(InputError, match="is not the server's key"):
        he.load_server("device.he")
