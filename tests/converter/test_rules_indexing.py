"""Picking, placing and padding, where ONNX's own cases do not go."""

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (as everyone writes it)
from onnx import parser

from converter.autodiff import gradient_graph
from tests.converter.test_autodiff import HEADER, against_torch, data, dims, gradients, near


@pytest.mark.parametrize(
    ("starts", "stops", "axes", "steps"),
    [
        ([0], [4], [1], [2]),
        ([-1, 4], [-9, 0], [1, 2], [-1, -2]),
        ([3, 0], [-9, 3], [1, 2], [-2, 1]),
        ([1], [1], [2], [1]),
    ],
)
def test_slices_with_steps(starts: list[int], stops: list[int], axes: list[int], steps: list[int]) -> None:
    where = [np.arange(n) for n in (2, 4, 5)]
    for start, stop, axis, step in zip(starts, stops, axes, steps, strict=True):
        where[axis] = where[axis][slice(start, None if stop == -9 else stop, step)]
    index = np.ix_(*where)
    shape, n = np.zeros((2, 4, 5))[index].shape, len(starts)
    numbers = {"a": starts, "b": stops, "c": axes, "d": steps}
    constants = ", ".join(f"int64[{n}] {name} = {{{dims(v)}}}" for name, v in numbers.items())
    text = f"g(float[2,4,5] x) => (float[{dims(shape)}] y) <{constants}> {{ y = Slice(x, a, b, c, d) }}"
    against_torch(text, data(x=(2, 4, 5)), lambda x: x[tuple(torch.tensor(i.copy()) for i in index)], ["x"])


def test_a_slice_whose_limits_are_calculated() -> None:
    text = (
        "g(float[n,4] x) => (float[m,4] y) <int64[1] one = {1}, int64[1] zero = {0}> "
        "{ s = Shape<start = 0, end = 1>(x) t = Sub(s, one) y = Slice(x, one, t, zero) }"
    )
    session = onnxruntime.InferenceSession(
        gradient_graph(parser.parse_model(HEADER + text), ["x"]).SerializeToString()
    )
    for n in (3, 6):
        x = np.random.default_rng(0).standard_normal((n, 4)).astype(np.float32)
        _, dx = session.run(None, {"x": x, "cotangent": x[1:-1]})
        np.testing.assert_array_equal(dx, np.pad(x[1:-1], ((1, 1), (0, 0))))


@pytest.mark.parametrize(
    ("mode", "theirs"),
    [("constant", "constant"), ("reflect", "reflect"), ("edge", "replicate"), ("wrap", "circular")],
)
def test_padding(mode: str, theirs: str) -> None:
    text = (
        "g(float[2,3,4,5] x) => (float[2,3,7,8] y) <int64[8] p = {0,0,1,2,0,0,2,1}> "
        f'{{ y = Pad<mode = "{mode}">(x, p) }}'
    )
    against_torch(text, data(x=(2, 3, 4, 5)), lambda x: F.pad(x, (2, 1, 1, 2), theirs), ["x"])


def test_padding_that_cuts_off_and_its_value() -> None:
    text = "g(float[4,5] x, float v) => (float[5,4] y) <int64[4] p = {2,-1,-1,0}> { y = Pad(x, p, v) }"
    feeds = {**data(x=(4, 5)), "v": np.array(0.5)}

    def torch_form(x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return torch.cat([v.expand(2, 4), x[:3, 1:]])

    against_torch(text, feeds, torch_form, ["x", "v"])


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
def test_scatter_elements(reduction: str) -> None:
    text = (
        "g(float[3,4] x, float[2,4] u) => (float[3,4] y) <int64[2,4] i = {0,1,2,0,2,0,-2,1}> "
        f'{{ y = ScatterElements<axis = 0, reduction = "{reduction}">(x, i, u) }}'
    )
    index = torch.tensor([[0, 1, 2, 0], [2, 0, 1, 1]])
    theirs = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}

    def torch_form(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        if reduction == "none":
            return x.scatter(0, index, u)
        return x.scatter_reduce(0, index, u, theirs[reduction])

    against_torch(text, data(x=(3, 4), u=(2, 4)), torch_form, ["x", "u"])


@pytest.mark.parametrize("axis", [None, 0])
def test_unique_passes_the_gradient_to_the_first(axis: int | None) -> None:
    shape = (4, 2) if axis == 0 else (8,)
    attribute = f"<axis = {axis}>" if axis is not None else ""
    text = f"g(float[4,2] x) => (float[{dims(shape)}] y) {{ y = Unique{attribute}(x) }}"
    x = data(x=(4, 2))["x"]
    _, cotangent, got = gradients(text, {"x": x}, ["x"])
    order = np.argsort(x.ravel()) if axis is None else np.argsort(x[:, 0])
    want = np.empty_like(x)
    if axis is None:
        want.reshape(-1)[order] = cotangent
    else:
        want[order] = cotangent
    near(got["x"], want, "x")


def test_tile_with_a_batch_that_varies() -> None:
    text = "g(float[n,3] x) => (float[m,6] y) <int64[2] r = {3,2}> { y = Tile(x, r) }"
    session = onnxruntime.InferenceSession(
        gradient_graph(parser.parse_model(HEADER + text), ["x"]).SerializeToString()
    )
    for n in (2, 5):
        dy = np.random.default_rng(n).standard_normal((3 * n, 6)).astype(np.float32)
        _, dx = session.run(None, {"x": np.zeros((n, 3), np.float32), "cotangent": dy})
        np.testing.assert_allclose(dx, dy.reshape(3, n, 2, 3).sum((0, 2)), rtol=1e-5, atol=1e-6)
