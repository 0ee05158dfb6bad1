"""Learning between steps: retraining, distillation with labels and without, augmentation, zeros that stay."""

import functools

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.pruning.sparsify import Sparsify, sparsify
from compress.step import Work
from compress.training.augment import augment
from compress.training.course import Course
from compress.training.distill import Distill, distill
from compress.training.retrain import Retrain, retrain
from compress.training.rounds import rounds
from compress.training.teacher import FEATURES, LOGITS, Compared, Taught, compared, joined
from converter.autodiff.canonical import canonical
from converter.differentiate import differentiate, loss_graph
from converter.model import constants, copy, to_bytes
from edge_runtime import ModelError, Samples, Session, Target
from edge_runtime.errors import InputError
from tests.models import HEADER, build, cnn, images

TEACHER = """
m (float[n, 16] x) => (float[n, 4] y) <float[16, 48] w, float[48] b, float[48, 4] v, float[4] c>
{ h = Gemm(x, w, b)  r = Relu(h)  y = Gemm(r, v, c) }
"""
STUDENT = TEACHER.replace("48", "12")
X = np.random.default_rng(0).standard_normal((768, 16)).astype(np.float32)


@functools.cache
def teacher() -> onnx.ModelProto:
    truth = np.tanh(X @ np.random.default_rng(1).standard_normal((16, 4))).argmax(axis=1)
    return retrain(build(HEADER + TEACHER), Samples(X, truth), epochs=15, lr=0.05)


def answers(model, x=X):
    session = Session(to_bytes(model))
    return session.run({session.inputs[0].name: x})[session.outputs[0].name]


def agreement(model, other):
    return (answers(model).argmax(axis=1) == answers(other).argmax(axis=1)).mean()


def divergence(model, other):
    """Mean KL(other ‖ model)."""
    q, p = (np.exp(a - a.max(1, keepdims=True)) for a in (answers(other), answers(model)))
    q, p = q / q.sum(1, keepdims=True), p / p.sum(1, keepdims=True)
    return float((q * np.log(q / p)).sum(1).mean())


def test_a_student_learns_from_unlabelled_samples():
    student = build(HEADER + STUDENT, seed=3)
    learned = distill(student, teacher(), Samples(X), Distill(epochs=15, lr=0.01))
    assert agreement(student, teacher()) < 0.5
    assert agreement(learned, teacher()) > 0.93
    assert divergence(learned, teacher()) < 0.2 * divergence(student, teacher())


def test_labels_count_by_what_alpha_leaves():
    student, wrong = build(HEADER + STUDENT, seed=3), np.zeros(len(X), np.int64)
    options = {"epochs": 6, "lr": 0.01}
    with_labels = distill(student, teacher(), Samples(X, wrong), Distill(alpha=0.0, **options))
    without = distill(student, teacher(), Samples(X, wrong), Distill(alpha=1.0, **options))
    assert (answers(with_labels).argmax(axis=1) == 0).all()
    assert agreement(without, teacher()) > 0.8


