"""Messages come back as they were, and whatever else comes is refused in one sentence."""

import json
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import FleetError
from edge_runtime.messages import STATES, Beat, Command, Desired, Release, Reported, Result, Shadow, Stats
from edge_runtime.messages.fields import MAX_BYTES
from edge_runtime.messages.telemetry import batch, unbatch
from edge_runtime.messages.topics import device_of, down, kind_of, matches, site_of, site_up, through, up

SHA = "ab" * 32
RELEASE = Release("kws", 3, "kws/3/rpi4.bundle", SHA, 2_926_000, "a2V5")
EXAMPLES = [
    Desired(1),
    Desired(
        42,
        RELEASE,
        "r7",
        2,
        ("02:00", "04:00"),
        600,
        512,
        Shadow(500, 60, 980_000),
        30,
        5,
        {"run": 9},
        ("mqtts://a",),
    ),
    Reported(0, "running"),
    Reported(42, "shadow", SHA, "cd" * 32, "b", "", 10, 20, "rpi4", "0.1", {"cores": 4}, {"n": 3}),
    Command("c1", "probe", 1_800_000_000, {"times": 3}),
    Result("c1", "done", "3 of 3"),
    Beat(1_800_000_000, 60, "charging", True, False, 1024, 51.5),
    Stats(SHA, 1, 2, 100, 1, 900, 1500, 2000, 10, 9, 125_000),
]
KINDS = sorted({type(example) for example in EXAMPLES}, key=lambda kind: kind.__name__)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_as_it_was(message):
    assert type(message).read(message.to_bytes()) == message


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(content=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=100, deadline=None)
def test_whatever_else_comes_is_refused_or_read(kind, content):
    try:
        kind.read(content)
    except FleetError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 400


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_field_of_another_type_is_refused_or_read(message, data):
    value = {key: item for key, item in asdict(message).items() if item is not None}
    value[data.draw(st.sampled_from(sorted(value)))] = data.draw(JSON)
    try:
        type(message).read(json.dumps(value).encode())
    except FleetError as error:
        assert "expected" in str(error) or "is no JSON" in str(error)


def test_what_is_wrong_is_said():
    with pytest.raises(FleetError, match=r"reported: 'state' is 'flying'; expected one of waiting, .*failed"):
        Reported.read(b'{"v":1,"state":"flying"}')
    with pytest.raises(FleetError, match="'v' is nothing; expected a whole number"):
        Desired.read(b"{}")
    with pytest.raises(FleetError, match="'v' is True"):
        Desired.read(b'{"v":true}')
    with pytest.raises(FleetError, match=r'times of day in UTC such as \["02:00", "04:00"\]'):
        Desired.read(b'{"v":1,"window":["2am","4am"]}')
    with pytest.raises(FleetError, match="at most 65536 are taken"):
        Desired.read(b" " * (MAX_BYTES + 1))
    with pytest.raises(FleetError, match="is no JSON"):
        Desired.read(b"[" * 60_000)
    assert Reported.read(b'{"v":1,"state":"%s"}' % STATES[0].encode()).state == STATES[0]


def test_topics_name_their_device_and_their_site():
    assert device_of(up("pi-1", "beat")) == "pi-1"
    assert device_of(down("pi-1", "desired")) == "pi-1"
    assert device_of(site_up("lab", "batch")) == ""
    assert site_of(through("lab", "pi-1", "desired")) == "lab"
    assert kind_of(through("lab", "pi-1", "desired")) == "desired"
    assert matches(up("+", "beat"), up("pi-1", "beat"))
    assert not matches(up("+", "beat"), up("pi-1", "stats"))


def test_a_batch_is_divided_into_what_was_joined():
    beat = EXAMPLES[6]
    joined = [
        ("pi-1", "beat", beat.to_bytes()),
        ("pi-2", "state", b"here"),
        ("pi-2", "stats", EXAMPLES[7].to_bytes()),
    ]
    found = unbatch(batch(joined))
    assert [(device, kind) for device, kind, _ in found] == [
        ("pi-1", "beat"),
        ("pi-2", "state"),
        ("pi-2", "stats"),
    ]
    assert Beat.read(found[0][2]) == beat
    assert found[1][2] == b"here"


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_a_damaged_batch_is_refused(content):
    with pytest.raises(FleetError):
        unbatch(content + b"\x00")


def test_a_batch_that_swells_is_refused():
    with pytest.raises(FleetError, match="more than 1000 bytes"):
        unbatch(batch([("pi-1", "beat", EXAMPLES[6].to_bytes())] * 1000), most=1000)


def test_a_batch_says_what_kind_it_does_not_know():
    with pytest.raises(FleetError, match="kind 'down'"):
        unbatch(batch([("pi-1", "down", b"{}")]))
