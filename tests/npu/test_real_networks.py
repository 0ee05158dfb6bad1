"""EfficientNet-Lite0 and MobileNetV2 on Qualcomm's NPU, simulated, for two chips, and on three of Arm's, compiled."""

import onnx
import pytest

from converter.lowering import lower
from edge_runtime import Session
from edge_runtime.accelerators import native, vela
from tests.edge_runtime.test_accelerators import needs_qnn
from tests.edge_runtime.test_npu_compilers import TARGETS, needs_vela, options
from tests.npu import models

pytestmark = pytest.mark.slow


@needs_qnn
@pytest.mark.parametrize("target", ["qnn-htp", "qnn-htp-v75"])
@pytest.mark.parametrize("name", models.NETWORKS)
def test_qualcomm_s_npu_answers_as_the_cpu_does(name, target, tmp_path, monkeypatch):
    monkeypatch.setenv("LITTORAL_CACHE", str(tmp_path / "cache"))
    graph, _, pictures = models.int8(name, "uint8")
    bundle = models.bundle(graph, tmp_path / "m.bundle", target)
    for _ in range(2):  # compiled, and then loaded as compiled
        session = Session(bundle, threads=1)
        choice = session.choice
        assert (choice.label, choice.compiled_ahead, choice.simulated) == ("Qualcomm HTP", True, True)
        assert choice.share > 0.95
    similarity, same = models.alike(Session(graph).run_batches(pictures)[0], session.run_batches(pictures)[0])
    assert similarity > 0.98
    assert same >= 0.85


@needs_vela
@pytest.mark.parametrize("name", models.NETWORKS)
def test_arm_s_npus_run_every_operator_within_their_memory(name):
    graph, samples, pictures = models.int8(name, "int8")
    lowered = lower(onnx.load_from_string(graph), native=True, samples=samples, lengths={"n": 1})
    for target in TARGETS:
        made = vela.compile_model(lowered, options(target))
        assert made.share == 1
        assert made.fits
        assert made.latency_ms < 50
    # What the NPU computes is what TFLite's integer kernels do.
    session = Session(graph)
    (got,) = native.run(lowered, {session.inputs[0].name: pictures}).values()
    similarity, same = models.alike(session.run_batches(pictures)[0], got)
    assert similarity > 0.98
    assert same >= 0.85
