"""A rollout's specification: defaults that do no harm, and one sentence for every mistake."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.rollouts import Phase, Spec
from edge_runtime.errors import InputError

LEAST = {"name": "kws-3", "release": "kws", "version": 3}


def test_what_is_left_out_has_a_careful_default():
    found = Spec.read(LEAST)
    assert [str(phase) for phase in found.phases] == ["1 %", "10 %", "50 %", "100 %"]
    assert found.shadow.samples > 0
    assert found.automatic
    assert found.gates.min_success >= 0.9


def test_toml_and_json_are_read(tmp_path):
    toml = tmp_path / "r.toml"
    toml.write_text(
        """
name = "kws-3"
release = "kws"
version = 3
phases = [5, "10 %", { share = "100 %", soak_s = 7 }]
window = ["02:00", "04:00"]
[gates]
min_success = 0.99
max_failed = 3
[shadow]
samples = 200
"""
    )
    found = Spec.load(toml)
    assert [(str(each), each.soak_s) for each in found.phases] == [
        ("5 devices", 600),
        ("10 %", 600),
        ("100 %", 7),
    ]
    assert (found.gates.max_failed, found.shadow.samples, found.shadow.min_agree_ppm) == (3, 200, 800_000)
    again = tmp_path / "r.json"
    again.write_text(json.dumps(found.to_json()))
    assert Spec.load(again) == found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"phasen": []}, r"no 'phasen' \(did you mean 'phases'\?\)"),
        ({"phases": []}, "phases is empty"),
        ({"phases": "1 %"}, "expected a list"),
        ({"phases": ["110 %"]}, "expected a share"),
        ({"phases": [0]}, "expected a share"),
        ({"phases": ["50 %", "10 %"]}, "wider than the one before"),
        ({"phases": [{"share": "5 %", "soak": 3}]}, "did you mean 'soak_s'"),
        ({"version": 0}, "version is 0"),
        ({"version": True}, "version is True"),
        ({"name": "a/b"}, "expected letters"),
        ({"gates": {"min_sucess": 1}}, "did you mean 'min_success'"),
        ({"gates": {"min_success": 95}}, "expected a share from 0 to 1"),
        ({"gates": {"max_slower": 0}}, "expected a ratio"),
        ({"gates": {"max_drop": float("nan")}}, "expected a share"),
        ({"gates": 3}, "expected an object"),
        ({"shadow": {"samples": -1}}, "samples"),
        ({"window": ["2:00", "04:00"]}, "times of day"),
        ({"window": "02:00-04:00"}, "times of day"),
        ({"quorum": 0}, "quorum is 0"),
        ({"jitter_s": 1.5}, "jitter_s is 1.5"),
        ({"automatic": "yes"}, "expected true or false"),
        ({"probes": 0}, "probes is 0"),
        ({"selector": 3}, "selector is 3"),
    ],
)
def test_a_mistake_is_named(change, said):
    with pytest.raises(InputError, match=said):
        Spec.read(LEAST | change)


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        Spec.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(InputError, match=r"bad\.toml"):
        Spec.load(tmp_path / "bad.toml")
    (tmp_path / "bad.json").write_text("[1]")
    with pytest.raises(InputError, match="expected an object"):
        Spec.load(tmp_path / "bad.json")
    with pytest.raises(InputError, match="needs release and version"):
        Spec.read({"name": "x"})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*Spec.__slots__, "soak_s"]), VALUES, max_size=5))
def test_whatever_is_given_is_read_or_refused_in_one_sentence(given_value):
    try:
        found = Spec.read(LEAST | given_value)
    except InputError as error:
        assert str(error)
    else:
        assert Spec.read(found.to_json()) == found


@given(st.integers(1, 999_999))
def test_a_share_reads_back(ppm):
    assert Phase.read(f"{ppm / 10_000:.4f} %").share_ppm == ppm
