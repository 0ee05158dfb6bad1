"""Accelerators: every way to fail ends on the CPU with a reason; Qualcomm's NPU compiles, and runs in its simulator."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress import Optimize, Quantize, Recipe
from compress.compress import apply
from compress.step import Work
from edge_runtime import Samples, Session, Target
from edge_runtime.__main__ import main
from edge_runtime.accelerators import context, reasons, selftest
from edge_runtime.accelerators.candidates import KNOWN, Candidate, candidate
from edge_runtime.accelerators.select import Rules, open_best
from edge_runtime.engines import plugins
from edge_runtime.errors import BackendError, TargetError
from edge_runtime.target import target_names
from tests.models import cnn, images

try:
    import onnxruntime_qnn
except ImportError:
    onnxruntime_qnn = None

# Where CI is set it has to be there.
needs_qnn = pytest.mark.skipif(
    onnxruntime_qnn is None and not os.environ.get("CI"), reason="needs onnxruntime-qnn"
)


@pytest.fixture(scope="module")
def graph():
    source = cnn()
    work = Work(Samples(images(16)), Target.load("qnn-htp"), source)
    return apply(Recipe((Optimize(), Quantize())), source, work).SerializeToString()


@pytest.fixture(scope="module")
def test(graph):
    session = Session(graph)
    return selftest.made(session.inputs, session.run)


def qnn(**options):
    return candidate({"name": "qnn", "options": options}, "here")


CHIP = {"htp_arch": "73", "soc_model": "43"}


@pytest.mark.parametrize("name", [name for name in KNOWN if name != "qnn"])
def test_what_is_not_here_falls_back_with_a_reason(graph, test, name):
    choice = open_best(graph, [KNOWN[name]], test)
    assert choice.label == "cpu"
    assert [other.label for other in choice.rejected] == [KNOWN[name].label]
    real = {"openvino": "onnxruntime-ep-openvino is not installed", "ethos-u": "no engine here runs it"}
    assert (
        real.get(name, f"{KNOWN[name].provider} is not built into onnxruntime") in choice.rejected[0].reason
    )
    assert KNOWN[name].install in choice.rejected[0].reason
    assert choice.rejected[0].reason in str(choice)


def test_a_library_that_is_missing_no_library_or_kills_its_process(graph, test, tmp_path):
    text = tmp_path / "text.so"
    text.write_text("no library")
    source = tmp_path / "crash.c"
    source.write_text("#include <stdlib.h>\n__attribute__((constructor)) void start(void) { abort(); }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "crash.so", source], check=True)
    names = ["/nowhere.so", str(text), str(tmp_path / "crash.so")]
    tried = [Candidate(f"c{k}", f"p{k}", library=path) for k, path in enumerate(names)]
    choice = open_best(graph, tried, test)
    reasons = [other.reason for other in choice.rejected]
    assert choice.label == "cpu"
    assert "no such provider library" in reasons[0]
    assert "cannot load it" in reasons[1]
    assert "dies from SIGABRT" in reasons[2]
    again = open_best(graph, tried, test)  # what killed a process is remembered
    assert [other.reason for other in again.rejected] == reasons


def test_a_model_that_nothing_runs_is_an_error(test):
    with pytest.raises(BackendError, match="no engine runs this model: cpu: "):
        open_best(b"nonsense", [], test)


def test_every_target_names_accelerators_that_are_known():
    for name in target_names():
        for entry in Target.load(name).accelerators:
            known = candidate(entry, name)
            assert known.provider or known.compiler


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"name": "qmn"}, "unknown accelerator 'qmn'.*did you mean 'qnn'"),
        ({"name": "mine", "library": "/l.so"}, "or give a provider, and a library if it is a plug-in"),
        ({"name": "qnn", "option": {}}, "has no field 'option'"),
    ],
)
def test_a_target_s_mistake_is_named(entry, sentence):
    with pytest.raises(TargetError, match=sentence):
        candidate(entry, "mine.toml")


def test_a_plug_in_of_a_target_s_own():
    made = candidate({"name": "mine", "provider": "P", "library": "/lib/p.so", "options": {"a": 1}}, "t")
    assert (made.label, made.plugin, made.resolved()) == ("mine", True, {"a": "1"})


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=20), st.floats(0.1, 10))
def test_similarity_ignores_scale_and_sees_sign(values, factor):
    x = np.array(values)
    if np.linalg.norm(x) > 1e-3:
        assert selftest.similarity(x, factor * x) == pytest.approx(1)
        assert selftest.similarity(x, -x) == pytest.approx(-1)


def test_the_self_test_comes_back_from_a_bundle(graph, test):
    again = selftest.stored(Session(graph).inputs, test.to_bytes())
    assert again.check(Session(graph).run(again.inputs), 0.999) > 0.999
    for bad in (np.full((1, 4), np.nan, np.float32), np.zeros((1, 5), np.float32), -test.outputs["logits"]):
        with pytest.raises(BackendError, match="self-test"):
            again.check({"logits": bad}, 0.9)


@needs_qnn
def test_the_qualcomm_npu_runs_in_its_simulator_and_says_so(graph, test):
    choice = open_best(graph, [qnn(**CHIP)], test)
    assert choice.label == "Qualcomm HTP"
    assert choice.simulated
    assert choice.share > 0.8
    assert choice.similarity > 0.99
    assert {op for op, _ in choice.on_cpu} <= {"QuantizeLinear", "DequantizeLinear", "Gemm"}


@needs_qnn
@pytest.mark.parametrize("library", ["libQnnCpu.so", "libQnnGpu.so", "libQnnSaver.so"])
def test_a_backend_that_runs_nothing_or_gives_noise_is_refused(graph, tmp_path, library):
    home = KNOWN["qnn"].resolved()["backend_path"].rpartition("/")[0]
    (tmp_path / "m.onnx").write_bytes(graph)
    code = f"""if True:
        from edge_runtime import Session
        from edge_runtime.accelerators import candidates, select, selftest
        session = Session({str(tmp_path / "m.onnx")!r})
        entry = {{"name": "qnn", "options": {{"backend_path": {f"{home}/{library}"!r}}}}}
        test = selftest.made(session.inputs, session.run)
        graph = open({str(tmp_path / "m.onnx")!r}, "rb").read()
        print(select.open_best(graph, [candidates.candidate(entry, "here")], test))"""
    # In a process of its own: the plug-in keeps the first backend that it loads.
    # It also writes down what it recorded, into the working folder.
    path = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=path)
    said = done.stdout.splitlines()[-1]
    assert said.startswith("cpu: ")
    assert "not Qualcomm HTP: runs 0 of" in said or "self-test" in said


@needs_qnn
def test_a_graph_compiled_ahead_is_used_for_its_chip_only(graph, test, tmp_path):
    for chip in (CHIP, {"htp_arch": "75", "soc_model": "57"}):
        made = context.compile_context(tmp_path, graph, qnn(**chip), test.lengths)
        choice = open_best(graph, [qnn(**chip)], test, rules=Rules(contexts=tmp_path))
        assert choice.compiled_ahead
        assert choice.similarity > 0.99
    other = context.place(tmp_path, graph, qnn(**CHIP))
    other.write_bytes(made.read_bytes())  # a binary for v75 where that for v73 belongs
    choice = open_best(graph, [qnn(**CHIP)], test, rules=Rules(contexts=tmp_path))
    assert not choice.compiled_ahead
    assert choice.label == "Qualcomm HTP"
    assert "was altered" in choice.rejected[0].reason


@needs_qnn
def test_what_the_binary_says_of_its_chip_is_compared(graph, test, tmp_path):
    path = context.compile_context(tmp_path, graph, qnn(**CHIP), test.lengths)
    found = plugins.devices("QNNExecutionProvider", KNOWN["qnn"].located())[0]
    session = plugins.open_plugin(
        path.read_bytes(), found, qnn(**CHIP).resolved(), plugins.options({}, 1, test.lengths)
    )
    text = plugins.compatibility(session)
    context.fits(text, qnn(**CHIP))
    with pytest.raises(BackendError, match="compiled for htp_arch 73, and this is 75"):
        context.fits(text, qnn(htp_arch="75", soc_model="57"))


@needs_qnn
def test_a_damaged_binary_falls_back_to_the_plain_graph(graph, test, tmp_path):
    path = context.compile_context(tmp_path, graph, qnn(**CHIP), test.lengths)
    path.write_bytes(path.read_bytes()[:-100])
    choice = open_best(graph, [qnn(**CHIP)], test, rules=Rules(contexts=tmp_path))
    assert (choice.label, choice.compiled_ahead) == ("Qualcomm HTP", False)
    assert "altered or cut short" in choice.rejected[0].reason


LOG = """2026 [V:onnxruntime:, x.cc:1 LogNodeSupport] Validation FAILED for 1 nodes in OrtNodeUnit (QuantizeLinear) :
\tOperator type: QuantizeLinear Node name: in q Node index: 0
\tREASON : It is configured not to.

