import numpy as np
import pytest

from converter.trainable import pack_trainable
from edge_runtime.data import Samples
from edge_runtime.errors import InputError
from edge_runtime.trainer import Trainer
from federated import federated_average
from federated.local import client_update
from federated.methods import parse
from federated.methods.scaffold import CONTROL
from federated.steps import Steps
from federated.update import Update
from tests.federated.conftest import LINEAR, model
from tests.models import HEADER, build

STEPS = Steps(round_number=1, epochs=2, batch_size=32, lr=0.05, seed=0)

# A weight whose loss is a parabola: w is learnt to be the mean of y.
SCALE = (
    HEADER
    + """
scale (float[n, 1] x) => (float[n, 1] y)
<float[1, 1] w>
{
    y = MatMul(x, w)
}
"""
)

NORM = (
    HEADER
    + """
norm (float[n, 4, 3] x) => (float[n, 5] logits)
<float[4] gamma, float[4] beta, float[4] mean, float[4] var,
 float[12, 8] a, float[8, 5] b>
{
    z = BatchNormalization(x, gamma, beta, mean, var)
    flat = Flatten(z)
    h = MatMul(flat, a)
    r = Relu(h)
    logits = MatMul(r, b)
}
"""
)


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "linear.bundle"
    bundle = pack_trainable(model(LINEAR), path, name="linear", target="x86-64", momentum=0.0)
    return Trainer(bundle, threads=1)


@pytest.fixture(scope="module")
def scale(tmp_path_factory):
    path = tmp_path_factory.mktemp("scale") / "scale.bundle"
    bundle = pack_trainable(build(SCALE), path, name="scale", loss="mse", trainable=["w"])
    return Trainer(bundle, threads=1)


@pytest.fixture(scope="module")
def norm(tmp_path_factory):
    path = tmp_path_factory.mktemp("norm") / "norm.bundle"
    return Trainer(pack_trainable(build(NORM), path, name="norm"), threads=1)


def test_fedavg_is_the_update_of_algorithm_1(trainer, digits):
    start = trainer.parameters
    for seed in range(2):
        steps = Steps(1, 2, 32, 0.05, seed)
        ours = parse("fedavg").update(trainer, start, digits, steps, 3, {})
        theirs = client_update(trainer, start, digits, steps, 3)
        assert ours.loss == theirs.loss
        assert ours.num_examples == theirs.num_examples
        for name in start:
            np.testing.assert_array_equal(ours.parameters[name], theirs.parameters[name])


def test_fedprox_stays_nearer_the_more_it_is_held(trainer, digits):
    start = trainer.parameters

    def away(spec):
        learned = parse(spec).update(trainer, start, digits, STEPS, 0, {}).parameters
        return sum(float(((learned[name] - start[name]) ** 2).sum()) for name in start)

    free, loose, tight = (away(f"fedprox:mu={mu}") for mu in ("0", "0.5", "50"))
    assert free == pytest.approx(away("fedavg"), rel=1e-5)
    assert tight < 0.01 * free < loose < free


def test_fedprox_step_is_that_of_the_penalty(scale):
    # One step: w = 0 - lr g with g = 2 (0 - 1), and then (w - 0) / (1 + lr mu).
    x = np.ones((4, 1), np.float32)
    learned = parse("fedprox:mu=2").update(
        scale, {"w": np.zeros((1, 1), np.float32)}, Samples(x, x), Steps(1, 1, 4, 0.1, 0), 0, {}
    )
    np.testing.assert_allclose(learned.parameters["w"], 0.2 / 1.2, rtol=1e-6)


def _rounds(trainer, method, devices, rounds, steps):
    sent = method.start(trainer)
    memories = [{} for _ in devices]
    for _ in range(rounds):
        answers = [
            method.update(trainer, sent, samples, steps, k, memories[k]) for k, samples in enumerate(devices)
        ]
        average = federated_average(Update.of(each.parameters, each.num_examples) for each in answers)
        sent = method.merge(sent, average)
    return sent


