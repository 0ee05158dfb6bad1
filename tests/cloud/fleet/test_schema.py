"""docs/asyncapi.json is current, and says of every message what its `read` takes and refuses."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.fleet.schema import document, text
from edge_runtime import messages
from edge_runtime.errors import FleetError

ROOT = Path(__file__).parents[3]
DOCUMENT = document()
SCHEMAS = DOCUMENT["components"]["schemas"]
NAMES = ("Desired", "Release", "Shadow", "Command", "Reported", "Result", "Stats", "Beat")


def test_the_document_is_current():
    assert (ROOT / "docs/asyncapi.json").read_text("utf-8") == text(), (
        "python -m cloud.fleet.schema > docs/asyncapi.json"
    )


def test_every_reference_leads_somewhere():
    for target in re.findall(r'"\$ref": "#/([^"]+)"', text()):
        found = DOCUMENT
        for part in target.split("/"):
            found = found[part]
        assert found


def fits(schema, value):
    """Whether the value is what the schema says; the part of JSON Schema that the document uses."""
    if "$ref" in schema:
        return fits(SCHEMAS[schema["$ref"].rpartition("/")[2]], value)
    kinds = {
        "object": lambda v: isinstance(v, dict), "array": lambda v: isinstance(v, list),
        "string": lambda v: isinstance(v, str), "boolean": lambda v: isinstance(v, bool),
        "integer": lambda v: type(v) is int, "number": lambda v: type(v) in (int, float),
    }  # fmt: skip
    if not kinds[schema["type"]](value):
        return False
    if schema["type"] == "object":
        known = {
            key: each for key, each in schema.get("properties", {}).items() if value.get(key) is not None
        }
        return set(schema.get("required", ())) <= set(known) and all(
            fits(known[key], value[key]) for key in known
        )
    if schema["type"] == "array":
        counted = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 1 << 30)
        return counted and all(fits(schema["items"], each) for each in value)
    if schema["type"] == "string":
        return (
            len(value) <= schema.get("maxLength", 1 << 30)
            and re.fullmatch(schema.get("pattern", ".*"), value, re.DOTALL) is not None
            and value in schema.get("enum", [value])
        )
    return schema.get("minimum", value) <= value <= schema.get("maximum", value)


GOOD = {
    "Release": {"name": "kws", "version": 3, "path": "kws/3/rpi4.bundle", "sha256": "ab" * 32, "bytes": 10},
    "Shadow": {"samples": 10},
    "Command": {"id": "c1", "op": "probe", "expires": 10},
    "Reported": {"v": 1, "state": "running", "model": "ab" * 32},
    "Result": {"id": "c1", "status": "done"},
    "Stats": {"model": "ab" * 32, "begin": 1, "end": 2, "n": 3},
    "Beat": {"time": 10},
}
GOOD["Desired"] = {"v": 1, "model": GOOD["Release"], "shadow": {"samples": 3}, "window": ["02:00", "04:00"]}
ODD = st.one_of(
    st.integers(-5, 5), st.integers(-10, 1 << 54), st.sampled_from(["", "a", "b", "x y", "done", "running", "ab" * 32]),
    st.text(max_size=5), st.just("x" * 70), st.just("x" * 2000), st.booleans(), st.floats(-1e3, 1e3), st.just([]),
    st.just({}), st.just(["23:59", "00:00"]), st.just(["24:00", "00:00"]), st.just(["a"] * 65),
    st.just(1_000_001), st.just(604_801), st.just(1001),
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_what_is_good_is_taken(name):
    assert fits(SCHEMAS[name], GOOD[name])
    message = getattr(messages, name)
    assert message.read(GOOD[name])


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_the_schema_and_read_agree(name, data):
    properties = SCHEMAS[name]["properties"]
    changed = dict(GOOD[name])
    for field in data.draw(st.lists(st.sampled_from(sorted(properties)), min_size=1, max_size=2)):
        if data.draw(st.booleans()):
            changed[field] = data.draw(ODD)
        else:
            changed.pop(field, None)
    try:
        getattr(messages, name).read(changed)
    except FleetError:
        taken = False
    else:
        taken = True
    assert taken == fits(SCHEMAS[name], changed), json.dumps(changed)[:300]
