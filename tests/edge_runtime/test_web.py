"""The folder that a phone opens: what is in it, and, in Chromium, that it answers as the native engine does."""

import json
import shutil

import numpy as np
import pytest

from compress import quantize
from converter.model import to_bytes
from converter.optimize import optimize
from edge_runtime import Bundle, Preprocess, Session
from edge_runtime.bundle import Manifest, pack
from edge_runtime.engines import open_engine
from edge_runtime.errors import EmulatorError
from edge_runtime.web.browser import Browser
from edge_runtime.web.engine import FILES
from edge_runtime.web.export import export_web
from edge_runtime.web.phone import run_on_phone, served
from tests.models import cnn, images

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("npm")), reason="needs Chromium and npm"
    ),
]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    graph = cnn().SerializeToString()
    session = Session(graph)
    labels = ("cat", "dog", "<b>bird</b>", "fish")
    manifest = Manifest("net", "android-arm64", session.inputs, session.outputs, Preprocess(8, 8), labels)
    pack(tmp_path_factory.mktemp("web") / "net.bundle", manifest, {"infer.onnx": graph})
    return Bundle.open(tmp_path_factory.getbasetemp() / "web0" / "net.bundle")


def test_the_phone_answers_as_the_native_engine_without_a_network(bundle, tmp_path):
    x = images(3)
    found = run_on_phone(bundle, {"images": x}, rounds=2, screenshot=tmp_path / "phone.png")
    wanted = Session(bundle).run({"images": x})["logits"]
    np.testing.assert_allclose(found.outputs["logits"], wanted, atol=1e-4, rtol=1e-4)
    assert len(found.times_ms) == 2
    assert (tmp_path / "phone.png").read_bytes()[:4] == b"\x89PNG"


def test_a_phone_s_integers_are_those_of_an_arm_device(tmp_path):
    graph = to_bytes(quantize(optimize(cnn()), images(32, 7), activation="int8"))
    engine = open_engine(
        "onnxruntime", graph, where="net", threads=1, config={"session.qdqisint8allowed": "1"}
    )
    manifest = Manifest("net", "android-arm64", engine.inputs, engine.outputs)
    bundle = pack(tmp_path / "net.bundle", manifest, {"infer.onnx": graph})
    found = run_on_phone(bundle, {"images": images(3)})
    np.testing.assert_array_equal(found.outputs["logits"], engine.run({"images": images(3)})["logits"])


def test_the_folder_is_whole_and_named_after_its_content(bundle, tmp_path):
    site = export_web(bundle, tmp_path / "site")
    names = {path.name for path in site.iterdir()}
    assert names == {*FILES, "index.html", "littoral.js", "worker.js", "infer.onnx", "manifest.json"}
    worker = (site / "worker.js").read_text()
    listed = json.loads(worker.partition("const files = ")[2].partition(";")[0])
    assert {entry.removeprefix("./") for entry in listed} == (names - {"worker.js"}) | {""}
    assert "CACHE_NAME" not in worker
    assert export_web(bundle, tmp_path / "again").joinpath("worker.js").read_text() == worker


def test_a_picture_is_answered_with_words_and_labels_are_text(bundle, tmp_path):
    site = export_web(bundle, tmp_path / "site")
    with served(site) as url, Browser() as browser:
        browser.open(url)
        draw = """(async () => {
            const canvas = new OffscreenCanvas(32, 24);
            canvas.getContext("2d").fillStyle = "rgb(200, 30, 90)";
            canvas.getContext("2d").fillRect(0, 0, 32, 24);
            await window.littoral.classify(await canvas.convertToBlob());
            return [...document.querySelectorAll("#answers li")].map((row) => row.textContent);
        })()"""
        rows = browser.evaluate(draw)
        assert browser.evaluate("document.querySelectorAll('#answers b').length") == 0
    assert len(rows) == 4
    assert {row.split(" – ")[0] for row in rows} == {"cat", "dog", "<b>bird</b>", "fish"}
    colour = (np.array([200, 30, 90], np.float32) / 255).reshape(1, 3, 1, 1)
    scores = Session(bundle).run({"images": np.broadcast_to(colour, (1, 3, 8, 8)).astype(np.float32)})[
        "logits"
    ][0]
    share = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    assert rows[0] == f"{bundle.manifest.labels[share.argmax()]} – {100 * share.max():.1f} %"


def test_what_fails_in_the_page_is_a_sentence():
    with Browser() as browser, pytest.raises(EmulatorError, match="in the page: Error: no"):
        browser.evaluate("Promise.reject(new Error('no'))")
