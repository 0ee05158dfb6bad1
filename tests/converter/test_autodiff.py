"""Every gradient rule against torch's autograd and against central differences, both in float64."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (as everyone writes it)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes
from onnx import parser
from onnx.reference import ReferenceEvaluator

from converter.autodiff import gradient_graph, infer_shapes

HEADER = '<ir_version: 10, opset_import: ["" : 21]>'
fast = settings(max_examples=20, deadline=None, derandomize=True)
Arrays = dict[str, np.ndarray]


def parse(text: str, kind: str = "float") -> onnx.ModelProto:
    model = parser.parse_model(HEADER + re.sub(r"\bfloat\b", kind, text))
    onnx.checker.check_model(model, full_check=True)
    return model


def gradients(text: str, feeds: Arrays, wanted: Sequence[str]) -> tuple[np.ndarray, np.ndarray, Arrays]:
    """The output, a random cotangent and the gradients, by the graph that we build, on onnxruntime in float32."""
    graph = gradient_graph(parse(text), wanted)
    onnx.checker.check_model(graph, full_check=True)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    single = {name: np.asarray(x, np.float32) if x.dtype.kind == "f" else x for name, x in feeds.items()}
    names = [value.name for value in parse(text).graph.output]
    forward = onnxruntime.InferenceSession(parse(text).SerializeToString()).run(names, single)[0]
    cotangent = np.asarray(np.random.default_rng(7).standard_normal(forward.shape))
    got = session.run(None, {**single, "cotangent": np.asarray(cotangent, np.float32)})
    np.testing.assert_allclose(got[0], forward, rtol=1e-5, atol=1e-6)
    return forward, cotangent, dict(zip(wanted, got[1:], strict=True))


def near(got: np.ndarray, want: np.ndarray, name: str, tolerance: float = 2e-5) -> None:
    assert got.shape == want.shape, name
    scale = max(1.0, float(np.abs(want).max(initial=0)))
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale, err_msg=name)


def against_torch(
    text: str, feeds: Arrays, torch_form: Callable[..., torch.Tensor], wanted: Sequence[str]
) -> None:
    """Compare with torch in float64."""
    forward, cotangent, got = gradients(text, feeds, wanted)
    tensors = {name: torch.tensor(x, requires_grad=name in wanted) for name, x in feeds.items()}
    out = torch_form(*tensors.values())
    near(forward, out.detach().numpy(), "forward", 1e-4)
    (out * torch.tensor(cotangent)).sum().backward()
    for name in wanted:
        grad = tensors[name].grad
        near(got[name], np.zeros(feeds[name].shape) if grad is None else grad.numpy(), name)


def against_differences(text: str, feeds: Arrays, wanted: Sequence[str]) -> None:
    """Compare one random directional derivative with central differences of ONNX's reference in float64."""
    _, cotangent, got = gradients(text, feeds, wanted)
    reference = ReferenceEvaluator(parse(text, "double"))
    rng, h = np.random.default_rng(11), 1e-6
    for name in wanted:
        direction = rng.standard_normal(feeds[name].shape)
        up, down = (
            reference.run(None, {**feeds, name: feeds[name] + sign * h * direction})[0] for sign in (1, -1)
        )
        want = ((up - down) / (2 * h) * cotangent).sum()
        scale = max(1.0, float(np.linalg.norm(direction) * np.linalg.norm(got[name])))
        assert abs((got[name] * direction).sum() - want) < 1e-5 * scale, name


def data(seed: int = 0, **shapes: Sequence[int]) -> Arrays:
    rng = np.random.default_rng(seed)
    return {name: np.asarray(rng.standard_normal(tuple(shape))) for name, shape in shapes.items()}


def dims(shape: Sequence[int]) -> str:
    return ",".join(map(str, shape))


def tensor(shape: Sequence[int], name: str) -> str:
    """A declaration; the text form of a scalar has no brackets."""
    return f"float[{dims(shape)}] {name}" if len(shape) else f"float {name}"


