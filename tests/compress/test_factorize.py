"""Low-rank factorisation: exact at full rank, falling error, smaller graphs that compute nearly the same."""

import functools
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compress.factorization.decompose import Svd, cp, root, tucker, tucker_error
from compress.factorization.factorize import Factorize, factorize
from compress.fidelity import compare
from compress.pruning.prepare import prepared
from compress.pruning.prune import sizes
from converter.convert import convert
from converter.optimize import optimize
from edge_runtime import ModelError, Session
from tests import networks
from tests.models import HEADER, build, cnn, images

SEEDS = st.integers(0, 20)


def decayed(shape, seed, power=1.0):
    """A random tensor whose singular values fall."""
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((shape[0], int(np.prod(shape[1:]))))
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    return ((left * values / np.arange(1, len(values) + 1) ** power) @ right).reshape(shape)


def moment(count, seed):
    x = np.random.default_rng(seed).standard_normal((4 * count, count)) * np.linspace(0.1, 3, count)
    return x.T @ x / len(x)


@given(SEEDS, st.booleans())
def test_a_matrix_is_itself_at_full_rank_and_its_error_falls_with_rank(seed, weighed):
    weight = np.random.default_rng(seed).standard_normal((6, 9))
    scale = root(moment(9, seed)) if weighed else None
    svd = Svd.of(weight, scale)
    out, into = svd.cut(6)
    np.testing.assert_allclose(out @ into, weight, atol=1e-5)
    errors = svd.errors()
    assert (np.diff(errors) <= 0).all()
    assert errors[0] == pytest.approx(1)
    assert errors[-1] == pytest.approx(0)


@given(SEEDS, st.integers(1, 5))
def test_the_error_on_outputs_is_what_is_stated_and_the_least(seed, rank):
    """Eckart and Young, in the metric of the inputs: no other product of that rank loses less."""
    weight, second = np.random.default_rng(seed).standard_normal((6, 9)), moment(9, seed)

    def lost(product):
        gap = weight - product
        return np.trace(gap @ second @ gap.T) / np.trace(weight @ second @ weight.T)

    aware = Svd.of(weight, root(second))
    out, into = aware.cut(rank)
    assert lost(out @ into) == pytest.approx(aware.errors()[rank], rel=1e-4)
    plain, other = Svd.of(weight).cut(rank)
    assert lost(out @ into) <= lost(plain @ other) + 1e-9


