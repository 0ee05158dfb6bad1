import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import FleetError
from federated.aggregate import federated_average, sample_clients, sample_size
from federated.update import Update

CLIENTS = st.lists(
    st.tuples(st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=3), st.integers(1, 5000)),
    min_size=1,
    max_size=12,
)


def average(clients):
    return federated_average(Update.of({"w": np.array(w, np.float32)}, n) for w, n in clients)["w"]


@given(CLIENTS)
def test_is_the_sum_of_n_k_over_n_times_w_k(clients):
    weights, counts = np.array([w for w, _ in clients]), np.array([n for _, n in clients])
    np.testing.assert_allclose(
        average(clients), np.average(weights, axis=0, weights=counts), rtol=1e-5, atol=1e-4
    )


@given(CLIENTS, st.randoms())
def test_order_does_not_matter(clients, rng):
    shuffled = list(clients)
    rng.shuffle(shuffled)
    np.testing.assert_allclose(average(clients), average(shuffled), rtol=1e-6, atol=1e-6)


@given(CLIENTS)
def test_lies_between_the_clients(clients):
    weights = np.array([w for w, _ in clients], np.float32)
    got = average(clients)
    assert (weights.min(axis=0) - 1e-3 <= got).all()
    assert (got <= weights.max(axis=0) + 1e-3).all()


@given(CLIENTS, st.integers(1, 11))
def test_a_gateways_sum_gives_the_cloud_the_same_average(clients, cut):
    updates = [Update.of({"w": np.array(w, np.float32)}, n) for w, n in clients]
    groups = [group for group in (updates[:cut], updates[cut:]) if group]
    sums = []
    for group in groups:
        total = group[0]
        for update in group[1:]:
            total = total + update
        sums.append(total)
    np.testing.assert_allclose(federated_average(sums)["w"], average(clients), rtol=1e-6, atol=1e-6)


def test_no_update_is_an_error():
    with pytest.raises(FleetError, match="no update to average"):
        federated_average([])


@given(st.integers(1, 300), st.floats(0.001, 1))
def test_sample_size_is_between_one_and_all(clients, fraction):
    assert 1 <= sample_size(clients, fraction) <= clients
    assert sample_size(clients, 1.0) == clients


@given(
    st.sets(st.integers(0, 2**64 - 1), min_size=1, max_size=30),
    st.data(),
    st.integers(0, 99),
    st.integers(1, 99),
)
def test_a_sample_is_a_set_of_the_clients_that_depends_on_seed_and_round_alone(clients, data, seed, number):
    count = data.draw(st.integers(1, len(clients)))
    chosen = sample_clients(sorted(clients), count, seed, number)
    assert len(set(chosen)) == count
    assert set(chosen) <= clients
    assert chosen == sample_clients(sorted(clients, reverse=True), count, seed, number)


def test_rounds_differ_and_every_client_has_its_turn():
    rounds = [sample_clients(range(20), 5, 0, number) for number in range(1, 41)]
    assert len({tuple(chosen) for chosen in rounds}) > 30
    counts = np.bincount(np.concatenate(rounds), minlength=20)
    assert counts.min() >= 3  # 10 expected


def test_too_few_clients():
    with pytest.raises(FleetError, match="round 4 needs 3 clients and 2 are there"):
        sample_clients([1, 2], 3, 0, 4)
