import hashlib
import hmac
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import InputError, TransferError
from federated.link import keys
from federated.link.keys import Key, OldPeerError

ONE, OTHER = Key("one", 0, b"1" * 32), Key("other", 1, b"2" * 32)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 1 << 20))
def test_what_is_sealed_opens_and_nothing_else(frame, at):
    sealed = ONE.seal("t", frame)
    assert ONE.open("t", sealed) == frame
    broken = bytearray(sealed)
    broken[at % len(sealed)] ^= 1
    for key, topic, content in (
        (ONE, "t", bytes(broken)),
        (OTHER, "t", sealed),
        (ONE, "u", sealed),
        (ONE, "t", frame),
    ):
        with pytest.raises(TransferError, match="not sealed with the key of"):
            key.open(topic, content)


def test_enrolment_gives_each_device_a_key_and_a_number(tmp_path):
    for name in ("b", "a", "c"):
        path = keys.enrol(name, tmp_path)
        assert path.stat().st_mode & 0o77 == 0
    found = keys.load_all(tmp_path)
    assert [(key.device, key.number) for key in found.values()] == [("b", 0), ("a", 1), ("c", 2)]
    assert len({key.secret for key in found.values()}) == 3
    assert keys.load(tmp_path / "a.key") == found["a"]
    with pytest.raises(InputError, match="is enrolled"):
        keys.enrol("a", tmp_path)
    own = keys.coordinator(tmp_path)
    assert keys.coordinator(tmp_path) == own
    assert "coordinator" not in keys.load_all(tmp_path)


@pytest.mark.parametrize(
    "name", ["", "a/b", "#", "+", "a b", "-a", "coordinator", "x" * 65, "é", "..", "a\n"]
)
def test_names_that_would_be_trouble(name, tmp_path):
    with pytest.raises(InputError, match="expected a name"):
        keys.enrol(name, tmp_path)


def test_damaged_keys(tmp_path):
    path = tmp_path / "a.key"
    good = {"device": "a", "number": 0, "key": "00" * 32}
    for bad in ("", "[]", "{}", json.dumps(good | {"key": "00"}), json.dumps(good | {"key": "zz" * 32})):
        path.write_text(bad)
        with pytest.raises(InputError, match=r"a\.key: not a device's key"):
            keys.load(path)
    path.write_text(json.dumps(good | {"device": "a/b"}))
    with pytest.raises(InputError, match="expected a name"):
        keys.load(path)
    path.write_text(json.dumps(good))
    (tmp_path / "b.key").write_text(json.dumps(good | {"device": "b"}))
    with pytest.raises(InputError, match="same number"):
        keys.load_all(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        keys.load(tmp_path / "none.key")
    with pytest.raises(InputError, match="no keys"):
        keys.load_all(tmp_path / "none")


def test_no_secret_is_shown():
    from federated.link.mqtt import Address

    address = Address.parse("mqtt://h", user="one", password=ONE.password)
    for text in (repr(ONE), repr(address), str(address)):
        assert "1" * 8 not in text
        assert ONE.password not in text
        assert ONE.secret.hex() not in text


def test_an_older_end_of_the_link_is_named():
    """Version 1 sent all 256 bits of the tag, over topic and frame alone."""
    sealed = b"frame" + hmac.new(ONE.secret, b"t\0frame", hashlib.sha256).digest()
    with pytest.raises(
        OldPeerError, match="'one' speaks version 1 of the device link, and this end speaks version 2"
    ):
        ONE.open("t", sealed)
    for topic, content in (("u", sealed), ("t", b"x" + sealed)):
        with pytest.raises(TransferError, match="not sealed with the key of"):
            ONE.open(topic, content)
