"""Training steps against torch: the same losses and weights, step after step."""

import json
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (as everyone writes it)
from onnx import helper, numpy_helper, parser

from converter.differentiate import METADATA, differentiate, evaluation_graph
from converter.trainable import pack_trainable, tensor_data
from edge_runtime.errors import ModelError

Arrays = dict[str, np.ndarray]

MLP = """<ir_version: 10, opset_import: ["" : 21]>
mlp (float[n,6] x) => (float[n,3] logits) <float[8,6] w1, float[8] b1, float[3,8] w2, float[3] b2> {
  h = Gemm<transB = 1>(x, w1, b1)
  r = Relu(h)
  logits = Gemm<transB = 1>(r, w2, b2)
}"""

WITHOUT_RULE = "o = Optional(h) r = OptionalGetElement(o)"

BATCH_NORM = """<ir_version: 10, opset_import: ["" : 21]>
bn (float[n,2,6,6] x) => (float[n,3] logits)
<float[4,2,3,3] w1, float[4] s, float[4] b, float[4] mean, float[4] var, float[3,4] w2, float[3] b2> {
  c = Conv<pads = [1,1,1,1]>(x, w1)
  m = BatchNormalization<momentum = 0.8>(c, s, b, mean, var)
  r = Relu(m)
  p = GlobalAveragePool(r)
  f = Flatten(p)
  logits = Gemm<transB = 1>(f, w2, b2)
}"""


def model(text: str, seed: int = 0) -> onnx.ModelProto:
    """Parse, and fill the declared weights with numbers."""
    made = parser.parse_model(text)
    rng = np.random.default_rng(seed)
    for value in made.graph.value_info:
        content = rng.standard_normal([dim.dim_value for dim in value.type.tensor_type.shape.dim]) * 0.5
        content = np.abs(content) + 0.5 if value.name in ("var", "s") else content
        made.graph.initializer.append(numpy_helper.from_array(content.astype(np.float32), value.name))
    del made.graph.value_info[:]
    onnx.checker.check_model(made, full_check=True)
    return made


def table(step: onnx.ModelProto) -> dict:
    return json.loads(next(entry.value for entry in step.metadata_props if entry.key == METADATA))


def weights(made: onnx.ModelProto) -> Arrays:
    return {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in made.graph.initializer}


def train(
    step: onnx.ModelProto, initial: Arrays, batches: list[tuple[np.ndarray, np.ndarray]], lr: float
) -> tuple[list[float], Arrays]:
    """Run the graph with plain numpy feeding."""
    roles = table(step)
    session = onnxruntime.InferenceSession(step.SerializeToString())
    shapes = {value.name: value.shape for value in session.get_inputs()}
    kept = {name: initial[name].copy() for name in roles["parameters"]}
    kept |= {name: np.zeros(shapes[name], np.float32) for name in roles["state"]}
    replaced = roles["parameters"] | roles["state"]
    losses = []
    for x, y in batches:
        feeds = {
            roles["data"][0]: x,
            roles["labels"]: y,
            roles["learning_rate"]: np.array(lr, np.float32),
            **kept,
        }
        loss, *new = session.run([roles["loss"], *replaced.values()], feeds)
        losses.append(float(loss))
        kept = dict(zip(replaced, map(np.asarray, new), strict=True))
    return losses, {name: kept[name] for name in roles["parameters"]}


def torch_mlp(x: torch.Tensor, p: dict[str, torch.Tensor]) -> torch.Tensor:
    return F.linear(F.relu(F.linear(x, p["w1"], p["b1"])), p["w2"], p["b2"])


def torch_bn(x: torch.Tensor, p: dict[str, torch.Tensor]) -> torch.Tensor:
    c = F.conv2d(x, p["w1"], padding=1)
    m = F.batch_norm(c, p["mean"], p["var"], p["s"], p["b"], training=True, momentum=0.2)
    return F.linear(F.relu(m).mean((2, 3)), p["w2"], p["b2"])


