import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.repository import changes
from edge_runtime.bundle import Manifest, pack
from edge_runtime.delta.recoded import apply_recoded
from edge_runtime.errors import TransferError
from edge_runtime.sharing import npz_places
from edge_runtime.storage import SUFFIX, code
from edge_runtime.tensors import TensorSpec
from edge_runtime.training.arrays import write_parameters


def coded(path, step):
    """A bundle with two coded files of int8 weights, a few of which are a step away."""
    files = {}
    for seed, name in enumerate(("first.npz", "second.npz")):
        rng = np.random.default_rng(seed)
        levels = np.clip(rng.normal(size=50_000) * 20, -127, 127).astype(np.int8)
        levels += ((rng.random(levels.size) < 0.01) * step).astype(np.int8)
        content = write_parameters({"w": levels})
        places = [(each["offset"], each["length"], 1) for each in npz_places(content).values()]
        files[name + SUFFIX] = code(content, places)
    spec = TensorSpec("x", "float32", (1, 1))
    pack(path, Manifest("m", "rpi4", (spec,), (spec,)), files)
    return path.read_bytes()


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coded")
    old, new = coded(folder / "a.bundle", 0), coded(folder / "b.bundle", 1)
    return old, new, changes.patch(old, new)


def test_a_coded_bundle_is_patched_by_what_it_decodes_to(pair):
    old, new, made = pair
    assert made is not None
    assert len(made) < 0.05 * len(new)
    assert apply_recoded(old, made) == new


@given(st.data())
def test_a_damaged_patch_is_refused_or_does_no_harm(pair, data):
    old, new, good = pair
    made = bytearray(good)
    made[data.draw(st.integers(0, min(len(made) - 1, 400)))] ^= data.draw(st.integers(1, 255))
    try:
        found = apply_recoded(old, bytes(made), most=2 * len(new))
    except TransferError:
        return
    assert len(found) <= 2 * len(new)


def test_from_plain_to_coded_is_no_harm(pair, tmp_path):
    spec = TensorSpec("x", "float32", (1, 1))
    pack(
        tmp_path / "plain.bundle",
        Manifest("m", "rpi4", (spec,), (spec,)),
        {"a.npz": write_parameters({"w": np.ones(9)})},
    )
    plain = (tmp_path / "plain.bundle").read_bytes()
    assert changes.patch(plain, pair[1]) is None