def signature(feeds: Arrays, out: Sequence[int]) -> str:
    return f"g({', '.join(tensor(x.shape, name) for name, x in feeds.items())}) => ({tensor(out, 'y')})"


# Operators of one input, each "y = OP(x)" with what torch calls it; x: [2, 3, 4], positive where that is needed.
UNARY: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], bool]] = {
    "Neg(x)": (torch.neg, False),
    "Abs(x)": (torch.abs, False),
    "Reciprocal(x)": (torch.reciprocal, True),
    "Sqrt(x)": (torch.sqrt, True),
    "Exp(x)": (torch.exp, False),
    "Log(x)": (torch.log, True),
    "Erf(x)": (torch.erf, False),
    "Identity(x)": (lambda x: x * 1, False),
    "Relu(x)": (F.relu, False),
    "LeakyRelu<alpha = 0.2>(x)": (lambda x: F.leaky_relu(x, 0.2), False),
    "Elu<alpha = 0.7>(x)": (lambda x: F.elu(x, 0.7), False),
    "Sigmoid(x)": (torch.sigmoid, False),
    "Tanh(x)": (torch.tanh, False),
    "Softplus(x)": (F.softplus, False),
    "HardSigmoid<alpha = 0.3, beta = 0.4>(x)": (lambda x: torch.clamp(0.3 * x + 0.4, 0, 1), False),
    "HardSwish(x)": (F.hardswish, False),
    "Gelu(x)": (F.gelu, False),
    'Gelu<approximate = "tanh">(x)': (lambda x: F.gelu(x, approximate="tanh"), False),
    "Softmax(x)": (lambda x: x.softmax(-1), False),
    "Softmax<axis = 1>(x)": (lambda x: x.softmax(1), False),
    "LogSoftmax<axis = 0>(x)": (lambda x: x.log_softmax(0), False),
    "Transpose(x)": (lambda x: x.permute(2, 1, 0), False),
    "Transpose<perm = [1, 2, 0]>(x)": (lambda x: x.permute(1, 2, 0), False),
    "Flatten<axis = 2>(x)": (lambda x: x.reshape(6, 4), False),
    "ReduceSum(x)": (lambda x: x.sum().reshape(1, 1, 1), False),
    "ReduceMean<keepdims = 0>(x)": (torch.mean, False),
    "Concat<axis = 1>(x, x)": (lambda x: torch.cat([x, x], 1), False),
    "Sum(x, x, x)": (lambda x: x + x + x, False),
    "Dropout(x)": (lambda x: x * 1, False),  # the test below is for its training form
}


@pytest.mark.parametrize("expression", [name for name in UNARY if not name.startswith("Dropout")])
def test_one_input(expression: str) -> None:
    torch_form, positive = UNARY[expression]
    feeds = data(x=(2, 3, 4))
    if positive:
        feeds["x"] = np.abs(feeds["x"]) + 0.2
    shape = torch_form(torch.tensor(feeds["x"])).shape
    text = f"{signature(feeds, shape)} {{ y = {expression} }}"
    against_torch(text, feeds, torch_form, ["x"])
    if not expression.startswith(("Erf", "Gelu")):  # ONNX's reference computes the error function in float32
        against_differences(text, feeds, ["x"])