def some_batches(
    shape: tuple[int, ...], sizes: tuple[int, ...] = (7, 4, 7, 1, 5, 7)
) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(3)
    return [(rng.standard_normal((n, *shape)).astype(np.float32), rng.integers(0, 3, n)) for n in sizes]


OPTIMIZERS: dict[str, tuple[dict, Callable[..., torch.optim.Optimizer]]] = {
    "sgd": ({}, lambda p: torch.optim.SGD(p, 0.1)),
    "momentum": ({"momentum": 0.9}, lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)),
    "weight decay": ({"weight_decay": 0.01}, lambda p: torch.optim.SGD(p, 0.1, weight_decay=0.01)),
    "adam": ({"optimizer": "adam"}, lambda p: torch.optim.Adam(p, 0.1)),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    ("text", "form", "shape"), [(MLP, torch_mlp, (6,)), (BATCH_NORM, torch_bn, (2, 6, 6))]
)
def test_every_step_is_as_in_torch(text: str, form: Callable, shape: tuple[int, ...], optimizer: str) -> None:
    arguments, make = OPTIMIZERS[optimizer]
    made = model(text)
    batches = some_batches(shape)
    losses, final = train(differentiate(made, **arguments), weights(made), batches, 0.1)
    p = {
        name: torch.tensor(w, requires_grad=name not in ("mean", "var")) for name, w in weights(made).items()
    }
    solver = make([w for w in p.values() if w.requires_grad])
    for (x, y), loss in zip(batches, losses, strict=True):
        solver.zero_grad()
        want = F.cross_entropy(form(torch.tensor(x), p), torch.tensor(y))
        want.backward()
        solver.step()
        assert loss == pytest.approx(want.item(), rel=1e-4, abs=1e-6)
    for name, w in final.items():
        np.testing.assert_allclose(w, p[name].detach().numpy(), rtol=1e-3, atol=1e-4, err_msg=name)


def test_mean_squared_error() -> None:
    made = model(MLP)
    batches = [(x, np.tile(y[:, None], 3).astype(np.float32)) for x, y in some_batches((6,))]
    losses, final = train(differentiate(made, loss="mse"), weights(made), batches, 0.1)
    p = {name: torch.tensor(w, requires_grad=True) for name, w in weights(made).items()}
    solver = torch.optim.SGD(p.values(), 0.1)
    for (x, y), loss in zip(batches, losses, strict=True):
        solver.zero_grad()
        want = F.mse_loss(torch_mlp(torch.tensor(x), p), torch.tensor(y))
        want.backward()
        solver.step()
        assert loss == pytest.approx(want.item(), rel=1e-4)
    np.testing.assert_allclose(final["w1"], p["w1"].detach().numpy(), rtol=1e-3, atol=1e-5)


def test_the_graph_describes_itself_and_uses_standard_operators_only() -> None:
    step = differentiate(model(BATCH_NORM), momentum=0.9)
    roles = table(step)
    onnx.checker.check_model(step, full_check=True)
    assert roles["data"] == ["x"]
    assert list(roles["parameters"]) == ["w1", "s", "b", "w2", "b2", "mean", "var"]
    assert list(roles["state"]) == ["w1.momentum", "s.momentum", "b.momentum", "w2.momentum", "b2.momentum"]
    assert {value.name for value in step.graph.input} == {
        "x",
        "labels",
        "lr",
        *roles["parameters"],
        *roles["state"],
    }
    outputs = {value.name for value in step.graph.output}
    assert outputs == {roles["loss"], *roles["parameters"].values(), *roles["state"].values()}
    assert {node.domain for node in step.graph.node} == {""}
    assert step.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_frozen_weights_stay_constants_and_their_batch_norm_keeps_its_statistics() -> None:
    step = differentiate(model(BATCH_NORM), trainable=["w2", "b2"])
    assert list(table(step)["parameters"]) == ["w2", "b2"]
    assert {"w1", "s", "b", "mean", "var"} <= {tensor.name for tensor in step.graph.initializer}
    assert not any(node.op_type in ("ConvTranspose", "Greater") for node in step.graph.node)
    made = model(BATCH_NORM)
    losses, _ = train(step, weights(made), some_batches((2, 6, 6))[:1], 0.1)
    (x, y), w = some_batches((2, 6, 6))[0], {k: torch.tensor(v) for k, v in weights(made).items()}
    c = F.batch_norm(F.conv2d(torch.tensor(x), w["w1"], padding=1), w["mean"], w["var"], w["s"], w["b"])
    want = F.cross_entropy(F.linear(F.relu(c).mean((2, 3)), w["w2"], w["b2"]), torch.tensor(y))
    assert losses[0] == pytest.approx(want.item(), rel=1e-5)


