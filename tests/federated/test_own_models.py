"""Models of devices' own over a real broker: layers that never leave, and fine-tuning that has to pay."""

import numpy as np
import pytest

from edge_runtime.bundle import Bundle
from edge_runtime.data import Samples
from edge_runtime.errors import InputError
from edge_runtime.trainer import Trainer
from federated import Settings, client_app, federate, personal, server_app
from federated.device.store import Store
from federated.device.work import Memory, answer
from federated.flower.arrays import from_record
from federated.flower.client import OWN
from federated.flower.grid import InProcessGrid, run_over
from federated.link import wire
from federated.link.wire import Record
from federated.personal import FineTune
from federated.run import split, take
from federated.serve import serve
from tests.federated.link.conftest import KINDS, Ring, address_of
from tests.federated.link.conftest import run as broker
from tests.federated.test_mqtt_grid import devices
from tests.models import HEADER

NAMES = ("ann", "bob", "eve")
TUNE = "fine-tune:epochs=6,lr=0.05,folds=3"

NORMED = (
    HEADER
    + """
normed (float[n, 1, 28, 28] x) => (float[n, 10] logits)
<float[8, 1, 5, 5] k1, float[8] b1, float[8] scale, float[8] shift, float[8] mean, float[8] var,
 float[1568, 10] w, float[10] b>
{
    c1 = Conv<strides = [2, 2], pads = [2, 2, 2, 2]>(x, k1, b1)
    n1 = BatchNormalization(c1, scale, shift, mean, var)
    r1 = Relu(n1)
    flat = Flatten(r1)
    logits = Gemm(flat, w, b)
}
"""
)


@pytest.fixture(scope="module")
def ring():
    return Ring()


@pytest.fixture(scope="module")
def normed(tmp_path_factory):
    from onnx import numpy_helper

    from converter.trainable import pack_trainable
    from tests.federated.conftest import model

    drawn = model(NORMED)
    for tensor in drawn.graph.initializer:
        if tensor.name in ("scale", "var"):
            tensor.CopyFrom(numpy_helper.from_array(np.ones(8, np.float32), tensor.name))
    return pack_trainable(
        drawn, tmp_path_factory.mktemp("normed") / "n.bundle", name="normed", target="x86-64"
    )


def over_link(kind, ring, bundle, digits, held_out, folder, settings):
    shares = [take(digits, part) for part in split(digits, settings)]
    with broker(kind, ring.passwords) as running, devices(running.port, ring, bundle, shares, folder):
        history = serve(
            bundle, held_out, settings, keys=ring.devices, address=address_of(running.port, ring.own),
            out=folder / "run", progress=False, deadline_s=60,
        )  # fmt: skip
    return history, shares


def in_process(bundle, shares, held_out, folder, settings):
    """The same with virtual clients: history, and each client's own model."""
    trainer = Trainer(bundle, threads=1)
    grid = InProcessGrid(client_app(trainer, lambda k, _: shares[k]), len(shares))
    run_over(server_app(bundle, settings, test=held_out, out=folder, progress=False), grid)
    return [from_record(grid._contexts[k].state[OWN]) for k in range(len(shares))]


@pytest.mark.parametrize("kind", KINDS)
def test_the_head_stays_in_the_devices_store(kind, ring, cnn, digits, held_out, tmp_path):
    """FedPer: what travels lacks the head; each device's is its own, outlives the process, and is in its model."""
    settings = Settings(rounds=2, clients=3, method="fedper", personalise=TUNE)
    history, shares = over_link(kind, ring, cnn, digits, held_out, tmp_path, settings)
    heads = []
    for name in NAMES:
        memory = Store(tmp_path / name).memory
        assert "method/w4" in memory.codec
        assert "method/k1" not in memory.codec
        heads.append(memory.codec["method/w4"])
    assert not any(np.array_equal(heads[0], other) for other in heads[1:])
    assert len(history.personal) == 3
    wanted = in_process(cnn, shares, held_out, tmp_path / "sim", settings)
    for k, name in enumerate(NAMES):
        mine = Trainer(Bundle.open(tmp_path / name / "model.bundle"), threads=1).parameters
        for parameter, array in wanted[k].items():
            np.testing.assert_array_equal(mine[parameter], array)
        if not history.personal[k]["kept"]:
            np.testing.assert_array_equal(mine["w4"], heads[k])  # no better alone: but the head is its own