@pytest.mark.parametrize("alpha", [1.0, 0.3])
@pytest.mark.parametrize("kinds", [(LOGITS,), (LOGITS, FEATURES), (FEATURES,)])
def test_the_gradient_is_that_of_the_loss(alpha, kinds):
    """Against differences: the loss graph's value, moved by each element of the output."""
    sizes = (4, 6)
    parts = tuple(Compared("s", "t", kind, size) for kind, size in zip(kinds, sizes, strict=False))
    width = sum(part.size for part in parts)
    model = build(
        HEADER + f" m (float[n, {width}] x) => (float[n, {width}] y) <float[{width}] w> {{ y = Mul(x, w) }}"
    )
    loss = Taught(parts, alpha if kinds[0] == LOGITS else 1.0, 3.0, 0.7)
    rng = np.random.default_rng(0)
    feed = {"labels": rng.standard_normal((3, width)).astype(np.float32), "truth": np.array([0, 3, 1])}
    session = Session(to_bytes(loss_graph(model, loss=loss)))
    beside = {spec.name: feed[spec.name] for spec in session.inputs[1:]}
    name, out = session.inputs[0].name, session.outputs[0].name
    x = rng.standard_normal((3, width)).astype(np.float32)
    value = lambda y: float(session.run({name: y, **beside})[out])  # noqa: E731
    step, wanted = np.float32(0.01), np.zeros(width)
    for k in np.ndindex(x.shape):
        move = np.zeros_like(x)
        move[k] = step
        wanted[k[1]] += (value(x + move) - value(x - move)) / (2 * step) * x[k]  # dL/dw = Σ dL/dy·x
    if loss.alpha == 1:
        assert value(x) == pytest.approx(loss.of(x, feed["labels"]), rel=1e-4)
    found = Session(to_bytes(differentiate(model, loss=loss, optimizer="none", trainable=["w"])))
    data = {spec.name: {"x": x, "w": np.ones(width, np.float32), **feed}[spec.name] for spec in found.inputs}
    np.testing.assert_allclose(found.run(data)["d/w"], wanted, rtol=2e-3, atol=1e-4)


def test_features_are_found_by_name_and_shape_or_named():
    student = build(HEADER + STUDENT)
    assert [part.kind for part in compared(student, teacher())] == [LOGITS]
    with pytest.raises(ModelError, match="share no value by name and shape"):
        compared(student, teacher(), features=True)
    (_, found) = compared(teacher(), teacher(), features=True)
    assert (found.student, found.teacher, found.kind, found.size) == ("r", "r", FEATURES, 48)
    (_, named) = compared(teacher(), teacher(), ("h=r",))
    assert (named.student, named.teacher) == ("h", "r")
    for pair, sentence in (("q", "no value 'q'"), ("h", "one shape")):
        with pytest.raises(ModelError, match=sentence):
            compared(student, teacher(), (pair,))


def test_features_come_nearer():
    student = build(HEADER + TEACHER, seed=5)
    learned = distill(student, teacher(), Samples(X), Distill(epochs=10, lr=0.01, features=3.0))

    def distance(model):
        return np.square(answers(joined(model, ["r"])) - answers(joined(teacher(), ["r"]))).mean()

    assert distance(learned) < 0.7 * distance(student)


def test_a_softmax_at_the_end_is_looked_behind():
    text = HEADER + STUDENT.replace("y = Gemm(r, v, c)", "z = Gemm(r, v, c)  y = Softmax(z)")
    student = build(text, seed=3)
    (part,) = compared(student, teacher())
    assert (part.student, part.teacher) == ("z", "y")
    assert agreement(distill(student, teacher(), Samples(X), Distill(epochs=10, lr=0.01)), teacher()) > 0.85


def test_several_outputs_are_learnt_together():
    text = HEADER + TEACHER.replace("(float[n, 4] y)", "(float[n, 4] y, float[n, 48] r)")
    master, student = build(text, seed=1), build(text, seed=2)
    assert [part.kind for part in compared(student, master)] == [LOGITS, LOGITS]
    learned = distill(student, master, Samples(X), Distill(epochs=10, lr=0.01))
    assert agreement(learned, master) > agreement(student, master) + 0.3


def test_zeros_stay_zero_and_the_others_learn():
    sparse = sparsify(teacher(), Sparsify(0.85))
    work = Work(Samples(X, answers(teacher()).argmax(axis=1)), Target.load("rpi4"), teacher())
    for step in (Distill(epochs=5, lr=0.01), Retrain(epochs=5)):
        learned = step(sparse, work)
        assert agreement(learned, teacher()) > agreement(sparse, teacher()) + 0.03
        for name in ("w", "v"):
            before, after = constants(sparse.graph)[name], constants(learned.graph)[name]
            np.testing.assert_array_equal(after[before == 0], 0)
            assert (after[before != 0] != before[before != 0]).mean() > 0.5
    freed = Distill(epochs=1, lr=0.01, keep_zeros=False)(sparse, work)
    assert (constants(freed.graph)["w"] == 0).mean() < 0.5 * (constants(sparse.graph)["w"] == 0).mean()


