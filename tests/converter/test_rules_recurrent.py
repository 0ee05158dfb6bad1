"""Unrolled RNN, GRU and LSTM against torch."""

import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import parser

from converter.autodiff import gradient_graph, weight_names
from tests.converter.test_autodiff import HEADER, Arrays, near

STEPS, INPUTS, HIDDEN = 5, 3, 4
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
# Where torch keeps the gates that ONNX names z r h and i o f c.
ORDER = {"RNN": [0], "GRU": [1, 0, 2], "LSTM": [0, 3, 1, 2]}
DIRECTIONS = {"forward": 1, "bidirectional": 2}


def weights(kind: str, directions: int, *, bias: bool = True) -> Arrays:
    rng = np.random.default_rng(2)
    size = GATES[kind] * HIDDEN
    shapes = {"W": (directions, size, INPUTS), "R": (directions, size, HIDDEN), "B": (directions, 2 * size)}
    return {name: rng.standard_normal(shape) * 0.5 for name, shape in shapes.items() if bias or name != "B"}


def in_torch(kind: str, tensors: dict[str, torch.Tensor], x: torch.Tensor, initial, lengths=None):
    """The same layer of torch, made of functions of these tensors, so that they get the gradients."""
    directions = tensors["W"].shape[0]
    layer = getattr(torch.nn, kind)(INPUTS, HIDDEN, bidirectional=directions == 2, dtype=torch.float64)
    given, size = {}, GATES[kind] * HIDDEN
    rows = [gate * HIDDEN + k for gate in ORDER[kind] for k in range(HIDDEN)]
    inverse = torch.tensor(np.argsort(rows)) if kind != "RNN" else torch.arange(HIDDEN)
    for d in range(directions):
        end = "_reverse" if d else ""
        given[f"weight_ih_l0{end}"] = tensors["W"][d][inverse]
        given[f"weight_hh_l0{end}"] = tensors["R"][d][inverse]
        given[f"bias_ih_l0{end}"] = tensors["B"][d, :size][inverse]
        given[f"bias_hh_l0{end}"] = tensors["B"][d, size:][inverse]
    if lengths is not None:
        x = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
    y, state = torch.func.functional_call(layer, given, (x, initial))
    if lengths is not None:
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=STEPS)
    y = y.reshape(STEPS, -1, directions, HIDDEN).permute(0, 2, 1, 3)
    return (y, *state) if kind == "LSTM" else (y, state)


@pytest.mark.parametrize(
    ("kind", "direction", "states", "lengths"),
    [
        *itertools.product(GATES, DIRECTIONS, [True, False], [False]),
        *itertools.product(GATES, ["bidirectional"], [True], [True]),
    ],
)
def test_against_torch(kind: str, direction: str, states: bool, lengths: bool) -> None:
    """All outputs at once, a batch that varies, and sequences of different lengths."""
    directions = DIRECTIONS[direction]
    made = weights(kind, directions)
    names = ["h", "c"][: 2 if kind == "LSTM" else 1] if states else []
    declared = [f"float[{','.join(map(str, w.shape))}] {name}" for name, w in made.items()]
    declared += [f"float[{directions},n,{HIDDEN}] {name}" for name in names]
    declared += ["int32[n] lens"] if lengths else []
    outputs = ["y", "last", "cell"][: 3 if kind == "LSTM" else 2]
    text = (
        f"g(float[{STEPS},n,{INPUTS}] x, {', '.join(declared)}) => (float loss) {{ "
        f'{", ".join(outputs)} = {kind}<hidden_size = {HIDDEN}, direction = "{direction}"'
        f"{', linear_before_reset = 1' if kind == 'GRU' else ''}>"
        f"(x, W, R, B, {'lens' if lengths else ''}{''.join(f', {name}' for name in names)}) "
        + " ".join(f"sin_{v} = Sin({v}) sum_{v} = ReduceSum<keepdims = 0>(sin_{v})" for v in outputs)
        + f" loss = Sum({', '.join(f'sum_{v}' for v in outputs)}) }}"
    )
    model = parser.parse_model(HEADER + text)
    onnx.checker.check_model(model)
    wanted = ["x", *made, *names]
    session = onnxruntime.InferenceSession(gradient_graph(model, wanted).SerializeToString())
    rng = np.random.default_rng(4)
    for n in (3, 1):
        feeds = {"x": rng.standard_normal((STEPS, n, INPUTS)), **made}
        feeds.update({name: rng.standard_normal((directions, n, HIDDEN)) for name in names})
        lens = np.array([5, 2, 4][:n], np.int32) if lengths else None
        tensors = {name: torch.tensor(v, requires_grad=True) for name, v in feeds.items()}
        initial = [tensors[name] for name in names]
        state = (tuple(initial) if kind == "LSTM" else initial[0]) if names else None
        loss = sum(torch.sin(v).sum() for v in in_torch(kind, tensors, tensors["x"], state, lens))
        loss.backward()
        single = {name: v.astype(np.float32) for name, v in feeds.items()}
        if lens is not None:
            single["lens"] = lens
        got = session.run(None, {**single, "cotangent": np.array(1, np.float32)})
        assert got[0] == pytest.approx(loss.item(), rel=1e-4)
        for name, gradient in zip(wanted, got[1:], strict=True):
            near(gradient, tensors[name].grad.numpy(), name)


