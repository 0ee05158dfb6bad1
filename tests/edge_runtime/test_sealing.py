"""Encrypted bundles: only the right key opens them, nothing in them can be exchanged, and no key is ever shown."""

import stat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.storage import stored
from edge_runtime import Bundle, Session, sealing
from edge_runtime.__main__ import main
from edge_runtime.bundle import Manifest, pack
from edge_runtime.errors import BundleError, InputError
from tests.models import cnn, images

pytest.importorskip("cryptography")
KEY = bytes(range(32))
OTHER = bytes(32)


@pytest.fixture
def bundle(tmp_path):
    graph = cnn().SerializeToString()
    session = Session(graph)
    return pack(
        tmp_path / "plain.bundle",
        Manifest("net", "rpi4", session.inputs, session.outputs),
        stored(graph, coded=True) | {"notes.txt": b"secret"},
    )


@given(st.binary(max_size=200), st.binary(min_size=32, max_size=32))
def test_what_is_sealed_comes_back_and_looks_like_noise(content, key):
    sealed = sealing.seal(content, "m", "a", key)
    assert sealing.unseal(sealed, "m", "a", key) == content
    assert len(sealed) == len(content) + 28
    assert len(content) < 8 or content not in sealed
    assert sealing.seal(content, "m", "a", key) == sealed
    assert sealing.seal(content + b"x", "m", "a", key)[:12] != sealed[:12]  # never one nonce for two contents


@given(st.binary(min_size=1, max_size=50), st.integers(0, 10**6))
def test_a_changed_bit_is_found(content, where):
    sealed = bytearray(sealing.seal(content, "m", "a", KEY))
    sealed[where % len(sealed)] ^= 1 << where % 8
    with pytest.raises(BundleError, match="cannot be decrypted"):
        sealing.unseal(bytes(sealed), "m", "a", KEY)


@pytest.mark.parametrize(("bundle", "name", "key"), [("m", "b", KEY), ("n", "a", KEY), ("m", "a", OTHER)])
def test_another_place_or_key_does_not_open_it(bundle, name, key):
    with pytest.raises(BundleError, match="another key, or the file was altered"):
        sealing.unseal(sealing.seal(b"x", "m", "a", KEY), bundle, name, key)


def test_a_sealed_bundle_runs_with_its_key_and_only_with_it(bundle, tmp_path, monkeypatch):
    x = {"images": images(2)}
    wanted = Session(bundle).run(x)["logits"]
    bundle.sealed(tmp_path / "sealed.bundle", KEY)
    raw = (tmp_path / "sealed.bundle").read_bytes()
    assert b"secret" not in raw
    assert b"Conv" not in raw
    opened = Bundle.open(tmp_path / "sealed.bundle", KEY)
    assert "infer.onnx" in opened
    np.testing.assert_array_equal(Session(opened).run(x)["logits"], wanted)
    with pytest.raises(InputError, match="set LITTORAL_KEY_FILE"):
        Session(tmp_path / "sealed.bundle")
    with pytest.raises(BundleError, match="another key"):
        Session(Bundle.open(tmp_path / "sealed.bundle", OTHER))
    sealing.write_key(tmp_path / "k", KEY)
    monkeypatch.setenv(sealing.KEY_VARIABLE, str(tmp_path / "k"))
    np.testing.assert_array_equal(Session(tmp_path / "sealed.bundle").run(x)["logits"], wanted)
    again = opened.sealed(tmp_path / "again.bundle", OTHER)  # from one device's key to another's
    assert sorted(again.manifest.files) == sorted(opened.manifest.files)
    np.testing.assert_array_equal(Session(again).run(x)["logits"], wanted)


def test_keys_are_private_whole_and_never_overwritten_or_shown(tmp_path):
    key = sealing.write_key(tmp_path / "k")
    assert sealing.read_key(tmp_path / "k") == key
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600
    with pytest.raises(InputError, match="exists already"):
        sealing.write_key(tmp_path / "k")
    (tmp_path / "short").write_text(key.hex()[:-2])
    with pytest.raises(InputError, match="holds no key") as caught:
        sealing.read_key(tmp_path / "short")
    assert key.hex()[:10] not in str(caught.value)
    assert sealing.device_key(key, "a") != sealing.device_key(key, "b") != key


def test_the_command_seals_for_a_device(bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["seal", "plain.bundle", "-o", "s.bundle", "--key", "fleet.key", "--device", "kitchen"]
    assert main(command) == 0
    np.savez("d.npz", x=images(1))
    assert main(["run", "s.bundle", "--input", "d.npz"]) == 2
    assert "is encrypted" in capsys.readouterr().err
    monkeypatch.setenv(sealing.KEY_VARIABLE, "kitchen.key")
    assert main(["run", "s.bundle", "--input", "d.npz"]) == 0
    monkeypatch.setenv(sealing.KEY_VARIABLE, "fleet.key")
    assert main(["run", "s.bundle", "--input", "d.npz"]) == 2


def test_what_an_encrypted_bundle_learnt_is_not_written_in_the_clear(bundle, tmp_path):
    from edge_runtime.training.export import absorb

    with pytest.raises(BundleError, match="would be written in the clear"):
        absorb(bundle.sealed(tmp_path / "s.bundle", KEY), {})
