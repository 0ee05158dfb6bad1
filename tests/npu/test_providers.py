"""Providers in their own wheels: one runs a target's own plug-in, the others fall back on their real error."""

import re

import pytest

from edge_runtime import Manifest, Session
from edge_runtime.accelerators import selftest
from edge_runtime.bundle import pack
from tests.models import cnn
from tests.npu import models
from tests.npu.environments import python, run

pytestmark = [pytest.mark.npu, pytest.mark.slow]

CODE = """
import sys
import numpy as np
from edge_runtime import Session, tensors
session = Session({path!r})
print(session.choice)
print({{name: out.shape for name, out in session.run(tensors.example(session.inputs)).items()}})
"""


def chosen(environment: str, path, cache) -> str:
    said = run(environment, CODE.format(path=str(path)), LITTORAL_CACHE=str(cache))
    assert "'logits': (1, 4)" in said or "'y': " in said
    return said.splitlines()[0]


@pytest.mark.parametrize(
    ("environment", "target", "reason"),
    [
        ("openvino", "intel-npu", "not Intel NPU: its library was loaded but offers no device here"),
        ("cann", "ascend-310", "not Huawei Ascend: create CANN ExecutionProvider fail"),
        ("nxrt", "ascend-310", "not Huawei Ascend: CANNExecutionProvider is not built into onnxruntime"),
    ],
)
def test_without_the_hardware_it_is_the_cpu_for_the_real_reason(environment, target, reason, tmp_path):
    path = tmp_path / "m.bundle"
    models.bundle(cnn().SerializeToString(), path, target)
    said = chosen(environment, path, tmp_path / "cache")
    assert said.startswith("cpu; ")
    assert reason in said


def test_openvino_runs_the_whole_graph_on_this_processor(tmp_path):
    target = tmp_path / "device.toml"
    target.write_text(
        'name = "device"\nsummary = "-"\narch = "x86_64"\ncores = 1\nram_mib = 1\n'
        '[[accelerators]]\nname = "OpenVINO"\nprovider = "OpenVINOExecutionProvider"\ndevice = "CPU"\n'
        'options = { device_type = "CPU" }\n'
    )
    graph, path = cnn().SerializeToString(), tmp_path / "m.bundle"
    models.bundle(graph, path, str(target))
    said = chosen("openvino-cpu", path, tmp_path / "cache")
    assert re.fullmatch(r"OpenVINO: (\d+) of \1 nodes", said)


PLUGIN = """
<ir_version: 9, opset_import: ["": 17]>
net (float[1, 3, 16, 16] x) => (float[1, 8, 8, 5] y)
<float[8, 3, 3, 3] w1, float[8, 1, 3, 3] w2, float[8, 5] m>
{
    a = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(x, w1)
    b = Relu(a)
    c = Conv<pads = [1, 1, 1, 1], group = 8>(b, w2)
    d = Relu(c)
    y = MatMul(d, m)
}
"""


def test_a_target_s_own_plug_in_runs_the_whole_graph(tmp_path):
    import numpy as np
    import onnx.parser
    from onnx import numpy_helper

    model = onnx.parser.parse_model(PLUGIN)
    rng = np.random.default_rng(0)
    del model.graph.initializer[:]
    for name, shape in (("w1", (8, 3, 3, 3)), ("w2", (8, 1, 3, 3)), ("m", (8, 5))):
        values = 0.3 * rng.standard_normal(shape)
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    graph = model.SerializeToString()
    (library,) = python("nxrt").parents[1].glob("lib/python*/site-packages/nxrt_ep_cpu/*.so")
    target = tmp_path / "device.toml"
    target.write_text(
        'name = "device"\nsummary = "-"\narch = "x86_64"\ncores = 1\nram_mib = 1\n'
        f'[[accelerators]]\nname = "nxrt"\nprovider = "cpu_ep"\ndevice = "CPU"\nlibrary = "{library}"\n'
    )
    session = Session(graph)
    test = selftest.made(session.inputs, session.run)
    manifest = Manifest("m", str(target), session.inputs, session.outputs)
    pack(tmp_path / "m.bundle", manifest, {"infer.onnx": graph, selftest.FILE: test.to_bytes()})
    said = chosen("nxrt", tmp_path / "m.bundle", tmp_path / "cache")
    assert said.startswith("nxrt: 5 of 5 nodes")
    assert "OrtEp::Compile() returned a NULL EPContext node" in said  # why it is not compiled ahead
