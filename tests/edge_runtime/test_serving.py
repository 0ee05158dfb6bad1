"""The server on a real socket: protocol, batching, swapping under load, back-pressure, bodies that are nonsense."""

import asyncio
import contextlib
import io
import json
import shutil
import socket
import threading
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from converter.model import save
from edge_runtime import Session
from edge_runtime.bundle import Manifest, Preprocess, pack
from edge_runtime.declared import Audio, Classify, Events
from edge_runtime.errors import InputError
from edge_runtime.serving import protocol
from edge_runtime.serving.app import App
from edge_runtime.serving.batcher import Batcher, BusyError
from edge_runtime.serving.models import Limits, discover
from tests.edge_runtime.test_processing import sound
from tests.models import HEADER, LINEAR, build, cnn, images

uvicorn = pytest.importorskip("uvicorn")


@contextlib.contextmanager
def running(sources, limits=None, **options):
    """A server on a free port of the loopback; gives call(method, path, body, headers) -> status, headers, body."""
    config = uvicorn.Config(
        App(sources, limits or Limits(threads=1), **options), log_level="warning", lifespan="on"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        port = listener.getsockname()[1]

        def call(method, path, body=None, headers=()):
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}{path}", data=body, headers=dict(headers), method=method
            )
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
                    return answer.status, answer.headers, answer.read()
            except urllib.error.HTTPError as error:
                return error.code, error.headers, error.read()

        try:
            yield call
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save(cnn(), tmp_path_factory.mktemp("served") / "cnn.onnx")


@pytest.fixture(scope="module")
def server(model):
    with running([(model, "cnn", "")]) as call:
        yield call


def request_json(x, **more):
    tensor = {"name": "images", "shape": list(x.shape), "datatype": "FP32", "data": x.ravel().tolist()}
    return json.dumps({"inputs": [tensor], **more}).encode()


def request_binary(x):
    tensor = {"name": "images", "shape": list(x.shape), "datatype": "FP32"}
    tensor["parameters"] = {"binary_data_size": x.nbytes}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return head + x.tobytes(), {"Inference-Header-Content-Length": str(len(head))}


def test_health_and_metadata(server):
    assert json.loads(server("GET", "/v2")[2])["name"] == "littoral"
    assert json.loads(server("GET", "/v2/health/ready")[2]) == {"ready": True}
    assert json.loads(server("GET", "/v2/models/cnn/ready")[2])["ready"]
    found = json.loads(server("GET", "/v2/models/cnn")[2])
    assert found["inputs"] == [{"name": "images", "datatype": "FP32", "shape": [-1, 3, 8, 8]}]
    assert found["outputs"][0]["shape"] == [-1, 4]
    assert json.loads(server("GET", "/v2/repository/index")[2]) == [
        {"name": "cnn", "version": "1", "state": "READY"}
    ]


@pytest.mark.parametrize("path", ["/v2/models/cnn/infer", "/v2/models/cnn/versions/1/infer"])
def test_json_and_binary_answers_are_the_session_s(server, model, path):
    x = images(3)
    wanted = Session(model).run({"images": x})["logits"]
    status, _, body = server("POST", path, request_json(x, id="7"))
    answer = json.loads(body)
    assert (status, answer["id"], answer["model_name"]) == (200, "7", "cnn")
    np.testing.assert_allclose(np.reshape(answer["outputs"][0]["data"], (3, 4)), wanted, rtol=1e-6)
    body, headers = request_binary(x)
    status, headers, body = server("POST", path, body, headers)
    head = int(headers[protocol.HEADER_LENGTH])
    assert json.loads(body[:head])["outputs"][0]["parameters"] == {"binary_data_size": 48}
    np.testing.assert_array_equal(np.frombuffer(body[head:], "<f4").reshape(3, 4), wanted)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "sentence"),
    [
        ("GET", "/v2/models/dog", None, 404, "there is no model 'dog'; this server has cnn"),
        ("GET", "/v2/models/cnn/versions/9", None, 404, "has no version '9'"),
        ("GET", "/nothing", None, 404, "nothing is served"),
        ("GET", "/v2/models/cnn/infer", None, 405, "expected GET of a model, or POST"),
        ("POST", "/v2/models/cnn/infer", b"", 400, "not JSON"),
        ("POST", "/v2/models/cnn/infer", b"[1]", 400, "expected a JSON object"),
        ("POST", "/v2/models/cnn/infer", b"{}", 400, "needs 'inputs'"),
        ("POST", "/v2/models/cnn/infer", request_json(images(1)[:, :2]), 400, "expected float32[n, 3, 8, 8]"),
        ("POST", "/v2/models/cnn/infer", request_json(images(1), outputs=[{"name": "x"}]), 400, "has no 'x'"),
    ],
)
def test_a_bad_request_gets_one_sentence(server, method, path, body, status, sentence):
    got, headers, answer = server(method, path, body)
    assert (got, headers["content-type"]) == (status, "application/json")
    assert sentence in json.loads(answer)["error"]


