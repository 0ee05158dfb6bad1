"""The same ServerApp over MQTT and devices as in this process: the same model, bit for bit."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from edge_runtime.trainer import Trainer
from federated import Settings, federate
from federated.device.client import Device
from federated.flower.grid import identity
from federated.flower.mqtt_grid import MqttGrid, from_wire, run_over_mqtt, to_wire
from federated.link import keys
from federated.link.brokers import Listener
from federated.link.mqtt import Address
from federated.link.traffic import counted
from federated.run import split, take
from federated.serve import serve
from tests.federated.link.conftest import KINDS, Ring, address_of, run
from tests.federated.link.test_link import until

CLIENTS = 3


@pytest.fixture(scope="module")
def ring():
    return Ring()


@contextmanager
def devices(port, ring, bundle, shares, folder, names=None):
    """Devices in threads of this process, each with its share."""
    with ExitStack() as stack:
        for name in names or ring.devices:
            key = ring.devices[name]
            device = Device(
                Trainer(bundle, threads=1), shares[key.number], key, address_of(port, key), folder / name,
                chunk_bytes=1 << 12,
            )  # fmt: skip
            thread = threading.Thread(target=device.run)
            thread.start()
            stack.callback(thread.join, 10)
            stack.callback(device.stop)
        yield


def shares_of(samples, settings):
    return [take(samples, part) for part in split(samples, settings)]


def model(folder):
    return hashlib.sha256((folder / "model.bundle").read_bytes()).hexdigest()


def simulated(bundle, samples, settings, held_out, folder):
    federate(bundle, samples, settings, out=folder, test=held_out, progress=False)
    return model(folder)


@pytest.mark.parametrize(
    "codecs", [{}, {"codec": "default", "downlink": "qsgd:bucket=64"}], ids=["plain", "coded"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_the_simulation(kind, codecs, ring, linear, digits, held_out, tmp_path):
    settings = Settings(rounds=3, clients=CLIENTS, **codecs)
    shares = shares_of(digits, settings)
    with run(kind, ring.passwords) as running, devices(running.port, ring, linear, shares, tmp_path):
        history = serve(
            linear, held_out, settings, keys=ring.devices, address=address_of(running.port, ring.own),
            out=tmp_path / "served", progress=False, chunk_bytes=1 << 12, deadline_s=60,
        )  # fmt: skip
    assert [dict(entry.failed) for entry in history.rounds] == [{}] * 3
    assert history.names == {0: "ann", 1: "bob", 2: "eve"}
    for entry in history.rounds if counted() else ():  # at the socket: what is counted, and a little more
        assert entry.bytes_down < entry.wire_down < entry.bytes_down * 1.1 + 10_000
        assert entry.bytes_up < entry.wire_up < entry.bytes_up * 1.1 + 10_000
    wanted = simulated(
        linear, digits, Settings(**(settings.to_json() | {"alpha": 0.5})), held_out, tmp_path / "sim"
    )
    assert model(tmp_path / "served") == wanted


def test_flowers_own_strategy_runs_over_it(ring, linear, digits, tmp_path):
    shares = shares_of(digits, Settings(clients=CLIENTS))
    start = Trainer(linear, threads=1).parameters
    found = []

    def main(grid, context):
        config = ConfigRecord({"epochs": 1, "batch-size": 32, "lr": 0.05, "seed": 0})
        until(lambda: len(grid.get_node_ids()) == CLIENTS)
        initial = ArrayRecord({name: Array(array) for name, array in start.items()})
        strategy = FedAvg(min_available_nodes=CLIENTS)
        found.append(strategy.start(grid=grid, initial_arrays=initial, num_rounds=2, train_config=config))

    server = ServerApp()
    server.main()(main)
    with run("embedded", ring.passwords) as running, devices(running.port, ring, linear, shares, tmp_path):
        run_over_mqtt(server, MqttGrid(address_of(running.port, ring.own), ring.devices))
    assert any((array.numpy() != start[name]).any() for name, array in found[0].arrays.items())
    assert found[0].evaluate_metrics_clientapp[2]["accuracy"] > 0.3


def ask(grid, nodes, record):
    return [Message(RecordDict({"config": ConfigRecord(record)}), node, "evaluate") for node in nodes]


def test_errors_timeouts_and_keys(ring, linear, digits, tmp_path):
    shares = shares_of(digits, Settings(clients=CLIENTS))
    grid = MqttGrid(Address("127.0.0.1", 1), ring.devices)
    assert isinstance(grid, Grid)
    assert not MqttGrid.__abstractmethods__
    grid.set_run("a run")
    assert grid.run == "a run"
    with (
        run("embedded", ring.passwords) as running,
        devices(running.port, ring, linear, shares, tmp_path, ["bob"]),
        MqttGrid(address_of(running.port, ring.own), ring.devices) as grid,
        identity(),
    ):
        until(lambda: grid.get_node_ids() == [1])
        replies = grid.send_and_receive(
            ask(grid, [0, 1], {"n": 1}), timeout=2
        )  # 0 is not there, 1 has no weights
        assert [reply.metadata.src_node_id for reply in replies] == [1]
        assert "parameter" in replies[0].error.reason
        for _ in range(2):  # the same twice is asked twice
            names = grid.push_messages(ask(grid, [1], {"n": 2}))
            until(lambda names=names: grid._desk.out[names[0]].reply is not None)
            assert len(grid.pull_messages(names)) == 1
            assert grid.pull_messages(names) == []
        assert grid.create_message(RecordDict(), "train", 1, "g").metadata.group_id == "g"
        assert grid.hub.refused == {}


def test_records_there_and_back():
    records = RecordDict(
        {
            "arrays": ArrayRecord({"w": Array(np.arange(3, dtype=np.float32))}),
            "metrics": MetricRecord({"loss": 0.5, "n": [1, 2]}),
            "config": ConfigRecord({"b": b"\0\1", "s": "text", "t": True, "l": [b"a", b"b"]}),
        }
    )
    back = from_wire(to_wire(records))
    assert dict(back["metrics"]) == dict(records["metrics"])
    assert dict(back["config"]) == dict(records["config"])
    np.testing.assert_array_equal(back["arrays"]["w"].numpy(), [0, 1, 2])


# ------------------------------------------------------------------------------------------ processes
def littoral(*argv, **more):
    return subprocess.Popen([sys.executable, "-m", "edge_runtime", *map(str, argv)], **more)


@pytest.fixture
def desk(tmp_path, linear, digits, held_out):
    """What three devices and a coordinator have on disk."""
    settings = Settings(clients=CLIENTS)
    np.savez(tmp_path / "test.npz", x=held_out.x, y=held_out.y)
    for number, share in enumerate(shares_of(digits, settings)):
        keys.enrol(f"d{number}", tmp_path / "keys")
        np.savez(tmp_path / f"d{number}.npz", x=share.x, y=share.y)
    return tmp_path


def join(desk, number, port, bundle, *more):
    return littoral(
        "federate", "join", "--broker", f"mqtt://127.0.0.1:{port}", "--bundle", bundle.path, "--json",
        "--data", desk / f"d{number}.npz", "--key", desk / f"keys/d{number}.key", "--state", desk / f"state{number}",
        *more,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def start(desk, port, bundle, rounds):
    return littoral(
        "federate", "serve", bundle.path, "--test", desk / "test.npz", "--keys", desk / "keys", "--out", desk / "run",
        "--broker", f"mqtt://127.0.0.1:{port}", "--rounds", rounds,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def rounds_said(process, count):
    for line in process.stderr:
        count -= line.startswith("round ")
        if not count:
            return


def listening(desk, listener=None):
    folder = desk / "keys"
    known = keys.load_all(folder)
    from federated.link import brokers

    return brokers.embedded(listener or Listener(), brokers.passwords(known, keys.coordinator(folder)))


def end(processes):
    for process in processes:
        process.send_signal(signal.SIGTERM)
    return [json.loads(process.communicate(timeout=60)[0]) for process in processes]


@pytest.mark.slow
def test_whoever_is_killed_the_model_is_the_same(desk, linear, digits, held_out):
    """The coordinator twice, the broker and a device, in the middle of rounds."""
    rounds = 30
    with ExitStack() as stack:
        running = stack.enter_context(listening(desk))
        joined = [join(desk, number, running.port, linear) for number in range(CLIENTS)]
        for _ in range(2):
            server = start(desk, running.port, linear, rounds)
            rounds_said(server, 3)
            time.sleep(0.03)
            server.kill()
            server.communicate()
        server = start(desk, running.port, linear, rounds)
        rounds_said(server, 2)
        running.process.kill()
        running.process.wait()
        time.sleep(0.5)
        stack.enter_context(listening(desk, Listener(port=running.port)))
        rounds_said(server, 2)
        joined[1].kill()
        joined[1].communicate()
        joined[1] = join(desk, 1, running.port, linear)
        _, said = server.communicate(timeout=300)
        assert server.returncode == 0, said
        worked = [each["worked"] for each in end(joined)]
    history = json.loads((desk / "run" / "history.json").read_text())
    assert [entry["failed"] for entry in history["rounds"]] == [{}] * rounds
    assert worked[0] == worked[2] == rounds  # nothing twice
    assert worked[1] < rounds
    assert model(desk / "run") == simulated(
        linear, digits, Settings(rounds=rounds, clients=3), held_out, desk / "sim"
    )


@pytest.mark.slow
def test_nobody_is_called_beyond_loopback(desk, linear):
    """Every process of a run writes down whom it connects to."""
    (desk / "sitecustomize.py").write_text(
        "import os, socket, sys\n"
        "def hook(event, args):\n"
        "    if event == 'socket.connect' and args[0].family != socket.AF_UNIX:\n"
        "        with open(os.environ['CALLS'], 'a') as stream:\n"
        "            stream.write(f'{args[1]!r}\\n')\n"
        "    if event == 'socket.getaddrinfo':\n"
        "        with open(os.environ['CALLS'], 'a') as stream:\n"
        "            stream.write(f'{(args[0], args[1])!r}\\n')\n"
        "sys.addaudithook(hook)\n"
    )
    calls = desk / "calls"
    path = os.pathsep.join([str(desk), *filter(None, sys.path)])
    previous = {name: os.environ.get(name) for name in ("PYTHONPATH", "CALLS")}
    os.environ.update(PYTHONPATH=path, CALLS=str(calls))
    try:
        with listening(desk) as running:
            joined = [join(desk, number, running.port, linear) for number in range(CLIENTS)]
            server = start(desk, running.port, linear, 2)
            _, said = server.communicate(timeout=300)
            assert server.returncode == 0, said
            end(joined)
    finally:
        for name, value in previous.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    called = calls.read_text().splitlines()
    assert len(called) >= 4
    assert {line.partition(",")[0] for line in called} <= {"('127.0.0.1'", "('localhost'", "('::1'"}
