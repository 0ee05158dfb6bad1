"""A federated run over a fleet: devices are invited, learn with keys of their own, and are left alone afterwards."""

import json
import os
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from sqlalchemy import select

from cloud.database import Database
from cloud.database.tables import events, runs
from cloud.federation import Run, federate
from cloud.fleet import Device, Fleet
from cloud.home import Home
from cloud.settings import Settings
from converter.trainable import pack_trainable
from edge_runtime.data import Samples
from edge_runtime.errors import InputError
from edge_runtime.messages import Desired, Release
from federated.settings import Settings as Learning
from tests.models import HEADER, build

LINEAR = (
    HEADER
    + """
linear (float[n, 4] x) => (float[n, 2] logits) <float[4, 2] w, float[2] b> { logits = Gemm(x, w, b) }
"""
)


def samples(seed, n=60):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    return Samples(x, (x[:, 0] > 0).astype(np.int64))


@pytest.fixture
def cloud(tmp_path):
    home = Home(tmp_path / "cloud")
    home.root.mkdir()
    Settings(tls=False).save(home)
    database = Database(home.database_url)
    database.migrate()
    fleet = Fleet(database)
    names = ("pi-1", "pi-2", "hall")
    with database.begin() as connection:
        fleet.add(connection, [Device(name, site="hall" if name == "hall" else "") for name in names])
        release = Release("linear", 1, "linear/1/rpi4.bundle", "ab" * 32, 10)
        fleet.desire(connection, {name: Desired(1, release) for name in names})
    return home, database, fleet


def free_port():
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        return link.getsockname()[1]


def device(fleet, name, bundle, folder, seen):
    """What an agent does: waits for the invitation, and joins with the key in it."""
    end = time.monotonic() + 60
    while (wish := fleet.twin(name).desired.federated) is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    seen[name] = wish["key"]
    (folder / f"{name}.key").write_text(json.dumps(wish["key"]))
    data = samples(int(name[-1]))
    np.savez(folder / f"{name}.npz", x=data.x, y=data.y)
    words = {
        "broker": wish["broker"],
        "bundle": bundle,
        "data": folder / f"{name}.npz",
        "key": folder / f"{name}.key",
    }
    command = [sys.executable, "-m", "federated.device", "--state", str(folder / f"{name}.state")]
    command += [word for key, value in words.items() for word in (f"--{key}", str(value))]
    child = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    while fleet.twin(name).desired.federated is not None and time.monotonic() < end + 120:
        time.sleep(0.1)
    child.terminate()
    child.wait(30)


def test_a_fleet_learns_together(cloud, tmp_path):
    home, database, fleet = cloud
    bundle = pack_trainable(build(LINEAR), tmp_path / "m.bundle", name="linear", target="rpi4")
    seen = {}
    devices = [
        threading.Thread(target=device, args=(fleet, name, bundle.path, tmp_path, seen))
        for name in ("pi-1", "pi-2")
    ]
    for each in devices:
        each.start()
    run = Run("together", "", free_port(), Learning(rounds=3, epochs=2, lr=0.2), deadline_s=60)
    history = federate(home, run, bundle, samples(0, 200), actor="ada")
    for each in devices:
        each.join(60)
    assert [entry.number for entry in history.rounds] == [1, 2, 3]
    assert history.rounds[-1].accuracy > 0.9
    assert seen["pi-1"]["key"] != seen["pi-2"]["key"]
    assert all(fleet.twin(name).desired.federated is None for name in ("pi-1", "pi-2", "hall"))
    assert fleet.twin("hall").desired_v == 1
    with database.read() as connection:
        row = connection.execute(select(runs)).one()
        actions = [each.action for each in connection.execute(select(events).order_by(events.c.sequence))]
    assert (row.name, row.model, row.state, len(row.history["rounds"])) == (
        "together",
        "linear",
        "finished",
        3,
    )
    assert row.report
    assert [each for each in actions if each.startswith("federated")] == ["federated.invite", "federated.end"]
    assert (home.root / "federated/together/run/model.bundle").exists()


def test_a_run_that_nobody_joins_fails_and_leaves_devices_alone(cloud, tmp_path):
    home, database, fleet = cloud
    bundle = pack_trainable(build(LINEAR), tmp_path / "m.bundle", name="linear", target="rpi4")
    with pytest.raises(InputError, match="no device fits 'target=rpi5'"):
        federate(home, Run("a", "target=rpi5", free_port(), Learning()), bundle, samples(0))
    from edge_runtime.errors import LittoralError

    with pytest.raises(LittoralError):
        federate(home, Run("b", "", free_port(), Learning(rounds=1), deadline_s=1), bundle, samples(0))
    assert fleet.twin("pi-1").desired.federated is None
    with database.read() as connection:
        assert [(row.name, row.state) for row in connection.execute(select(runs))] == [("b", "failed")]
