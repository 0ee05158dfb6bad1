"""Selectors: what they mean in SQL and of one device is the same."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.fleet import Device, Fleet, Selector
from edge_runtime.errors import InputError

DEVICES = [
    Device(
        f"pi-{i}",
        site=("", "home", "s.1")[i % 3],
        target=("rpi4", "rpi5")[i % 2],
        labels=({}, {"room": "hall"}, {"room": "Hall", "floor": "1"}, {"x.y": "a+b(c)"})[i % 4],
        online=i % 5 == 0,
    )
    for i in range(60)
]
KEYS = st.sampled_from(["name", "site", "target", "status", "online", "room", "floor", "x.y", "state"])
VALUES = st.sampled_from(
    [
        "pi-1",
        "pi-*",
        "*1",
        "*",
        "home",
        "s.1",
        "s*1",
        "rpi4",
        "rpi?",
        "hall",
        "Hall",
        "h*",
        "a+b(c)",
        "a+*",
        "[ab]",
        "%",
    ]
)
TERMS = st.builds(
    lambda key, value, sign: f"{key}{sign}{'true' if key == 'online' else value}",
    KEYS, VALUES, st.sampled_from(["=", "!="]),
)  # fmt: skip


@pytest.fixture
def fleet(database):
    found = Fleet(database)
    with database.begin() as connection:
        found.add(connection, DEVICES)
    return found


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TERMS, max_size=3))
def test_sql_and_one_device_agree(fleet, terms):
    selector = Selector.parse(",".join(terms))
    found = {each.name for each in fleet.devices(selector, limit=100)}
    assert found == {each.name for each in DEVICES if selector.matches(each)}


@given(st.lists(TERMS, min_size=1, max_size=4))
def test_text_comes_back(terms):
    selector = Selector.parse(",".join(terms))
    assert Selector.parse(str(selector)) == selector


@given(st.text(max_size=40))
def test_any_text_is_a_selector_or_one_sentence(text):
    try:
        selector = Selector.parse(text)
    except InputError as error:
        assert "expected" in str(error)
    else:
        assert isinstance(str(selector), str)


def test_everything():
    assert Selector.parse("") == Selector.parse("all") == Selector()


@pytest.mark.parametrize("text", ["target", "=x", "target=", "tar get=x", "online=maybe", "a=b,c"])
def test_what_is_none(text):
    with pytest.raises(InputError, match="expected"):
        Selector.parse(text)


def test_groups_in_a_circle_end():
    with pytest.raises(InputError, match="name each other"):
        Selector.parse("group=a").expand({"a": "group=b", "b": "group=a"})


def test_a_hint_for_a_slip(fleet):
    with pytest.raises(InputError, match="did you mean 'kitchens'"):
        Selector.parse("group=kitchen").expand({"kitchens": "room=kitchen"})
