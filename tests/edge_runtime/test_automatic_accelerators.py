"""A session chooses its accelerator by itself, says what it chose and why, and answers whatever goes wrong."""

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from compress import Optimize, Quantize, Recipe
from compress.compress import apply
from compress.step import Work
from edge_runtime import Bundle, Manifest, Samples, Session, Target
from edge_runtime.__main__ import main
from edge_runtime.accelerators import automatic, context, selftest, trial
from edge_runtime.accelerators.candidates import KNOWN, Candidate, candidate
from edge_runtime.accelerators.select import Choice
from edge_runtime.bundle import pack
from edge_runtime.engines import plugins
from edge_runtime.errors import BackendError, InputError
from edge_runtime.serving.models import Limits, Models
from edge_runtime.tensors import TensorSpec
from tests.edge_runtime.test_accelerators import needs_qnn
from tests.models import cnn, images

CRASH = """
#include <signal.h>
__attribute__((constructor)) void start(void) { raise(SIGSEGV); }
"""


@pytest.fixture(scope="module")
def graph():
    source = cnn()
    work = Work(Samples(images(16)), Target.load("qnn-htp"), source)
    return apply(Recipe((Optimize(), Quantize())), source, work).SerializeToString()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LITTORAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(automatic, "_said", set())


@pytest.fixture
def bundle(graph, tmp_path):
    return packed(graph, tmp_path / "m.bundle", "qnn-htp")


def packed(graph: bytes, path: Path, target: str) -> Bundle:
    session = Session(graph)
    manifest = Manifest("m", target, session.inputs, session.outputs)
    test = selftest.made(session.inputs, session.run)
    return pack(path, manifest, {"infer.onnx": graph, selftest.FILE: test.to_bytes()})


def target_file(folder: Path, accelerator: str) -> str:
    path = folder / "device.toml"
    head = 'name = "device"\nsummary = "-"\narch = "x86_64"\ncores = 1\nram_mib = 1\n'
    path.write_text(head + f"[[accelerators]]\n{accelerator}\n")
    return str(path)


