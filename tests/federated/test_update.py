import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_runtime.errors import FleetError
from federated.update import Update, check_count, check_finite, check_fit

VALUES = st.floats(-1e6, 1e6, width=32)
WEIGHTS = st.fixed_dictionaries(
    {"w": arrays(np.float32, (3, 2), elements=VALUES), "b": arrays(np.float32, (2,), elements=VALUES)}
)
UPDATES = st.builds(Update.of, WEIGHTS, st.integers(1, 100_000))


def same(left, right):
    for name in left:
        scale = max(1.0, float(np.abs(left[name]).max()))
        np.testing.assert_allclose(left[name], right[name], rtol=1e-6, atol=1e-6 * scale)


@given(WEIGHTS, st.integers(1, 1000), WEIGHTS, st.integers(1, 1000))
def test_the_law(w1, n1, w2, n2):
    got = (Update.of(w1, n1) + Update.of(w2, n2)).average()
    for name in got:
        expected = (n1 * w1[name].astype(np.float64) + n2 * w2[name].astype(np.float64)) / (n1 + n2)
        np.testing.assert_array_equal(got[name], expected.astype(np.float32))


@given(UPDATES, UPDATES)
def test_addition_is_commutative_exactly(a, b):
    left, right = (a + b).average(), (b + a).average()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name])


@given(UPDATES, UPDATES, UPDATES)
def test_addition_is_associative_so_a_gateway_may_sum_first(a, b, c):
    left, right = (a + b) + c, a + (b + c)
    assert left.num_examples == right.num_examples
    same(left.average(), right.average())


@given(WEIGHTS, st.integers(1, 100), st.floats(-100, 100))
def test_linear_in_the_weights(weights, n, factor):
    scaled = Update.of({name: w.astype(np.float64) * factor for name, w in weights.items()}, n).average()
    plain = Update.of({name: w.astype(np.float64) for name, w in weights.items()}, n).average()
    for name in scaled:
        np.testing.assert_allclose(scaled[name], factor * plain[name], rtol=1e-12, atol=1e-12)


@given(WEIGHTS, st.integers(1, 10_000_000))
def test_a_single_update_averages_to_itself_bit_for_bit(weights, n):
    got = Update.of(weights, n).average()
    for name in weights:
        np.testing.assert_array_equal(got[name], weights[name])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32, np.int64])
def test_average_keeps_the_dtype(dtype):
    got = (
        Update.of({"w": np.array([1, 2], dtype)}, 1) + Update.of({"w": np.array([2, 4], dtype)}, 3)
    ).average()
    assert got["w"].dtype == dtype
    expected = np.array([1.75, 3.5])
    np.testing.assert_array_equal(
        got["w"], np.rint(expected) if np.issubdtype(dtype, np.integer) else expected
    )


@pytest.mark.parametrize("count", [0, -3, 1.5, True, "7", None])
def test_a_count_that_is_not_a_positive_integer_is_refused(count):
    with pytest.raises(FleetError, match="num_examples"):
        Update.of({"w": np.zeros(2)}, count)
    with pytest.raises(FleetError, match="num_examples"):
        check_count(count)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"v": np.zeros(2)}, "'v' is on one side only"),
        ({"w": np.zeros(3)}, r"'w': expected float64\[2\], got float64\[3\]"),
        ({"w": np.zeros(2, np.float32)}, "other dtypes"),
    ],
)
def test_updates_of_different_models_do_not_add(other, says):
    with pytest.raises(FleetError, match=says):
        Update.of({"w": np.zeros(2)}, 1) + Update.of(other, 1)


def test_check_fit_compares_dtypes():
    check_fit({"w": np.zeros(2)}, {"w": np.ones(2)})
    with pytest.raises(FleetError, match="float32"):
        check_fit({"w": np.zeros(2, np.float32)}, {"w": np.zeros(2)})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_named(value):
    check_finite({"w": np.zeros(2)})
    with pytest.raises(FleetError, match="'w' hold NaN or infinity"):
        check_finite({"w": np.array([0, value])})