@given(SEEDS, st.booleans())
def test_tucker_is_exact_at_full_rank_and_its_error_falls(seed, weighed):
    weight = np.random.default_rng(seed).standard_normal((6, 5, 3, 3))
    scale = root(moment(5, seed)) if weighed else None
    last, core, first = tucker(weight, (6, 5), scale)
    np.testing.assert_allclose(np.einsum("oa,abhw,bi->oihw", last, core, first), weight, atol=1e-5)
    errors = [tucker_error(weight, (rank + 1, rank), scale) for rank in range(1, 6)]
    assert all(a >= b - 1e-9 for a, b in itertools.pairwise(errors))
    assert errors[-1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_cp_finds_a_sum_of_terms_that_is_there(seed):
    rng = np.random.default_rng(seed)
    a, b, k = (rng.standard_normal((count, 3)) for count in (6, 5, 9))
    weight = np.einsum("or,ir,kr->oik", a, b, k).reshape(6, 5, 3, 3)
    (last, kernel, first), lost = cp(weight, 3)
    np.testing.assert_allclose(np.einsum("or,rhw,ri->oihw", last, kernel[:, 0], first), weight, atol=0.05)
    assert lost < 1e-4
    errors = [cp(decayed((6, 5, 3, 3), seed), rank)[1] for rank in (1, 2, 4, 8, 16)]
    assert all(x > y for x, y in itertools.pairwise(errors))


# ---------------------------------------------------------------------------------------------- on graphs


@functools.cache
def exported(name):
    """A network whose weights are near to low rank, as trained ones are."""
    torch.manual_seed(0)
    network, shape = getattr(networks, name)()
    with torch.no_grad():
        for k, weight in enumerate(network.parameters()):
            if weight.ndim > 1 and min(weight.shape[:2]) > 3:
                size = weight.std()
                value = torch.tensor(decayed(tuple(weight.shape), k, 2.0), dtype=torch.float32)
                weight.copy_(value / value.std() * size)
    kind = torch.int64 if name == "bert" else torch.float32
    return convert(network.eval(), example=(torch.zeros(1, *shape, dtype=kind),), trainable=True), shape


def samples(shape, count=16, seed=0):
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


def run(model, x):
    return Session(model.SerializeToString()).run_batches(x)[0]


@pytest.mark.parametrize("method", ["svd", "tucker", "cp"])
@pytest.mark.parametrize("name", ["lenet", "mlp", "unet", "vit", "cnn1d"])
def test_the_graph_is_smaller_and_computes_nearly_the_same(name, method):
    model, shape = exported(name)
    made = factorize(model, Factorize(0.2, method=method, multiple=2), samples(shape))
    assert sizes(made)["macs"] <= 0.8 * sizes(prepared(model))["macs"] + 1
    x = samples(shape, 8, 1)
    found = compare(run(model, x), run(made, x))
    assert found.sqnr_db > 8


@pytest.mark.parametrize("optimised", [False, True])
@pytest.mark.parametrize("method", ["svd", "tucker"])
def test_keeping_nearly_all_the_energy_changes_nearly_nothing(method, optimised):
    model, shape = exported("unet")
    model = optimize(model) if optimised else model
    made = factorize(model, Factorize(energy=1 - 1e-9, method=method, multiple=1), samples(shape))
    np.testing.assert_allclose(run(made, samples(shape, 4, 1)), run(model, samples(shape, 4, 1)), atol=1e-3)


def test_the_error_of_the_model_falls_as_more_is_kept():
    model, shape = exported("lenet")
    x = samples(shape, 8, 1)
    reference = run(model, x)
    found = [
        compare(reference, run(factorize(model, Factorize(amount, multiple=1), samples(shape)), x)).sqnr_db
        for amount in (0.7, 0.5, 0.3, 0.1)
    ]
    assert found == sorted(found)


def test_samples_make_it_better_and_the_bias_takes_back_the_mean():
    rng = np.random.default_rng(0)
    model = build(
        HEADER
        + " m (float[n, 24] x) => (float[n, 16] y) <float[24, 16] w, float[16] b> { y = Gemm(x, w, b) }"
    )
    x = (rng.standard_normal((400, 24)) * np.linspace(0.05, 2, 24) + rng.standard_normal(24)).astype(
        np.float32
    )
    blind, aware = (factorize(model, Factorize(0.4, multiple=1), each) for each in (None, x[:200]))
    held = x[200:]
    wanted = run(model, held)
    assert compare(wanted, run(aware, held)).sqnr_db > compare(wanted, run(blind, held)).sqnr_db + 3
    assert np.abs((run(aware, x[:64]) - run(model, x[:64])).mean(axis=0)).max() < 0.2


def test_a_transposed_and_a_strided_layer():
    text = HEADER + (
        " m (float[n, 8, 9, 9] x) => (float[n, 12] y) "
        "<float[16, 8, 3, 3] w, float[16] b, float[12, 400] v, float[12] c>"
        "{ h = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(x, w, b)  f = Flatten(h)  y = Gemm<transB = 1>(f, v, c) }"
    )
    model = build(text)
    x = samples((8, 9, 9), 200)
    for method in ("svd", "tucker", "cp"):
        made = factorize(model, Factorize(0.3, method=method, multiple=1), x)
        assert sum(node.op_type == "Conv" for node in made.graph.node) > 1
        assert run(made, x[:4]).shape == (4, 12)
        assert np.isfinite(run(made, x[:4])).all()


def test_the_source_is_not_changed_and_what_cannot_be_saved_stays():
    model = cnn()
    before = model.SerializeToString(deterministic=True)
    made = factorize(model, Factorize(energy=0.999999, multiple=1))
    assert model.SerializeToString(deterministic=True) == before
    assert [n.op_type for n in made.graph.node] == [n.op_type for n in model.graph.node]
    np.testing.assert_array_equal(run(made, images(2)), run(model, images(2)))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (Factorize(0), "shares between 0 and 1"),
        (Factorize(energy=1.0), "shares between 0 and 1"),
        (Factorize(multiple=0), "at least 1"),
        (Factorize(method="qr"), "method 'qr' is unknown; expected one of svd, tucker, cp"),
        (Factorize(budget="joules"), "budget 'joules' is unknown"),
        (Factorize(0.99), "cannot go"),
    ],
)
def test_what_is_wrong_is_named(options, sentence):
    with pytest.raises(ModelError, match=sentence):
        factorize(cnn(), options)