def test_norms_stay_on_the_device(ring, normed, digits, held_out, tmp_path):
    settings = Settings(rounds=2, clients=3, method="fedbn")
    over_link("embedded", ring, normed, digits, held_out, tmp_path, settings)
    kept = [Store(tmp_path / name).memory.codec for name in NAMES]
    assert all({"method/scale", "method/shift"} <= each.keys() for each in kept)
    assert all("method/w" not in each for each in kept)
    assert not np.array_equal(kept[0]["method/scale"], kept[1]["method/scale"])


def test_fine_tuning_is_kept_only_where_the_device_says_that_it_is_better(
    ring, linear, digits, held_out, tmp_path
):
    """One device's labels are rotated: the global model fails it, its own does not. Another has two samples."""
    settings = Settings(rounds=3, clients=3, alpha=None, personalise=TUNE)
    shares = [take(digits, part) for part in split(digits, settings)]
    shares[0] = Samples(shares[0].x, (shares[0].y + 1) % 10)
    shares[2] = Samples(shares[2].x[:2], shares[2].y[:2])  # too few to judge
    with broker("embedded", ring.passwords) as running, devices(running.port, ring, linear, shares, tmp_path):
        history = serve(
            linear, held_out, settings, keys=ring.devices, address=address_of(running.port, ring.own),
            out=tmp_path / "run", progress=False, deadline_s=60,
        )  # fmt: skip
    ann, eve = history.personal[0], history.personal[2]
    assert ann["kept"] == 1
    assert ann["after"] > ann["before"] + 0.3
    assert eve["kept"] == 0
    assert eve["before"] == eve["after"]
    final = Trainer(Bundle.open(tmp_path / "run/model.bundle"), threads=1).parameters
    own = {name: Trainer(Bundle.open(tmp_path / name / "model.bundle"), threads=1) for name in NAMES}
    np.testing.assert_array_equal(own["eve"].parameters["w"], final["w"])
    assert not np.array_equal(own["ann"].parameters["w"], final["w"])
    turned = Samples(held_out.x, (held_out.y + 1) % 10)
    assert own["ann"].evaluate(turned)["accuracy"] > 0.5
    assert "Own models" in (tmp_path / "run/report.html").read_text()


def test_under_secure_aggregation_devices_do_not_say_how_they_fare(linear, digits, held_out, tmp_path):
    settings = Settings(rounds=1, clients=4, secure=4, personalise=TUNE)
    history = federate(linear, digits, settings, out=tmp_path, test=held_out, progress=False)
    assert history.personal == {}


def test_another_run_knows_nothing_of_this_ones_layers(cnn, digits):
    trainer, samples = Trainer(cnn, threads=1), Samples(digits.x[:40], digits.y[:40])
    weights = trainer.parameters
    memory = Memory(codec={"method/w4": weights["w4"] + 1}, run="one")
    sent = {name: array for name, array in weights.items() if name not in ("w4", "b4")}
    records = {
        "arrays": Record("arrays", sent),
        "config": Record("config", {"method": "fedper", "personalise": "fine-tune:folds=50"}),
    }
    for run, moved in (("one", 1), ("two", 0)):
        request = wire.Message({"kind": "query.personalise", "client": 0, "run": run}, records)
        reply = answer(request, "id", memory, trainer, samples)
        assert reply.records["metrics"].items["kept"] == 0  # 40 samples are not 50 folds
        np.testing.assert_allclose(trainer.parameters["w4"], weights["w4"] + moved, atol=1e-6)


def test_how_to_fine_tune_by_name():
    assert personal.parse("fine-tune:epochs=3,lr=0.1") == FineTune(epochs=3, lr=0.1)
    for bad in ("tune", "fine-tune:steps=3", "fine-tune:folds=1"):
        with pytest.raises(InputError):
            Settings(personalise=bad)


def test_layers_stay_under_secure_aggregation_too(cnn, digits, held_out, tmp_path):
    settings = Settings(rounds=1, clients=3, secure=3, method="fedper")
    shares = [take(digits, part) for part in split(digits, settings)]
    grid = InProcessGrid(client_app(Trainer(cnn, threads=1), lambda k, _: shares[k]), 3)
    run_over(server_app(cnn, settings, test=held_out, out=tmp_path, progress=False), grid)
    for context in grid._contexts.values():
        assert "method/w4" in context.state["memory"]
