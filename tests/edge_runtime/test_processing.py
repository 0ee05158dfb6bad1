"""From pictures and sounds to inputs, and from outputs to answers: each step against its definition."""

import io
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edge_runtime.declared import Audio, Classify, Detect, Events, MultiLabel, Preprocess, Segment
from edge_runtime.errors import InputError
from edge_runtime.processing import answers, audio, images
from edge_runtime.processing.detection import detect, suppress
from edge_runtime.processing.images import Frame
from edge_runtime.processing.scores import activate


def sound(values, rate=16_000, width=2, channels=1):
    """A PCM .wav file."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        if width == 1:
            content = (np.asarray(values) * 128 + 128).astype(np.uint8).tobytes()
        else:
            whole = (np.asarray(values) * (2 ** (8 * width - 1) - 1)).astype("<i4")
            content = whole.view(np.uint8).reshape(-1, 4)[:, :width].tobytes()
        file.writeframes(content)
    return stream.getvalue()


# Pictures


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from(["crop", "letterbox", "stretch"]))
def test_the_frame_says_where_the_picture_lies(width, height, fit):
    picture = Image.new("RGB", (width, height), (9, 9, 9))
    placed, frame = images.place(picture, Preprocess(48, 32, fit=fit, width=40, pad=200.0))
    assert placed.shape == (32, 40, 3)
    corners = np.array([[0.0, 0, 40, 32]])
    left, top, right, bottom = frame.back(corners)[0]
    if fit == "stretch":
        np.testing.assert_allclose([left, top, right, bottom], [0, 0, width, height])
    if fit == "letterbox":  # all of the picture is seen, and the rest is filled
        np.testing.assert_allclose([left, top, right, bottom], [0, 0, width, height])
        seen = (placed == 9).all(axis=2)
        assert (placed[~seen] == 200).all()
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        inside = np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], np.float64)
        np.testing.assert_allclose(frame.back(inside)[0], [0, 0, width, height], atol=1e-6)
    if fit == "crop":
        assert (placed == 9).all()


def test_letterbox_keeps_proportions():
    picture = Image.new("RGB", (100, 50), (0, 0, 0))
    picture.paste((255, 255, 255), (40, 10, 60, 30))  # a square
    placed, frame = images.place(picture, Preprocess(64, 64, fit="letterbox", pad=0.0))
    rows, columns = (
        np.flatnonzero((placed > 128).any(axis=(1, 2))),
        np.flatnonzero((placed > 128).any(axis=(0, 2))),
    )
    assert abs(len(rows) - len(columns)) <= 1
    box = np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], np.float64)
    np.testing.assert_allclose(frame.back(box)[0], [40, 10, 60, 30], atol=1.0)


def test_channels_and_upright(tmp_path):
    picture = Image.new("RGB", (8, 4), (10, 20, 30))
    pre = Preprocess(4, 4, (0.0,), (1.0,))
    assert images.normalise(images.place(picture, pre)[0], pre)[:, 0, 0].tolist() == [10, 20, 30]
    bgr = Preprocess(4, 4, (0.0,), (1.0,), channels="bgr")
    assert images.normalise(images.place(picture, bgr)[0], bgr)[:, 0, 0].tolist() == [30, 20, 10]
    grey = Preprocess(4, 4, (0.0,), (1.0,), channels="grey")
    made = images.normalise(images.place(picture, grey)[0], grey)
    assert made.shape == (1, 4, 4)
    assert abs(made[0, 0, 0] - 18.15) < 0.01
    exif = picture.getexif()
    exif[0x0112] = 6  # the camera was turned
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert images.decode(tmp_path / "turned.jpg").size == (4, 8)


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x89PNG\r\n\x1a\n" + bytes(40), b"GIF89a"])
def test_what_is_no_picture_is_refused(content):
    with pytest.raises(InputError, match="photo: not a picture"):
        images.decode(content, "photo")


def test_a_picture_that_is_too_large_is_not_decoded(monkeypatch):
    stream = io.BytesIO()
    Image.new("1", (3000, 3000)).save(stream, "PNG")
    monkeypatch.setattr(images, "MOST_PIXELS", 1_000_000)
    with pytest.raises(InputError, match="has 3000 x 3000 pixels"):
        images.decode(stream.getvalue())


# Sounds


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_wav_of_any_width(width):
    wanted = np.linspace(-0.9, 0.9, 101)
    found, rate = audio.read_wav(sound(wanted, 8000, width))
    assert rate == 8000
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1 / 100 if width == 1 else 1e-4)


def test_channels_are_averaged():
    pairs = np.column_stack([np.full(10, 0.5), np.full(10, -0.1)]).ravel()
    np.testing.assert_allclose(audio.read_wav(sound(pairs, channels=2))[0], 0.2, atol=1e-4)


@pytest.mark.parametrize("content", [b"", b"RIFF", sound([])[:44], b"RIFF\x00\x00\x00\x00WAVEfmt "])
def test_what_is_no_sound_is_refused(content):
    with pytest.raises(InputError, match=r"a\.wav: "):
        audio.read_wav(content, "a.wav")


@pytest.mark.parametrize(("rate", "wanted"), [(48_000, 16_000), (44_100, 16_000), (8_000, 16_000), (7, 7)])
def test_resampling_keeps_a_tone(rate, wanted):
    tone = np.sin(2 * np.pi * 0.05 * np.arange(2000)).astype(np.float32)
    found = audio.resample(tone, rate, wanted)
    assert len(found) == round(2000 * wanted / rate)
    exact = np.sin(2 * np.pi * 0.05 * rate / wanted * np.arange(len(found)))
    middle = slice(len(found) // 10, -len(found) // 10)
    np.testing.assert_allclose(found[middle], exact[middle], atol=0.02)


def test_resampling_removes_what_the_lower_rate_cannot_hold():
    tone = np.sin(2 * np.pi * 0.4 * np.arange(3000)).astype(np.float32)
    assert np.abs(audio.resample(tone, 48_000, 16_000)[100:-100]).max() < 0.01


@given(st.integers(1, 400), st.integers(1, 90), st.integers(0, 20), st.integers(1, 120))
def test_windows_cover_every_sample(count, window, context, hop):
    samples = np.arange(1, count + 1, dtype=np.float32)
    declared = Audio(rate=10, window=window, hop=hop, context=context)
    parts = list(audio.windows(samples, declared))
    seen = set()
    for k, (start, end, part) in enumerate(parts):
        assert len(part) == context + window
        assert start == k * hop / 10
        assert start < end
        own = part[context:]
        np.testing.assert_array_equal(own[: count - k * hop], samples[k * hop : k * hop + window])
        before = part[:context]
        np.testing.assert_array_equal(
            before, np.pad(samples, (context, 0))[k * hop : k * hop + context][:context]
        )
        seen |= set(own.astype(int)) - {0}
    if hop <= window:
        assert seen == set(range(1, count + 1))
        assert len(parts) == 1 or (len(parts) - 2) * hop + window < count


def test_log_mel_is_its_definition():
    declared = Audio(rate=8000, mels=6, frame=50, step=20, fft=64, low=100.0, high=3000.0, floor=1e-5)
    samples = np.random.default_rng(0).standard_normal(170).astype(np.float32)
    found = audio.log_mel(samples, declared)
    assert found.shape == ((170 - 50) // 20 + 1, 6)
    mels = np.linspace(*(2595 * np.log10(1 + f / 700) for f in (100.0, 3000.0)), 8)
    edges = 700 * (10 ** (mels / 2595) - 1)
    n = np.arange(50)
    part = samples[20:70] * (0.5 - 0.5 * np.cos(2 * np.pi * n / 50))
    energy = np.zeros(6)
    for k in range(33):
        f = k * 8000 / 64
        power = np.abs(np.sum(part * np.exp(-2j * np.pi * k * n / 64))) ** 2
        for m in range(6):
            rising = (f - edges[m]) / (edges[m + 1] - edges[m])
            falling = (edges[m + 2] - f) / (edges[m + 2] - edges[m + 1])
            energy[m] += power * max(0.0, min(rising, falling))
    np.testing.assert_allclose(found[1], np.log(np.maximum(energy, 1e-5)), rtol=1e-4)


def test_the_spectrum_is_torch_s():
    torch = pytest.importorskip("torch")
    declared = Audio(mels=40)
    samples = np.random.default_rng(0).standard_normal(1600).astype(np.float32)
    short = torch.stft(
        torch.from_numpy(np.pad(samples, (0, 112))),
        *(512, 160, 400),
        window=torch.hann_window(400),
        center=False,
        return_complex=True,
    )
    # torch puts the window of 400 into the middle of 512 samples, which shifts the phase alone
    mine = audio.log_mel(np.pad(samples, (0, 112))[56:], declared)[: short.shape[1]]
    bank = audio.filters(16_000, 512, 40, 20.0, 8000.0)
    theirs = np.log(np.maximum((short.abs().numpy() ** 2).T @ bank, 1e-6))[: len(mine)]
    np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-3)


# Detection

BOX = st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(1, 40), st.integers(1, 40))


def overlap(a, b):
    wide = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    area = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    return wide * high / (sum(area) - wide * high)


@given(st.lists(st.tuples(BOX, st.integers(0, 2)), max_size=25), st.floats(0, 1))
def test_suppression_keeps_the_best_of_each_place(found, iou):
    boxes = np.array([[x, y, x + w, y + h] for (x, y, w, h), _ in found], np.float64).reshape(-1, 4)
    classes = np.array([k for _, k in found], np.int64)
    kept = suppress(boxes, classes, iou).tolist()
    wanted: list[int] = []
    for k in range(len(boxes)):  # the definition
        if all(classes[k] != classes[j] or overlap(boxes[k], boxes[j]) <= iou for j in wanted):
            wanted.append(k)
    assert kept == wanted


BOXES = np.array([[20.0, 30, 10, 8], [20, 30, 10, 9], [50, 60, 20, 20], [5, 5, 2, 2]])  # centre and size
SCORES = np.array([[0.9, 0.1], [0.8, 0.1], [0.2, 0.7], [0.1, 0.2]])
CORNERS = [[15, 26, 25, 34], [40, 50, 60, 70]]


def rows(form):
    corners = np.hstack([BOXES[:, :2] - BOXES[:, 2:] / 2, BOXES[:, :2] + BOXES[:, 2:] / 2])
    size = np.array([100.0, 80, 100, 80])
    if form == "rows":
        return {"out": np.hstack([BOXES, SCORES])[None]}, Detect()
    if form == "columns":
        many = np.vstack([np.hstack([BOXES, SCORES]), np.zeros((20, 6))])
        return {"out": many.T[None]}, Detect()
    if form == "objectness":
        return {"out": np.hstack([BOXES, np.full((4, 1), 0.5), SCORES * 2])[None]}, Detect(
            objectness=True, activation="none"
        )
    if form == "logits":
        return {"out": np.hstack([BOXES, np.log(SCORES / (1 - SCORES))])[None]}, Detect()
    if form == "ssd":
        background = np.column_stack([1 - SCORES.sum(axis=1) / 3, SCORES])
        shares = (corners / size)[:, [1, 0, 3, 2]]
        return {"scores": background[None], "boxes": shares[None]}, Detect(
            box="yxyx", relative=True, background=True
        )
    if form == "named":
        return {
            "a": SCORES[None],
            "b": np.hstack([corners, np.zeros((4, 12))])[None],
            "c": np.zeros(1),
        }, Detect(box="xyxy", boxes="b", scores="a")
    kinds, best = SCORES.argmax(axis=1), SCORES.max(axis=1)
    if form == "indexed":
        return {"out": np.column_stack([corners, best, kinds])[None]}, Detect(box="xyxy", indexed=True)
    if form == "chosen":  # as TFLite's own post-processing gives them
        shares = (corners / size)[:, [1, 0, 3, 2]]
        outputs = {
            "b": shares[None],
            "c": kinds[None].astype(np.float32),
            "s": best[None],
            "n": np.array([4.0]),
        }
        return outputs, Detect(box="yxyx", relative=True, boxes="b", scores="s", classes="c")
    raise ValueError(form)


@pytest.mark.parametrize(
    "form", ["rows", "columns", "objectness", "logits", "ssd", "named", "indexed", "chosen"]
)
def test_every_form_gives_the_same_boxes(form):
    outputs, declared = rows(form)
    boxes, scores, classes = detect(outputs, declared, (80, 100), 2)
    np.testing.assert_allclose(boxes, CORNERS, atol=1e-9)
    np.testing.assert_allclose(scores, [0.9, 0.7], atol=1e-9)
    assert classes.tolist() == [0, 1]


def test_boxes_relative_to_cells():
    # Two grids over 32 x 16 pixels: 4 x 2 cells of 8 pixels with two candidates each, 2 x 1 of 16 with one.
    raw, scores = np.zeros((18, 4)), np.full((18, 1), -9.0)
    raw[2 * 6 + 1] = [1, -2, 6, 4]  # cell of row 1, column 2: its centre is at 20, 12
    raw[17] = [0, 0, 10, 12]  # the second of the larger ones: 24, 8
    scores[[13, 17]] = 5
    declared = Detect(coding="offset", strides=(8, 16), per_cell=(2, 1), boxes="r", scores="s")
    boxes, found, _ = detect({"r": raw[None], "s": scores[None]}, declared, (16, 32))
    np.testing.assert_allclose(boxes, [[18, 8, 24, 12], [19, 2, 29, 14]])
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-5)))
    with pytest.raises(InputError, match=r"declared make 18 candidates; the model gives 17"):
        detect({"r": raw[None, :17], "s": scores[None, :17]}, declared, (16, 32))


def test_boxes_of_yolox():
    raw = np.zeros((10, 6))
    raw[6] = [0.5, 0.25, np.log(2), np.log(1), 0.9, 0.9]  # row 1, column 2 of 4 x 2 cells of 8 pixels
    declared = Detect(coding="exp", strides=(8, 16), objectness=True)
    boxes, scores, _ = detect({"out": raw[None]}, declared, (16, 32), 1)
    np.testing.assert_allclose(boxes, [[20 - 8, 10 - 4, 20 + 8, 10 + 4]])
    np.testing.assert_allclose(scores, [0.81])


@pytest.mark.parametrize(
    ("outputs", "declared", "words"),
    [
        ({"y": np.zeros((1, 4, 3))}, Detect(), "expected at least 5 numbers a candidate"),
        ({"y": np.zeros((2, 8, 6))}, Detect(), "expected that of one picture"),
        ({"y": np.zeros((1, 8, 6))}, Detect(boxes="z"), "no output 'z'"),
        ({}, Detect(), "expected rows of boxes"),
        ({}, Detect(indexed=True), "the model gives none"),
        ({"y": np.zeros((1, 8, 5))}, Detect(background=True), "no class is left"),
        ({"y": np.zeros((1, 5, 7))}, Detect(indexed=True), "expected a box, a score and a class"),
        (
            {"b": np.zeros((1, 5, 4)), "s": np.zeros((1, 5)), "c": np.zeros((1, 4))},
            Detect(boxes="b", scores="s", classes="c"),
            "expected a box, a score and a class",
        ),
        ({"a": np.zeros((1, 8, 4)), "b": np.zeros((1, 7, 2))}, Detect(), "expected rows of boxes"),
    ],
)
def test_outputs_of_another_form(outputs, declared, words):
    with pytest.raises(InputError, match=words):
        detect(outputs, declared, (10, 10))


LENGTHS = st.sampled_from([0, 1, 4, 5, 6, 7])
SHAPES = st.one_of(st.lists(LENGTHS, max_size=4), st.tuples(st.just(1), LENGTHS, LENGTHS))


@settings(max_examples=1000)
@given(
    st.lists(SHAPES, max_size=3),
    st.sampled_from([{}, {"objectness": True}, {"indexed": True}, {"background": True}, {"relative": True}]),
    st.sampled_from(
        [{}, {"boxes": "0", "scores": "1"}, {"boxes": "0", "scores": "1", "classes": "2"}, {"scores": "0"}]
    ),
    st.sampled_from([{}, {"coding": "offset", "strides": (8,)}, {"coding": "exp", "strides": (4, 8)}]),
    st.integers(0, 3),
    st.integers(0, 2**32 - 1),
)
def test_any_outputs_give_boxes_or_one_sentence(shapes, form, names, coding, classes, seed):
    rng = np.random.default_rng(seed)
    outputs = {str(k): rng.normal(size=shape).astype(np.float32) for k, shape in enumerate(shapes)}
    try:
        boxes, scores, kinds = detect(outputs, Detect(**form, **names, **coding), (16, 16), classes)
    except InputError:
        return
    assert boxes.shape == (len(scores), 4) == (len(kinds), 4)
    assert (np.diff(scores) <= 0).all()


# Answers

FRAME = Frame(40, 20)


@pytest.mark.parametrize("values", [np.log([[0.1, 0.7, 0.2]]), np.array([[0.1, 0.7, 0.2]])])
def test_classes_of_logits_and_of_shares(values):
    found = answers.of_picture("p", {"y": values}, Classify(top=2), ("cat", "dog"), FRAME, (8, 8))
    assert found.words() == "dog 0.70, class 2 0.20"
    assert found.to_json()["labels"][0]["label"] == "dog"


def test_several_labels_above_a_threshold():
    values = np.array([[2.0, -3, 1]])
    found = answers.of_picture("p", {"y": values}, MultiLabel(0.6), ("a", "b", "c"), FRAME, (8, 8))
    assert found.words() == "a 0.88, c 0.73"
    assert answers.of_scores("p", values, MultiLabel(0.99), ()).words() == "nothing"


def test_boxes_are_in_pixels_of_the_picture():
    outputs, declared = rows("rows")
    frame = Frame(200, 100, (0.5, 0.5), (0.0, 10.0))
    found = answers.of_picture("p", outputs, declared, ("cat", "dog"), frame, (80, 100))
    assert found.words() == "cat 0.90 at 30, 32 to 50, 48, dog 0.70 at 80, 80 to 120, 100"


@pytest.mark.parametrize("form", ["scores", "last", "chosen"])
def test_regions_are_those_of_the_picture(form):
    mask = np.zeros((4, 4), np.int64)
    mask[:, 2:] = 2  # the right half
    scores = np.eye(3)[mask].transpose(2, 0, 1)[None]
    output = {"scores": scores, "last": scores.transpose(0, 2, 3, 1), "chosen": mask[None]}[form]
    frame = Frame(80, 20, (0.1, 0.1), (0.0, 3.0))  # a letterbox of 8 x 8: rows 3 and 4
    found = answers.of_picture("p", {"y": output}, Segment(), ("sky", "sea", "road"), frame, (8, 8))
    assert found.mask.shape == (20, 80)
    assert set(found.mask[:, :40].ravel()) == {0}
    assert set(found.mask[:, 40:].ravel()) == {2}
    assert found.words() == "sky 50 %, road 50 %"


def test_a_region_of_one_class_and_what_was_not_seen():
    values = np.full((1, 1, 2, 2), -4.0)
    values[0, 0, 0, 0] = 4
    frame = Frame(8, 4, (1.0, 1.0), (-2.0, 0.0))  # a crop of the middle
    found = answers.of_picture("p", {"y": values}, Segment(0.4), ("text",), frame, (4, 4))
    assert found.mask[0].tolist() == [-1, -1, 1, 1, 0, 0, -1, -1]
    assert found.words() == "background 75 %, text 25 %"


def test_windows_become_events():
    scores = [0.1, 0.9, 0.8, 0.2, 0.7]
    spans = [(k / 10, (k + 1) / 10) for k in range(5)]
    values = [np.array([[s]]) for s in scores]
    apart = answers.of_windows("s", values, spans, Events(gap=0.05), ("speech",))
    assert apart.words() == "speech 0.1 to 0.3 s (0.90), speech 0.4 to 0.5 s (0.70)"
    joined = answers.of_windows("s", values, spans, Events(gap=0.11), ("speech",))
    assert joined.words() == "speech 0.1 to 0.5 s (0.90)"
    assert joined.seconds == 0.5


@pytest.mark.parametrize("values", [np.array([[0, 64, 192]], np.uint8), np.array([[-128, -64, 64]], np.int8)])
def test_bytes_are_steps(values):
    assert activate(values, "auto", "softmax").tolist() == [[0, 0.25, 0.75]]


@settings(max_examples=300)
@given(
    SHAPES,
    st.sampled_from([Classify(), MultiLabel(), Segment(), Events()]),
    st.sampled_from(["float32", "int64", "uint8"]),
    st.integers(0, 9),
)
def test_any_output_gives_an_answer_or_one_sentence(shape, declared, dtype, classes):
    values = np.random.default_rng(0).normal(0, 5, shape).astype(dtype)
    try:
        found = answers.of_picture("p", {"y": values}, declared, ["a"] * classes, FRAME, (8, 8))
    except InputError:
        return
    assert isinstance(found.words(), str)
    assert found.to_json()["source"] == "p"


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=9), st.sampled_from(["softmax", "sigmoid"]))
def test_scores_are_shares(values, kind):
    found = activate(np.array([values]), "auto", kind)
    assert (found >= -1e-6).all()
    assert (found <= 1 + 1e-3).all()
    if kind == "softmax":
        assert abs(found.sum() - 1) < 2e-2
    np.testing.assert_allclose(activate(found, "auto", kind), found)  # what is done is not done again
