"""The accountant against an independent library, against the integral that it stands for, and by its own laws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import InputError
from federated.privacy.accountant import ORDERS, Ledger, Step, epsilon, noise_for, rdp

CASES = [
    (0.01, 1.1, 1000),
    (0.1, 1.0, 50),
    (1.0, 3.4, 30),
    (0.02, 0.6, 200),
    (0.3, 2.0, 100),
    (0.001, 5.0, 10),
    (0.9, 10.0, 20),
]


@pytest.mark.parametrize(("q", "sigma", "times"), CASES)
def test_agrees_with_dp_accounting(q, sigma, times):
    """At whole orders to rounding; over all orders within 1 %, for the library bounds its other orders from above."""
    dp = pytest.importorskip("dp_accounting", reason="the independent accountant is not installed")
    from dp_accounting.rdp import RdpAccountant

    event = dp.SelfComposedDpEvent(dp.PoissonSampledDpEvent(q, dp.GaussianDpEvent(sigma)), times)
    for orders, tolerance in ((tuple(map(float, range(2, 64))), 1e-9), (ORDERS, 0.01)):
        theirs = RdpAccountant(list(orders))
        theirs.compose(event)
        want, ours = theirs.get_epsilon(1e-5), epsilon([Step(q, sigma, times)], 1e-5, orders)
        assert ours == pytest.approx(want, rel=tolerance)
        assert ours <= want * (1 + 1e-9)


@pytest.mark.parametrize("order", [1.5, 2.0, 2.7, 4.3, 8.8, 17.0])
@pytest.mark.parametrize(("q", "sigma"), [(0.1, 1.0), (0.3, 2.0), (0.02, 0.7), (0.7, 1.5)])
def test_is_the_moment_of_the_ratio_of_densities(q, sigma, order):
    x = np.linspace(-50 * sigma, 70 * sigma + 20, 400_001)
    density = -x * x / (2 * sigma**2) - math.log(sigma * math.sqrt(2 * math.pi))
    ratio = np.logaddexp(math.log1p(-q), math.log(q) + (2 * x - 1) / (2 * sigma**2))
    want = math.log(np.trapezoid(np.exp(density + order * ratio), x)) / (order - 1)
    assert rdp(q, sigma, (order,))[0] == pytest.approx(want, rel=1e-6, abs=1e-9)


def test_the_gaussian_mechanism_alone_is_known_exactly():
    """Mironov 2017, Proposition 7: alpha / (2 sigma²)."""
    assert rdp(1.0, 2.0, (3.0, 10.0)) == (0.375, 1.25)
    assert rdp(0.0, 2.0, (3.0,)) == (0.0,)
    assert rdp(0.5, 0.0, (3.0,)) == (math.inf,)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.01, 1), st.floats(0.5, 5), st.integers(1, 200))
def test_more_noise_fewer_rounds_and_rarer_sampling_spend_less(q, sigma, times):
    one = epsilon([Step(q, sigma, times)], 1e-5)
    assert epsilon([Step(q, sigma * 1.2, times)], 1e-5) <= one
    assert epsilon([Step(q, sigma, times + 1)], 1e-5) >= one
    assert epsilon([Step(q * 0.8, sigma, times)], 1e-5) <= one + 1e-9
    assert epsilon([Step(q, sigma, times)], 1e-6) >= one


@pytest.mark.parametrize(
    ("target", "q", "times"), [(8, 1.0, 30), (8, 0.1, 100), (1, 0.05, 40), (0.3, 1.0, 1)]
)
def test_noise_for_a_target_just_keeps_it(target, q, times):
    sigma = noise_for(target, 1e-5, q, times)
    assert epsilon([Step(q, sigma, times)], 1e-5) <= target
    assert epsilon([Step(q, sigma / 1.003, times)], 1e-5) > target


class TestLedger:
    def test_counts_what_is_spent(self):
        ledger = Ledger(1e-5)
        assert ledger.epsilon == 0
        for _ in range(3):
            ledger = ledger.spend(0.1, 1.0)
        ledger = ledger.spend(0.2, 1.0)
        assert ledger.steps == (Step(0.1, 1.0, 3), Step(0.2, 1.0, 1))
        assert ledger.epsilon == epsilon([Step(0.1, 1.0, 3), Step(0.2, 1.0, 1)], 1e-5)

    def test_round_trip(self):
        ledger = Ledger(1e-6).spend(0.1, 1.5).spend(0.1, 1.5)
        assert Ledger.from_json(ledger.to_json()) == ledger

    @pytest.mark.parametrize("value", [{}, None, {"delta": 1, "steps": [[1]]}, {"delta": "x", "steps": []}])
    def test_what_is_none_is_refused(self, value):
        with pytest.raises(InputError, match="not a privacy ledger"):
            Ledger.from_json(value)


def test_out_of_range():
    with pytest.raises(InputError, match="delta 0"):
        epsilon([], 0)
    with pytest.raises(InputError, match=r"sampling rate 1\.5"):
        epsilon([Step(1.5, 1)], 1e-5)
    with pytest.raises(InputError, match="epsilon 0"):
        noise_for(0, 1e-5, 1, 1)
    with pytest.raises(InputError, match="no noise reaches it"):
        noise_for(1e-9, 1e-5, 1, 1)