def colours(folder):
    """A bundle that tells which colour a picture has."""
    text = (
        HEADER
        + """
net (float[n, 3, 8, 8] images) => (float[n, 3] y) <float many = {9}>
{ g = GlobalAveragePool(images)  f = Flatten(g)  y = Mul(f, many) }"""
    )
    content = build(text).SerializeToString()
    opened = Session(content)
    manifest = Manifest(
        "colours", "rpi4", opened.inputs, opened.outputs, Preprocess(8, 8), ("red", "green", "blue")
    )
    return pack(
        folder / "colours.bundle", replace(manifest, postprocess=Classify(top=1)), {"infer.onnx": content}
    )


def picture(colour):
    stream = io.BytesIO()
    Image.new("RGB", (30, 20), colour).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def seeing(tmp_path_factory):
    bundle = colours(tmp_path_factory.mktemp("seeing"))
    with running([(bundle.path, "", "")]) as call:
        yield call


def test_a_picture_is_answered_with_words(seeing):
    status, headers, body = seeing("POST", "/v2/models/colours/predict", picture((0, 0, 255)))
    answer = json.loads(body)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert answer["words"] == "blue 1.00"
    assert answer["labels"][0]["label"] == "blue"
    assert (answer["model_name"], answer["model_version"]) == ("colours", "1")
    parameters = json.loads(seeing("GET", "/v2/models/colours")[2])["parameters"]
    assert parameters["postprocess"] == {"kind": "classify", "top": 1}
    assert parameters["labels"] == ["red", "green", "blue"]
    text = seeing("GET", "/metrics")[2].decode()
    assert 'littoral_requests_total{model="colours",version="1",code="200"} 1' in text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "picture: not a picture"),
        (b"hello", "picture: not a picture of a format that is known"),
        (b"\xff\xd8\xff nonsense", "not a picture"),
        (b"RIFF....WAVEfmt ", "to answer a sound"),
    ],
)
def test_a_body_that_is_no_picture_gets_one_sentence(seeing, body, words):
    status, _, answer = seeing("POST", "/v2/models/colours/predict", body)
    assert status == 400
    assert words in json.loads(answer)["error"]
    assert len(answer) < 200


def test_without_a_declaration_the_sentence_says_so(server):
    status, _, answer = server("POST", "/v2/models/cnn/predict", picture((0, 0, 0)))
    assert (status, "needs a preprocess" in json.loads(answer)["error"]) == (400, True)


def test_a_sound_is_heard_to_the_end_while_its_model_is_swapped(tmp_path):
    """Its windows are one after the other, with a state: a new model begins from the beginning."""
    text = (
        HEADER
        + """
net (float[1, 10] x, float[1, 1] state) => (float[1, 1] y, float[1, 1] next) <int64[1] axes = {1}, float one = {1}>
{ m = ReduceMean<keepdims = 1>(x, axes)  next = Add(m, state)  y = Mul(next, one) }"""
    )
    content = build(text).SerializeToString()
    opened = Session(content)
    audio = Audio(rate=1000, window=10, state={"state": "next"})
    manifest = Manifest("ear", "rpi4", opened.inputs, opened.outputs, audio, ("loud",))
    pack(
        tmp_path / "ear.bundle",
        replace(manifest, postprocess=Events(5.0 / 8, 0, "none")),
        {"infer.onnx": content},
    )
    body = sound(np.full(1000, 1 / 64), 1000)  # a hundred windows; the fortieth reaches the threshold
    found = []
    with running([(tmp_path / "ear.bundle", "", "")]) as call:

        def listen():
            found.extend(call("POST", "/v2/models/ear/predict", body) for _ in range(8))

        thread = threading.Thread(target=listen)
        thread.start()
        for _ in range(10):
            assert call("POST", "/v2/repository/models/ear/load", b"")[0] == 200
            time.sleep(0.02)
        thread.join()
    assert [status for status, *_ in found] == [200] * 8
    assert {json.loads(answer)["words"] for *_, answer in found} == {"loud 0.4 to 1.0 s (1.56)"}


