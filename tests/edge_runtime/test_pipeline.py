"""The whole way: pictures, sounds and arrays through small models, in Python and by `littoral run`."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_runtime import Bundle, Session, emulator
from edge_runtime.__main__ import main
from edge_runtime.bundle import Manifest, pack
from edge_runtime.declared import Audio, Classify, Detect, Events, Preprocess, Segment
from edge_runtime.errors import BackendError, InputError
from edge_runtime.processing import Classification, Detection, Pipeline, Segmentation, Sound, Values
from tests.edge_runtime.test_processing import sound
from tests.models import HEADER, LINEAR, build

COLOURS = ("red", "green", "blue")
CLASSES = """
net (float[n, 3, 8, 8] images) => (float[n, 3] logits) <float many = {9}>
{ g = GlobalAveragePool(images)  f = Flatten(g)  logits = Mul(f, many) }"""
LAST = """
net (float[1, 8, 8, 3] images) => (float[1, 3] y) <int64[2] axes = {1, 2}>
{ y = ReduceMean<keepdims = 0>(images, axes) }"""
BYTES = """
net (uint8[2, 3, 8, 8] images) => (float[2, 3] y)
{ x = Cast<to = 1>(images)  g = GlobalAveragePool(x)  y = Flatten(g) }"""
PIXELS = "net (float[n, 3, 8, 8] images) => (float[n, 3, 8, 8] y) { y = Identity(images) }"
# Two boxes of the whole picture, as a YOLO would give them; the brighter it is, the better they score.
BOXES = """
net (float[1, 3, 8, 8] images) => (float[1, 6, 2] rows)
<float[1, 6, 2] fixed = {4, 4, 4, 4, 8, 8, 8, 8, 0, 0, 0, 0},
 float[1, 6, 2] where = {0, 0, 0, 0, 0, 0, 0, 0, 1, 0.9, 0, 0},
 int64[3] axes = {1, 2, 3}>
{ m = ReduceMean<keepdims = 0>(images, axes)  part = Mul(where, m)  rows = Add(fixed, part) }"""
# What came so far, and a mean of this window times a gain that is always the same.
STATEFUL = """
net (float[1, w] x, float[1, 1] state, float gain) => (float[1, 1] y, float[1, 1] next) <int64[1] axes = {1}>
{ m = ReduceMean<keepdims = 1>(x, axes)  now = Mul(m, gain)  next = Add(now, state)  y = Identity(next) }"""
SPECTRUM = """
net (float[1, 1, 6, t] mels) => (float[1, 6] y) <int64[2] axes = {1, 3}>
{ y = ReduceMean<keepdims = 0>(mels, axes) }"""


def session(text):
    return Session(build(HEADER + text).SerializeToString(), threads=1)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with a bundle that tells colours, pictures and a sound."""
    monkeypatch.chdir(tmp_path)
    content = build(HEADER + CLASSES).SerializeToString()
    opened = Session(content)
    manifest = Manifest(
        "colours",
        "rpi4",
        opened.inputs,
        opened.outputs,
        Preprocess(8, 8),
        COLOURS,
        postprocess=Classify(top=2),
    )
    pack("m.bundle", manifest, {"infer.onnx": content})
    Path("photos").mkdir()
    for name, colour in (("a", (255, 0, 0)), ("b", (0, 0, 255))):
        Image.new("RGB", (20, 30), colour).save(f"photos/{name}.png")
    Path("s.wav").write_bytes(sound(np.zeros(100)))
    return tmp_path


PRE = Preprocess(8, 8)


def test_a_picture_is_answered_in_words(desk):
    (found,) = Pipeline(Session("m.bundle"))("photos/a.png")
    assert isinstance(found, Classification)
    assert found.labels[0].label == "red"
    assert len(found.labels) == 2
    assert found.source == "a.png"
    both = Pipeline(Session(Bundle.open("m.bundle")))(["photos/a.png", Path("photos/b.png").read_bytes()])
    assert [each.labels[0].label for each in both] == ["red", "blue"]


def test_what_is_given_goes_before_the_manifest(desk):
    (found,) = Pipeline(Session("m.bundle"), postprocess=Classify(top=1), labels=("rot", "grün", "blau"))(
        "photos/b.png"
    )
    assert found.words() == "blau 1.00"


@pytest.mark.parametrize("text", [CLASSES, LAST, BYTES])
def test_the_layout_and_the_type_are_the_model_s(desk, text):
    pre = PRE if text != BYTES else Preprocess(8, 8, (0.0,), (1.0,))
    post = Classify(activation="none")
    (found,) = Pipeline(session(text), preprocess=pre, postprocess=post, labels=COLOURS)("photos/b.png")
    assert found.labels[0].label == "blue"
    assert found.labels[0].score == {CLASSES: 9, LAST: 1, BYTES: 255}[text]


