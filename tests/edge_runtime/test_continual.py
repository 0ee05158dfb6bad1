"""Against forgetting: each method by its equation on small models, and what it keeps on split digits."""

from functools import cache

import numpy as np
import pytest

from converter.trainable import pack_trainable
from converter.transfer import OldAndNew
from edge_runtime.bundle import Bundle
from edge_runtime.continual import (
    AveragedGem,
    Ewc,
    Gem,
    LearningWithoutForgetting,
    Memory,
    Plain,
    Replay,
    SynapticIntelligence,
    fisher,
    learn,
    online,
    project,
)
from edge_runtime.data import Samples, batches
from edge_runtime.errors import BundleError, InputError, ModelError
from edge_runtime.trainer import Trainer
from tests import assets
from tests.models import LINEAR, build


@pytest.fixture(scope="module")
def linear(tmp_path_factory) -> Bundle:
    folder = tmp_path_factory.mktemp("continual")
    return pack_trainable(build(LINEAR), folder / "l.bundle", name="l", gradients=True)


def labelled(count=60, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    return Samples((rng.standard_normal((count, 4)) + 2 * np.eye(4)[y]).astype(np.float32), y)


def test_learn_is_fit(linear):
    one, two = Trainer(linear, threads=1), Trainer(linear, threads=1)
    assert learn(one, labelled(), Plain(), epochs=3) == pytest.approx(two.fit(labelled(), epochs=3))
    np.testing.assert_array_equal(one.parameters["w"], two.parameters["w"])


def test_fisher_is_that_of_a_softmax(linear):
    trainer, samples = Trainer(linear), labelled(400)
    logits = trainer.predict(samples.x).astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    want = np.einsum("ni,nk->ik", samples.x.astype(np.float64) ** 2, p * (1 - p)) / len(samples)
    got = fisher(trainer, samples, count=400)["w"]
    np.testing.assert_allclose(got, want, rtol=0.3, atol=0.02)
    np.testing.assert_allclose(got.sum(), want.sum(), rtol=0.1)
    near = fisher(trainer, samples, count=400, batch_size=4)["w"]
    np.testing.assert_allclose(near.sum(), want.sum(), rtol=0.3)


def test_an_infinitely_strong_anchor_holds(linear):
    trainer, method = Trainer(linear), Ewc(strength=1e12, count=50)
    method.consolidate(trainer, labelled())
    before = trainer.parameters["w"]
    learn(trainer, labelled(seed=1), method, epochs=2)
    np.testing.assert_allclose(trainer.parameters["w"], before, atol=1e-4)


def test_no_strength_is_no_penalty(linear):
    plain, free = Trainer(linear, threads=1), Trainer(linear, threads=1)
    method = Ewc(strength=0.0, count=10)
    method.consolidate(free, labelled())
    learn(free, labelled(seed=1), method)
    learn(plain, labelled(seed=1), Plain())
    np.testing.assert_allclose(free.parameters["w"], plain.parameters["w"], rtol=1e-5, atol=1e-6)


def test_parabolas_add_up():
    method = Ewc(strength=1.0)
    rng = np.random.default_rng(0)
    tasks = [(np.abs(rng.standard_normal(5)), rng.standard_normal(5)) for _ in range(3)]
    for importance, centre in tasks:
        method.add({"w": importance}, {"w": centre})
    w = rng.standard_normal(5)
    want = sum(importance * (w - centre) for importance, centre in tasks)
    np.testing.assert_allclose(method.importance["w"] * (w - method.anchor["w"]), want, atol=1e-12)


def test_the_path_of_synaptic_intelligence_is_the_fall_of_the_loss(linear):
    trainer, samples = Trainer(linear), labelled(32)
    method = SynapticIntelligence(damping=1e-3)
    before = trainer.evaluate(samples)["loss"]
    start = trainer.parameters["w"]
    for _ in range(200):
        method.step(trainer, samples.x, samples.y, 0.01)
    fall = before - trainer.evaluate(samples)["loss"]
    method.consolidate(trainer, samples)
    moved = trainer.parameters["w"] - start
    assert (method.importance["w"] * (moved**2 + 1e-3)).sum() == pytest.approx(fall, rel=0.05)
    np.testing.assert_array_equal(method.anchor["w"], trainer.parameters["w"])


@pytest.mark.parametrize("tasks", [1, 2, 5])
def test_projection_is_the_nearest_that_harms_no_task(tasks):
    rng = np.random.default_rng(tasks)
    for _ in range(20):
        g, references = rng.standard_normal(12), rng.standard_normal((tasks, 12))
        bent = project(g, references)
        assert (references @ bent >= -1e-6).all()
        change = bent - g
        # The change is in the cone of the references that bind, and costs nothing where they do not.
        weights, *_ = np.linalg.lstsq(references.T, change, rcond=None)
        np.testing.assert_allclose(references.T @ weights, change, atol=1e-6)
        assert (weights >= -1e-6).all()
        np.testing.assert_allclose(weights * (references @ bent), 0, atol=1e-5)


def test_projection_of_a_gradient_that_harms_nobody_is_itself():
    g = np.array([1.0, 2.0])
    assert project(g, np.array([[1.0, 0.0]])) is g
    np.testing.assert_allclose(project(np.array([-1.0, 2.0]), np.array([[3.0, 0.0]])), [0.0, 2.0])
    np.testing.assert_allclose(project(g, np.zeros((1, 2))), g)


def test_a_margin_pushes_towards_the_reference():
    bent = project(np.array([-1.0, 2.0]), np.array([[3.0, 0.0]]), margin=1.5)
    np.testing.assert_allclose(bent, [0.5, 2.0])


def test_gem_does_not_raise_the_loss_of_its_memory(linear):
    for method in (Gem(per_task=30), AveragedGem(Memory(30), batch_size=30)):
        trainer, first = Trainer(linear), labelled(30)
        learn(trainer, first, method, epochs=20)
        method.consolidate(trainer, first)
        against = Samples(first.x, (np.asarray(first.y) + 1) % 3)
        before = trainer.evaluate(first)["loss"]
        for x, y in batches(against, 30):
            method.step(trainer, x, y, 0.01)
        assert trainer.evaluate(first)["loss"] <= before + 1e-4


def test_a_memory_is_balanced_however_the_stream_comes(tmp_path):
    y = np.repeat([0, 1, 2, 3], [900, 60, 30, 10])
    x = np.arange(1000, dtype=np.float32)[:, None]
    memory = Memory(40, seed=1)
    memory.extend(Samples(x, y))
    np.testing.assert_array_equal(np.bincount(memory.samples.y), [10, 10, 10, 10])
    held = memory.samples.x[memory.samples.y == 0]
    assert 200 < held.mean() < 700, "of a class, early and late samples alike"
    memory.save(tmp_path / "m.npz")
    again = Memory.load(tmp_path / "m.npz")
    np.testing.assert_array_equal(again.samples.x, memory.samples.x)
    assert again.capacity == 40


def test_a_memory_keeps_everything_while_there_is_room():
    memory = Memory(100)
    memory.extend(labelled(60))
    assert len(memory) == 60
    x, y = memory.draw(1000)
    assert len(x) == len(y) == 60


def test_a_stream_is_tested_before_it_is_learnt(linear):
    samples = labelled(400)
    trainer = Trainer(linear)
    untouched = trainer.evaluate(Samples(samples.x[:20], samples.y[:20]))["accuracy"]
    found = online(trainer, batches(samples, 20), lr=0.1)
    assert found.accuracies[0] == untouched
    assert found.counts == (20,) * 20
    assert found.faded() > found.accuracy > untouched


def test_bad_use(linear, tmp_path):
    trainer, samples = Trainer(linear), labelled(10)
    for make in (lambda: Ewc(-1), lambda: Ewc(float("nan")), lambda: Gem(0), lambda: Memory(0)):
        with pytest.raises(InputError):
            make()
    for share in (0.0, 1.0):
        with pytest.raises(InputError, match="share"):
            Replay(Memory(1), share)
    with pytest.raises(InputError, match="empty"):
        _ = Memory(1).samples
    with pytest.raises(InputError, match="needs labels"):
        Memory(1).extend(Samples(samples.x))
    with pytest.raises(InputError, match="stream is empty"):
        online(trainer, [])
    with pytest.raises(InputError, match="needs samples"):
        learn(trainer, Samples(samples.x[:0], samples.y[:0]), Plain())
    with pytest.raises(ModelError, match="diverged"):
        learn(trainer, Samples(samples.x * np.float32(1e30), samples.y), Plain(), epochs=9, lr=1e30)
    bare = Trainer(pack_trainable(build(LINEAR), tmp_path / "b.bundle", name="l"))
    with pytest.raises(BundleError, match="gradients=True"):
        fisher(bare, samples)
    with pytest.raises(InputError, match="answers"):
        LearningWithoutForgetting().step(bare, samples.x, samples.y, 0.1)


@cache
def split_digits():
    assets.locate("digits")
    from examples import digits

    train, test = digits.load()
    return [
        [_only(part, classes) for classes in (range(5), range(5, 10))]
        for part in (Samples(train.x[:2000], train.y[:2000]), Samples(test.x[:500], test.y[:500]))
    ]


def _only(samples, classes):
    chosen = np.isin(samples.y, list(classes))
    return Samples(samples.x[chosen], samples.y[chosen])


@cache
def digit_bundles():
    import tempfile

    from converter.convert import convert

    model = convert("examples.digits:model", trainable=True)
    folder = tempfile.mkdtemp()
    return (
        pack_trainable(model, f"{folder}/plain", name="d", gradients=True),
        pack_trainable(model, f"{folder}/lwf", name="d", loss=OldAndNew()),
    )


def kept(method, bundle):
    """Accuracy on the first five digits after the last five were learnt: told the task, and among all ten."""
    train, test = split_digits()
    trainer = Trainer(bundle, threads=1)
    for samples in train:
        learn(trainer, samples, method, epochs=10, lr=0.05)
        method.consolidate(trainer, samples)
    logits = trainer.predict(test[0].x)
    return [float((answer == test[0].y).mean()) for answer in (logits[:, :5].argmax(1), logits.argmax(1))]


@pytest.mark.slow
def test_each_method_keeps_more_of_split_digits_than_none():
    plain, lwf = digit_bundles()
    told, among = kept(Plain(), plain)
    assert among < 0.1, "fine-tuning forgets"
    for method, bundle in (
        (Ewc(300.0), plain),
        (SynapticIntelligence(0.3), plain),
        (LearningWithoutForgetting(threads=1), lwf),
        (Gem(100, margin=0.5), plain),
        (AveragedGem(Memory(100)), plain),
        (Replay(Memory(100)), plain),
    ):
        found = kept(method, bundle)
        assert found[0] > told, type(method).__name__
        if isinstance(method, Gem | Replay):
            assert found[1] > 0.5, type(method).__name__
