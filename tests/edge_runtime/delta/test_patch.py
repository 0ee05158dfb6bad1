from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.delta import Patch, Tensor, apply, make
from edge_runtime.errors import TransferError


def file(arrays, head=b"graph of version one " * 20):
    """A file with tensors in it: its bytes, and where they lie."""
    content, tensors = head, {}
    for name, array in arrays.items():
        tensors[name] = Tensor(len(content), array.nbytes, array.dtype.name)
        content += array.tobytes() + f"after {name}".encode()
    return content, tensors


def weights(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "a": rng.normal(size=50_000).astype(np.float32),
        "b": rng.integers(-127, 128, 20_000).astype(np.int8),
        "c": rng.normal(size=30_000).astype(np.float32),
    }


def patch(old, new):
    (before, places), (after, others) = old, new
    return make(before, after, places, others)


def test_what_did_not_change_moves_nothing():
    old = file(weights())
    made = patch(old, old)
    assert len(made) < 200
    assert apply(old[0], made) == old[0]


def test_a_changed_tensor_moves_three_quarters_at_most_and_the_others_nothing():
    old = weights()
    new = old | {"c": (old["c"] * np.float32(1.01)).astype(np.float32)}
    made = patch(file(old), file(new))
    assert apply(file(old)[0], made) == file(new)[0]
    assert len(made) < 0.75 * new["c"].nbytes


def test_another_graph_with_new_tensors_in_another_order():
    old, new = weights(), weights(1)
    arrays = {"new": np.zeros(9, np.int64), "c": old["c"], "b": new["b"][:100], "a": old["a"]}
    made = patch(file(old), file(arrays, b"another graph altogether"))
    assert apply(file(old)[0], made) == file(arrays, b"another graph altogether")[0]
    assert len(made) < 1000


def test_a_scale_that_follows_from_another_costs_nothing():
    scales = np.random.default_rng(0).random(5000).astype(np.float32)
    old = {"w": scales, "b": scales * np.float32(0.0123)}
    new = {"w": scales * np.float32(1.001), "b": scales * np.float32(1.001) * np.float32(0.0456)}
    alone = len(patch(file({"w": old["w"]}), file({"w": new["w"]})))
    made = patch(file(old), file(new))
    assert apply(file(old)[0], made) == file(new)[0]
    assert len(made) < alone + 100


def test_tensors_that_were_renamed_are_found_by_what_they_hold():
    old = weights()
    new = {f"model.{name}": array for name, array in old.items()}
    made = patch(file(old), file(new))
    assert apply(file(old)[0], made) == file(new)[0]
    assert len(made) < 300


def test_a_file_without_known_tensors_is_compared_block_by_block():
    rng = np.random.default_rng(0)
    old = rng.bytes(50_000)
    new = old[1000:20_000] + rng.bytes(500) + old[:1000] + old[20_003:]
    made = make(old, new, {}, {})
    assert apply(old, made) == new
    assert len(made) < 1000


@given(st.binary(max_size=300), st.binary(max_size=300), st.data())
def test_any_file_becomes_any_other(old, new, data):
    def tensors(content):
        found = {}
        for name in "xy":
            start = data.draw(st.integers(0, len(content)))
            found[name] = Tensor(start, data.draw(st.integers(0, (len(content) - start) // 4)) * 4, "float32")
        return found

    assert apply(old, make(old, new, tensors(old), tensors(new))) == new


def test_a_patch_says_what_it_is():
    old, new = file(weights()), file(weights(1))
    said = Patch.read(patch(old, new))
    assert said.size == len(new[0])
    with pytest.raises(TransferError, match="no patch"):
        Patch.read(b"PK\x03\x04")


def test_a_patch_for_another_version_is_refused():
    old, new = file(weights()), file(weights(1))
    with pytest.raises(TransferError, match="another version"):
        apply(new[0], patch(old, new))


def test_more_than_is_taken_is_refused_before_work_begins():
    old = file(weights())
    with pytest.raises(TransferError, match="at most 1000"):
        apply(old[0], patch(old, old), most=1000)


@given(st.data())
def test_a_damaged_patch_is_refused_or_does_no_harm(data):
    old, new = file(weights()), file(weights() | {"b": np.zeros(20_000, np.int8)})
    made = bytearray(patch(old, new))
    place = data.draw(st.integers(0, len(made) - 1))
    made[place] ^= data.draw(st.integers(1, 255))
    with suppress(TransferError):
        assert apply(old[0], bytes(made)) == new[0]
    with pytest.raises(TransferError):
        apply(old[0], bytes(patch(old, new)[: data.draw(st.integers(0, len(made) - 1))]))
