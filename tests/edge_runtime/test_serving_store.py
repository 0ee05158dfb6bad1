"""The server and `run` on an agent's store: they change with the slot, and the server writes down how a model does."""

import json

import numpy as np
import pytest

from edge_runtime.__main__ import main
from edge_runtime.agent import windows
from edge_runtime.agent.live import Live
from edge_runtime.agent.samples import Samples
from edge_runtime.agent.slots import Slots
from tests.edge_runtime.agent.conftest import bundle
from tests.edge_runtime.agent.test_live import put, until
from tests.edge_runtime.test_serving import running

INFER = "/v2/models/kws/infer"


def body(rows=1, width=4):
    x = np.ones((rows, width), np.float32)
    tensor = {"name": "x", "datatype": "FP32", "shape": list(x.shape), "data": x.ravel().tolist()}
    return json.dumps({"inputs": [tensor]}).encode()


def scores(call):
    status, _, content = call("POST", INFER, body())
    assert status == 200
    return np.array(json.loads(content)["outputs"][0]["data"])


def gathered(found, store):
    """All that was written down so far, by model."""
    for window in windows.collect(store):
        found.setdefault(window.model, windows.Window(window.model, window.begin)).add(window)
    return found


@pytest.fixture
def store(tmp_path):
    put(tmp_path, "a", bundle(tmp_path / "one.bundle"))
    return tmp_path


def test_the_server_changes_with_the_slot_and_writes_down_how_each_model_does(store):
    with Live(store, threads=1) as live, running([(live, "", "")], watch=0.05) as call:
        found, first, old = {}, scores(call), live.model
        for _ in range(4):
            assert call("POST", INFER, body(rows=2))[0] == 200
        assert call("POST", INFER, body(width=5))[0] == 400  # does not fit the model
        assert call("POST", INFER, b"no request")[0] == 400  # says nothing of the model
        new = put(store, "b", bundle(store / "two.bundle", scale=2.0))
        until(lambda: live.model == new)
        until(lambda: np.allclose(scores(call), 2 * first, rtol=1e-5))
        (store / "broken.bundle").write_bytes(b"no bundle")
        broken = put(store, "a", store / "broken.bundle")
        until(lambda: broken in gathered(found, store))
        np.testing.assert_allclose(scores(call), 2 * first, rtol=1e-5)
    gathered(found, store)
    assert (found[old].n, found[old].errors) == (6, 1)
    assert found[new].n >= 2
    assert found[new].errors == 0
    assert found[new].quantile_us(0.5) > 0
    assert "not a bundle" in found[broken].unloadable
    samples = Samples(store)
    assert {name for each in samples.names() for name in samples.read(each).inputs} == {"x"}


def test_requests_that_are_run_together_are_written_down_one_by_one(store):
    import asyncio

    from edge_runtime.serving.models import Limits, Models

    async def scenario(live):
        models = Models(Limits(max_batch=8, threads=1))
        served = await models.load(live)
        feeds = [{"x": np.full((1, 4), k, np.float32)} for k in range(10)]
        answers = await asyncio.gather(*(served.batcher.run(feed) for feed in feeds))
        await served.batcher.close()
        return [answer["y"].shape for answer in answers]

    with Live(store, threads=1) as live:
        assert asyncio.run(scenario(live)) == [(1, 3)] * 10
    assert sum(window.n for window in windows.collect(store)) == 10


def test_run_answers_with_the_store_s_model(store, tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.ones((2, 4), np.float32))
    assert main(["run", "--store", str(store), str(tmp_path / "x.npy"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["results"]) == 2
    Slots(store).switch("")
    assert main(["run", "--store", str(store), str(tmp_path / "x.npy")]) == 2
    assert "no model answers here yet" in capsys.readouterr().err
    assert main(["run"]) == 2
    assert "expected a bundle, or --store FOLDER" in capsys.readouterr().err


def test_a_server_without_a_model_says_so(tmp_path, capsys):
    assert main(["serve", "--store", str(tmp_path)]) == 2
    assert "no model answers here yet" in capsys.readouterr().err
    assert main(["serve", "--store", str(tmp_path), "--watch", "0"]) == 2
    assert "--watch is more than 0" in capsys.readouterr().err