def test_scaffold_finds_the_common_optimum_where_averaging_does_not(scale):
    # Two devices with another curvature each: sum of (a w - b)² has its least at sum ab / sum a².
    def device(a, b):
        return Samples(np.full((8, 1), a, np.float32), np.full((8, 1), b, np.float32))

    devices, optimum = [device(1, 1), device(3, -3)], (1 - 9) / (1 + 9)
    steps = Steps(1, 10, 8, 0.02, 0)
    scale.load({"w": np.zeros((1, 1), np.float32)})
    plain = _rounds(scale, parse("fedavg"), devices, 60, steps)
    scale.load({"w": np.zeros((1, 1), np.float32)})
    corrected = _rounds(scale, parse("scaffold"), devices, 60, steps)
    assert abs(plain["w"].item() - optimum) > 0.05
    assert abs(corrected["w"].item() - optimum) < 1e-3


def test_scaffold_keeps_a_control_variate_and_refuses_momentum(trainer, digits, tmp_path):
    method, memory = parse("scaffold"), {}
    sent = method.start(trainer)
    learned = method.update(trainer, sent, digits, STEPS, 0, memory)
    assert learned.parameters.keys() == sent.keys()
    assert memory.keys() == {CONTROL + name for name in trainer.weights}
    heavy = Trainer(pack_trainable(model(LINEAR), tmp_path / "m.bundle", name="m", momentum=0.9), threads=1)
    with pytest.raises(InputError, match="momentum=0"):
        method.start(heavy)


def test_reptile_takes_a_part_of_the_step():
    before, average = {"w": np.float32([0.0, 4.0])}, {"w": np.float32([2.0, 0.0])}
    found = parse("reptile:rate=0.25").merge(before, average)["w"]
    np.testing.assert_array_equal(found, np.float32([0.5, 3.0]))
    assert found.dtype == np.float32


def test_per_fedavg_takes_the_gradient_ahead(scale):
    # g(w) = 2 (w - 1): at w = 0 ahead is 0.2 for alpha 0.1, where the gradient is -1.6; lr 0.5 gives w = 0.8.
    x = np.ones((4, 1), np.float32)
    learned = parse("per-fedavg:alpha=0.1").update(
        scale, {"w": np.zeros((1, 1), np.float32)}, Samples(x, x), Steps(1, 1, 4, 0.5, 0), 0, {}
    )
    np.testing.assert_allclose(learned.parameters["w"], 0.8, rtol=1e-6)


def test_a_private_head_stays_on_its_device(trainer, norm):
    rng = np.random.default_rng(0)
    samples = Samples(rng.normal(size=(64, 4, 3)).astype(np.float32), rng.integers(0, 5, 64))
    method = parse("fedper:layers=1")
    sent = method.start(norm)
    assert "b" not in sent
    assert "a" in sent
    memories = [{}, {}]
    answers = [method.update(norm, sent, samples, STEPS, k, memories[k]) for k in range(2)]
    assert all(answer.parameters.keys() == sent.keys() for answer in answers)
    assert memories[0].keys() == {"b"}
    assert (memories[0]["b"] != memories[1]["b"]).any()
    weights = method.weights(norm, answers[0].parameters, memories[0])
    assert weights.keys() == norm.parameters.keys()
    np.testing.assert_array_equal(weights["b"], memories[0]["b"])
    with pytest.raises(InputError, match="at least one must travel"):
        parse("fedper:layers=1").start(trainer)


def test_a_new_device_begins_with_the_head_that_was_packed(norm):
    method, packed = parse("fedper"), norm.bundle
    first = Trainer(packed, threads=1).parameters
    rng = np.random.default_rng(1)
    samples = Samples(rng.normal(size=(32, 4, 3)).astype(np.float32), rng.integers(0, 5, 32))
    method.update(norm, method.start(norm), samples, STEPS, 0, {})  # another device, on the same trainer
    np.testing.assert_array_equal(method.weights(norm, {}, {})["b"], first["b"])


def test_fedbn_keeps_what_normalises(norm, trainer):
    assert parse("fedbn").start(norm).keys() == {"a", "b"}
    with pytest.raises(InputError, match="nothing in the model normalises"):
        parse("fedbn").start(trainer)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("fedfoo", "expected one of fedavg"),
        ("fedprox:nu=1", "nu"),
        ("fedprox:mu=-1", "0 or more"),
        ("fedprox:mu=a", "could not convert"),
        ("reptile:rate=2", "at most 1"),
        ("fedper:layers=0", "1 or more"),
        ("scaffold:share=0", "more than 0"),
        ("per-fedavg:alpha=0", "more than 0"),
    ],
)
def test_what_no_method_is_called_is_refused(spec, said):
    with pytest.raises(InputError, match=said):
        parse(spec)
