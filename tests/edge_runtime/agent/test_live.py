"""What an application runs its model by, on a store that the test fills by hand."""

import hashlib
import threading
import time

import numpy as np
import pytest

from edge_runtime.agent import drift, judging, probe, shadow, windows
from edge_runtime.agent.judging import refused
from edge_runtime.agent.live import Live
from edge_runtime.agent.reporting import Ledger
from edge_runtime.agent.samples import WANTED, Samples
from edge_runtime.agent.slots import Slots
from edge_runtime.errors import BackendError, InputError, ModelError
from edge_runtime.messages import Release, Shadow
from tests.edge_runtime.agent.conftest import bundle


def put(store, slot, path, switch=True):
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    copy = store / "incoming.bundle"
    copy.write_bytes(content)
    Slots(store).install(slot, copy, Release("kws", 1, "kws/1/x.bundle", sha256, len(content)))
    if switch:
        Slots(store).switch(slot)
    return sha256


def inputs(count, seed=0, shift=0.0):
    x = np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32) + np.float32(shift)
    return [{"x": row[None]} for row in x]


def until(test, timeout=20):
    ends = time.monotonic() + timeout
    while not test():
        assert time.monotonic() < ends
        time.sleep(0.02)


@pytest.fixture
def store(tmp_path):
    put(tmp_path, "a", bundle(tmp_path / "one.bundle"))
    return tmp_path


def test_it_runs_the_model_that_answers_and_changes_with_it(store):
    x = inputs(1)[0]
    with Live(store) as live:
        first, model = live.run(x)["y"], live.model
        second = put(store, "b", bundle(store / "two.bundle", scale=2.0))
        until(lambda: live.model == second)
        np.testing.assert_allclose(live.run(x)["y"], 2 * first, rtol=1e-5)
        assert model != second


def test_no_call_fails_while_models_change(store):
    errors, ended = [], threading.Event()
    paths = {slot: bundle(store / f"{slot}.bundle", seed) for seed, slot in enumerate("ba")}

    def work(live):
        while not ended.is_set():
            try:
                live.run(inputs(1)[0])
            except Exception as error:  # noqa: BLE001
                errors.append(error)

    with Live(store) as live:
        threads = [threading.Thread(target=work, args=(live,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for slot in "bab":
            sha256 = put(store, slot, paths[slot])
            until(lambda sha256=sha256: live.model == sha256)
        ended.set()
        for thread in threads:
            thread.join()
    assert not errors


def test_a_model_that_cannot_be_loaded_does_not_take_over_and_is_told(store):
    with Live(store) as live:
        before = live.model
        (store / "broken.bundle").write_bytes(b"no bundle")
        broken = put(store, "b", store / "broken.bundle")
        found = {}
        until(lambda: found.update({w.model: w for w in windows.collect(store)}) or broken in found)
        assert "not a bundle" in found[broken].unloadable
        assert live.model == before
        live.run(inputs(1)[0])


def test_without_a_model_there_is_nothing_to_run(tmp_path):
    with pytest.raises(BackendError, match="no model answers here yet"):
        Live(tmp_path)


def test_what_it_writes_down_becomes_statistics(store):
    with Live(store) as live:
        for i, x in enumerate(inputs(200)):
            answer = int(live.run(x)["y"].argmax())
            live.label(answer if i % 4 else (answer + 1) % 3)
        for _ in range(3):
            with pytest.raises(InputError):
                live.run({"x": np.zeros((1, 5), np.float32)})
        model = live.model
    ledger = Ledger(store)
    ledger.collect()
    (stats,) = ledger.stats()
    assert (stats.model, stats.n, stats.errors) == (model, 203, 3)
    assert stats.labelled >= 199  # the first input was not kept, for no label had come yet
    assert stats.correct / stats.labelled == pytest.approx(0.75, abs=0.02)
    assert 0 < stats.p50_us <= stats.p95_us <= stats.p99_us < 1e6
    assert stats.end >= stats.begin > 1e9
    assert ledger.stats() == []
    assert ledger.lived(model).errors == 3


def test_samples_are_kept_now_and_then_and_all_while_a_shadow_watches(store):
    samples = Samples(store)
    with Live(store) as live:
        for x in inputs(50):
            live.run(x)
        until(lambda: samples.names())
        assert len(samples.names()) <= 2
        (store / WANTED).touch()
        time.sleep(0.5)
        for x in inputs(40):
            live.run(x)
        until(lambda: len(samples.names()) >= 40)
    assert set(samples.read(samples.names()[0]).inputs) == {"x"}


def test_samples_take_bounded_room(tmp_path):
    samples = Samples(tmp_path, most=20, max_bytes=1 << 16)
    for i in range(200):
        samples.put({"x": np.full((1, 100), i, np.float32)}, i)
    assert len(samples.names()) <= 20 + 16
    last = samples.read(samples.names()[-1])
    assert (last.label, last.inputs["x"][0, 0]) == (199, 199)
    samples.put({"x": np.zeros(1 << 20, np.float32)})  # larger than all may be
    assert samples.read(samples.names()[-1]).label == 199
    path = tmp_path / "live/samples" / samples.names()[-1]
    path.write_bytes(b"cut short")
    assert samples.read(path.name) is None


@pytest.fixture
def recorded(store):
    samples, session = Samples(store), probe.opening.opened(store, "a")
    for i, x in enumerate(inputs(60)):
        right = int(session.run(x)["y"].argmax())
        samples.put(x, right if i % 2 else None)
    return store


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"seed": 5}, ""),
        ({"scale": 3.0}, ""),  # other scores, the same answers
        ({"wrong": True}, "on 30 labelled inputs the new model is right 0 times and the old one 30"),
    ],
)
def test_the_shadow_tells_a_wrong_model_from_a_right_one(recorded, options, why):
    put(recorded, "b", bundle(recorded / "two.bundle", **options), switch=False)
    sessions = [probe.opening.opened(recorded, slot, threads=1) for slot in ("b", "a")]
    seen = shadow.watch(recorded, *sessions, 60, 10)
    assert (seen["n"], seen["labelled"], seen["unlabelled"], seen["errors"]) == (60, 30, 30, 0)
    assert seen["old_correct"] == 30
    assert seen["p95_us"] > 0
    limits = Shadow(60, 10, min_agree_ppm=950_000, max_drop_ppm=50_000)
    assert refused(limits, seen).startswith(why) if why else not refused(limits, seen)
    assert not (recorded / WANTED).exists()