def test_a_step_does_not_write_into_what_it_reads() -> None:
    """onnxruntime's batch normalisation overwrites its running statistics; ours are private copies."""
    made = model(BATCH_NORM)
    before, copies = weights(made), weights(made)
    step = differentiate(made)
    session = onnxruntime.InferenceSession(step.SerializeToString())
    x, y = some_batches((2, 6, 6))[0]
    session.run(None, {"x": x, "labels": y, "lr": np.array(0.1, np.float32), **before})
    for name, array in copies.items():
        np.testing.assert_array_equal(before[name], array, name)


def test_a_final_softmax_is_part_of_the_loss() -> None:
    text = MLP.replace("logits = Gemm", "z = Gemm").replace(
        "(r, w2, b2)", "(r, w2, b2)\n  logits = Softmax(z)"
    )
    batches = some_batches((6,))
    made = model(text)
    assert train(differentiate(made), weights(made), batches, 0.1)[0] == pytest.approx(
        train(differentiate(model(MLP)), weights(model(MLP)), batches, 0.1)[0], rel=1e-6
    )
    assert evaluation_graph(made).graph.output[0].name == "z"


@pytest.mark.parametrize("flatten", ["Flatten(p)", "Reshape(p, fixed)", "Reshape(p, whole)"])
def test_a_fixed_batch_becomes_free(flatten: str) -> None:
    text = (
        BATCH_NORM.replace("float[n,", "float[1,")
        .replace("Flatten(p)", flatten)
        .replace("float[3] b2>", "float[3] b2, int64[2] fixed = {1, -1}, int64[2] whole = {1, 4}>")
    )
    made = model(text)
    losses, _ = train(differentiate(made), weights(made), some_batches((2, 6, 6)), 0.1)
    want, _ = train(differentiate(model(BATCH_NORM)), weights(made), some_batches((2, 6, 6)), 0.1)
    assert losses == pytest.approx(want, rel=1e-6)


def test_older_opsets_are_brought_up() -> None:
    old = BATCH_NORM.replace('"" : 21', '"" : 13').replace("ir_version: 10", "ir_version: 7")
    made = model(old)
    losses, _ = train(differentiate(made), weights(made), some_batches((2, 6, 6)), 0.1)
    want, _ = train(differentiate(model(BATCH_NORM)), weights(made), some_batches((2, 6, 6)), 0.1)
    assert losses == pytest.approx(want, rel=1e-6)


def test_masks_and_settings_are_not_weights() -> None:
    made = model(
        MLP.replace("Relu(h)", "Mul(g, half)")
        .replace("  r =", "  g = Add(h, mask)\n  r =")
        .replace("float[3] b2>", "float[3] b2, float[8] mask, float half = {0.5}>")
    )
    mask = next(tensor for tensor in made.graph.initializer if tensor.name == "mask")
    mask.CopyFrom(numpy_helper.from_array(np.array([0] * 7 + [-np.inf], np.float32), "mask"))
    assert list(table(differentiate(made))["parameters"]) == ["w1", "b1", "w2", "b2"]


def test_a_weight_without_influence_is_named() -> None:
    with pytest.raises(ModelError, match="trainable 'mean': the loss does not depend on it"):
        differentiate(model(BATCH_NORM), trainable=["w2", "mean"])