def test_batch_normalisation_and_fixed_batches_are_trained():
    fixed = copy(canonical(cnn()))
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    del fixed.graph.value_info[:]
    learned = distill(cnn(2), fixed, Samples(images(64)), Distill(epochs=2, batch_size=16))
    for name in ("w1", "gamma", "mean", "w3"):
        assert not np.array_equal(constants(learned.graph)[name], constants(cnn(2).graph)[name])


def test_the_same_seed_gives_the_same_weights():
    student = build(HEADER + STUDENT)
    first, second = (to_bytes(distill(student, teacher(), Samples(X), Distill(epochs=1))) for _ in range(2))
    assert first == second


@given(st.integers(0, 50), st.sampled_from(["shift", "flip", "shift, flip"]))
def test_augmentation_only_moves_pixels(seed, kinds):
    x = np.random.default_rng(seed).random((5, 2, 13, 24), np.float32)
    changed = augment(x, kinds, np.random.default_rng(seed))
    assert changed.shape == x.shape
    for before, after in zip(x, changed, strict=True):
        assert np.isin(after, before).all()
    assert np.array_equal(augment(x, "", np.random.default_rng(seed)), x)


def test_augmentation_moves_and_mirrors():
    x = np.arange(24 * 24, dtype=np.float32).reshape(1, 1, 24, 24).repeat(40, 0)
    flipped = augment(x, "flip", np.random.default_rng(0))
    mirrored = [np.array_equal(a, b[..., ::-1]) for a, b in zip(flipped, x, strict=True)]
    assert 10 < sum(mirrored) < 30
    moved = augment(x, "shift", np.random.default_rng(0))[:, 0, 12, 12] - x[0, 0, 12, 12]
    assert set(moved.tolist()) <= {24 * down + right for down in range(-2, 3) for right in range(-2, 3)}
    assert len(set(moved.tolist())) > 5


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: retrain(teacher(), Samples(X)), InputError, "needs labels"),
        (lambda: distill(teacher(), teacher(), Samples(X[:0])), InputError, "no samples"),
        (
            lambda: distill(
                build(HEADER + STUDENT), teacher(), Samples(X), Distill(lr=1e30, optimizer="sgd")
            ),
            ModelError,
            "lower lr",
        ),
        (
            lambda: distill(teacher(), teacher(), Samples(X), Distill(augment="blur")),
            ModelError,
            "there are shift",
        ),
        (
            lambda: distill(teacher(), teacher(), Samples(X), Distill(augment="flip")),
            ModelError,
            "needs pictures",
        ),
        (
            lambda: distill(teacher(), teacher(), Samples(X), Distill(temperature=0.0)),
            ModelError,
            "temperature",
        ),
        (lambda: distill(teacher(), cnn(), Samples(X)), InputError, "expected float32"),
        (lambda: Course(epochs=-1), ModelError, "no negative epochs"),
        (lambda: rounds(Sparsify(0.9), Retrain(), 0), ModelError, "at least one round"),
    ],
)
def test_what_is_wrong_is_named(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


def test_rounds_come_to_the_whole_amount():
    steps = rounds(Sparsify(0.9), Retrain(epochs=1), 3)
    amounts = [step.amount for step in steps[::2]]
    assert amounts == sorted(amounts)
    assert amounts[-1] == 0.9
    assert amounts[0] > 0.5  # a cubic schedule takes most of it early
    assert all(step == Retrain(epochs=1) for step in steps[1::2])


def test_what_takes_minutes_is_kept_until_it_would_differ(monkeypatch, tmp_path):
    from examples.kept import code, kept

    monkeypatch.setenv("LITTORAL_CACHE", str(tmp_path))
    made = []

    def make():
        made.append(1)
        return build(HEADER + STUDENT)

    for settings in ("a", "a", "b"):
        assert to_bytes(kept("m", make, teacher(), settings)) == to_bytes(build(HEADER + STUDENT))
    kept("m", make, build(HEADER + STUDENT), "a")
    assert len(made) == 3
    assert code() == code()
