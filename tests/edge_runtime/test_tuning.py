"""The tuner: what it tries, what it refuses, and that what it keeps is used, or said to be of no use."""

import json
import os
import shutil

import numpy as np
import pytest

from converter.lowering import lower
from converter.model import save
from converter.optimize import optimize
from edge_runtime import Session
from edge_runtime.__main__ import main
from edge_runtime.bundle import Manifest, pack
from edge_runtime.errors import InputError, ModelError
from edge_runtime.session import source_of
from edge_runtime.tensors import TensorSpec
from edge_runtime.tuning import race, setting, store, tuner
from edge_runtime.tuning.setting import Setting
from edge_runtime.tuning.source import Source
from tests.models import cnn, images

KEY = bytes(range(32))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LITTORAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def files():
    model = optimize(cnn())
    return {"infer.onnx": model.SerializeToString(), "infer.tflite": lower(model)}


@pytest.fixture
def bundle(tmp_path, files):
    inputs = (TensorSpec("images", "float32", ("n", 3, 8, 8)),)
    manifest = Manifest("m", "x86-64", inputs, (TensorSpec("logits", "float32", ("n", 4)),))
    return pack(tmp_path / "m.bundle", manifest, files).path


class Timed:
    """An engine whose calls take the seconds that a table says, on a clock of its own."""

    now = 0.0

    def __init__(self, seconds, wrong=0.0):
        self.seconds, self.wrong = seconds, wrong
        self.inputs = (TensorSpec("x", "float32", (1, 2)),)
        self.outputs = (TensorSpec("y", "float32", (1, 2)),)
        self.calls = 0

    def run(self, inputs):
        Timed.now += self.seconds
        self.calls += 1
        return {"y": inputs["x"] * (1 + self.wrong)}


@pytest.fixture
def timed(monkeypatch):
    """Settings by name whose engines are `Timed`."""
    table = {}

    def opened(self, source, graph=None, exact_int8=True):
        found = table[self.change]
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(Setting, "open", opened)
    monkeypatch.setattr(race.time, "process_time", lambda: Timed.now)
    monkeypatch.setattr(Source, "engines", lambda _: ["litert"])
    monkeypatch.setattr(race.time, "monotonic", lambda: Timed.now)
    return table


def raced(table, budget=1e9):
    for name in ("", *table):
        table.setdefault(name, Timed(1.0))
    settings = [Setting("litert", 1, name) for name in table if name]
    run = race.Race(Source(b"", "m"), Setting("litert", 1), budget, True, 0)
    return run, settings


def test_the_fastest_is_taken_and_slow_ones_drop_out_early(timed):
    seconds = {"a": 1.3, "b": 0.8, "c": 2.0, "d": 1.1, "e": 0.9, "f": 3.0, "g": 1.0, "h": 5.0}
    timed.update({name: Timed(each) for name, each in seconds.items()})
    run, settings = raced(timed)
    left = run.halved(settings)
    assert [each.change for each in left] == ["b", "e"]
    assert timed["b"].calls > 2 * timed["h"].calls
    choice = run.choice(left)
    assert choice.setting.change == "b"
    assert choice.ratio == pytest.approx(0.8)
    assert {row.setting: row.why for row in choice.rows}["litert, 1 thread, b"] == "taken"


def test_a_setting_with_other_outputs_or_that_fails_is_out_however_fast(timed):
    timed.update(
        {"wrong": Timed(0.1, wrong=1e-3), "broken": ModelError("no such kernel"), "good": Timed(0.9)}
    )
    run, settings = raced(timed)
    choice = run.choice(run.halved(settings))
    assert choice.setting.change == "good"
    why = {row.setting.rpartition(" ")[2]: row.why for row in choice.rows}
    assert why["wrong"].startswith("other outputs")
    assert why["broken"] == "refused: no such kernel"


def test_a_gain_too_small_to_matter_changes_nothing(timed):
    timed.update({"a": Timed(0.995)})
    run, settings = raced(timed)
    choice = run.choice(run.halved(settings))
    assert (choice.setting, choice.ratio) == (Setting("litert", 1), 1.0)


def test_the_budget_ends_the_race(timed):
    timed.update({name: Timed(0.5 + k / 100) for k, name in enumerate("abcdefghijkl")})
    run, settings = raced(timed, budget=10.0)
    choice = run.choice(run.halved(settings))
    assert choice.setting.change in "abc"  # of those that were timed before it was over
    assert sum(engine.calls for engine in timed.values()) < 400


def test_no_time_at_all_leaves_an_untuned_session(timed):
    timed.update({"a": Timed(0.5)})
    run, _ = raced(timed, budget=1e-9)
    assert run.choice([]).setting == Setting("litert", 1)


def test_difference_is_relative_and_notices_what_is_missing():
    y = np.array([1.0, -4.0])
    assert race.difference({"y": y}, {"y": y + 0.4}) == pytest.approx(0.1)
    assert race.difference({"y": y}, {}) == np.inf
    assert race.difference({"y": y}, {"y": y[:1]}) == np.inf
    assert race.difference({"y": y}, {"y": y * np.nan}) == np.inf


def test_settings_survive_json_and_contradictions():
    a = Setting("onnxruntime", 2, "a", {"config": {"k": "1"}, "without": ["X"]})
    assert Setting.from_json(json.loads(json.dumps(a.to_json()))) == a
    b = Setting("onnxruntime", 2, "b", {"config": {"k": "2"}})
    c = Setting("onnxruntime", 2, "c", {"config": {"l": "3"}})
    both = setting.combined(a, b, c)
    assert both.arguments == {"config": {"k": "1", "l": "3"}, "without": ["X"]}
    assert both.change == "a; c"
    assert str(both) == "onnxruntime, 2 threads, a; c"


