"""Orders of axes: whatever a Reshape does and however a value is held, the elements are those of NumPy's reshape."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from converter.lowering.layout import (
    groups,
    inverse,
    permuted,
    reshaped,
    same_memory,
    transposition,
    without,
)
from converter.lowering.program import Free

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=5)


@st.composite
def held(draw):
    """A shape, and the order in which a tensor holds its axes."""
    shape = draw(SHAPES)
    return tuple(shape), tuple(draw(st.permutations(range(len(shape)))))


@st.composite
def reshapes(draw):
    """A value, how it is held, and another shape of as many elements."""
    before, order = draw(held())
    rest = int(np.prod(before))
    after = []
    while rest > 1:
        after.append(draw(st.sampled_from([d for d in range(1, rest + 1) if rest % d == 0])))
        rest //= after[-1]
        if len(after) > 5:
            after.append(rest)
            rest = 1
    return before, order, tuple(after) or (1,)


@given(reshapes())
@settings(derandomize=True, deadline=None)
def test_a_reshape_in_any_order_is_numpys(case):
    before, order, after = case
    value = np.arange(np.prod(before)).reshape(before)
    tensor = value.transpose(order)
    have, then = reshaped(before, after, order)
    tensor = tensor.transpose(transposition(order, have)).reshape(permuted(after, then))
    np.testing.assert_array_equal(tensor.transpose(inverse(then)), value.reshape(after))


@given(held(), st.randoms(use_true_random=False))
@settings(derandomize=True, deadline=None)
def test_the_same_memory_is_a_reshape(case, random):
    shape, have = case
    want = list(have)
    random.shuffle(want)
    value = np.arange(np.prod(shape)).reshape(shape)
    a, b = np.ascontiguousarray(value.transpose(have)), np.ascontiguousarray(value.transpose(want))
    assert (
        np.array_equal(a.reshape(-1), b.reshape(-1)) == same_memory(shape, have, tuple(want))
        or value.size == 1
    )


@given(held())
@settings(derandomize=True, deadline=None)
def test_an_axis_that_goes_leaves_the_order_of_the_others(case):
    shape, order = case
    value = np.arange(np.prod(shape)).reshape(shape)
    for axis in range(len(shape)):
        tensor = value.transpose(order).max(axis=order.index(axis))
        np.testing.assert_array_equal(tensor, value.max(axis=axis).transpose(without(order, [axis])))


def test_channels_that_merge_with_nothing_stay_behind():
    """What a ViT does with its patches: [n, c, h, w] to [n, c, h·w], held channels last."""
    assert reshaped((Free(1), 48, 4, 4), (Free(1), 48, 16), (0, 2, 3, 1)) == ((0, 2, 3, 1), (0, 2, 1))
    assert reshaped((Free(1), 64, 4, 4), (Free(1), 1024), (0, 2, 3, 1))[0] == (0, 1, 2, 3)
    assert reshaped((Free(1), 64, 1, 1), (Free(1), 64), (0, 2, 3, 1))[0][0] == 0


def test_a_length_that_varies_is_not_taken_for_an_equal_one():
    assert groups((Free(1), 6), (6,)) is None
    assert groups((Free(1), 6), (Free(1), 2, 3)) == [([0], [0]), ([1], [1, 2])]
