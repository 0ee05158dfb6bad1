"""The same apps on SuperLink and SuperNodes: the same model as in this process."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import FleetError, InputError
from federated import Settings
from federated.checkpoint import load
from federated.flower import deployment
from federated.flower.deployment import Place
from federated.run import federate, split, take

CLIENTS = 2


def test_the_app_is_one_that_flwr_takes(tmp_path, linear):
    settings = Settings(rounds=2, clients=2, alpha=None)
    app = deployment.write_app(tmp_path, linear.path, tmp_path / "t.npz", tmp_path / "out", settings)
    table = tomllib.loads((app / "pyproject.toml").read_text())
    assert table["tool"]["flwr"]["app"]["components"] == {
        "serverapp": "littoral_app.server:app",
        "clientapp": "littoral_app.client:app",
    }
    for name in ("server", "client"):
        compile((app / f"littoral_app/{name}.py").read_text(), name, "exec")


def test_certificates_and_keys(tmp_path):
    import ssl

    deployment.make_certificates(tmp_path)
    context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    path = deployment.make_node_key(tmp_path / "nodes", "n")
    assert path.stat().st_mode & 0o77 == 0
    assert (tmp_path / "nodes/n.pub").read_text().startswith("ecdsa-sha2-nistp256 ")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_equal_to_the_simulation_over_tls_with_keys(tmp_path, linear, digits, held_out):
    settings, folder, place = Settings(rounds=2, clients=CLIENTS), tmp_path / "flower", Place(free_port())
    np.savez(tmp_path / "test.npz", x=held_out.x, y=held_out.y)
    deployment.make_certificates(folder)
    processes = [deployment.superlink(folder, place)]
    try:
        for number, part in enumerate(split(digits, settings)):
            mine, data = take(digits, part), tmp_path / f"{number}.npz"
            np.savez(data, x=mine.x, y=mine.y)
            key = deployment.make_node_key(folder / "nodes", f"n{number}")
            deployment.flwr(folder, "supernode", "register", f"{key}.pub")
            files = {"LITTORAL_BUNDLE": str(linear.path), "LITTORAL_DATA": str(data)}
            processes.append(deployment.supernode(folder, key, number, CLIENTS, place, free_port(), files))
        out = folder / "run"
        app = deployment.write_app(folder / "app", linear.path, tmp_path / "test.npz", out, settings)
        deployment.flwr(folder, "run", str(app))
        ends = time.monotonic() + 170
        while not (out / "history.json").exists():
            assert time.monotonic() < ends, "the run did not end"
            time.sleep(0.5)
        assert [entry["failed"] for entry in json.loads((out / "history.json").read_text())["rounds"]] == [
            {},
            {},
        ]
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(20)
    federate(linear, digits, settings, out=tmp_path / "sim", test=held_out, progress=False)
    wanted = load(tmp_path / "sim/checkpoint.npz").parameters
    for name, array in load(out / "checkpoint.npz").parameters.items():
        np.testing.assert_array_equal(array, wanted[name])


# ------------------------------------------------------------------------------------------ commands
@pytest.fixture
def desk(tmp_path, linear, digits, held_out):
    """A bundle, held-out data and a file of data for each node, as a user has them."""
    (tmp_path / "m.bundle").write_bytes(linear.path.read_bytes())
    np.savez(tmp_path / "test.npz", x=held_out.x, y=held_out.y)
    for number, part in enumerate(split(digits, Settings(clients=CLIENTS))):
        mine = take(digits, part)
        np.savez(tmp_path / f"d{number}.npz", x=mine.x, y=mine.y)
    return tmp_path


def littoral(desk, *argv):
    command = [sys.executable, "-m", "edge_runtime", "federate", *map(str, argv)]
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.Popen(
        command, cwd=desk, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def test_the_app_command_writes_what_flwr_builds(desk):
    """`flwr build` reads the metadata as `flwr run` does."""
    argv = [
        "app",
        "app",
        "--bundle",
        "m.bundle",
        "--test",
        "test.npz",
        "--out",
        "run",
        "--data",
        "d{partition}.npz",
    ]
    process = littoral(desk, *argv, "--rounds", 2, "--json")
    said, error = process.communicate(timeout=30)
    assert process.returncode == 0, error
    assert json.loads(said)["run"] == "flwr run app"
    text = (desk / "app/littoral_app/client.py").read_text()
    assert str(desk / "d{partition}.npz") in text
    compile(text, "client.py", "exec")


@pytest.mark.slow
def test_flwr_builds_the_app(desk, linear):
    app = deployment.write_app(
        desk / "app", linear.path, desk / "test.npz", desk / "run", Settings(clients=2)
    )
    deployment.flwr(desk, "build", "--app", str(app))
    assert list(desk.glob("*.fab"))


def test_a_share_is_of_the_client(desk, digits):
    samples = deployment.share(str(desk / "d{partition}.npz"))
    parts = split(digits, Settings(clients=CLIENTS))
    assert [len(samples(k, CLIENTS)) for k in range(CLIENTS)] == [len(part) for part in parts]
    with pytest.raises(InputError, match="LITTORAL_DATA"):
        deployment.share("")


@pytest.mark.slow
def test_up_with_a_node_here_and_one_that_comes_by_itself(desk, linear, digits, held_out):
    """One command for the coordinator and its node, one for the node elsewhere: the model of the simulation."""
    port = free_port()
    coordinator = littoral(
        desk, "up", "m.bundle", "--test", "test.npz", "--here", "d0.npz", "--node", "n1", "--rounds", 2, "--out", "run",
        "--listen", f"127.0.0.1:{port}", "--deadline", 150, "--json",
    )  # fmt: skip
    node = None
    try:
        line = coordinator.stderr.readline()  # it says what to call on the other machine
        assert f"littoral federate node 127.0.0.1:{port} --ca ca.pem --key n1 --number 1 --of 2" in line
        node = littoral(
            desk, "node", f"127.0.0.1:{port}", "--ca", "flower/ca.pem", "--key", "flower/nodes/n1", "--number", 1,
            "--of", 2, "--bundle", "m.bundle", "--data", "d1.npz", "--json",
        )  # fmt: skip
        child = json.loads(node.stdout.readline())["pid"]
        said, error = coordinator.communicate(timeout=170)
        assert coordinator.returncode == 0, error
    finally:
        for process in filter(None, (coordinator, node)):
            process.send_signal(signal.SIGTERM)
        node.communicate(timeout=30)
    assert json.loads(said)["rounds"] == 2
    assert not Path(f"/proc/{child}").exists()  # the SuperNode has gone with its command
    assert {"history.json", "report.html", "curve.png", "events"} <= {
        each.name for each in (desk / "run").iterdir()
    }
    federate(linear, digits, Settings(rounds=2, clients=2), out=desk / "sim", test=held_out, progress=False)
    wanted = load(desk / "sim/checkpoint.npz").parameters
    for name, array in load(desk / "run/checkpoint.npz").parameters.items():
        np.testing.assert_array_equal(array, wanted[name])


@pytest.mark.slow
def test_a_run_that_fails_says_so_and_ends(desk, monkeypatch):
    """Data that do not fit the model: every node fails, and so does the run."""
    from federated.flower import up

    np.savez(desk / "bad.npz", x=np.zeros((9, 1, 28, 5), np.float32), y=np.zeros(9, np.int64))
    monkeypatch.setattr(up, "_ASK_S", 5.0)
    with pytest.raises(FleetError, match="the run ended as 'finished:"):
        up.up(
            desk / "m.bundle", desk / "test.npz", Settings(rounds=1, clients=1), up.Nodes([desk / "bad.npz"]),
            out=desk / "run", folder=desk / "flower", place=Place(free_port()), progress=False, deadline_s=60,
        )  # fmt: skip
