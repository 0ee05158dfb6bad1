"""Signed activations made unsigned: the same numbers to the bit, and nothing where more than Q and DQ know of them."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from compress import quantize
from converter.model import to_bytes
from edge_runtime.engines import open_engine
from edge_runtime.web.unsigned import unsigned
from tests.models import build, cnn, images

SHARED = """<ir_version: 10, opset_import: ["" : 21]>
net (float[n, 4] x) => (float[n, 4] y)
<float s = {0.1}, int8 z = {3}, int8[4, 4] w = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16}>
{
    q = QuantizeLinear(x, s, z)
    d = DequantizeLinear(q, s, z)
    v = DequantizeLinear(w, s, z)
    y = MatMul(d, v)
}
"""
BETWEEN = """<ir_version: 10, opset_import: ["" : 21]>
net (float[n, 4] x) => (float[n, 4] y) <float s = {0.1}, int8 z = {3}>
{
    q = QuantizeLinear(x, s, z)
    m = Neg(q)
    y = DequantizeLinear(m, s, z)
}
"""
PLAIN = """<ir_version: 10, opset_import: ["" : 21]>
net (float[n, 4] x) => (float[n, 4] y) <float s = {0.1}, int8 z = {-3}>
{
    q = QuantizeLinear(x, s, z)
    y = DequantizeLinear(q, s, z)
}
"""
TOLD = """<ir_version: 10, opset_import: ["" : 21]>
net (float[n, 4] x) => (float[n, 4] y, int8[n, 4] q) <float s = {0.1}, int8 z = {3}>
{
    q = QuantizeLinear(x, s, z)
    y = DequantizeLinear(q, s, z)
}
"""


def outputs(graph, x):
    engine = open_engine(
        "onnxruntime", graph, where="graph", threads=1, config={"session.qdqisint8allowed": "1"}
    )
    return engine.run({engine.inputs[0].name: x})[engine.outputs[0].name]


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_the_numbers_are_the_same(kind):
    graph = to_bytes(quantize(cnn(), images(8), activation=kind))
    made = unsigned(graph)
    assert len(made) == len(graph)
    model = onnx.load_from_string(made)
    onnx.checker.check_model(model, full_check=True)
    types = {each.name: each.data_type for each in model.graph.initializer}
    zeros = {types[node.input[2]] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    assert zeros == {onnx.TensorProto.UINT8}
    assert (made == graph) == (kind == "uint8")
    np.testing.assert_array_equal(outputs(made, images(3)), outputs(graph, images(3)))


def stored(text):
    """The model, its constants as the quantiser stores them."""
    model = build(text)
    for each in model.graph.initializer:
        each.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(each), each.name))
    return model.SerializeToString()


def test_two_bytes_change_for_a_zero_point():
    graph = stored(PLAIN)
    made = unsigned(graph)
    assert sum(a != b for a, b in zip(made, graph, strict=True)) == 2
    (zero,) = (each for each in onnx.load_from_string(made).graph.initializer if each.name == "z")
    assert numpy_helper.to_array(zero) == np.uint8(125)
    x = np.linspace(-20, 20, 64, dtype=np.float32).reshape(-1, 4)
    np.testing.assert_array_equal(outputs(made, x), outputs(graph, x))


@pytest.mark.parametrize("text", [SHARED, BETWEEN, TOLD], ids=["shared", "between", "told"])
def test_what_others_know_of_stays(text):
    assert unsigned(stored(text)) == stored(text)


def test_floats_and_what_is_no_model_stay():
    for content in (cnn().SerializeToString(), b""):
        assert unsigned(content) == content