def test_the_same_arguments_give_the_same_bytes() -> None:
    first, second = (differentiate(model(BATCH_NORM)).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_the_evaluation_graph_runs_with_the_weights_it_is_given() -> None:
    made = model(BATCH_NORM)
    graph = evaluation_graph(made)
    x = some_batches((2, 6, 6))[0][0]
    feeds = {"x": x, **weights(made)}
    got = onnxruntime.InferenceSession(graph.SerializeToString()).run(None, feeds)[0]
    want = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": x})[0]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    assert {value.name for value in graph.graph.input} == {"x", *table(differentiate(made))["parameters"]}


@pytest.mark.parametrize(
    ("text", "arguments", "sentence"),
    [
        (MLP.replace("r = Relu(h)", WITHOUT_RULE), {}, r"node 'r' .*: no gradient rule for operator Optional"),
        (MLP, {"trainable": ["w11"]}, r"trainable 'w11': the model has no such weight \(did you mean 'w1'\?\)"),
        (MLP, {"trainable": []}, "no weights to train"),
        (MLP, {"loss": "hinge"}, "no loss 'hinge'; there are .*cross_entropy.* mse"),
        (MLP, {"optimizer": "lion"}, "no optimiser 'lion'"),
        (MLP.replace("x) =>", "x, float[n,8] z) =>").replace("Relu(h)", "Add(h, z)"), {}, "one data input; .* x, z"),
        (MLP.replace("(float[n,3] logits)", "(float[n,3] logits, float[n,8] h)"), {}, "one data output"),
        (MLP.replace("float[n,3]", "float[3]").replace("logits = Gemm<transB = 1>(r, w2, b2)",
            "z = Gemm<transB = 1>(r, w2, b2) o = Constant<value_ints = [0]>() logits = ReduceMean<keepdims = 0>(z, o)"),
         {}, r"node 'logits' \(ReduceMean\) fixes the batch length"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_said_in_one_sentence(text: str, arguments: dict, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence) as caught:
        differentiate(model(text), **arguments)
    assert "\n" not in str(caught.value)


def test_a_missing_rule_does_not_matter_before_the_trained_weights() -> None:
    differentiate(model(MLP.replace("r = Relu(h)", WITHOUT_RULE)), trainable=["w2", "b2"])


def test_offsets_point_at_the_weights(tmp_path) -> None:
    """Writing other bytes there changes that weight and nothing else."""
    made = model(BATCH_NORM)
    bundle = pack_trainable(made, tmp_path / "m.bundle", name="bn")
    again = pack_trainable(model(BATCH_NORM), tmp_path / "n.bundle", name="bn")
    assert bundle.path.read_bytes() == again.path.read_bytes()
    infer, places = bundle.read("infer.onnx"), json.loads(bundle.read("weights.json"))
    assert set(places) == set(table(onnx.load_from_string(bundle.read("train.onnx")))["parameters"])
    assert tensor_data(infer)["w2"] == (places["w2"]["offset"], places["w2"]["length"])
    before = weights(onnx.load_from_string(infer))
    for name, place in places.items():
        other = np.arange(before[name].size, dtype=np.float32).reshape(before[name].shape)
        changed = infer[: place["offset"]] + other.tobytes() + infer[place["offset"] + place["length"] :]
        after = weights(onnx.load_from_string(changed))
        for key in before:
            np.testing.assert_array_equal(after[key], other if key == name else before[key])


def test_offsets_of_a_model_with_every_wire_type() -> None:
    node = helper.make_node("Constant", [], ["c"], value_float=1.5)
    tensors = [
        numpy_helper.from_array(np.arange(300, dtype=np.float32), "long"),
        numpy_helper.from_array(np.ones(1), "one"),
    ]
    text = helper.make_model(
        helper.make_graph([node], "g", [], [], tensors), doc_string="x" * 200
    ).SerializeToString()
    places = tensor_data(text)
    offset, length = places["long"]
    np.testing.assert_array_equal(np.frombuffer(text[offset : offset + length], np.float32), np.arange(300))
    assert places["one"][1] == 8
