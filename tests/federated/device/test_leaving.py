"""A device that is told to end, as by an agent when the cable is pulled: at any moment, and nothing is lost."""

import json
import signal
import subprocess
import time

import numpy as np
import pytest

from federated import Settings, federate
from federated.checkpoint import load
from tests.federated.link.test_link import until
from tests.federated.test_mqtt_grid import (  # noqa: F401  (desk is a fixture)
    CLIENTS,
    desk,
    end,
    join,
    listening,
    littoral,
)

EPOCHS = 1200  # half a second of work for a device, or more


def serving(desk, port, bundle, rounds, epochs):  # noqa: F811
    return littoral(
        "federate", "serve", bundle.path, "--test", desk / "test.npz", "--keys", desk / "keys", "--out", desk / "run",
        "--broker", f"mqtt://127.0.0.1:{port}", "--rounds", rounds, "--epochs", epochs, "--batch-size", 333,
        "--codec", "feedback(topk)", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_told_to_end_in_the_middle_of_training_it_goes_at_once_and_comes_back(desk, linear):  # noqa: F811
    """The same model, bit for bit, as of a run in which nobody left; with memory (error feedback) on the devices."""

    def run(disturb):
        with listening(desk) as running:
            joined = [join(desk, number, running.port, linear) for number in range(CLIENTS)]
            server = serving(desk, running.port, linear, 2, EPOCHS)
            if disturb:
                requests = desk / "state0/requests"
                until(lambda: requests.is_dir() and any(requests.iterdir()), 120)
                time.sleep(0.1)
                joined[0].send_signal(signal.SIGTERM)
                said, error = joined[0].communicate(timeout=60)
                assert joined[0].returncode == 0, error
                assert json.loads(said)["worked"] == 0  # it was still training
                assert any(requests.iterdir())  # what it was asked waits for it
                assert server.poll() is None
                joined[0] = join(desk, 0, running.port, linear)
            _, error = server.communicate(timeout=300)
            assert server.returncode == 0, error
            worked = [each["worked"] for each in end(joined)]
        assert worked == [2] * CLIENTS
        history = json.loads((desk / "run/history.json").read_text())
        assert [entry["failed"] for entry in history["rounds"]] == [{}, {}]
        return load(desk / "run/checkpoint.npz").parameters

    left = run(disturb=True)
    for each in ("run", *(f"state{number}" for number in range(CLIENTS))):
        (desk / each).rename(desk / f"{each}-before")
    stayed = run(disturb=False)
    for name, array in stayed.items():
        np.testing.assert_array_equal(left[name], array)


@pytest.mark.slow
def test_told_to_end_again_and_again(desk, linear, digits, held_out):  # noqa: F811
    """Between and within rounds, whenever it falls: every round has all devices, and the model is the simulation's."""
    rounds, random = 12, np.random.default_rng(0)
    with listening(desk) as running:
        joined = [join(desk, number, running.port, linear) for number in range(CLIENTS)]
        server = littoral(
            "federate", "serve", linear.path, "--test", desk / "test.npz", "--keys", desk / "keys", "--out",
            desk / "run", "--broker", f"mqtt://127.0.0.1:{running.port}", "--rounds", rounds, "--epochs", 60,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        until(lambda: (desk / "run/checkpoint.npz").exists(), 120)
        for number in (1, 2, 1):
            time.sleep(random.uniform(0.05, 0.6))
            joined[number].send_signal(signal.SIGTERM)
            _, error = joined[number].communicate(timeout=60)
            assert joined[number].returncode in (0, -signal.SIGTERM), (
                error
            )  # the latter while Python is starting
            joined[number] = join(desk, number, running.port, linear)
        _, error = server.communicate(timeout=300)
        assert server.returncode == 0, error
        end(joined)
    history = json.loads((desk / "run/history.json").read_text())
    assert [entry["failed"] for entry in history["rounds"]] == [{}] * rounds
    assert [entry["clients"] for entry in history["rounds"]] == [[0, 1, 2]] * rounds
    settings = Settings(rounds=rounds, clients=CLIENTS, epochs=60)
    federate(linear, digits, settings, out=desk / "sim", test=held_out, progress=False)
    wanted = load(desk / "sim/checkpoint.npz").parameters
    for name, array in load(desk / "run/checkpoint.npz").parameters.items():
        np.testing.assert_array_equal(array, wanted[name])
