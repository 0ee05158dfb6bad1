import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import FleetError, InputError
from edge_runtime.wrapping import unwrap, wrap

KEY = bytes(range(32))


def pair(curve=None):
    key = ec.generate_private_key(curve or ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, public(key)


def public(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


MINE, OTHER = pair(), pair()


def test_only_the_device_itself_opens_it():
    wrapped = wrap(KEY, MINE[1])
    assert unwrap(wrapped, MINE[0]) == KEY
    with pytest.raises(FleetError, match="another device"):
        unwrap(wrapped, OTHER[0])


def test_no_two_wraps_are_the_same():
    assert wrap(KEY, MINE[1]) != wrap(KEY, MINE[1])


@given(st.integers(0, 112), st.integers(1, 255))
def test_damage_is_noticed(place, change):
    content = bytearray(base64.b64decode(wrap(KEY, MINE[1])))
    content[place] ^= change
    with pytest.raises(FleetError):
        unwrap(base64.b64encode(content).decode(), MINE[0])


@given(st.text(max_size=300))
def test_rubbish_is_refused(text):
    with pytest.raises(FleetError):
        unwrap(text, MINE[0])


@pytest.mark.parametrize(
    "key", [pair(ec.SECP384R1())[1], public(ed25519.Ed25519PrivateKey.generate()), b"no key"]
)
def test_another_kind_of_key_is_refused(key):
    with pytest.raises(InputError, match=r"P-256|PEM"):
        wrap(KEY, key)