@pytest.mark.parametrize(
    ("body", "torch_form"),
    [
        ("low = Constant<value_float = -0.5>() high = Constant<value_float = 0.8>() y = Clip(x, low, high)",
         lambda x: x.clamp(-0.5, 0.8)),
        ("high = Constant<value_float = 0.8>() y = Clip(x, , high)", lambda x: x.clamp(max=0.8)),
        ("s = Constant<value_ints = [4, -1]>() y = Reshape(x, s)", lambda x: x.reshape(4, 6)),
        ("a = Constant<value_ints = [0, 3]>() y = Unsqueeze(x, a)", lambda x: x[None, :, :, None]),
        ("a = Constant<value_ints = [1]>() z = Unsqueeze(x, a) y = Squeeze(z, a)", lambda x: x * 1),
        ("s = Constant<value_ints = [5, 2, 3, 4]>() y = Expand(x, s)", lambda x: x.expand(5, 2, 3, 4)),
        ("y = Add(x, x)", lambda x: 2 * x),
    ],
)  # fmt: skip
def test_constants_are_seen(body: str, torch_form: Callable[[torch.Tensor], torch.Tensor]) -> None:
    shape = torch_form(torch.zeros(2, 3, 4)).shape
    text = f"g(float[2,3,4] x) => (float[{dims(shape)}] y) {{ {body} }}"
    from converter.autodiff.canonical import lift_constants

    model = parse(text)
    lift_constants(model)
    lifted = re.sub(r"^<.*?>\s*", "", onnx.printer.to_text(model), flags=re.DOTALL)
    against_torch(lifted, data(x=(2, 3, 4)), torch_form, ["x"])


@pytest.mark.parametrize("axes", [[0], [1, 2], [-1], [0, 2]])
@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("kind", ["ReduceSum", "ReduceMean"])
def test_reductions(kind: str, keep: int, axes: list[int]) -> None:
    def torch_form(x: torch.Tensor) -> torch.Tensor:
        return (torch.sum if kind == "ReduceSum" else torch.mean)(x, dim=axes, keepdim=bool(keep))

    shape = torch_form(torch.zeros(2, 3, 4)).shape
    text = (
        f"g(float[2,3,4] x) => ({tensor(shape, 'y')}) <int64[{len(axes)}] a = {{{dims(axes)}}}> "
        f"{{ y = {kind}<keepdims = {keep}>(x, a) }}"
    )
    against_torch(text, data(x=(2, 3, 4)), torch_form, ["x"])


@pytest.mark.parametrize(
    ("starts", "stops", "axes"), [([1], [3], [1]), ([0, -3], [9, -1], [0, 2]), ([-2], [99], [2])]
)
def test_slices(starts: list[int], stops: list[int], axes: list[int]) -> None:
    where = [slice(None)] * 3
    for start, stop, axis in zip(starts, stops, axes, strict=True):
        where[axis] = slice(start, stop)
    shape = np.zeros((2, 4, 5))[tuple(where)].shape
    n = len(starts)
    text = (
        f"g(float[2,4,5] x) => (float[{dims(shape)}] y) <int64[{n}] a = {{{dims(starts)}}}, "
        f"int64[{n}] b = {{{dims(stops)}}}, int64[{n}] c = {{{dims(axes)}}}> {{ y = Slice(x, a, b, c) }}"
    )
    against_torch(text, data(x=(2, 4, 5)), lambda x: x[tuple(where)] * 1, ["x"])


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize(
    "indices", [np.array(2), np.array(-1), np.array([1, 1, -2]), np.array([[0, 2], [2, 2]])]
)
def test_gather(indices: np.ndarray, axis: int) -> None:
    length = f"[{dims(indices.shape)}]" if indices.ndim else ""
    shape = np.take(np.zeros((3, 4, 5)), indices, axis).shape
    text = (
        f"g(float[3,4,5] x) => ({tensor(shape, 'y')}) <int64{length} i = {{{dims(indices.ravel())}}}> "
        f"{{ y = Gather<axis = {axis}>(x, i) }}"
    )

    def torch_form(x: torch.Tensor) -> torch.Tensor:
        where = torch.tensor(indices % x.shape[axis]).reshape(-1)
        return x.index_select(axis, where).reshape(shape)

    against_torch(text, data(x=(3, 4, 5)), torch_form, ["x"])


BINARY: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "Add(a, b)": torch.add,
    "Sub(a, b)": torch.sub,
    "Mul(a, b)": torch.mul,
    "Div(a, b)": torch.div,
    "Sum(a, b)": torch.add,
}


