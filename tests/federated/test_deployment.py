"""The same apps on SuperLink and SuperNodes: the same model as in this process."""

import json
import os
import signal
import socket
import time
import tomllib

import numpy as np
import pytest

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
