"""Each way in which the gradient of a convolution is written, against torch; and what batch normalisation must keep."""

import math

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (as everyone writes it)
from onnx import numpy_helper, parser

from converter.autodiff import gradient_graph
from converter.autodiff.rules.window import Window

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}

# Channels in and out, groups, size, kernel, stride, dilation, padding: one line for each formulation.
SHAPES = {
    "tiny map, over the batch": (6, 5, 1, (2, 2), (3, 3), 1, 1, 1),
    "tiny map, pointwise": (6, 5, 1, (1, 1), (1, 1), 1, 1, 0),
    "tiny map, strided": (6, 5, 1, (5, 4), (3, 3), 2, 1, 1),
    "tiny signal, dilated": (6, 5, 1, (7,), (2,), 1, 2, 0),
    "tiny volume, dilated": (3, 2, 1, (3, 4, 3), (2, 2, 2), 1, 2, 0),
    "pointwise, small map": (6, 5, 1, (6, 6), (1, 1), 1, 1, 0),
    "pointwise, large map": (6, 5, 1, (13, 13), (1, 1), 1, 1, 0),
    "few channels": (3, 5, 1, (9, 9), (3, 3), 1, 1, 1),
    "unrolled": (16, 5, 1, (6, 6), (3, 3), 1, 1, 1),
    "by position": (16, 3, 1, (21, 21), (3, 3), 1, 1, 1),
    "grouped": (6, 4, 2, (6, 6), (3, 3), 1, 1, 1),
    "depthwise, small map": (5, 5, 5, (6, 7), (3, 3), 1, 1, 1),
    "depthwise, small map, strided": (5, 5, 5, (7, 7), (5, 5), 2, 1, 2),
    "depthwise, one pixel": (5, 5, 5, (1, 1), (3, 3), 1, 1, 1),
    "depthwise, by rows": (5, 5, 5, (9, 8), (3, 3), 1, 1, 1),
    "depthwise, by rows, dilated": (5, 5, 5, (9, 11), (3, 5), 1, 2, 2),
    "depthwise, much padding": (5, 5, 5, (8, 8), (2, 2), 1, 1, 3),
    "depthwise, strided": (5, 5, 5, (12, 9), (3, 3), 2, 1, 1),
    "depthwise, wide": (2, 2, 2, (3, 60), (3, 3), 1, 1, 1),
    "depthwise, a signal": (4, 4, 4, (70,), (5,), 1, 1, 2),
    "depthwise, a volume": (4, 4, 4, (4, 5, 4), (3, 3, 3), 1, 1, 1),
    "a multiplier": (4, 8, 4, (9, 9), (3, 3), 1, 1, 1),
}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_every_formulation(name: str, bias: bool) -> None:
    i, o, groups, size, kernel, stride, dilation, pad = SHAPES[name]
    rank, rng = len(size), np.random.default_rng(0)
    feeds = {"x": rng.standard_normal((4, i, *size)), "w": rng.standard_normal((o, i // groups, *kernel))}
    feeds |= {"b": rng.standard_normal(o)} if bias else {}
    leaves = {k: torch.tensor(v, requires_grad=True) for k, v in feeds.items()}
    y = CONV[rank](*leaves.values(), stride=stride, dilation=dilation, padding=pad, groups=groups)
    cotangent = rng.standard_normal(tuple(y.shape))
    (y * torch.tensor(cotangent)).sum().backward()
    inputs = ", ".join(f"float[{','.join(['n', *map(str, v.shape[1:])] if k == 'x' else map(str, v.shape))}] {k}"
                       for k, v in feeds.items())  # fmt: skip
    spread = f"dilations = {[dilation] * rank}, pads = {[pad] * 2 * rank}"
    attributes = f"group = {groups}, strides = {[stride] * rank}, {spread}"
    out = ",".join(["n", *map(str, y.shape[1:])])
    model = parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 21]> g ({inputs}) => (float[{out}] y) '
        f"{{ y = Conv<{attributes}>({', '.join(feeds)}) }}"
    )
    graph = gradient_graph(model, list(feeds))
    single = {k: v.astype(np.float32) for k, v in {**feeds, "cotangent": cotangent}.items()}
    got = onnxruntime.InferenceSession(graph.SerializeToString()).run(None, single)
    for array, want in zip(got, [y, *(leaf.grad for leaf in leaves.values())], strict=True):
        truth = want.detach().numpy()
        np.testing.assert_allclose(array, truth, rtol=2e-5, atol=2e-5 * float(np.abs(truth).max()))


def test_selection_is_the_convolution() -> None:
    window = Window((3, 2), (2, 1), (1, 2), (1, 0), (0, 1), (4, 5), (2, 4))
    w, x = np.random.default_rng(0).standard_normal((6,)), np.random.default_rng(1).standard_normal((4, 5))
    matrix = np.tensordot(w, window.selection(), 1)
    want = F.conv2d(
        F.pad(torch.tensor(x)[None, None], (0, 1, 1, 0)),
        torch.tensor(w.reshape(1, 1, 3, 2)),
        stride=(2, 1),
        dilation=(1, 2),
    )
    assert matrix.shape == (20, math.prod(window.out))
    np.testing.assert_allclose(x.ravel() @ matrix, want.numpy().ravel(), rtol=1e-12)


def test_layers_do_not_write_their_statistics_into_one_place() -> None:
    """onnxruntime merges equal constants of few elements, and its batch normalisation writes into its inputs."""
    layers = "".join(f"h{i + 1} = BatchNormalization(h{i}, s, b{i}, m{i}, v{i})\n" for i in range(3))
    weights = ", ".join(f"float[4] b{i}, float[4] m{i}, float[4] v{i}" for i in range(3))
    model = parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 21]> g (float[6,4,3,3] h0, float[4] s) => (float[6,4,3,3] h3) '
        f"<{weights}> {{ {layers} }}"
    )
    del model.graph.value_info[:]
    rng = np.random.default_rng(0)
    for i in range(3):
        content = {f"b{i}": rng.standard_normal(4), f"m{i}": np.zeros(4), f"v{i}": np.ones(4)}
        model.graph.initializer.extend(
            numpy_helper.from_array(v.astype(np.float32), k) for k, v in content.items()
        )
    x, s, cotangent = (
        rng.standard_normal(shape).astype(np.float32) for shape in ((6, 4, 3, 3), (4,), (6, 4, 3, 3))
    )
    session = onnxruntime.InferenceSession(gradient_graph(model, ["s"]).SerializeToString())
    got = session.run(["d/s"], {"h0": x, "s": s, "cotangent": cotangent})[0]
    scale = torch.tensor(s, requires_grad=True)
    y = torch.tensor(x)
    for i in range(3):
        shift = torch.tensor(numpy_helper.to_array(_named(model, f"b{i}")))
        y = F.batch_norm(y, None, None, scale, shift, training=True)
    (y * torch.tensor(cotangent)).sum().backward()
    np.testing.assert_allclose(got, scale.grad.numpy(), rtol=1e-3, atol=1e-4)


def _named(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(t for t in model.graph.initializer if t.name == name)