def test_threads_stay_within_the_limit(bundle):
    tried = setting.starts(source_of(bundle), 6)
    assert {each.threads for each in tried} == {1, 2, 4, 6}
    assert {each.engine for each in tried} == {"onnxruntime", "litert"}


def test_what_was_tuned_is_used_and_answers_the_same(bundle):
    plain = Session(bundle, threads=1, tune=False)
    session = Session(bundle, threads=1, tune=True)
    assert session.tuned is not None
    again = Session(bundle, threads=1)
    assert again.tuned == session.tuned
    for each in (session, again):
        np.testing.assert_allclose(
            each.run({"images": images(3)})["logits"],
            plain.run({"images": images(3)})["logits"],
            rtol=1e-4,
            atol=1e-5,
        )
    assert Session(bundle, threads=2).tuned is None, "another limit of threads was not measured"
    assert Session(bundle, threads=1, engine="litert").tuned is None


@pytest.mark.parametrize("kind", ["bundle", "onnx"])
def test_an_optimised_graph_is_kept_beside_its_weights_and_run(kind, bundle, files, tmp_path):
    path = bundle if kind == "bundle" else tmp_path / "m.onnx"
    if kind == "onnx":
        path.write_bytes(files["infer.onnx"])
    source = source_of(path)
    kept = store.save(source, 1, store.Choice(Setting("onnxruntime", 1), 1.0))
    assert kept.graph is not None
    session = Session(path, threads=1)
    assert session.tuned == kept
    wanted = Session(files["infer.onnx"], threads=1).run({"images": images(5)})["logits"]
    np.testing.assert_allclose(session.run({"images": images(5)})["logits"], wanted, rtol=1e-6)
    store.forget(source, 1)
    assert Session(path, threads=1).tuned is None


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("cut", "Expecting|Unterminated|delimiter"),
        ("altered", "it is damaged"),
        ("hardware", "another hardware"),
        ("engines", "another engines"),
        ("graph", "graph.onnx is damaged"),
        ("gone", "graph.onnx"),
    ],
)
def test_a_choice_that_does_not_hold_is_said_and_left(damage, said, bundle, monkeypatch, capsys):
    source = source_of(bundle)
    kept = store.save(source, 1, store.Choice(Setting("onnxruntime", 1), 1.0))
    record = store.place(source, 1) / "choice.json"
    where = store.place(source, 1)
    if damage == "cut":
        record.write_text(record.read_text()[:-40])
    elif damage == "altered":
        record.write_text(record.read_text().replace('"threads": 1', '"threads": 64'))
    elif damage == "graph":
        os.truncate(kept.graph, 100)
    elif damage == "gone":
        kept.graph.unlink()
    else:
        monkeypatch.setattr(store, "place", lambda *_: where)
        change = {"hardware": lambda: {"machine": "pdp-11"}, "engines": lambda: {"onnxruntime": "0.1"}}
        monkeypatch.setattr(store, {"hardware": "hardware", "engines": "versions"}[damage], change[damage])
    session = Session(bundle, threads=1)
    assert session.tuned is None
    message = capsys.readouterr().err
    assert "is not used" in message
    assert any(part in message for part in said.split("|"))
    assert session.run({"images": images(1)})["logits"].shape == (1, 4)


def test_nothing_half_written_is_left_when_saving_fails(bundle, monkeypatch, cache):
    def fail(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "_optimised", fail)
    with pytest.raises(KeyboardInterrupt):
        store.save(source_of(bundle), 1, store.Choice(Setting("onnxruntime", 1), 1.0))
    assert list((cache / "tuned").iterdir()) == []


def test_no_plain_copy_of_an_encrypted_model_is_kept(bundle, tmp_path, cache, monkeypatch):
    pytest.importorskip("cryptography")
    from edge_runtime import Bundle

    sealed = Bundle.open(bundle).sealed(tmp_path / "sealed.bundle", KEY)
    source = Source(sealed, "sealed")
    kept = store.save(source, 1, store.Choice(Setting("onnxruntime", 1), 1.0))
    assert kept.graph is None
    assert [path.name for path in (cache / "tuned").rglob("*") if path.is_file()] == ["choice.json"]
    assert Session(sealed, threads=1).run({"images": images(1)})["logits"].shape == (1, 4)


def test_tune_wants_to_choose_itself(bundle):
    with pytest.raises(InputError, match="leave out"):
        Session(bundle, tune=True, engine="litert")
    with pytest.raises(InputError, match="expected 'auto', True or False"):
        Session(bundle, tune="always")
    with pytest.raises(InputError, match="positive"):
        tuner.tune(source_of(bundle), budget_s=0)


def test_the_command_prints_a_table_and_keeps_the_choice(bundle, capsys):
    assert main(["tune", str(bundle), "--threads", "1", "--budget", "5"]) == 0
    shown = capsys.readouterr().out
    assert "time / untuned" in shown
    assert "litert, 1 thread" in shown
    assert Session(bundle, threads=1).tuned is not None
    assert main(["tune", str(bundle), "--threads", "1", "--budget", "5", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"setting", "ratio", "rows", "kept"} <= set(told)
    assert main(["tune", str(bundle), "--budget", "0"]) == 2


def test_a_model_that_has_changed_is_another_one(bundle, files, tmp_path):
    store.save(source_of(bundle), 1, store.Choice(Setting("litert", 1), 0.5))
    other = tmp_path / "other.onnx"
    save(optimize(cnn(seed=1)), other)
    assert Session(other, threads=1).tuned is None
    shutil.copy(bundle, tmp_path / "copy.bundle")
    assert Session(tmp_path / "copy.bundle", threads=1).engine == "litert"