def test_a_model_of_another_shape_fails_in_the_shadow(recorded):
    other = probe.opening.opened(recorded, "a", threads=1)

    class Narrow:
        def run(self, _):
            raise InputError("expected another shape")

    seen = shadow.watch(recorded, Narrow(), other, 10, 10)
    assert seen["errors"] == seen["n"] == 10
    assert "failed on 10 of 10" in refused(Shadow(10), seen)


def test_the_shadow_ends_in_time_without_inputs(store):
    session = probe.opening.opened(store, "a")
    seen = shadow.watch(store, session, session, 10, 0.5)
    assert seen["n"] == 0
    assert "saw no input" in refused(Shadow(10, 1, min_agree_ppm=1), seen)
    assert refused(Shadow(10, 1), seen) == ""  # nothing was asked for


def test_a_probe_knows_a_bundle_by_its_own_vectors(store, monkeypatch):
    found = probe.check(store, "a")
    assert found["similarity"] > 0.9999
    assert 0 < found["p50_us"] <= found["p95_us"]
    put(store, "b", bundle(store / "two.bundle", broken_selftest=True), switch=False)
    with pytest.raises(ModelError, match="does not give what its bundle says"):
        probe.check(store, "b")
    monkeypatch.setattr(judging, "_GRAIN_US", -1_000_000)
    with pytest.raises(ModelError, match="ppm slower"):
        probe.check(store, "a", beside="a", max_slower_ppm=-999_999)
    with pytest.raises(ModelError, match="cannot be opened"):
        probe.check(store, "c")


def test_drift_is_nothing_without_and_much_with(store):
    for shift, low, high in ((0.0, 0, 150_000), (3.0, 500_000, 1_000_000)):
        with Live(store) as live:
            known = drift.reference(
                {
                    name: np.concatenate(each)
                    for name, each in _numbers(live.session, inputs(2000, seed=9)).items()
                }
            )
            probe.opening.keep_reference(store, live.model, known)
        with Live(store) as live:
            for x in inputs(400, seed=3, shift=shift):
                live._next_features = 0.0  # every call is counted
                live.run(x)
        ledger = Ledger(store)
        ledger.collect()
        (stats,) = ledger.stats()
        assert low <= stats.drift_ppm <= high, shift


def _numbers(session, xs):
    found = {}
    for x in xs:
        for name, values in drift.features(x, session.run(x)).items():
            found.setdefault(name, []).append(values)
    return found


def test_a_bundle_without_reference_is_compared_with_its_first_inputs(store):
    with Live(store) as live:
        for x in inputs(drift.OWN + 20):
            live._next_features = 0.0
            live.run(x)
        live._flush()
        assert drift.load(store, live.model) is not None
        for x in inputs(200, seed=4, shift=3.0):
            live._next_features = 0.0
            live.run(x)
    ledger = Ledger(store)
    ledger.collect()
    assert ledger.stats()[0].drift_ppm > 500_000