def test_arrays_are_samples(desk):
    x = np.random.default_rng(0).random((3, 3, 8, 8), np.float32)
    np.save("x.npy", x)
    found = Pipeline(Session("m.bundle"))("x.npy")
    assert [each.source for each in found] == ["x.npy[0]", "x.npy[1]", "x.npy[2]"]
    assert [each.labels[0].label for each in found] == [
        COLOURS[k] for k in x.mean(axis=(2, 3)).argmax(axis=1)
    ]


def test_without_a_word_about_the_outputs_they_are_values(desk):
    (found,) = Pipeline(session(PIXELS), preprocess=PRE)("photos/a.png")
    assert isinstance(found, Values)
    assert found.words() == "y: float32[1, 3, 8, 8], 0 to 1"


def test_boxes_and_regions_of_a_picture(desk):
    pre = Preprocess(8, 8, fit="letterbox", pad=255.0)
    (found,) = Pipeline(session(BOXES), preprocess=pre, postprocess=Detect(0.2), labels=COLOURS[:2])(
        "photos/a.png"
    )
    assert isinstance(found, Detection)
    assert [(box.left, box.top, box.right, box.bottom) for box in found.boxes] == [(0, 0, 20, 30)]
    half = Image.new("RGB", (30, 20), (0, 255, 0))
    half.paste((0, 0, 255), (15, 0, 30, 20))
    half.save("half.png")
    (found,) = Pipeline(session(PIXELS), preprocess=pre, postprocess=Segment(), labels=COLOURS)("half.png")
    assert isinstance(found, Segmentation)
    assert found.mask.shape == (20, 30)
    assert (found.mask[:, 5] == 1).all()
    assert (found.mask[:, 25] == 2).all()


def test_state_is_carried_from_window_to_window(tmp_path):
    declared = Audio(rate=10, window=5, context=5, state={"state": "next"}, fixed={"gain": 2.0})
    pipeline = Pipeline(
        session(STATEFUL), preprocess=declared, postprocess=Events(0.9, 0.0, "none"), labels=("full",)
    )
    (tmp_path / "s.wav").write_bytes(sound(np.full(20, 0.3), 10, 4))
    (found,) = pipeline(tmp_path / "s.wav")
    assert isinstance(found, Sound)
    # A window is half silence at first, so the sum after each is 0.3, 0.9, 1.5, 2.1.
    assert [(e.start, e.end) for e in found.events] == [(0.5, 2.0)]
    assert abs(found.events[0].score - 2.1) < 1e-5
    (again,) = pipeline(tmp_path / "s.wav")
    assert again == found, "it begins from zeros each time"


def test_a_spectrum_has_the_model_s_axes():
    rate = 8000
    tone = 0.5 * np.sin(2 * np.pi * 2100 * np.arange(4000) / rate)
    declared = Audio(rate=rate, mels=6, fft=512, frame=400, step=160)
    pipeline = Pipeline(session(SPECTRUM), preprocess=declared, postprocess=Classify(top=1))
    (found,) = pipeline(sound(tone, rate))
    assert found.labels[0].label == "class 4"  # the band around 2.1 kHz


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (STATEFUL, {"preprocess": Audio()}, "one input takes the picture or sound"),
        (STATEFUL, {"preprocess": Audio(state={"stat": "next"})}, "one input takes"),
        (CLASSES, {"preprocess": Audio(fixed={"sr": 1.0})}, "has no input 'sr'; it has images"),
        (
            CLASSES,
            {"preprocess": PRE, "postprocess": Classify(output="z")},
            "has no output 'z'; it has logits",
        ),
        (CLASSES, {"preprocess": PRE, "postprocess": Detect(boxes="z")}, "has no output 'z'"),
        (CLASSES, {"preprocess": PRE, "postprocess": Events()}, "'events' is no answer to a picture"),
        (CLASSES, {"preprocess": Audio(), "postprocess": Detect()}, "'detect' is no answer to a sound"),
    ],
)
def test_a_declaration_that_does_not_fit_the_model(text, options, words):
    with pytest.raises(InputError, match=words):
        Pipeline(session(text), **options)


