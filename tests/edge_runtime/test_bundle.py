"""Bundles: reproducible, verified, whole or absent."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.bundle import Bundle, Manifest, Preprocess, pack
from edge_runtime.errors import BundleError, InputError
from edge_runtime.tensors import TensorSpec

MANIFEST = Manifest(
    "m",
    "rpi4",
    (TensorSpec("x", "float32", ("n", 3)),),
    (TensorSpec("y", "float32", ("n", 2)),),
    Preprocess(256, 224, (127.0,), (128.0,)),
    ("cat", "dog"),
    ({"name": "quantize"},),
    {"agreement": 0.98},
)
FILES = {"infer.onnx": b"graph", "params.npz": b"weights"}


@pytest.mark.parametrize("name", ["m.bundle", "m"])
def test_what_is_packed_is_what_is_opened(tmp_path, name):
    pack(tmp_path / name, MANIFEST, FILES)
    bundle = Bundle.open(tmp_path / name)
    assert bundle.read("infer.onnx") == b"graph"
    assert bundle.manifest.inputs == MANIFEST.inputs
    assert bundle.manifest.preprocess == MANIFEST.preprocess
    assert bundle.manifest.labels == ("cat", "dog")
    assert bundle.manifest.files["infer.onnx"]["sha256"] == hashlib.sha256(b"graph").hexdigest()
    assert "params.npz" in bundle
    assert bundle.size == 12


def test_equal_content_is_equal_bytes(tmp_path):
    pack(tmp_path / "a.bundle", MANIFEST, FILES)
    pack(tmp_path / "b.bundle", MANIFEST, dict(reversed(FILES.items())))
    assert (tmp_path / "a.bundle").read_bytes() == (tmp_path / "b.bundle").read_bytes()


def test_a_bundle_is_stored_without_compression(tmp_path):
    pack(tmp_path / "a.bundle", MANIFEST, {"infer.onnx": b"z" * 5000})
    assert b"z" * 5000 in (tmp_path / "a.bundle").read_bytes()


@given(st.integers(0, 400), st.integers(0, 255))
def test_any_altered_byte_of_a_file_is_noticed(tmp_path_factory, place, value):
    folder = tmp_path_factory.mktemp("b")
    content = np.random.default_rng(0).bytes(401)
    pack(folder / "m", MANIFEST, {"infer.onnx": content})
    altered = bytearray(content)
    if altered[place] == value:
        return
    altered[place] = value
    (folder / "m" / "infer.onnx").write_bytes(altered)
    with pytest.raises(BundleError, match="altered"):
        Bundle.open(folder / "m")


def test_a_missing_file_is_named(tmp_path):
    pack(tmp_path / "m", MANIFEST, FILES)
    (tmp_path / "m" / "params.npz").unlink()
    with pytest.raises(BundleError, match=r"params.npz is missing"):
        Bundle.open(tmp_path / "m")
    with pytest.raises(InputError, match="no such file"):
        Bundle.open(tmp_path / "other")


def test_files_that_the_manifest_does_not_list_are_not_read(tmp_path):
    pack(tmp_path / "m", MANIFEST, FILES)
    (tmp_path / "m" / "extra").write_bytes(b"?")
    with pytest.raises(BundleError, match="has no extra"):
        Bundle.open(tmp_path / "m").read("extra")


def test_packing_again_replaces_and_leaves_nothing_beside(tmp_path):
    for name in ("m", "m.bundle"):
        pack(tmp_path / name, MANIFEST, FILES)
        pack(tmp_path / name, MANIFEST, {"infer.onnx": b"new"})
        assert Bundle.open(tmp_path / name).read("infer.onnx") == b"new"
        assert "params.npz" not in Bundle.open(tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "m.bundle"]


@pytest.mark.parametrize("missing", ["name", "inputs", "files", "recipe"])
def test_an_incomplete_manifest_is_refused(missing):
    table = MANIFEST.to_json()
    del table[missing]
    with pytest.raises(BundleError, match="not complete"):
        Manifest.from_json(table, "here")


def test_a_path_is_never_taken_from_a_bundle(tmp_path):
    """A zip entry that points outside is only a name: nothing is unpacked."""
    import zipfile

    with zipfile.ZipFile(tmp_path / "evil.bundle", "w") as archive:
        archive.writestr("../../evil", b"x")
    with pytest.raises(BundleError, match="not a bundle"):
        Bundle.open(tmp_path / "evil.bundle")
    assert not (Path(tmp_path).parent.parent / "evil").exists()
