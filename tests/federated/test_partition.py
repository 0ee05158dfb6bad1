import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import InputError
from federated.partition import dirichlet, histogram, hold_out, iid

LABELS = st.lists(st.integers(0, 9), min_size=1, max_size=300).map(np.array)
ALPHAS = st.sampled_from([1e-3, 0.05, 0.5, 5.0, 1e3, 1e6])


def assert_is_a_split(parts, n, clients):
    assert len(parts) == clients
    assert all(len(part) for part in parts)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(n))


@given(st.data(), st.integers(1, 500), st.integers(0, 5))
def test_iid_is_a_split_into_equal_parts(data, n, seed):
    clients = data.draw(st.integers(1, n))
    parts = iid(n, clients, seed)
    assert_is_a_split(parts, n, clients)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(st.data(), LABELS, ALPHAS, st.integers(0, 5))
def test_dirichlet_is_a_split_without_an_empty_client(data, y, alpha, seed):
    clients = data.draw(st.integers(1, len(y)))
    parts = dirichlet(y, clients, alpha, seed)
    assert_is_a_split(parts, len(y), clients)
    for left, right in zip(parts, dirichlet(y, clients, alpha, seed), strict=True):
        np.testing.assert_array_equal(left, right)


@given(st.integers(2, 500), st.floats(0.01, 0.9), st.integers(0, 5))
def test_hold_out_divides(n, fraction, seed):
    if max(1, round(n * fraction)) >= n:
        return
    rest, held = hold_out(n, fraction, seed)
    assert_is_a_split([rest, held], n, 2)
    assert len(held) == max(1, round(n * fraction))


def entropy(y, parts):
    shares = histogram(y, parts, 10) / histogram(y, parts, 10).sum(axis=1, keepdims=True)
    return float(-(shares * np.log(shares, where=shares > 0, out=np.zeros_like(shares))).sum(axis=1).mean())


def test_alpha_sets_the_skew():
    y = np.repeat(np.arange(10), 500)
    found = [entropy(y, dirichlet(y, 10, alpha, 0)) for alpha in (0.01, 0.3, 3.0, 1000.0)]
    assert found == sorted(found)
    assert found[0] < 0.4
    assert found[-1] > 0.999 * np.log(10)


def test_the_sizes_differ_so_that_weights_matter():
    sizes = [len(part) for part in dirichlet(np.repeat(np.arange(10), 400), 5, 0.5, 0)]
    assert max(sizes) > 1.5 * min(sizes)


def test_another_seed_is_another_split():
    y = np.repeat(np.arange(10), 20)
    assert any(
        (a.shape != b.shape) or (a != b).any()
        for a, b in zip(dirichlet(y, 4, 0.5, 0), dirichlet(y, 4, 0.5, 1), strict=True)
    )
    assert any((a != b).any() for a, b in zip(iid(200, 4, 0), iid(200, 4, 1), strict=True))


def test_histogram_counts_each_clients_classes():
    y = np.array([0, 0, 1, 2, 2, 2])
    np.testing.assert_array_equal(
        histogram(y, [np.array([0, 1, 2]), np.array([3, 4, 5])], 4), [[2, 1, 0, 0], [0, 0, 3, 0]]
    )


@pytest.mark.parametrize(
    "split", [lambda k: iid(3, k, 0), lambda k: dirichlet(np.array([0, 1, 1]), k, 0.5, 0)]
)
def test_more_clients_than_samples(split):
    with pytest.raises(InputError, match="clients 4: more than the 3 samples"):
        split(4)
    with pytest.raises(InputError, match="clients 0"):
        split(0)


@pytest.mark.parametrize("alpha", [0.0, -1.0, 1e-9, 1e9, float("nan"), float("inf")])
def test_alpha_out_of_range(alpha):
    with pytest.raises(InputError, match="alpha"):
        dirichlet(np.zeros(5, int), 2, alpha, 0)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan"), 0.99])
def test_hold_out_out_of_range(fraction):
    with pytest.raises(InputError, match="holdout"):
        hold_out(4, fraction, 0)
