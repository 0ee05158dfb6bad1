"""What a manifest declares: read from text and JSON, written back, and refused with one sentence."""

import json
import zipfile
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime import declared
from edge_runtime.bundle import Bundle, Manifest, Preprocess, pack
from edge_runtime.declared import Audio, Classify, Detect, Events, MultiLabel, Segment
from edge_runtime.errors import BundleError, InputError
from edge_runtime.tensors import TensorSpec

MANIFEST = Manifest(
    "m", "rpi4", (TensorSpec("x", "float32", ("n", 3)),), (TensorSpec("y", "float32", ("n", 2)),)
)
EXAMPLES = [
    Preprocess(256, 224, (127.0,), (128.0,)),
    Preprocess(320, 320, fit="letterbox", width=640, pad=0.0, channels="bgr"),
    Audio(window=512, context=64, state={"state": "stateN"}, fixed={"sr": 16000.0}),
    Audio(mels=40, high=7600.0),
    Classify(),
    Classify(top=1, activation="sigmoid"),
    MultiLabel(0.3),
    Detect(0.4, box="xyxy", strides=(8, 16), per_cell=(2, 6), coding="offset", boxes="b", scores="s"),
    Segment(0.3, "mask"),
    Events(gap=0.0),
]


@pytest.mark.parametrize("each", EXAMPLES, ids=lambda each: each.kind)
def test_json_gives_back_what_was_written(each):
    name = "preprocess" if isinstance(each, Preprocess | Audio) else "postprocess"
    read = declared.from_manifest({name: json.loads(json.dumps(each.to_json()))}, "m")
    assert read == ((each, None) if name == "preprocess" else (None, each))


@given(
    st.builds(
        Detect,
        st.floats(0, 1),
        st.floats(0, 1),
        st.integers(1, 500),
        st.sampled_from(["xywh", "xyxy", "yxyx"]),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    )
)
def test_any_detection_survives_json(detect):
    assert declared.from_manifest({"postprocess": detect.to_json()}, "m")[1] == detect


def test_the_command_line_s_form():
    assert declared.parse_postprocess("kind=detect,threshold=0.3, iou=0.5,relative=yes") == Detect(
        0.3, 0.5, relative=True
    )
    assert declared.parse_postprocess(
        "kind=detect,coding=offset,strides=8/16,per_cell=2/6,box=xywh"
    ) == Detect(coding="offset", strides=(8, 16), per_cell=(2, 6))
    assert declared.parse_input("fit=letterbox,crop=320") == Preprocess(320, 320, fit="letterbox")
    assert declared.parse_input("kind=audio,window=512,state=a:b/c:d,fixed=sr:8000") == Audio(
        window=512, state={"a": "b", "c": "d"}, fixed={"sr": 8000.0}
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("threshold=0.3", "kind is missing; there are classify, multilabel, detect"),
        ("kind=detekt", r"kind is 'detekt' \(did you mean 'detect'\?\)"),
        ("kind=detect,treshold=1", r"detect has no 'treshold' \(did you mean 'threshold'\?\)"),
        ("kind=detect,threshold=2", "threshold is 2; expected between 0 and 1"),
        ("kind=detect,threshold=high", "threshold is 'high', which is not of its type"),
        ("kind=detect,box=xy", "box is 'xy'.*expected one of xywh, xyxy, yxyx"),
        ("kind=detect,coding=exp", "strides are given with coding offset or exp"),
        ("kind=detect,coding=exp,strides=8/16,per_cell=1/2/3", "one for each stride"),
        ("kind=classify,top=0", "top is at least 1"),
        ("kind=classify,top", "'top' is not KEY=VALUE"),
        ("kind=classify,activation=softsign", "activation is 'softsign'"),
        ("", "'' is not KEY=VALUE"),
    ],
)
def test_a_wrong_text_gets_one_sentence(text, words):
    with pytest.raises(InputError, match=words):
        declared.parse_postprocess(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind=audio", None),
        ("kind=audio,mels=8,low=9000", "half the rate"),
        ("kind=audio,frame=600", "frame is between 1 and fft"),
        ("resize=256,crop=224,mean=1/2", "mean has 2 values for 3 channels"),
        ("resize=256,crop=224,std=0", "std may not be 0"),
        ("resize=256,crop=224,fit=whole", "fit is 'whole'"),
    ],
)
def test_a_wrong_input_gets_one_sentence(text, words):
    if words is None:
        assert declared.parse_input(text) == Audio()
        with pytest.raises(InputError, match="pictures are needed here"):
            declared.parse_preprocess(text)
        return
    with pytest.raises(InputError, match=words):
        declared.parse_input(text)


def test_a_bundle_carries_it(tmp_path):
    detect = Detect(0.3, 0.5)
    pack(tmp_path / "m.bundle", replace(MANIFEST, postprocess=detect, preprocess=Audio(window=512)), {})
    manifest = Bundle.open(tmp_path / "m.bundle").manifest
    assert manifest.postprocess == detect
    assert manifest.preprocess == Audio(window=512)


def test_a_bundle_without_it_is_the_old_one(tmp_path):
    manifest = replace(MANIFEST, preprocess=Preprocess(256, 224))
    table = manifest.to_json()
    assert "postprocess" not in table
    assert table["preprocess"] == {"resize": 256, "crop": 224, "mean": [0.0], "std": [255.0]}
    assert Manifest.from_json(table, "m") == manifest
    assert Manifest.from_json(table | {"postprocess": None}, "m") == manifest


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("postprocess", {"kind": "detect", "threshold": 3}, "postprocess: threshold is 3"),
        ("postprocess", {"kind": "guess"}, "postprocess: kind is 'guess'; there are"),
        ("postprocess", [1], "postprocess: expected a table, got list"),
        ("postprocess", {"kind": "classify", "top": True}, "top is True"),
        ("preprocess", {"resize": 8}, "preprocess: image needs crop"),
        ("preprocess", {"resize": 8, "crop": "a"}, "crop is 'a'"),
        ("preprocess", {"kind": "audio", "state": ["a"]}, "state is"),
    ],
)
def test_a_wrong_manifest_is_refused_when_it_is_opened(tmp_path, name, value, words):
    with zipfile.ZipFile(tmp_path / "m.bundle", "w") as archive:
        archive.writestr("manifest.json", json.dumps(MANIFEST.to_json() | {name: value}))
    with pytest.raises(BundleError, match=f"m.bundle: manifest.json: .*{words}"):
        Bundle.open(tmp_path / "m.bundle")


def test_labels_in_a_file(tmp_path):
    (tmp_path / "l.txt").write_text("cat\n\n a dog \n")
    assert declared.labels_in(tmp_path / "l.txt") == ("cat", "a dog")
    (tmp_path / "l.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        declared.labels_in(tmp_path / "l.txt")
