"""Real agent processes against a real broker and a real repository."""

import json
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.agent.live import Live
from edge_runtime.agent.slots import Slots
from edge_runtime.messages import Shadow, topics
from tests.edge_runtime.agent.conftest import Cloud, broker, bundle, enrolled, free_port, running

SHORT = {"probation_s": 1, "probes": 2}


def resident_mb(pid):
    text = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(text.partition("VmRSS:")[2].split()[0]) / 1000


@pytest.fixture(params=["mosquitto", "embedded"])
def url(request, tmp_path):
    with broker(tmp_path / "broker", request.param) as found:
        yield found


@pytest.fixture
def cloud(url):
    found = Cloud(url, "pi-1")
    yield found
    found.close()


@pytest.fixture
def store(tmp_path, url, repository):
    made = enrolled(tmp_path / "device", "pi-1", [url], repository)
    (made / "agent.toml").write_text("beat_s = 0.5\nstats_s = 1\n")
    return made


def test_a_device_from_nothing_to_the_second_model_and_back(tmp_path, cloud, store, repository):
    one = repository.publish(bundle(tmp_path / "one.bundle"))
    two = repository.publish(bundle(tmp_path / "two.bundle", 1))
    bad = repository.publish(bundle(tmp_path / "bad.bundle", 2, broken_selftest=True))
    with running(store) as process:
        cloud.wait("state", lambda body: body == b"here")
        cloud.wait("beat", lambda body: json.loads(body)["free_mb"] > 0)
        cloud.wish(model=one.release(), **SHORT)
        assert cloud.reaches("running").model == one.sha256
        cloud.wish(model=two.release(), **SHORT)
        found = cloud.reaches("running")
        assert (found.model, found.previous, found.slot) == (two.sha256, one.sha256, "b")
        assert found.fetched_bytes < one.bytes  # a patch
        assert {"fetching", "switching", "probation"} <= {each.state for each in cloud.all("reported")}
        cloud.wish(model=bad.release(), **SHORT)
        found = cloud.reaches("failed")
        assert found.model == two.sha256
        assert "does not give what its bundle says" in found.error
        cloud.wish(model=one.release(), **SHORT)  # a rollback: it was overwritten, so it is fetched again
        assert cloud.reaches("running").model == one.sha256
        assert resident_mb(process.pid) < 60, "the agent's own memory"
        loaded = Path(f"/proc/{process.pid}/maps").read_text("ascii")
        assert "paho" in loaded or "_ssl" in loaded
        assert "onnxruntime" not in loaded
        assert "numpy" not in loaded
    cloud.wait("state", lambda body: body == b"gone")
    assert Slots(store).current() == "a"


@pytest.mark.slow
def test_commands_are_done_once_and_answered_again(tmp_path, cloud, store, repository):
    one = repository.publish(bundle(tmp_path / "one.bundle"))
    with running(store):
        cloud.wish(model=one.release(), **SHORT)
        cloud.reaches("running")
        cloud.command("c1", "probe")
        first = cloud.wait("result", lambda each: each.id == "c1")
        assert (first.status, json.loads(first.text)["similarity"] > 0.99) == ("done", True)
        cloud.command("c1", "probe")
        cloud.wait("result", lambda _: len(cloud.all("result")) == 2)
        assert cloud.all("result")[1] == first  # the very same, with the same latency
        for name, op, seconds, status in (
            ("c2", "logs", 60, "done"), ("c3", "logs", -5, "expired"), ("c4", "dance", 60, "unknown"),
            ("c5", "revert", 60, "failed"), ("c6", "report", 60, "done"), ("c7", "restart", 60, "done"),
        ):  # fmt: skip
            cloud.command(name, op, seconds)
            assert cloud.wait("result", lambda each, name=name: each.id == name).status == status
        assert "connected" in cloud.wait("result", lambda each: each.id == "c2").text
        cloud.wait("state", lambda _: cloud.all("state")[-2:] == [b"gone", b"here"])  # it restarted
        cloud.command("c7", "restart")
        time.sleep(2)
        assert cloud.all("state")[-1] == b"here"  # and does that no second time


