"""Steps on a model with two inputs: they work, or say in a sentence what they need."""

import numpy as np
import pytest

from compress import (
    Dynamic,
    Equalize,
    Half,
    MixedPrecision,
    Prune,
    QuantizationAware,
    Quantize,
    Recipe,
    Retrain,
    Rounding,
    SplitOutliers,
    Work,
    apply,
)
from compress.fidelity import compare
from compress.quantization.equalize import streams
from converter.model import constants, set_constant, to_bytes
from edge_runtime import ModelError, Samples, Session, Target
from edge_runtime.data import records
from tests.models import HEADER, build

TEXT = (
    HEADER
    + """ m (float[n, 3, 8, 8] images, float[n, 4] extra) => (float[n, 4] y)
<float[8, 3, 3, 3] w1, float[8] b1, float[8, 8, 3, 3] w2, float[8] b2, float[12, 16] w3, float[16] b3, float[16, 4] w4>
{ c1 = Conv<pads = [1, 1, 1, 1]>(images, w1, b1) r1 = Relu(c1) c2 = Conv<pads = [1, 1, 1, 1]>(r1, w2, b2)
  r2 = Relu(c2) g = GlobalAveragePool(r2) f = Flatten(g) k = Concat<axis = 1>(f, extra)
  h = Gemm(k, w3, b3) r3 = Relu(h) y = MatMul(r3, w4) }"""
)
RNG = np.random.default_rng(0)
X = records(
    {
        "images": RNG.standard_normal((32, 3, 8, 8)).astype(np.float32),
        "extra": RNG.standard_normal((32, 4)).astype(np.float32),
    }
)


def uneven():
    """The model with channels of very different size in its first layer."""
    model, factors = build(TEXT), np.exp(RNG.uniform(-3, 0, 8)).astype(np.float32)
    for name in ("w1", "b1"):
        value = constants(model.graph)[name]
        set_constant(model.graph, name, value * factors.reshape(-1, *[1] * (value.ndim - 1)))
    return model


def run(model):
    return Session(to_bytes(model)).run_batches(X)[0]


@pytest.mark.parametrize(
    ("step", "least"),
    [
        (Equalize(), 100),
        (Rounding(), 30),
        (Quantize(), 20),
        (MixedPrecision(sqnr_db=15), 15),
        (SplitOutliers(), 100),
        (Dynamic(), 20),
        (Half(), 40),
        (Prune(amount=0.2, multiple=1), -10),
    ],
)
def test_a_step_works(step, least):
    model = uneven()
    made = apply(Recipe((step,)), model, Work(Samples(X), Target.load("rpi4"), model))
    assert compare(run(model), run(made)).sqnr_db > least


def test_equalisation_changes_something():
    model = uneven()
    made = apply(Recipe((Equalize(1.0),)), model, Work(Samples(X), Target.load("rpi4"), model))
    assert streams(model.graph)
    assert not np.allclose(constants(made.graph)["w1"], constants(model.graph)["w1"])


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (Retrain(epochs=1), "a model with one data input; this one has images, extra"),
        (QuantizationAware(epochs=1), "a model with one data input; this one has images, extra"),
        (Prune(importance="taylor"), "needs a model with one input"),
        (Prune(importance="reconstruction", allocation="sensitivity"), "needs a model with one input"),
    ],
)
def test_a_step_that_trains_says_that_it_needs_one(step, sentence):
    model = uneven()
    with pytest.raises(ModelError, match=sentence):
        step(model, Work(Samples(X, np.arange(32) % 4), Target.load("rpi4"), model))


def test_learned_rounding_is_a_step_of_a_recipe(tmp_path):
    (tmp_path / "r.toml").write_text('[[step]]\nname = "round"\nbits = 4\npasses = 2\n')
    recipe = Recipe.load(tmp_path / "r.toml")
    assert recipe.steps == (Rounding(4, 2),)
    model = uneven()
    made = apply(recipe, model, Work(Samples(X), Target.load("rpi4"), model))
    assert len(to_bytes(made)) < len(to_bytes(model)) - 3 * 600  # a byte for each of some 1,100 weights
    (tmp_path / "r.toml").write_text('[[step]]\nname = "round"\nbits = 1\n')
    with pytest.raises(ModelError, match="expected 2 to 8 bits"):
        Recipe.load(tmp_path / "r.toml")