@pytest.mark.parametrize("expression", BINARY)
@fast
@given(shapes=mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3))
def test_broadcasting(expression: str, shapes: Any) -> None:
    (first, second), result = shapes.input_shapes, shapes.result_shape
    feeds = data(a=first, b=second)
    feeds["b"] = np.asarray(np.sign(feeds["b"]) * (np.abs(feeds["b"]) + 0.3))  # also a divisor
    text = f"{signature(feeds, result)} {{ y = {expression} }}"
    against_torch(text, feeds, BINARY[expression], ["a", "b"])


@pytest.mark.parametrize("power", ["float p = {2.5}", "int64 p = {3}", "float[4] p = {1.5, 2.0, -1.0, 0.5}"])
def test_powers(power: str) -> None:
    exponent = torch.tensor(
        [float(v) for v in re.findall(r"[-\d.]+", power.split("{")[1])], dtype=torch.float64
    )
    feeds = {"x": np.abs(data(x=(3, 4))["x"]) + 0.5}
    against_torch(
        f"g(float[3,4] x) => (float[3,4] y) <{power}> {{ y = Pow(x, p) }}",
        feeds,
        lambda x: x**exponent,
        ["x"],
    )


def test_selection() -> None:
    feeds = {"c": np.random.default_rng(0).random((3, 4)) > 0.5, **data(a=(3, 4), b=(4,))}
    text = "g(bool[3,4] c, float[3,4] a, float[4] b) => (float[3,4] y) { y = Where(c, a, b) }"
    against_torch(text, feeds, torch.where, ["a", "b"])


