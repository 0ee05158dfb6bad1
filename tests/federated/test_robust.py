"""The rules against hostile devices: their laws, their agreement with Flower's, and what they set aside."""

import math

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy.bulyan import aggregate_n_closest_weights
from flwr.serverapp.strategy.fedtrimmedavg import trim_mean
from flwr.serverapp.strategy.multikrum import compute_distances, select_multikrum
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.data import Samples
from edge_runtime.errors import InputError
from federated.robust import DEFAULT, Submission, attacks, parse
from federated.robust.bulyan import nearest_to_median, select_repeatedly
from federated.robust.clipping import clip, norms
from federated.robust.detect import Detect, measure
from federated.robust.geometric import geometric_median
from federated.robust.krum import krum_scores, select, squared_distances
from federated.robust.rule import RULES
from federated.robust.submission import CAP, changed, flatten, hostile, trusted_counts
from federated.robust.trimmed import trimmed_mean

SEEDS = st.integers(0, 2**32 - 1)
NAMES = sorted(RULES)
ROBUST = sorted(RULES.keys() - {"mean"})


def submissions(x, counts=None):
    counts = [10] * len(x) if counts is None else counts
    return [Submission(100 + i, row, n) for i, (row, n) in enumerate(zip(x, counts, strict=True))]


def honest(n=16, d=200, seed=0, spread=0.6):
    """Changes that agree in part: a common direction, and each device's own."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(d) / math.sqrt(d) + spread * rng.standard_normal((n, d)) / math.sqrt(d)


def contents(x):
    return [
        RecordDict(
            {
                "arrays": ArrayRecord({"w": Array(row[:-3].copy()), "b": Array(row[-3:].copy())}),
                "metrics": MetricRecord({"num-examples": 1}),
            }
        )
        for row in x
    ]


def rows_of(found, x):
    flat = [np.concatenate([each["arrays"]["w"].numpy(), each["arrays"]["b"].numpy()]) for each in found]
    return [int(np.argmin(np.abs(x - row).sum(axis=1))) for row in flat]


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(7, 20), st.integers(0, 2))
def test_krum_selects_what_flower_selects(seed, n, f):
    x = np.random.default_rng(seed).standard_normal((n, 12))
    records = [each["arrays"] for each in contents(x)]
    np.testing.assert_allclose(squared_distances(x), compute_distances(records), atol=1e-9)
    for m in (1, n - f):
        assert select(x, f, m).tolist() == rows_of(select_multikrum(contents(x), f, m), x)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(3, 20), st.sampled_from([0.0, 0.1, 0.2, 0.4]))
def test_trimmed_mean_and_median_are_flowers(seed, n, beta):
    x = np.random.default_rng(seed).standard_normal((n, 12))
    np.testing.assert_allclose(trimmed_mean(x, beta), trim_mean(x, beta), atol=1e-12)
    np.testing.assert_array_equal(parse("median")(submissions(x), {}).delta, np.median(x, axis=0))


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(0, 3))
def test_bulyan_is_flowers_where_it_scores_once(seed, f):
    n = 4 * f + 4
    x = np.random.default_rng(seed).standard_normal((n, 12))
    theta = n - 2 * f
    chosen = x[select(x, f, theta)]
    (want,) = aggregate_n_closest_weights(
        [np.median(chosen, axis=0)], [[row] for row in chosen], theta - 2 * f
    )
    np.testing.assert_allclose(parse(f"bulyan:f={f},again=0")(submissions(x), {}).delta, want, atol=1e-12)


def test_bulyan_scores_anew_after_each_choice():
    x = honest(11)
    left, chosen = list(range(11)), []
    for _ in range(7):
        among = squared_distances(x[left])
        scores = krum_scores(among, 2)
        central = np.where(scores <= scores.min() * (1 + 1e-9), among.sum(axis=1), np.inf)
        chosen.append(left.pop(int(np.argmin(central))))
    assert select_repeatedly(x, 2, 7).tolist() == chosen
    np.testing.assert_allclose(
        parse("bulyan:f=2")(submissions(x), {}).delta, nearest_to_median(x[np.array(chosen)], 3), atol=1e-12
    )


def test_krum_scores_by_hand():
    x = np.array([[0.0], [1.0], [3.0], [10.0], [11.0]])
    # n - f - 2 = 2 nearest: 0 has 1 and 3 (1 + 9), 1 has 0 and 3 (1 + 4), ...
    np.testing.assert_allclose(krum_scores(squared_distances(x), 1), [10, 5, 13, 50, 65])


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_the_geometric_median_has_the_least_sum_of_distances(seed):
    rng = np.random.default_rng(seed)
    x, weights = rng.standard_normal((9, 4)), rng.uniform(1, 3, 9)
    found = geometric_median(x, weights, 500, 1e-12)
    cost = weights @ norms(x - found)
    for step in rng.standard_normal((20, 4)) * 1e-3:
        assert cost <= weights @ norms(x - found - step) + 1e-9


@given(SEEDS, st.floats(0.01, 10))
@settings(max_examples=20, deadline=None)
def test_clipping_bounds_and_keeps_directions(seed, bound):
    x = np.random.default_rng(seed).standard_normal((5, 7))
    found = clip(x, bound)
    assert (norms(found) <= bound + 1e-12).all()
    cosines = (found * x).sum(1) / norms(found) / norms(x)
    np.testing.assert_allclose(cosines, 1)


@pytest.mark.parametrize("name", NAMES)
def test_equal_submissions_give_themselves(name):
    x = np.repeat(honest(1), 12, axis=0)
    found = parse(name)(submissions(x), {})
    np.testing.assert_allclose(found.delta, x[0], rtol=1e-6, atol=1e-9)
    assert len(found.verdicts) == 12


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_devices_does_not_matter(name):
    x = honest(14)
    given_, shuffled = submissions(x), submissions(x)[::-1]
    left, right = parse(name)(given_, {}), parse(name)(shuffled, {})
    np.testing.assert_allclose(left.delta, right.delta, atol=1e-12)
    assert left.set_aside.keys() == right.set_aside.keys()


@pytest.mark.parametrize("name", ROBUST)
@pytest.mark.parametrize("harm", ["sign", "scale", "noise"])
def test_a_fifth_hostile_does_not_steer_the_aggregate(name, harm):
    good = honest(16)
    rng = np.random.default_rng(1)
    bad = {"sign": -5 * good[:4], "scale": 1000 * good[:4], "noise": 50 * rng.standard_normal((4, 200))}[harm]
    counts = [10] * 16 + [10**6] * 4  # and they claim to have seen a million examples
    found = parse(name)(submissions(np.concatenate([good, bad]), counts), {})
    centre = good.mean(axis=0)
    apart = np.linalg.norm(found.delta - centre) / np.linalg.norm(centre)
    plain = parse("mean")(submissions(np.concatenate([good, bad]), counts), {})
    assert apart < 1.1
    assert np.linalg.norm(plain.delta - centre) / np.linalg.norm(centre) > 4


@pytest.mark.parametrize("name", ["krum", "multi-krum", "detect", "bulyan"])
def test_whom_it_sets_aside_and_why(name):
    x = np.concatenate([honest(16), 100 * honest(4, seed=3)])
    found = parse(name)(submissions(x), {})
    assert {116, 117, 118, 119} <= found.set_aside.keys()
    assert all(found.set_aside.values())
    if name == "detect":
        assert found.set_aside.keys() == {116, 117, 118, 119}
        assert "times the median" in found.set_aside[116]


@pytest.mark.parametrize(
    ("name", "n"), [("krum:f=1", 4), ("multi-krum:f=2", 6), ("median", 2), ("bulyan:f=1", 6), ("detect", 3)]
)
def test_with_too_few_devices_nothing_is_learned(name, n):
    found = parse(name)(submissions(honest(n)), {101: 0.3})
    assert not found.delta.any()
    assert len(found.set_aside) == n
    assert f"{n} submissions in the round" in found.set_aside[100]
    assert parse(name).least(n) > n


class TestDetect:
    def test_sign_flip_is_a_matter_of_direction(self):
        x = honest(20)
        x[:3] *= -1
        found = Detect()(submissions(x), {})
        assert {100, 101, 102} <= found.set_aside.keys()
        assert "cosine" in found.set_aside[100]

    def test_noise_of_the_right_size_agrees_with_nobody(self):
        x = honest(20)
        noise = np.random.default_rng(5).standard_normal((3, 200))
        x[:3] = noise / norms(noise)[:, None] * np.median(norms(x))
        assert {100, 101, 102} <= Detect()(submissions(x), {}).set_aside.keys()

    def test_a_device_that_sends_nothing_is_odd(self):
        x = honest(12)
        x[4] = 0
        assert Detect()(submissions(x), {}).set_aside.keys() == {104}

    def test_honest_devices_are_left_alone(self):
        wronged = sum(len(Detect()(submissions(honest(20, seed=s)), {}).set_aside) for s in range(20))
        assert wronged <= 0.03 * 20 * 20

    def test_suspicion_grows_with_oddness_and_fades(self):
        x = honest(16)
        x[0] *= 3.2  # a little odd, not beyond the limit
        limit = float(measure(x).odd[0]) * 1.25
        rule, memory, rounds = Detect(limit), {}, 0
        while 100 not in (outcome := rule(submissions(x), memory)).set_aside:
            memory, rounds = outcome.memory, rounds + 1
            assert rounds < 30
        assert rounds > 2
        assert "earlier rounds" in outcome.set_aside[100]
        calm = honest(16)
        for _ in range(20):
            memory = rule(submissions(calm), memory).memory
        assert memory[100] < 0.2

    def test_at_most_half_is_set_aside(self):
        x = honest(11)
        memory = {100 + i: 1.0 for i in range(9)}
        assert len(Detect()(submissions(x), memory).set_aside) == 5

    def test_memory_of_devices_that_are_away_is_kept(self):
        assert Detect()(submissions(honest(6)), {7: 0.9}).memory[7] == 0.9

    @pytest.mark.parametrize("limit", [1.0, -3.0, float("nan")])
    def test_a_limit_that_is_none(self, limit):
        with pytest.raises(InputError, match="expected a z-score above 1"):
            Detect(limit)


def test_claims_of_examples_count_up_to_a_bound():
    counts = trusted_counts(submissions(honest(5), [10, 12, 9, 11, 10**9]))
    assert counts.max() == CAP * 11
    np.testing.assert_array_equal(counts[:4], [10, 12, 9, 11])


@pytest.mark.parametrize(
    ("f", "n", "count"), [(0.2, 20, 4), (0.3, 10, 3), (0, 9, 0), (3, 20, 3), (0.25, 7, 1)]
)
def test_how_many_are_hostile(f, n, count):
    assert hostile(f, n) == count


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("krumm", "unknown \\(did you mean 'krum'\\?\\)"),
        ("multi-krum:g=1", "no parameter 'g'.*it takes f, m"),
        ("multi-krum:f=", "'f' has no value"),
        ("multi-krum:f=x", "expected a number"),
        ("multi-krum:f=-1", "expected 0 or more"),
        ("trimmed-mean:beta=0.5", "less than 0.5"),
        ("geometric-median:steps=0", "at least 1"),
        ("clipping:norm=-1", "expected a bound"),
        ("bulyan:again=2", "again 0 or 1"),
        ("median:f=1", "it takes none"),
    ],
)
def test_what_is_no_rule(text, says):
    with pytest.raises(InputError, match=says):
        parse(text)


def test_rules_by_name():
    assert parse("multi-krum:f=3,m=5") == RULES["multi-krum"](f=3.0, m=5)
    assert type(parse(DEFAULT)) is RULES[DEFAULT]


def test_flatten_and_back():
    arrays = {
        "b": np.arange(3, dtype=np.float32),
        "a": np.ones((2, 2), np.float16),
        "n": np.array([4], np.int64),
    }
    flat = flatten(arrays)
    np.testing.assert_array_equal(flat, [1, 1, 1, 1, 0, 1, 2, 4])
    moved = changed(arrays, np.full(8, 0.6))
    assert list(moved) == list(arrays)
    assert {name: array.dtype for name, array in moved.items()} == {n: a.dtype for n, a in arrays.items()}
    np.testing.assert_allclose(moved["b"], [0.6, 1.6, 2.6], rtol=1e-6)
    np.testing.assert_array_equal(moved["n"], [5])


class TestAttacks:
    samples = Samples(np.zeros((40, 1, 28, 28), np.float32), np.arange(40, dtype=np.int64) % 10)

    def test_labels_are_turned_round(self):
        found = attacks.poison_data("label-flip", self.samples, 10, 0)
        np.testing.assert_array_equal(found.y, 9 - self.samples.y)

    def test_a_backdoor_is_a_patch_with_a_label(self):
        found = attacks.poison_data("backdoor", self.samples, 10, 0, target=3)
        marked = found.x[:, 0, -1, -1] == 1
        assert 5 < marked.sum() < 35
        assert (found.y[marked] == 3).all()
        np.testing.assert_array_equal(found.y[~marked], self.samples.y[~marked])
        assert not self.samples.x.any()

    def test_updates(self):
        delta = honest(1)[0]
        np.testing.assert_array_equal(attacks.poison_update("sign-flip", delta, 0, 3.0), -3 * delta)
        np.testing.assert_array_equal(attacks.poison_update("scaling", delta, 0, 7.0), 7 * delta)
        noise = attacks.poison_update("gaussian", delta, 7, 2.0)
        assert 1.6 < np.linalg.norm(noise) / np.linalg.norm(delta) < 2.4
        assert abs(noise @ delta) < 0.5 * np.linalg.norm(noise) * np.linalg.norm(delta)
        np.testing.assert_array_equal(attacks.poison_update("label-flip", delta, 0, 3.0), delta)