def test_their_weights_are_found() -> None:
    text = (
        "g(float[5,n,3] x) => (float[5,1,n,4] y) <float[1,4,3] W, float[1,4,4] R> "
        "{ y, h = RNN<hidden_size = 4>(x, W, R) }"
    )
    model = parser.parse_model(HEADER + text)
    constants = {
        name: onnx.numpy_helper.from_array(w.astype(np.float32), name)
        for name, w in weights("RNN", 1).items()
    }
    assert weight_names(model.graph.node, constants, onnx.TensorProto.FLOAT) == ["W", "R"]


def test_weights_are_found_behind_what_rearranges_them() -> None:
    """As torch's exporter writes it: the gates in another order, the directions joined."""
    text = (
        "g(float[5,n,3] x) => (float[5,1,n,4] y) <float[12,3] w, float[12,4] r, float[12] b, float[12] c, "
        "int64[1] zero = {0}, int64[1] four = {4}, int64[1] eight = {8}, int64[1] twelve = {12}> { "
        "w1 = Slice(w, zero, four) w2 = Slice(w, four, eight) w3 = Slice(w, eight, twelve) "
        "w4 = Concat<axis = 0>(w2, w1, w3) w5 = Unsqueeze(w4, zero) r5 = Unsqueeze(r, zero) "
        "b4 = Concat<axis = 0>(b, c) b5 = Unsqueeze(b4, zero) y, h = GRU<hidden_size = 4>(x, w5, r5, b5) }"
    )
    model = parser.parse_model(HEADER + text)
    shapes = {"w": (12, 3), "r": (12, 4), "b": (12,), "c": (12,)}
    rng = np.random.default_rng(0)
    made = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    constants = {name: onnx.numpy_helper.from_array(w, name) for name, w in made.items()}
    names = weight_names(model.graph.node, constants, onnx.TensorProto.FLOAT)
    assert names == ["w", "r", "b", "c"]
    model.graph.initializer.extend(constants.values())
    del model.graph.value_info[:]
    session = onnxruntime.InferenceSession(gradient_graph(model, names).SerializeToString())
    x, dy = (rng.standard_normal(shape).astype(np.float32) for shape in ((5, 2, 3), (5, 1, 2, 4)))
    found = session.run([f"d/{name}" for name in names], {"x": x, "cotangent": dy})
    for name, gradient in zip(names, found, strict=True):
        assert gradient.shape == shapes[name]
        assert gradient.any()


@pytest.mark.parametrize(
    "attributes",
    [
        'activations = ["HardSigmoid", "Softsign", "Relu"], activation_alpha = [0.3], activation_beta = [0.4]',
        "clip = 0.3",
        "input_forget = 1",
        "layout = 0",
    ],
)
def test_rare_attributes_against_onnxruntime(attributes: str) -> None:
    """Peepholes, other activations and clipping: the unrolled forward pass against the operator itself."""
    text = (
        "g(float[5,2,3] x, float[1,16,3] W, float[1,16,4] R, float[1,32] B, float[1,12] P) => (float[5,1,2,4] y) "
        f"{{ y = LSTM<hidden_size = 4, {attributes}>(x, W, R, B, , , , P) }}"
    )
    model = parser.parse_model(HEADER + text)
    rng = np.random.default_rng(0)
    feeds = {
        value.name: rng.standard_normal([d.dim_value for d in value.type.tensor_type.shape.dim]).astype(
            np.float32
        )
        for value in model.graph.input
    }
    want = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)[0]
    graph = gradient_graph(model, list(feeds))
    assert "LSTM" not in {node.op_type for node in graph.graph.node}
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    got = session.run(None, {**feeds, "cotangent": np.ones_like(want)})
    np.testing.assert_allclose(got[0], want, rtol=1e-5, atol=1e-6)
    assert all(np.isfinite(gradient).all() and gradient.any() for gradient in got[1:])
