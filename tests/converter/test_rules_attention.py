"""Attention and the normalisations around it, against torch, with a batch that varies."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (as everyone writes it)
from onnx import parser

from converter.autodiff import gradient_graph
from converter.differentiate import METADATA, differentiate
from tests.converter.test_autodiff import against_torch, data, near

HEADER = '<ir_version: 10, opset_import: ["" : 23]>'


def compare(text: str, shapes: dict[str, tuple], torch_form, fixed: dict | None = None) -> None:
    """Two batch lengths, "n" in the shapes."""
    model = parser.parse_model(HEADER + text)
    graph = gradient_graph(model, list(shapes))
    onnx.checker.check_model(graph)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    for n in (2, 3):
        feeds = data(n, **{name: [n if d == "n" else d for d in shape] for name, shape in shapes.items()})
        tensors = {name: torch.tensor(x, requires_grad=True) for name, x in feeds.items()}
        out = torch_form(**tensors)
        dy = np.random.default_rng(7).standard_normal(out.shape)
        (out * torch.tensor(dy)).sum().backward()
        single = {name: x.astype(np.float32) for name, x in {**feeds, "cotangent": dy}.items()}
        got = session.run(None, {**single, **(fixed or {})})
        near(got[0], out.detach().numpy(), "y")
        for name, gradient in zip(shapes, got[1:], strict=True):
            near(gradient, tensors[name].grad.numpy(), name, 5e-5)


@pytest.mark.parametrize("causal", [0, 1])
def test_attention(causal: int) -> None:
    text = (
        "g(float[n,2,5,4] q, float[n,2,5,4] k, float[n,2,5,4] v) => (float[n,2,5,4] y) "
        f"{{ y = Attention<is_causal = {causal}>(q, k, v) }}"
    )
    shape = ("n", 2, 5, 4)
    compare(
        text,
        {"q": shape, "k": shape, "v": shape},
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=bool(causal)),
    )


def test_grouped_heads_in_three_axes() -> None:
    text = (
        "g(float[n,5,16] q, float[n,6,8] k, float[n,6,8] v) => (float[n,5,16] y) "
        "{ y = Attention<q_num_heads = 4, kv_num_heads = 2>(q, k, v) }"
    )

    def torch_form(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        q, k, v = (x.unflatten(2, (-1, 4)).transpose(1, 2) for x in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        return y.transpose(1, 2).flatten(2)

    compare(text, {"q": ("n", 5, 16), "k": ("n", 6, 8), "v": ("n", 6, 8)}, torch_form)


def test_a_row_that_may_look_at_nothing_has_a_gradient() -> None:
    text = (
        "g(float[1,1,2,4] q, float[1,1,3,4] k, float[1,1,3,4] v) => (float[1,1,2,4] y) "
        "<bool[2,3] mask = {0,0,0,1,0,1}> { y = Attention(q, k, v, mask) }"
    )
    graph = gradient_graph(parser.parse_model(HEADER + text), ["q", "k", "v"])
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    feeds = {
        name: x.astype(np.float32) for name, x in data(q=(1, 1, 2, 4), k=(1, 1, 3, 4), v=(1, 1, 3, 4)).items()
    }
    y, dq, dk, dv = session.run(None, {**feeds, "cotangent": np.ones((1, 1, 2, 4), np.float32)})
    assert not y[0, 0, 0].any()
    assert not dq[0, 0, 0].any()
    assert all(np.isfinite(x).all() and x.any() for x in (y, dq, dk, dv))


def test_rms_normalization() -> None:
    text = "g(float[n,3,6] x, float[6] s) => (float[n,3,6] y) { y = RMSNormalization<epsilon = 0.001>(x, s) }"
    compare(text, {"x": ("n", 3, 6), "s": (6,)}, lambda x, s: F.rms_norm(x, (6,), s, 1e-3))


def test_rotary_embedding_keeps_the_gradient_as_long_as_it_was() -> None:
    text = "g(float[2,2,3,4] x) => (float[2,2,3,4] y) { y = RotaryEmbedding(x, cos, sin, at) }"
    angles = np.arange(6).reshape(3, 2) * 0.5
    constants = {"cos": np.cos(angles), "sin": np.sin(angles)}
    model = parser.parse_model(HEADER + text)
    for name, content in constants.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(content.astype(np.float32), name))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.tile(np.arange(3), (2, 1)), "at"))
    session = onnxruntime.InferenceSession(gradient_graph(model, ["x"]).SerializeToString())
    dy = np.random.default_rng(0).standard_normal((2, 2, 3, 4)).astype(np.float32)
    _, dx = session.run(None, {"x": dy, "cotangent": dy})
    np.testing.assert_allclose(np.linalg.norm(dx, axis=-1), np.linalg.norm(dy, axis=-1), rtol=1e-5)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_group_normalization(groups: int) -> None:
    feeds = data(x=(3, 4, 5, 2), s=(4,), b=(4,))
    text = (
        "g(float[3,4,5,2] x, float[4] s, float[4] b) => (float[3,4,5,2] y) "
        f"{{ y = GroupNormalization<num_groups = {groups}, epsilon = 0.001>(x, s, b) }}"
    )
    against_torch(text, feeds, lambda x, s, b: F.group_norm(x, groups, s, b, 1e-3), ["x", "s", "b"])


def test_instance_normalization() -> None:
    feeds = data(x=(3, 4, 5, 2), s=(4,), b=(4,))
    text = (
        "g(float[3,4,5,2] x, float[4] s, float[4] b) => (float[3,4,5,2] y) "
        "{ y = InstanceNormalization<epsilon = 0.001>(x, s, b) }"
    )
    against_torch(
        text, feeds, lambda x, s, b: F.instance_norm(x, None, None, s, b, True, 0.1, 1e-3), ["x", "s", "b"]
    )


BLOCK = """<ir_version: 10, opset_import: ["" : 24]>
block (float[2,5,8] x) => (float[2,3] logits)
<float[8] s, float[8,24] qkv, float[8,16] gate, float[16,8] down, float[8,3] head, int64[1] time = {1}> {
  h = RMSNormalization(x, s)
  joint = MatMul(h, qkv)
  q, k, v = Split<axis = 2, num_outputs = 3>(joint)
  a = Attention<q_num_heads = 2, kv_num_heads = 2, is_causal = 1>(q, k, v)
  r = Add(x, a)
  u = MatMul(r, gate)
  w = Swish(u)
  d = MatMul(w, down)
  o = Add(r, d)
  p = ReduceMean<keepdims = 0>(o, time)
  logits = MatMul(p, head)
}"""


def block() -> onnx.ModelProto:
    model = parser.parse_model(BLOCK)
    rng = np.random.default_rng(0)
    for value in list(model.graph.value_info):
        shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
        content = (rng.standard_normal(shape) * 0.4 + (value.name == "s")).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(content, value.name))
    del model.graph.value_info[:]
    return model


def test_a_training_step_of_a_model_of_a_newer_opset() -> None:
    """Its operators stay what they are in the frozen part, and the loss falls with the batch that it fixed freed."""
    model = block()
    frozen = {node.op_type for node in differentiate(model, trainable=["head", "down"]).graph.node}
    assert {"Attention", "RMSNormalization"} <= frozen
    step = differentiate(model)
    assert "Attention" not in {node.op_type for node in step.graph.node}
    roles = json.loads(next(entry.value for entry in step.metadata_props if entry.key == METADATA))
    session = onnxruntime.InferenceSession(step.SerializeToString())
    weights = {
        t.name: onnx.numpy_helper.to_array(t)
        for t in model.graph.initializer
        if t.name in roles["parameters"]
    }
    assert set(weights) == {"s", "qkv", "gate", "down", "head"}
    rng = np.random.default_rng(1)
    feeds = {
        "x": rng.standard_normal((6, 5, 8)).astype(np.float32),
        roles["labels"]: rng.integers(0, 3, 6),
        roles["learning_rate"]: np.array(0.2, np.float32),
    }
    losses = []
    for _ in range(30):
        loss, *new = session.run([roles["loss"], *roles["parameters"].values()], {**feeds, **weights})
        losses.append(loss.item())
        weights = dict(zip(roles["parameters"], new, strict=True))
    assert losses[-1] < 0.3 * losses[0]
