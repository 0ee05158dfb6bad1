"""`littoral bench`: percentiles, a cold start in a fresh process, energy, operators as tables and a page."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from converter.lowering import lower
from converter.model import copy, save
from edge_runtime import Manifest, Session, profile
from edge_runtime.__main__ import main
from edge_runtime.bench import energy, flame, operators, start
from edge_runtime.bundle import pack
from edge_runtime.errors import BackendError
from edge_runtime.tuning.setting import Setting
from tests.models import cnn, images


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(cnn(), "cnn.onnx")
    return "cnn.onnx"


def test_percentiles_are_those_of_the_calls():
    found = profile.Latency.of([float(k) for k in range(1, 101)])
    assert (found.median_ms, found.mean_ms, found.n) == (50.5, 50.5, 100)
    assert found.p90_ms <= found.p95_ms <= found.p99_ms <= 100
    assert abs(found.p95_ms - 95) < 1


def test_a_cold_start_has_all_its_parts(model):
    found = start.cold(model, "onnxruntime", starts=1)
    parts = (found.interpreter_ms, found.import_ms, found.engine_ms, found.load_ms, found.first_ms)
    assert all(part > 0 for part in parts)
    assert abs(sum(parts) - found.total_ms) < 1e-6
    if Path("/proc/self/status").exists():
        assert 1e7 < found.engine_bytes <= found.loaded_bytes <= found.peak_bytes
        assert found.first_bytes <= found.peak_bytes


def test_a_process_that_fails_or_runs_elsewhere_is_not_a_measurement(model, monkeypatch):
    with pytest.raises(BackendError, match="cannot be measured here"):
        start.cold("nothing.onnx", "onnxruntime", starts=1)
    monkeypatch.setattr(start, "_CHILD", "print('[\"another machine\", [1,2,3,4,5], [1,1,1,1]]')")
    with pytest.raises(BackendError, match="does not run on this device"):
        start.cold(model, "onnxruntime", starts=1)


def counters(folder, values):
    """Zones of a power capping interface, with the microjoules of each."""
    for name, microjoules in values.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "energy_uj").write_text(f"{microjoules}\n")
        (folder / name / "max_energy_range_uj").write_text("1000000\n")


def test_energy_is_what_the_packages_counted(tmp_path):
    counters(tmp_path, {"intel-rapl:0": 100, "intel-rapl:0:0": 7, "intel-rapl:1": 900_000})
    clock = iter([10.0, 12.0])

    def work():  # the second counter begins again at a million; the cores' own is part of the first
        counters(tmp_path, {"intel-rapl:0": 20_100, "intel-rapl:0:0": 9000, "intel-rapl:1": 0})

    found = energy.measure(work, 4, lambda: next(clock), tmp_path)
    assert found == energy.Energy((20_000 + 100_000) / 1000 / 4, 120_000 / 1e6 / 2)


def test_where_nothing_is_reported_nothing_is_said(tmp_path):
    def work():
        pytest.fail("it was run for nothing")

    assert energy.measure(work, 1, lambda: 0.0, tmp_path) is None
    assert energy.measure(work, 1, lambda: 0.0, tmp_path / "no") is None
    counters(tmp_path, {"intel-rapl:0": 5})
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("?")
    assert energy.measure(work, 1, lambda: 0.0, tmp_path) is None


def event(name, ts, dur, **args):
    return {"cat": "Node" if args else "Session", "name": name, "ts": ts, "dur": dur, "args": args}


EVENTS = [
    event("session_initialization", 0, 90),
    *(
        each
        for begin, scale in ((100, 9), (300, 1), (500, 3))
        for each in (
            event("b_kernel_time", begin + 50, 10 * scale, op_name="Gemm", node_index="2"),
            event("a_kernel_time", begin + 1, 20 * scale, op_name="Conv", node_index="5"),
            event("model_run", begin, 100),
        )
    ),
]


def test_operators_are_in_their_order_and_averaged():
    found = operators.read(EVENTS, skip=1)
    assert [(each.name, each.kind, each.micros) for each in found.operators] == [
        ("a", "Conv", 40.0),
        ("b", "Gemm", 20.0),
    ]
    assert (found.total_micros, found.runs, found.between()) == (100.0, 2, 40.0)
    assert found.kinds() == [("Conv", 1, 40.0), ("Gemm", 1, 20.0)]


def test_the_engine_s_own_profile(model):
    session = Session(model, threads=1)
    found = operators.profile(session, model, {"images": images(2)}, threads=1, runs=4)
    assert found.runs == 4
    assert {"Conv", "Gemm"} <= {each.kind for each in found.operators}
    assert sum(each.micros for each in found.operators) <= found.total_micros
    assert any(each.shape == "float[2, 4]" for each in found.operators)


def test_the_profile_is_of_what_the_tuner_chose(model, monkeypatch):
    class Chosen:
        def opened(self):
            return Setting("onnxruntime", 1, "", {"options": {"graph_optimization_level": 0}}), None

    session = Session(model, threads=1)
    fused = operators.profile(session, model, {"images": images(1)}, threads=1, runs=1)
    monkeypatch.setattr(session, "tuned", Chosen())
    plain = operators.profile(session, model, {"images": images(1)}, threads=1, runs=1)
    assert "BatchNormalization" in {each.kind for each in plain.operators}
    assert "BatchNormalization" not in {each.kind for each in fused.operators}


@pytest.fixture
def both(model):
    """A bundle with a form for each engine, and the form of LiteRT by itself."""
    pytest.importorskip("ai_edge_litert")
    session = Session(model)
    one = copy(cnn())
    for value in [*one.graph.input, *one.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    lowered = lower(one, "tflite")
    Path("net.tflite").write_bytes(lowered)
    manifest = Manifest("net", "x86-64", session.inputs, session.outputs, engine="litert")
    pack("net.bundle", manifest, {"infer.onnx": Path(model).read_bytes(), "infer.tflite": lowered})
    return "net.bundle"


def test_a_bundle_on_litert_is_profiled_on_its_other_form(both, capsys):
    assert main(["bench", both, "--rounds", "2", "--starts", "0", "--operators", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["engine"], found["operators"]["engine"]) == ("litert", "onnxruntime")
    assert {"Conv", "Gemm"} <= {each["kind"] for each in found["operators"]["operators"]}
    assert main(["bench", both, "--rounds", "2", "--starts", "0", "--operators"]) == 0
    assert "net.bundle on onnxruntime (litert reports none): operators" in capsys.readouterr().out


def test_an_engine_without_a_profiler_says_so_and_the_rest_is_measured(both, capsys):
    call = ["bench", "net.tflite", "--rounds", "2", "--starts", "0", "--operators"]
    assert main(call) == 0
    out, err = capsys.readouterr()
    assert "p50 ms" in out
    assert "net.tflite: operators not measured: LiteRT's Python interface reports none" in err
    assert main([*call, "--html", "t.html"]) == 2
    assert "nothing to show" in capsys.readouterr().err
    assert not Path("t.html").exists()


def test_the_engine_can_be_asked_for_and_each_gets_a_row(both, capsys):
    assert main(["bench", both, "--engine", "all", "--rounds", "2", "--starts", "1", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["engine"] for each in found] == ["litert", "onnxruntime"]
    assert all(each["cold_start"]["load_ms"] > 0 for each in found)
    assert main(["bench", both, "--engine", "onnxruntime", "--rounds", "2", "--starts", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["engine"] == "onnxruntime"


def test_the_picture_is_whole_and_safe():
    made = operators.Profile(
        tuple(
            operators.Operator(f"<n{k}>", "Conv" if k % 2 else "Add", "CPU", 10.0, "float[1]")
            for k in range(8)
        ),
        100.0,
        1,
    )
    picture = flame.icicle(made)
    rows = re.findall(r"top:([\d.]+)rem;left:([\d.]+)%;width:([\d.]+)%", picture)
    widths: dict[str, float] = {}
    for top, left, width in rows:
        assert float(left) + float(width) <= 100.01
        widths[top] = widths.get(top, 0) + float(width)
    assert {top: round(width) for top, width in widths.items()} == {"0.0": 100, "1.7": 100, "3.4": 80}
    assert "<n1>" not in picture
    assert "&lt;n1&gt;" in picture
    assert (
        sum(float(width) for *_, width in re.findall(r"(left):([\d.]+)%;width:([\d.]+)%", flame.strip(made)))
        > 99
    )


def test_the_command_s_tables_and_page(model, capsys):
    assert (
        main(["bench", model, model, "--rounds", "3", "--starts", "1", "--operators", "--html", "t.html"])
        == 0
    )
    out = capsys.readouterr().out
    for words in ("p50 ms", "p95 ms", "p99 ms", "samples/s", "cold start, ms", "memory, RSS after", "Conv"):
        assert words in out
    page = Path("t.html").read_text("utf-8")
    assert page.count('class="flame"') == 4
    assert "http" not in page, "it needs nothing from elsewhere"


def test_json_has_a_line_a_model(model, capsys):
    assert main(["bench", model, model, "--rounds", "2", "--starts", "0", "--batch", "3", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 2
    assert lines[0]["batch"] == 3
    assert lines[0]["cold_start"] is None
    assert lines[0]["samples_per_second"] == pytest.approx(3000 / lines[0]["mean_ms"])
    assert "operators" not in lines[0]
    assert np.isfinite(lines[0]["p99_ms"])


@pytest.mark.parametrize("variable", [profile.MARKS_VARIABLE, profile.EMULATED_VARIABLE])
def test_nothing_is_started_on_an_emulated_device(model, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    monkeypatch.setattr(start, "cold", lambda *_, **__: pytest.fail("a process was started"))
    monkeypatch.setattr(profile, "mark_inferences", lambda *_: None)
    assert main(["bench", model, "--rounds", "1", "--json"]) == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--rounds", "0"], "--rounds 0: at least 1"),
        (["--batch", "0"], "--batch 0: at least 1"),
        (["--html", "x.html"], "give --operators too"),
        (["--engine", "abacus"], "invalid choice: 'abacus'"),
        (["--engine", "litert", "--starts", "0"], "LiteRT does not accept this model"),
    ],
)
def test_bad_use(model, capsys, more, words):
    assert main(["bench", model, *more]) == 2
    assert words in capsys.readouterr().err
    assert not Path("x.html").exists()