@settings(max_examples=60)
@given(
    st.binary(max_size=60),
    st.sampled_from([b"", b"RIFF\0\0\0\0WAVE", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a"]),
)
def test_no_body_of_a_picture_stops_the_server(seeing, content, head):
    status, _, answer = seeing("POST", "/v2/models/colours/predict", head + content)
    assert status == 400
    assert json.loads(answer)["error"]


def test_metrics_count(server):
    before = server("GET", "/metrics")[2].decode()
    server("POST", "/v2/models/cnn/infer", request_json(images(2)))
    after = server("GET", "/metrics")[2].decode()

    def count(text):
        name = 'littoral_requests_total{model="cnn",version="1",code="200"} '
        return int(text.partition(name)[2].split("\n")[0] or 0)

    assert count(after) == count(before) + 1
    assert 'littoral_batch_rows_bucket{model="cnn",version="1",le="2.0"}' in after


def test_a_body_that_is_too_large_is_refused(model):
    with running([(model, "cnn", "")], max_body=1000) as call:
        assert call("POST", "/v2/models/cnn/infer", request_json(images(9)))[0] == 413
        assert call("GET", "/v2/health/live")[0] == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
TENSOR = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["images", "x", ""]) | JSON,
        "shape": st.lists(st.integers(-2, 9), max_size=5) | JSON,
        "datatype": st.sampled_from([*protocol.DATATYPES, "BYTES"]) | JSON,
        "data": st.lists(st.floats() | st.integers(), max_size=9) | JSON,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-4, 99)}) | JSON,
    },
)
BODY = st.one_of(
    st.binary(max_size=60),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {"inputs": st.lists(TENSOR, max_size=3) | JSON}, optional={"outputs": JSON, "parameters": JSON}
    ).map(lambda value: json.dumps(value).encode()),
)


@settings(max_examples=400)
@given(BODY, st.none() | st.integers(-1, 80).map(str) | st.text(max_size=5))
def test_a_malformed_body_is_an_input_error_and_nothing_else(body, length):
    try:
        request = protocol.parse(body, length)
    except InputError as error:
        assert len(str(error)) < 600
        return
    assert all(isinstance(array, np.ndarray) for array in request.inputs.values())


@settings(max_examples=60)
@given(
    st.sampled_from([k for k in protocol.DATATYPES if k != "BOOL"]),
    st.lists(st.integers(0, 3), max_size=4),
    st.booleans(),
)
def test_tensors_come_back_as_they_went(kind, shape, binary):
    dtype = np.dtype(protocol.DATATYPES[kind])
    x = (np.arange(np.prod(shape)) % 100).astype(dtype).reshape(shape)
    request = protocol.Request("", {}, None, binary)
    body, head = protocol.answer(request, "m", "1", {"y": x})
    table = json.loads(body[:head])
    again = protocol.parse(
        json.dumps({"inputs": table["outputs"]}).encode() + body[len(body) if head is None else head :],
        None if head is None else str(len(json.dumps({"inputs": table["outputs"]}))),
    )
    np.testing.assert_array_equal(again.inputs["y"], x)
    assert again.inputs["y"].dtype == dtype


def test_requests_that_wait_are_run_together():
    session = Session(cnn().SerializeToString(), threads=1)
    seen = []

    async def scenario():
        batcher = Batcher(session, max_batch=8, on_batch=seen.append)
        x = images(20)
        answers = await asyncio.gather(*(batcher.run({"images": x[k : k + 1]}) for k in range(20)))
        await batcher.close()
        return np.concatenate([answer["logits"] for answer in answers]), x

    got, x = asyncio.run(scenario())
    np.testing.assert_allclose(got, session.run({"images": x})["logits"], rtol=1e-5, atol=1e-6)
    assert seen == [1, 8, 8, 3]


def test_requests_of_other_shapes_are_not_stacked_and_failures_stay_with_theirs():
    session = Session(build(LINEAR).SerializeToString(), threads=1)

    async def scenario():
        batcher = Batcher(session, max_batch=8)
        good = [batcher.run({"x": np.ones((k, 4), np.float32)}) for k in (1, 2, 3)]
        bad = batcher.run({"x": np.ones((1, 5), np.float32)})
        return await asyncio.gather(*good, bad, return_exceptions=True)

    *good, bad = asyncio.run(scenario())
    assert [len(answer["y"]) for answer in good] == [1, 2, 3]
    assert isinstance(bad, InputError)