def test_sounds_and_pictures_are_not_mixed_up(desk):
    with pytest.raises(InputError, match=r"s\.wav: to answer a sound, m\.bundle needs pictures"):
        Pipeline(Session("m.bundle"))("s.wav")
    with pytest.raises(InputError, match=r"needs a preprocess, .* such as resize=256"):
        Pipeline(session(CLASSES))("photos/a.png")
    with pytest.raises(InputError, match=r"expected float32\[n, 3, 8, 8\], got float32\[1, 3, 9, 9\]"):
        Pipeline(session(CLASSES), preprocess=Preprocess(9, 9))("photos/a.png")


def test_without_pillow_the_sentence_says_what_to_install(desk, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(BackendError, match=r"pip install 'littoral\[images\]'"):
        Pipeline(Session("m.bundle"))("photos/a.png")


# By `littoral run`


def test_run_answers_with_words(desk, capsys):
    assert main(["run", "m.bundle", "photos/a.png"]) == 0
    assert capsys.readouterr().out == "a.png: red 1.00, green 0.00\n"
    assert main(["run", "m.bundle", "photos", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["results"]
    assert [each["source"] for each in found] == ["a.png", "b.png"]
    assert found[1]["labels"][0]["label"] == "blue"


def test_run_takes_labels_and_declarations(desk, capsys):
    Path("l.txt").write_text("rot\ngrün\nblau\n", "utf-8")
    argv = ["run", "m.bundle", "photos/b.png", "--labels", "l.txt", "--postprocess", "kind=classify,top=1"]
    assert main(argv) == 0
    assert capsys.readouterr().out == "b.png: blau 1.00\n"
    assert main(["run", "m.bundle", "photos/b.png", "--preprocess", "fit=stretch,crop=8,channels=bgr"]) == 0
    assert capsys.readouterr().out.startswith("b.png: red")


def test_run_draws_boxes_and_writes_outputs(desk, capsys):
    from converter.model import save

    save(build(HEADER + BOXES), "boxes.onnx")
    argv = ["run", "boxes.onnx", "photos/a.png", "--preprocess", "fit=letterbox,crop=8,pad=255"]
    argv += ["--postprocess", "kind=detect,threshold=0.2", "--draw", "out.png", "--output", "o.npz"]
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert [*out.splitlines()[0].split()] == ["picture", "object", "score", "left", "top", "right", "bottom"]
    assert "a.png" in out.splitlines()[2]
    drawn = np.asarray(Image.open("out.png").convert("RGB"))
    assert drawn.shape == (30, 20, 3)
    assert tuple(drawn[29, 19]) == (228, 87, 46)
    assert np.load("o.npz")["rows"].shape == (1, 6, 2)
    assert main(["run", "m.bundle", "photos", "--draw", "drawn"]) == 0
    assert sorted(path.name for path in Path("drawn").iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "expected what to run on"),
        (["photos/a.png", "--input", "x.npz"], "expected what to run on"),
        (["no.png"], "no such file; expected a picture"),
        (["."], None),
        (["s.wav", "--draw", "x.png"], "there is no picture to draw in"),
        (["photos/a.png", "--draw", "x.what"], "x.what: cannot be written"),
        (["photos/a.png", "--labels", "no.txt"], "no such file; expected a text file"),
        (["photos/a.png", "--postprocess", "kind=classify,top=many"], "top is 'many'"),
        (["photos/a.png", "--postprocess", "kind=detect"], "expected at least 5 numbers a candidate"),
        (["m.bundle"], "not a picture of a format that is known"),
    ],
)
def test_run_refuses_with_one_sentence(desk, capsys, more, words):
    if words is None:
        Path("empty").mkdir()
        more, words = ["empty"], "holds nothing to run on"
    before = sorted(desk.rglob("*"))
    assert main(["run", "m.bundle", *more]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err.splitlines()[-1]
    assert sorted(desk.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.skipif(
    not emulator.available() and "CI" not in os.environ, reason=f"not here: {emulator.missing()}"
)
def test_an_emulated_device_gives_the_same_words(desk, capfd):
    assert main(["run", "m.bundle", "photos", "--json"]) == 0
    here = json.loads(capfd.readouterr().out)
    assert main(["emulate", "rpi4", "--", "run", "m.bundle", "photos", "--json"]) == 0
    there = json.loads(capfd.readouterr().out)
    for mine, other in zip(here["results"], there["results"], strict=True):
        for a, b in zip(mine["labels"], other["labels"], strict=True):
            assert a["label"] == b["label"]
            assert abs(a["score"] - b["score"]) < 1e-6


def test_plain_arrays_are_answered_too(desk, capsys):
    Path("linear.onnx").write_bytes(build(LINEAR).SerializeToString())
    np.save("x.npy", np.eye(4, dtype=np.float32))
    assert main(["run", "linear.onnx", "x.npy"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
