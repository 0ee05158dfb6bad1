"""Differential privacy: the noise is what the accountant counts, sampling is Poisson, and a device protects itself."""

import numpy as np
import pytest

from edge_runtime.errors import InputError
from federated.privacy.accountant import Ledger, Step, epsilon
from federated.privacy.dp import (
    Privacy,
    Secret,
    central_mean,
    local_noise,
    parse,
    poisson_sample,
    spent,
)
from federated.privacy.local import protect
from federated.robust.submission import Submission

SECRET = Secret(1234)


def mean(deltas, **changes):
    given = [Submission(i, np.asarray(delta, float), 10**i) for i, delta in enumerate(deltas)]
    values = {"bound": 1.0, "sigma": 0.0, "expected": 4.0, "secret": SECRET, "round_number": 1}
    return central_mean(given, 3, **(values | changes))


def test_clips_counts_all_alike_and_divides_by_what_is_expected():
    found = mean([[3, 0, 0], [0, 0.5, 0]])
    np.testing.assert_allclose(found, [1 / 4, 0.5 / 4, 0])


def test_one_device_moves_the_mean_by_the_bound_at_most():
    rng = np.random.default_rng(0)
    others = rng.standard_normal((6, 3))
    for mine in rng.standard_normal((20, 3)) * 100:
        apart = mean([*others, mine], sigma=1.5) - mean(others, sigma=1.5)
        assert np.linalg.norm(apart) <= 1.0 / 4 + 1e-12


def test_the_noise_is_as_large_as_the_accountant_counts():
    found = np.concatenate([mean([], sigma=2.0, bound=0.5, round_number=t) for t in range(4000)])
    assert abs(found.std() / (2.0 * 0.5 / 4) - 1) < 0.03
    assert abs(found.mean()) < 0.01
    assert abs(np.mean(np.abs(found) < found.std()) - 0.683) < 0.02


def test_the_same_round_is_repeated_with_the_same_noise_and_another_run_has_another():
    np.testing.assert_array_equal(mean([], sigma=1.0), mean([], sigma=1.0))
    assert (mean([], sigma=1.0) != mean([], sigma=1.0, round_number=2)).all()
    assert (mean([], sigma=1.0) != mean([], sigma=1.0, secret=Secret(5))).all()
    assert Secret().bits != Secret().bits
    assert "1234" not in repr(SECRET)


def test_each_device_takes_part_with_a_chance_of_its_own():
    counts = np.array([len(poisson_sample(range(100), 0.3, SECRET, t)) for t in range(500)])
    assert abs(counts.mean() - 30) < 1
    assert abs(counts.var() - 100 * 0.3 * 0.7) < 4  # a fixed number would have none
    assert poisson_sample([3, 1, 2], 1.0, SECRET, 1) == [1, 2, 3]
    assert poisson_sample([3, 1, 2], 0.5, SECRET, 1) == poisson_sample([1, 2, 3], 0.5, SECRET, 1)


def test_a_devices_own_noise():
    delta = np.full(20_000, 0.1)
    found = local_noise(delta, 1.0, 0.05, np.random.default_rng(0))
    assert abs(np.std(found) / 0.05 - 1) < 0.03
    assert abs(found.mean() - 1 / np.sqrt(20_000)) < 0.002
    assert (local_noise(delta, 1.0, 0.05) != local_noise(delta, 1.0, 0.05)).any()


def test_a_budget_lasts_for_the_rounds_and_no_longer():
    privacy = parse("central:epsilon=4,delta=1e-5,clip=0.5")
    assert privacy == Privacy("central", 4.0, 1e-5, 0.5)
    sigma, ledger = privacy.noise(0.2, 30), Ledger(1e-5)
    for _ in range(30):
        ledger = spent(ledger, privacy, 0.2, sigma)
    assert 3.95 < ledger.epsilon <= 4
    assert spent(ledger, privacy, 0.2, sigma).epsilon > ledger.epsilon
    assert parse("central:sigma=1.5").noise(0.2, 30) == 1.5


def test_locally_nothing_is_gained_by_sampling():
    privacy = parse("local:sigma=2")
    assert spent(Ledger(1e-5), privacy, 0.01, 2.0).epsilon == epsilon([Step(1.0, 2.0)], 1e-5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("centrl", "did you mean 'central'"),
        ("central:epsilon=0", "epsilon 0: expected a positive"),
        ("central:epsilon=inf", "epsilon inf"),
        ("central:delta=1", "delta 1"),
        ("central:clip=0", "clip 0"),
        ("local:sigma=-1", "sigma -1"),
        ("central:eps=3", "no parameter 'eps' \\(did you mean 'epsilon'\\?\\)|no parameter 'eps'"),
    ],
)
def test_what_is_no_budget(text, says):
    with pytest.raises(InputError, match=says):
        parse(text)


BEFORE = {"w": np.zeros((2, 2), np.float32), "b": np.ones(2, np.float32)}
AFTER = {"w": np.full((2, 2), 2, np.float32), "b": np.ones(2, np.float32)}


class TestProtect:
    def test_does_nothing_unasked(self):
        assert protect(BEFORE, AFTER, {"lr": 0.1}) == (AFTER, {})

    def test_clips_and_adds_noise(self):
        found, more = protect(BEFORE, AFTER, {"clip": 1.0, "sigma": 0.0})
        assert not more
        np.testing.assert_allclose(found["w"], 0.5)
        np.testing.assert_allclose(found["b"], 1)
        noised, _ = protect(BEFORE, AFTER, {"clip": 1.0, "sigma": 3.0})
        assert (noised["b"] != 1).all()
        assert noised["w"].dtype == np.float32

    @pytest.mark.parametrize(("bound", "bit"), [(1.0, 0), (100.0, 1)])
    def test_answers_flowers_clipping(self, bound, bit):
        found, more = protect(BEFORE, AFTER, {"clipping_norm": bound})
        assert more == {"norm_bit": bit}
        assert np.linalg.norm(found["w"]) == pytest.approx(min(bound, 4.0))