def test_a_full_queue_refuses():
    session = Session(cnn().SerializeToString(), threads=1)

    async def scenario():
        batcher = Batcher(session, max_batch=1, max_queue=3)
        x = {"images": images(1)}
        return await asyncio.gather(*(batcher.run(x) for _ in range(10)), return_exceptions=True)

    answers = asyncio.run(scenario())
    refused = [answer for answer in answers if isinstance(answer, BusyError)]
    assert len(refused) == 6  # one runs, three wait
    assert "try again later" in str(refused[0])


def test_a_client_that_leaves_does_not_hold_up_the_others():
    session = Session(cnn().SerializeToString(), threads=1)

    async def scenario():
        batcher = Batcher(session, max_batch=4)
        tasks = [asyncio.ensure_future(batcher.run({"images": images(1)})) for _ in range(6)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = asyncio.run(scenario())
    assert sum(isinstance(answer, asyncio.CancelledError) for answer in answers) == 1
    assert sum(isinstance(answer, dict) for answer in answers) == 5


def test_a_model_that_changes_on_disk_is_swapped_and_a_broken_one_is_not(tmp_path, capsys):
    path = tmp_path / "m.onnx"
    save(cnn(0), path)
    x = images(1)
    with running([(path, "m", "")], watch=0.05) as call:
        first = json.loads(call("POST", "/v2/models/m/infer", request_json(x))[2])["outputs"][0]["data"]
        path.with_suffix(".part").write_bytes(b"nonsense")
        path.with_suffix(".part").replace(path)
        time.sleep(0.3)
        again = json.loads(call("POST", "/v2/models/m/infer", request_json(x))[2])["outputs"][0]["data"]
        assert again == first
        save(cnn(1), path)
        wanted = Session(cnn(1).SerializeToString()).run({"images": x})["logits"][0]
        for _ in range(100):
            got = json.loads(call("POST", "/v2/models/m/infer", request_json(x))[2])["outputs"][0]["data"]
            if got != first:
                break
            time.sleep(0.05)
        np.testing.assert_allclose(got, wanted, rtol=1e-5)
    assert "m stays as it is" in capsys.readouterr().err


def test_no_request_is_lost_while_models_are_swapped(tmp_path):
    paths = [save(cnn(seed), tmp_path / f"{seed}.onnx") for seed in (0, 1)]
    served = shutil.copy(paths[0], tmp_path / "m.onnx")
    x = images(1)
    wanted = [Session(path).run({"images": x})["logits"][0] for path in paths]
    body, headers = request_binary(x)
    with running([(Path(served), "m", "")], watch=0) as call:
        results, stop = [], threading.Event()

        def client():
            while not stop.is_set():
                status, got, answer = call("POST", "/v2/models/m/infer", body, headers)
                values = (
                    np.frombuffer(answer[int(got[protocol.HEADER_LENGTH]) :], "<f4")
                    if status == 200
                    else None
                )
                results.append((status, values))

        clients = [threading.Thread(target=client) for _ in range(4)]
        for each in clients:
            each.start()
        for k in range(20):
            shutil.copy(paths[(k + 1) % 2], tmp_path / "part")
            (tmp_path / "part").replace(served)
            assert call("POST", "/v2/repository/models/m/load")[0] == 200
        stop.set()
        for each in clients:
            each.join()
    assert {status for status, _ in results} == {200}
    kinds = {min(range(2), key=lambda k: np.abs(values - wanted[k]).max()) for _, values in results}
    assert kinds == {0, 1}
    assert all(min(np.abs(values - each).max() for each in wanted) < 1e-5 for _, values in results)


def test_unloaded_models_are_gone(model):
    with running([(model, "a", ""), (model, "b", "")]) as call:
        assert call("POST", "/v2/repository/models/a/unload")[0] == 200
        assert call("GET", "/v2/models/a")[0] == 404
        assert call("GET", "/v2/models/b")[0] == 200


def test_a_repository_is_found_and_the_newest_version_answers(tmp_path, model):
    (tmp_path / "net").mkdir()
    for version in (2, 10):
        shutil.copy(model, tmp_path / "net" / f"{version}.onnx")
    shutil.copy(model, tmp_path / "other.onnx")
    found = discover(tmp_path)
    assert [(name, version) for _, name, version in found] == [("other", "1"), ("net", "10"), ("net", "2")]
    with running(found) as call:
        answer = json.loads(call("POST", "/v2/models/net/infer", request_json(images(1)))[2])
        assert answer["model_version"] == "10"
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="holds no model"):
        discover(empty)
