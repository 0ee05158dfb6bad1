"""Straight-through gradients against the equations of Learned Step Size Quantization, element by element."""

import numpy as np
import onnxruntime
import pytest

from converter.autodiff import gradient_graph
from tests.converter.test_autodiff import near, parse


def expected(x: np.ndarray, s: np.ndarray, z: np.ndarray, limits: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """y, dx/dy and ds/dy by Esser et al. 2020, equation 3; s and z in the shape of x."""
    ratio = x / s
    q = np.clip(np.round(ratio) + z, *limits)
    inside = (np.round(ratio) + z >= limits[0]) & (np.round(ratio) + z <= limits[1])
    return (q - z) * s, inside.astype(float), np.where(inside, np.round(ratio) - ratio, q - z)


@pytest.mark.parametrize(
    ("kind", "limits", "zero"),
    [("uint8", (0, 255), 100), ("int8", (-128, 127), 0), ("int8", (-128, 127), -7)],
)
@pytest.mark.parametrize(
    ("shape", "attributes", "index"),
    [
        ([], "", np.zeros((6, 8), int)),
        ([1], "", np.zeros((6, 8), int)),
        ([6], "axis = 0", np.arange(6)[:, None] + np.zeros(8, int)),
        ([8], "axis = 1", np.arange(8) + np.zeros((6, 1), int)),
        ([6, 3], "axis = 1, block_size = 3", np.arange(6)[:, None] * 3 + np.arange(8) // 3),
    ],
    ids=["scalar", "vector of one", "rows", "columns", "blocks"],
)
def test_learned_step_size(kind: str, limits, zero: int, shape: list[int], attributes: str, index) -> None:
    rng = np.random.default_rng(1)
    s = rng.uniform(0.01, 0.03, shape)
    x = rng.standard_normal((6, 8)) * 2
    wide = s.ravel()[index]
    y, dx, ds = expected(x, wide, np.full_like(x, zero), limits)
    assert 0.05 < dx.mean() < 0.95
    dims = f"[{','.join(map(str, shape))}]" if shape else ""
    zeros = ",".join([str(zero)] * max(s.size, 1))
    text = (
        f"g(float[6,8] x, float{dims} s) => (float[6,8] y) <{kind}{dims} z = {{{zeros}}}> "
        f"{{ q = QuantizeLinear<{attributes}>(x, s, z) y = DequantizeLinear<{attributes}>(q, s, z) }}"
    ).replace("<>", "")
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    graph = gradient_graph(parse(text), ["x", "s"])
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options)
    dy = rng.standard_normal((6, 8))
    feeds = {"x": x, "s": s, "cotangent": dy}
    got = session.run(None, {name: np.asarray(v, np.float32) for name, v in feeds.items()})
    near(got[0], y, "y", 1e-4)
    near(got[1], dy * dx, "dx", 1e-4)
    summed = np.bincount(index.ravel(), (dy * ds).ravel(), minlength=max(s.size, 1)).reshape(shape)
    near(got[2], summed, "ds", 1e-3)


def test_no_zero_point_means_unsigned() -> None:
    text = (
        "g(float[4] x) => (float[4] y) <float s = {0.1}> "
        "{ q = QuantizeLinear(x, s) y = DequantizeLinear(q, s) }"
    )
    session = onnxruntime.InferenceSession(gradient_graph(parse(text), ["x"]).SerializeToString())
    x = np.array([-1, 1, 25, 26], np.float32)
    got = session.run(None, {"x": x, "cotangent": np.ones(4, np.float32)})
    np.testing.assert_array_equal(got[1], [0, 1, 1, 0])