@needs_qnn
def test_the_npu_is_found_compiled_for_once_and_said(bundle, graph, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    session = Session(bundle)
    choice = session.choice
    assert choice is not None
    assert (choice.label, choice.simulated, choice.compiled_ahead) == ("Qualcomm HTP", True, True)
    assert choice.share > 0.8
    assert choice.rejected == ()
    assert session.engine == "onnxruntime"
    said = [
        record for record in caplog.records if "Qualcomm HTP (compiled ahead, simulated)" in record.message
    ]
    assert [record.levelno for record in said] == [logging.WARNING]

    def child(*_args):
        raise AssertionError("what was tried once needs no process")

    monkeypatch.setattr(plugins, "child", child)
    again = Session(bundle)
    assert again.choice is not None
    assert again.choice.compiled_ahead
    assert sum("Qualcomm" in record.message for record in caplog.records) == 1
    x = images(3)
    got, wanted = again.run({"images": x})["logits"], Session(graph).run({"images": x})["logits"]
    assert got.shape == wanted.shape
    assert selftest.similarity(wanted, got) > 0.99
    assert np.array_equal(got[1:2], again.run({"images": x[1:2]})["logits"])
    into = np.empty_like(got)
    again._accelerated.bind({"images": x}, {"logits": into})()
    assert np.array_equal(into, got)


@needs_qnn
def test_a_compiled_graph_that_was_altered_is_compiled_again(bundle):
    Session(bundle)
    (path,) = context.folder().glob("*.onnx")
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    choice = Session(bundle).choice
    assert choice.compiled_ahead
    assert "altered or cut short; compiled again" in str(choice)
    assert len(path.read_bytes()) == len(whole)
    assert Session(bundle).choice.rejected == ()


@needs_qnn
def test_a_simulation_is_not_taken_for_hardware(bundle):
    session = Session(bundle, accelerators="hardware")
    assert str(session.choice) == "cpu; not Qualcomm HTP: offers a simulation on this machine, and no NPU"
    assert not context.folder().exists()


@needs_qnn
def test_a_server_takes_no_simulator(bundle):
    session, _ = Models(Limits())._open(bundle.path)
    assert "offers a simulation" in str(session.choice)


@needs_qnn
def test_an_encrypted_bundle_leaves_no_compiled_graph_behind(bundle, tmp_path):
    pytest.importorskip("cryptography")
    sealed = bundle.sealed(tmp_path / "sealed.bundle", bytes(32))
    choice = Session(sealed).choice
    assert (choice.label, choice.compiled_ahead) == ("Qualcomm HTP", False)
    assert {path.suffix for path in context.folder().iterdir()} == {".trial"}


@needs_qnn
def test_too_little_memory_is_a_reason(bundle, tmp_path):
    code = f"""if True:
        import resource, sys
        from edge_runtime import Session
        from edge_runtime.accelerators import automatic, trial
        from edge_runtime.engines import plugins
        from edge_runtime.accelerators.candidates import KNOWN
        Session({str(bundle.path)!r}, accelerators=False).run({{"images": __import__("numpy").ones((1, 3, 8, 8), "f")}})
        plugins.devices(KNOWN["qnn"].provider, KNOWN["qnn"].located())
        limit = trial._mapped() + (int(sys.argv[1]) << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        session = Session({str(bundle.path)!r}, threads=1)
        session.run({{"images": __import__("numpy").ones((1, 3, 8, 8), "f")}})
        print(session.choice)"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    for megabytes in (8, 64):
        command = [sys.executable, "-c", code, str(megabytes)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("cpu; not Qualcomm HTP"), done.stdout


def test_a_library_that_crashes_or_is_missing(graph, tmp_path):
    source = tmp_path / "crash.c"
    source.write_text(CRASH)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "crash.so", source], check=True)
    for library, reason in (
        (tmp_path / "crash.so", "dies from SIGSEGV"),
        ("/nowhere.so", "no such provider library"),
    ):
        target = target_file(tmp_path, f'name = "mine"\nprovider = "P"\nlibrary = "{library}"')
        session = Session(packed(graph, tmp_path / "m.bundle", target))
        assert reason in str(session.choice)
        assert session.run({"images": images(2)})["logits"].shape == (2, 4)


@pytest.mark.parametrize("name", ["intel-npu", "ascend-310", "rk3588-npu", "ethos-u55"])
def test_a_device_that_is_not_this_one_falls_back_and_says_so(graph, tmp_path, name, caplog):
    session = Session(packed(graph, tmp_path / "m.bundle", name))
    assert session.choice.session is None
    assert str(session.choice).startswith("cpu; not ")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert session.run({"images": images(1)})["logits"].shape == (1, 4)


def test_what_asks_for_none_gets_none(bundle, graph, tmp_path):
    for session in (
        Session(bundle, accelerators=False),
        Session(bundle, engine="onnxruntime"),
        Session(bundle, providers=["CPUExecutionProvider"]),
        Session(graph),
        Session(packed(graph, tmp_path / "x.bundle", "x86-64")),
    ):
        assert session.choice is None
        assert session.engine == "onnxruntime"
    with pytest.raises(InputError, match="expected 'auto', 'hardware' or False"):
        Session(bundle, accelerators="fast")


def test_an_ordinary_target_imports_nothing_for_it(graph, tmp_path):
    packed(graph, tmp_path / "x.bundle", "x86-64")
    code = f"""if True:
        import sys
        from edge_runtime import Session
        Session({str(tmp_path / "x.bundle")!r})
        print([name for name in sys.modules if "accelerators" in name])"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class _Failing:
    """An accelerator's session that gives one answer and then fails."""

    def __init__(self) -> None:
        self.calls = 0

    def get_inputs(self):
        return [type("Input", (), {"shape": ["n", 3, 8, 8]})]

    def get_outputs(self):
        return [type("Output", (), {"name": "logits"})]

    def run(self, _names, inputs):
        self.calls += 1
        if self.calls > 1:
            raise RuntimeError("the device was reset")
        return [np.zeros((len(inputs["images"]), 4), np.float32)]


def test_one_that_fails_later_is_left_for_good(bundle, graph):
    ordinary = Session(graph)
    engine = automatic.Accelerated(bundle, Choice("NPU", _Failing()), lambda: ordinary)
    assert not engine.run({"images": images(1)})["logits"].any()
    for _ in range(2):
        got = engine.run({"images": images(2)})["logits"]
        assert np.array_equal(got, ordinary.run({"images": images(2)})["logits"])
    assert str(engine.choice) == "cpu; not NPU: failed while running: the device was reset"


@pytest.mark.parametrize(
    ("inputs", "outputs", "reason"),
    [
        ([("n", 3)], [("n", 2)], ""),
        ([(1, 3)], [(1, 2)], ""),
        ([("n", "length")], [("n", 2)], "the length 'length' varies"),
        ([("n", 3), (1, 2)], [("n", 2)], "have a batch that varies"),
    ],
)
def test_a_length_that_varies_is_no_batch(inputs, outputs, reason):
    made = [
        tuple(TensorSpec(f"t{k}", "float32", s) for k, s in enumerate(each)) for each in (inputs, outputs)
    ]
    said = automatic._varying(*made)
    assert reason in said
    assert bool(reason) == bool(said)


@needs_qnn
def test_a_bundle_carries_what_was_compiled_for_its_chip(bundle, tmp_path, monkeypatch, capfd):
    out = tmp_path / "out.bundle"
    call = ["accelerate", str(bundle.path), "--compile", "-o", str(out), "--json"]
    assert main(call) == 0
    shipped = {
        name: Bundle.open(out).read(name) for name in Bundle.open(out).manifest.files if "context." in name
    }
    assert {Path(name).suffix for name in shipped} == {".onnx", ".json"}
    monkeypatch.setenv("LITTORAL_CACHE", str(tmp_path / "device"))
    assert Session(out).choice.compiled_ahead
    for name, content in shipped.items():
        assert (context.folder() / name.removeprefix("context.")).read_bytes() == content
    # One for another chip is compiled again for this one.
    graph = bundle.read("infer.onnx")
    v75 = candidate({"name": "qnn", "options": {"htp_arch": "75", "soc_model": "57"}}, "here")
    other = context.compile_context(tmp_path / "other", graph, v75, {"n": 1}).read_bytes()
    (name,) = (name for name in shipped if name.endswith(".onnx"))
    note = json.loads(shipped[name.removesuffix("onnx") + "json"]) | {
        "sha256": hashlib.sha256(other).hexdigest()
    }
    wrong = {name: other, name.removesuffix("onnx") + "json": json.dumps(note).encode()}
    swapped = bundle.rewritten(tmp_path / "swapped.bundle", bundle.manifest, wrong)
    monkeypatch.setenv("LITTORAL_CACHE", str(tmp_path / "third"))
    choice = Session(swapped).choice
    assert choice.compiled_ahead
    assert (context.folder() / name.removeprefix("context.")).read_bytes() != other


def test_what_was_not_compiled_goes_into_no_bundle(bundle, tmp_path, capsys):
    out = tmp_path / "out.bundle"
    graph = tmp_path / "m.onnx"
    graph.write_bytes(bundle.read("infer.onnx"))
    for source, sentence in (
        (graph, "into a bundle that is not encrypted"),
        (bundle.path, "nothing was compiled"),
    ):
        assert main(["accelerate", str(source), "--target", "ascend-310", "-o", str(out)]) == 2
        assert sentence in capsys.readouterr().err
    call = ["accelerate", str(graph), "--target", "ascend-310"]
    for more, sentence in (
        (["-o", str(tmp_path / "a.tflite")], "has no form of its own; a .bundle takes"),
        (["--min-share", "2"], "expected a share between 0 and 1"),
    ):
        assert main([*call, *more]) == 2
        assert sentence in capsys.readouterr().err
    assert not list(tmp_path.glob("*.tflite"))
    assert not out.exists()


def _died(code: int, said: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.CompletedProcess([], code, b"", said)


@pytest.mark.parametrize(
    ("done", "reason", "kept"),
    [
        (_died(-signal.SIGSEGV), "a process that tries it dies from SIGSEGV$", True),
        (_died(-signal.SIGKILL), "dies from SIGKILL, perhaps for want of memory", False),
        (_died(1, b"Traceback\nMemoryError: no\n"), "fails: MemoryError: no", False),
    ],
)
def test_a_trial_that_dies_is_remembered_unless_memory_ran_out(monkeypatch, tmp_path, done, reason, kept):
    tried = []

    def child(*_args):
        tried.append(1)
        return done

    monkeypatch.setattr(plugins, "child", child)
    library = tmp_path / "p.so"
    library.write_text("")
    for _ in range(2):
        with pytest.raises(BackendError, match=reason):
            trial.ensure(tmp_path, b"graph", Candidate("c", "P", library=str(library)), {}, keep=True)
    assert len(tried) == (1 if kept else 2)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"library": "x"}'])
def test_a_verdict_that_cannot_be_read_is_none(tmp_path, text):
    (tmp_path / "v.trial").write_text(text)
    assert trial._known(tmp_path / "v.trial", "x") is None


@pytest.mark.parametrize("target", [pytest.param("qnn-htp", marks=needs_qnn), "intel-npu"])
def test_a_command_says_it_on_stderr_and_keeps_stdout_clean(graph, tmp_path, target, monkeypatch):
    packed(graph, tmp_path / "m.bundle", target)
    np.savez(tmp_path / "x.npz", x=images(2))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "edge_runtime", "run", "m.bundle", "--input", "x.npz", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path)
    assert json.loads(done.stdout)["n"] == 2
    said = [line for line in done.stderr.splitlines() if line.startswith("m.bundle: ")]
    assert len(said) == 1
    assert "Qualcomm HTP" in said[0] or "not Intel NPU: onnxruntime-ep-openvino is not installed" in said[0]


def test_every_known_one_says_how_to_get_it():
    assert all(each.install for each in KNOWN.values())