@pytest.mark.slow
def test_the_shadow_stops_a_wrong_model_that_is_fast(tmp_path, cloud, store, repository):
    one = repository.publish(bundle(tmp_path / "one.bundle"))
    two = repository.publish(bundle(tmp_path / "two.bundle", 1))
    wrong = repository.publish(bundle(tmp_path / "wrong.bundle", wrong=True))
    limits = Shadow(40, 60, min_agree_ppm=900_000, max_drop_ppm=50_000)
    with running(store):
        cloud.wish(model=one.release(), **SHORT)
        cloud.reaches("running")
        with Live(store) as live:
            cloud.wish(model=wrong.release(), shadow=limits, **SHORT)
            found = use(live, cloud, "failed")
            assert "accuracy falls by" in found.error
            assert (found.model, found.shadow["n"]) == (one.sha256, 40)
            cloud.wish(model=two.release(), shadow=limits, **SHORT)
            found = use(live, cloud, "running")
            assert (found.model, found.shadow["correct"] > 30) == (two.sha256, True)
            for _ in range(100):
                if live.model == two.sha256:
                    break
                time.sleep(0.1)
            assert live.model == two.sha256
        stats = cloud.wait("stats", lambda each: each.model == one.sha256 and each.labelled > 10)
        assert stats.correct == stats.labelled


def use(live, cloud, state, seconds=60):
    """An application, until the device reports the state: it learns that the first model was right."""
    rng, ends = np.random.default_rng(0), time.monotonic() + seconds
    weights = live.session.run({"x": np.eye(4, dtype=np.float32)})["y"]
    while time.monotonic() < ends:
        x = rng.standard_normal((1, 4)).astype(np.float32)
        live.run({"x": x})
        live.label(int((x @ weights).argmax()))
        with suppress(AssertionError):
            return cloud.reaches(state, 0.01)
    raise AssertionError(cloud.all("reported")[-3:])


@pytest.mark.slow
def test_what_the_repository_does_not_sign_is_refused(tmp_path, cloud, store, repository):
    one = repository.publish(bundle(tmp_path / "one.bundle"))
    two = repository.publish(bundle(tmp_path / "two.bundle", 1))
    with running(store):
        cloud.wish(model=replace(one.release(), sha256=two.sha256), **SHORT)
        assert "is signed with SHA-256" in cloud.reaches("failed").error
        cloud.wish(model=replace(one.release(), path="kws/9/x86-64.bundle"), **SHORT)
        cloud.wait("reported", lambda each: each.v == cloud.v and "is not listed" in each.error)
        assert cloud.all("reported")[-1].state == "fetching"  # what it asks may be older than the wish
        repository.web.down = True
        cloud.wish(model=one.release(), **SHORT)
        cloud.wait("reported", lambda each: each.v == cloud.v and each.state == "fetching" and each.error)
        repository.web.down = False
        assert cloud.reaches("running").error == ""  # a network that was away is no refusal
        cloud.say("desired", b"{}")
        cloud.say("desired", b"\xff" * 100)
        cloud.say("command", b'{"id":"../x","op":"logs","expires":1}')
        cloud.command("c1", "report")
        cloud.wait("result", lambda each: each.id == "c1")


@pytest.mark.slow
def test_a_site_that_is_cut_off_goes_on_and_catches_up(tmp_path, repository):
    one = repository.publish(bundle(tmp_path / "one.bundle"))
    port = free_port()
    store = enrolled(tmp_path / "device", "pi-1", [f"mqtt://127.0.0.1:{port}"], repository)
    (store / "agent.toml").write_text("beat_s = 0.5\nstats_s = 0.5\n")
    with running(store):
        with broker(tmp_path / "broker", port=port) as url:
            cloud = Cloud(url, "pi-1")
            cloud.wish(model=one.release(), **SHORT)
            cloud.reaches("running")
            cloud.close()
        with Live(store) as live:
            for _ in range(100):
                live.run({"x": np.ones((1, 4), np.float32)})
        time.sleep(5)
        with broker(tmp_path / "broker", port=port) as url:
            cloud = Cloud(url, "pi-1")
            assert cloud.wait("stats", lambda each: each.n).n == 100  # kept while nobody listened
            found = cloud.wait("reported", lambda _: True)
            assert (found.v, found.state, found.model) == (1, "running", one.sha256)
            cloud.client.publish(topics.ALL, b"who")
            before = len(cloud.all("reported"))
            cloud.wait("state", lambda _: len(cloud.all("state")) >= 2)
            cloud.wait("reported", lambda _: len(cloud.all("reported")) > before)
            cloud.close()


@pytest.mark.slow
def test_an_agent_that_is_killed_in_the_middle_goes_on(tmp_path, cloud, store, repository):
    one = repository.publish(bundle(tmp_path / "one.bundle"))
    two = repository.publish(bundle(tmp_path / "two.bundle", 1))
    with running(store) as process:
        cloud.wish(model=one.release(), **SHORT)
        cloud.reaches("running")
        cloud.wish(model=two.release(), probation_s=4, probes=2)
        cloud.reaches("probation")
        process.kill()
        cloud.wait("state", lambda body: body == b"gone")  # the last will
    with running(store):
        assert cloud.reaches("running").model == two.sha256