2026 [V:onnxruntime:, x.cc:1 LogNodeSupport] Validation PASSED for 1 nodes in OrtNodeUnit (Conv) :
\tOperator type: Conv Node name: conv Node index: 4
 node_inputs:
 name=a type=T dataType=QNN_DATATYPE_UFIXED_POINT_8 rank=2
 name=b type=T dataType=QNN_DATATYPE_SFIXED_POINT_8 rank=2
 node_outputs:
 name=y type=T dataType=QNN_DATATYPE_FLOAT_32 rank=2
2026 [W:onnxruntime:, x.cc:5 Make] check() failed for node `gemm_8_2` of type `FullyConnected` with error code 3110
2026 [V:onnxruntime:, x.cc:1 LogNodeSupport] Validation FAILED for 2 nodes in OrtNodeUnit (Gemm) :
\tOperator type: DequantizeLinear Node name: w.dq Node index: 24
\tOperator type: Gemm Node name: gemm_8 Node index: 26
\tREASON : Failed to add node.
"""


def test_reasons_are_read_from_a_log():
    refused = "FullyConnected of ufixed_point_8, sfixed_point_8 giving float_32 is refused (error 3110)"
    wanted = {"in q": "It is configured not to.", "w.dq": refused, "gemm_8": refused}
    assert reasons.parse(LOG.splitlines()) == wanted
    assert reasons.parse(["nothing", "\tREASON : of nothing"]) == {}


@needs_qnn
def test_the_command_says_of_each_node_left_why(graph, tmp_path, capfd):
    path = tmp_path / "m.onnx"
    path.write_bytes(graph)
    call = ["accelerate", str(path), "--target", "qnn-htp", "--contexts", str(tmp_path)]
    assert main([*call, "--compile", "--json"]) == 0
    said = json.loads(capfd.readouterr().out)
    assert said["compiled_ahead"]
    assert said["reasons"].keys() == {name for _, name in said["on_cpu"]}
    assert any("giving float_32 is refused" in reason for reason in said["reasons"].values())
    assert main(call) == 0
    assert "configured to not take Q nodes that consume a graph input" in capfd.readouterr().out