@pytest.mark.parametrize("bias", [None, (3, 5), (5,), (3, 1), ()])
@pytest.mark.parametrize("transposed", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_gemm(transposed: tuple[int, int], bias: tuple[int, ...] | None) -> None:
    ta, tb = transposed
    feeds = data(a=(4, 3) if ta else (3, 4), b=(5, 4) if tb else (4, 5))
    if bias is not None:
        feeds.update(data(1, c=bias))
    text = (
        f"{signature(feeds, (3, 5))} "
        f"{{ y = Gemm<alpha = 0.5, beta = 2.0, transA = {ta}, transB = {tb}>({', '.join(feeds)}) }}"
    )

    def torch_form(a: torch.Tensor, b: torch.Tensor, *c: torch.Tensor) -> torch.Tensor:
        product = 0.5 * (a.T if ta else a) @ (b.T if tb else b)
        return product + 2 * c[0] if c else product

    against_torch(text, feeds, torch_form, list(feeds))
    against_differences(text, feeds, list(feeds))


@pytest.mark.parametrize(
    ("first", "second"),
    [((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 1, 3, 4), (6, 4, 5)), ((3, 4), (2, 4, 5)), ((4,), (4, 5)),
     ((3, 4), (4,)), ((4,), (4,)), ((4,), (2, 4, 5)), ((2, 3, 4), (4,)), ((2, 3, 4), (1, 4, 5))],
)  # fmt: skip
def test_matmul(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    feeds = data(a=first, b=second)
    shape = np.matmul(feeds["a"], feeds["b"]).shape
    text = f"{signature(feeds, shape)} {{ y = MatMul(a, b) }}"
    against_torch(text, feeds, torch.matmul, ["a", "b"])


CONV = (F.conv1d, F.conv2d, F.conv3d)


def conv_case(
    size: Sequence[int], channels: tuple[int, int], groups: int, kernel: Sequence[int], strides: Sequence[int],
    dilations: Sequence[int], pads: Sequence[int], batch: int = 2,
) -> None:  # fmt: skip
    rank = len(size)
    inputs, outputs = channels[0] * groups, channels[1] * groups
    feeds = data(x=(batch, inputs, *size), w=(outputs, channels[0], *kernel), b=(outputs,))

    def torch_form(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        both = [(pads[i], pads[rank + i]) for i in reversed(range(rank))]
        padded = F.pad(x, [p for pair in both for p in pair])
        return CONV[rank - 1](padded, w, b, tuple(strides), 0, tuple(dilations), groups)

    shape = torch_form(*map(torch.tensor, feeds.values())).shape
    text = (
        f"{signature(feeds, shape)} {{ y = Conv<group = {groups}, strides = [{dims(strides)}], "
        f"dilations = [{dims(dilations)}], pads = [{dims(pads)}]>(x, w, b) }}"
    )
    against_torch(text, feeds, torch_form, ["x", "w", "b"])


@settings(fast, max_examples=40)
@given(draw=st.data())
def test_conv_of_any_shape(draw: st.DataObject) -> None:
    rank = draw.draw(st.integers(1, 3))
    axis = st.integers(1, 3)
    kernel = [draw.draw(axis) for _ in range(rank)]
    dilations = [draw.draw(st.integers(1, 2)) for _ in range(rank)]
    pads = [draw.draw(st.integers(0, 2)) for _ in range(2 * rank)]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    size = [max(1, r - pads[i] - pads[rank + i]) + draw.draw(st.integers(0, 5)) for i, r in enumerate(reach)]
    strides = [draw.draw(axis) for _ in range(rank)]
    conv_case(size, (draw.draw(axis), draw.draw(axis)), draw.draw(axis), kernel, strides, dilations, pads)


@pytest.mark.parametrize(
    ("size", "channels", "groups", "kernel", "stride", "pad"),
    [
        pytest.param(15, (16, 8), 1, 3, 1, 1, id="batched"),
        pytest.param(7, (16, 8), 1, 3, 1, 1, id="unrolled"),
        pytest.param(9, (17, 8), 1, 3, 2, 1, id="unrolled, strided"),
        pytest.param(9, (3, 8), 1, 3, 2, 1, id="stacked"),
        pytest.param(9, (8, 4), 1, 1, 1, 0, id="pointwise"),
        pytest.param(3, (8, 4), 1, 1, 1, 0, id="pointwise, small"),
        pytest.param(8, (16, 4), 1, 1, 2, 0, id="pointwise, strided"),
        pytest.param(9, (1, 1), 6, 3, 1, 1, id="depthwise"),
        pytest.param(8, (1, 1), 6, 3, 2, 1, id="depthwise, strided"),
        pytest.param(7, (1, 2), 3, 5, 1, 2, id="depthwise, two filters a channel"),
        pytest.param(7, (2, 3), 4, 3, 1, 0, id="grouped"),
    ],
)  # fmt: skip
def test_conv_by_each_formulation(
    size: int, channels: tuple[int, int], groups: int, kernel: int, stride: int, pad: int
) -> None:
    conv_case([size] * 2, channels, groups, [kernel] * 2, [stride] * 2, [1, 1], [pad] * 4)


@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("stride", [1, 2])
def test_conv_with_automatic_padding(auto: str, stride: int) -> None:
    n = 4 if auto == "VALID" and stride == 1 else {1: 7, 2: 4}[stride] if auto != "VALID" else 2
    text = (
        f"g(float[2,2,7,7] x, float[3,2,4,4] w) => (float[2,3,{n},{n}] y) "
        f'{{ y = Conv<auto_pad = "{auto}", strides = [{stride},{stride}]>(x, w) }}'
    )
    against_differences(text, data(x=(2, 2, 7, 7), w=(3, 2, 4, 4)), ["x", "w"])


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
@fast
@given(draw=st.data())
def test_pooling_of_any_shape(kind: str, draw: st.DataObject) -> None:
    kernel = [draw.draw(st.integers(1, 3)) for _ in range(2)]
    strides = kernel if draw.draw(st.booleans()) else [draw.draw(st.integers(1, 3)) for _ in range(2)]
    pads = [draw.draw(st.integers(0, k // 2)) for k in kernel]
    size = [k + draw.draw(st.integers(0, 5)) for k in kernel]
    ceil, include = draw.draw(st.booleans()), draw.draw(st.booleans())

    def torch_form(x: torch.Tensor) -> torch.Tensor:
        if kind == "MaxPool":
            return F.max_pool2d(x, kernel, strides, pads, ceil_mode=ceil)
        return F.avg_pool2d(x, kernel, strides, pads, ceil, include)

    feeds = data(x=(2, 3, *size))
    shape = torch_form(torch.tensor(feeds["x"])).shape
    full = [-(-(n + 2 * p - k) // s) + 1 for n, p, k, s in zip(size, pads, kernel, strides, strict=True)]
    assume(not ceil or list(shape[2:]) == full)  # torch leaves out a last window that lies in the padding
    extra = f", count_include_pad = {int(include)}" if kind == "AveragePool" else ""
    text = (
        f"{signature(feeds, shape)} {{ y = {kind}<kernel_shape = [{dims(kernel)}], "
        f"strides = [{dims(strides)}], pads = [{dims(pads * 2)}], ceil_mode = {int(ceil)}{extra}>(x) }}"
    )
    against_torch(text, feeds, torch_form, ["x"])


def test_equal_maxima_share_the_gradient() -> None:
    text = (
        "g(float[1,1,2,4] x) => (float[1,1,1,2] y) { y = MaxPool<kernel_shape = [2,2], strides = [2,2]>(x) }"
    )
    x = np.array([[[[3.0, 3.0, 1.0, 0.0], [0.0, 3.0, 0.0, 0.0]]]])
    _, cotangent, got = gradients(text, {"x": x}, ["x"])
    third = cotangent[0, 0, 0, 0] / 3
    near(got["x"][0, 0], np.array([[third, third, cotangent[0, 0, 0, 1], 0], [0, third, 0, 0]]), "x")


def test_global_average_pool() -> None:
    text = "g(float[2,3,4,5] x) => (float[2,3,1,1] y) { y = GlobalAveragePool(x) }"
    against_torch(text, data(x=(2, 3, 4, 5)), lambda x: x.mean((2, 3), keepdim=True), ["x"])


@pytest.mark.parametrize("size", [(), (4,), (4, 5)])
@pytest.mark.parametrize("training", [True, False])
def test_batch_normalization(size: tuple[int, ...], training: bool) -> None:
    feeds = data(x=(6, 3, *size), s=(3,), b=(3,), m=(3,))
    feeds["v"] = np.abs(data(2, v=(3,))["v"]) + 0.5
    text = (
        f"{signature(feeds, feeds['x'].shape)} {{ y = BatchNormalization<epsilon = 0.001>(x, s, b, m, v) }}"
    )

    def torch_form(
        x: torch.Tensor, s: torch.Tensor, b: torch.Tensor, m: torch.Tensor, v: torch.Tensor
    ) -> torch.Tensor:
        return F.batch_norm(x, m.clone(), v.clone(), s, b, training, eps=1e-3)

    if not training:  # both weights are frozen: the running statistics stay
        against_torch(text, feeds, torch_form, ["x"])
        return
    graph = gradient_graph(parse(text), ["x", "s", "b"])
    cotangent = np.random.default_rng(7).standard_normal(feeds["x"].shape)
    single = {name: x.astype(np.float32) for name, x in {**feeds, "cotangent": cotangent}.items()}
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    given_names = {value.name for value in session.get_inputs()}
    got = session.run(None, {name: x for name, x in single.items() if name in given_names})
    tensors = {name: torch.tensor(x, requires_grad=name in "xsb") for name, x in feeds.items()}
    out = torch_form(*tensors.values())
    near(got[0], out.detach().numpy(), "y")
    (out * torch.tensor(cotangent)).sum().backward()
    for name, gradient in zip(["x", "s", "b"], got[1:], strict=True):
        near(gradient, tensors[name].grad.numpy(), name, 5e-5)


@pytest.mark.parametrize(("axis", "normalised"), [(-1, (4,)), (1, (3, 4))])
def test_layer_normalization(axis: int, normalised: tuple[int, ...]) -> None:
    feeds = data(x=(2, 3, 4), s=normalised, b=normalised)
    text = f"{signature(feeds, (2, 3, 4))} {{ y = LayerNormalization<axis = {axis}>(x, s, b) }}"
    against_torch(text, feeds, lambda x, s, b: F.layer_norm(x, normalised, s, b), ["x", "s", "b"])


def test_dropout_passes_the_gradient_where_it_passed_the_value() -> None:
    text = "g(float[50,40] x) => (float[50,40] y) <float r = {0.25}> { y = Dropout(x, r) }"
    graph = gradient_graph(parse(text), ["x"])
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    ones = np.ones((50, 40), np.float32)
    y, dx = session.run(None, {"x": ones, "cotangent": ones})
    np.testing.assert_array_equal(y, dx)
    assert 0.2 < (y == 0).mean() < 0.3


def test_values_used_twice_collect_both_gradients() -> None:
    text = "g(float[3,4] x) => (float[3,4] y) { a = Tanh(x) b = Mul(a, x) c = Exp(a) y = Sub(b, c) }"
    against_torch(text, data(x=(3, 4)), lambda x: torch.tanh(x) * x - torch.exp(torch.tanh(x)), ["x"])


@pytest.mark.parametrize("body", [
    "a = ReduceMean<keepdims = 0>(x, one) y = Mul(a, w)",
    "f = Flatten(x) y = Gemm(f, m)",
    "s = Shape(x) t = ReduceSum<keepdims = 1>(x, one) e = Expand(t, s) f = Flatten(e) y = MatMul(f, m)",
    "c = Concat<axis = 0>(x, x) f = Flatten(c) y = Gemm(f, m)",
    "s = Shape(x) n = Gather(s, zero) k = Concat<axis = 0>(n, minus) f = Reshape(x, k) y = Gemm(f, m)",
    "y = ReduceMean<keepdims = 0>(x)",
])  # fmt: skip
def test_lengths_may_vary_from_call_to_call(body: str) -> None:
    text = (
        "g(float[n,3,4] x, float[4] w, float[12,5] m) => (float y) "
        "<int64[1] one = {1}, int64[1] zero = {0}, int64[1] minus = {-1}> "
        f"{{ {body} }}"
    )
    model = parser.parse_model(HEADER + text)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    wanted = ["x", "m"] if "m)" in body else ["x", "w"] if "w)" in body else ["x"]
    session = onnxruntime.InferenceSession(gradient_graph(model, wanted).SerializeToString())
    reference = onnxruntime.InferenceSession(model.SerializeToString())
    for n in (3, 1, 5):
        feeds = {name: x.astype(np.float32) for name, x in data(x=(n, 3, 4), w=(4,), m=(12, 5)).items()}
        given_names = {value.name for value in session.get_inputs()}
        y = reference.run(None, feeds)[0]
        seeds = {**feeds, "cotangent": np.ones_like(y)}
        got = session.run(None, {name: x for name, x in seeds.items() if name in given_names})[1:]
        for name, gradient in zip(wanted, got, strict=True):
            assert gradient.shape == feeds[name].shape
            h, direction = 1e-2, np.sign(gradient)  # the bodies are linear in each input
            up, down = (
                reference.run(None, {**feeds, name: feeds[name] + s * h * direction})[0].sum()
                for s in (1, -1)
            )
            assert (up - down) / (2 * h) == pytest.approx(np.abs(gradient).sum(), rel=2e-3)


def test_shapes_with_varying_lengths() -> None:
    text = (
        "g(float[n,3,h] x) => (float[n,k] y) <int64[2] s = {0, -1}, int64[2] t = {-1, 3}> "
        "{ a = Reshape(x, s) b = Transpose<perm = [0,2,1]>(x) c = Reshape(b, t) "
        "d = Concat<axis = 0>(x, x) y = Relu(a) }"
    )
    shapes = infer_shapes(parser.parse_model(HEADER + text))
    assert shapes["y"] == ("n", "3*h")
    assert shapes["b"] == ("n", "h", 3)
    assert shapes["c"][1] == 3
    assert isinstance(shapes["c"][0], str)
    assert shapes["d"] == ("2*n", 3, "h")
