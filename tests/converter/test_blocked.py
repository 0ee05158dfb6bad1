"""Convolutions on blocked channels: the same step as with ONNX's own operators, where onnxruntime has them."""

import platform
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from converter.autodiff.rules.blocked import DOMAIN
from converter.differentiate import differentiate
from converter.trainable import pack_trainable
from edge_runtime import Trainer
from edge_runtime.training import stepper
from tests.converter.test_differentiate import model, weights

pytestmark = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64"), reason="onnxruntime has them on x86-64"
)


def network(groups: int, stride: int, size: int, channels: int = 32, kernel: int = 3) -> onnx.ModelProto:
    """A convolution with a bias behind another (so that it has an input gradient), and a dense layer."""
    out = (size - 1) // stride + 1
    pad = kernel // 2
    inner = 1 if groups > 1 else channels
    return model(f"""<ir_version: 10, opset_import: ["": 21]>
    m (float[n, 16, {size}, {size}] x) => (float[n, 3] logits)
    <float[{channels}, 16, 1, 1] w0, float[{channels}, {inner}, {kernel}, {kernel}] w1, float[{channels}] b1,
     float[{channels * out * out}, 3] w2, float[3] b2>
    {{
      a = Conv(x, w0)
      c = Conv <group = {groups}, strides = [{stride}, {stride}], pads = [{pad}, {pad}, {pad}, {pad}]> (a, w1, b1)
      f = Flatten(c)
      logits = Gemm(f, w2, b2)
    }}""")


def run(step: onnx.ModelProto, made: onnx.ModelProto, rows: int) -> dict[str, np.ndarray]:
    """What the step gives for a random batch."""
    rng = np.random.default_rng(0)
    session = onnxruntime.InferenceSession(step.SerializeToString())
    shape = [rows, *(d.dim_value for d in made.graph.input[0].type.tensor_type.shape.dim[1:])]
    given = {"x": rng.standard_normal(shape).astype(np.float32), "labels": rng.integers(0, 3, rows)}
    fed = given | {"lr": np.array(0.1, np.float32)} | weights(made)
    return dict(zip((o.name for o in session.get_outputs()), session.run(None, fed), strict=True))


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(
    ("groups", "stride", "size", "kernel"),
    [(32, 1, 7, 3), (32, 2, 8, 3), (32, 2, 7, 3), (32, 1, 6, 5), (32, 2, 9, 5), (1, 1, 6, 3), (1, 2, 8, 3)],
)
def test_the_step_is_the_same(groups: int, stride: int, size: int, kernel: int, rows: int) -> None:
    made = network(groups, stride, size, kernel=kernel)
    blocked = differentiate(made, blocked=True)
    assert DOMAIN in {entry.domain for entry in blocked.opset_import}
    plain = run(differentiate(made), made, rows)
    for name, value in run(blocked, made, rows).items():
        np.testing.assert_allclose(value, plain[name], rtol=2e-4, atol=2e-5, err_msg=name)


def test_channels_that_fill_no_blocks_stay_as_they_are() -> None:
    step = differentiate(network(24, 1, 6, channels=24), blocked=True)
    assert {entry.domain for entry in step.opset_import} == {""}


def test_the_default_uses_onnx_alone() -> None:
    assert {entry.domain for entry in differentiate(network(32, 1, 7)).opset_import} == {""}


def test_a_bundle_for_x86_trains_the_same_with_and_without(tmp_path: Path) -> None:
    made = network(32, 1, 7)
    fast = pack_trainable(made, tmp_path / "fast", name="m", target="x86-64")
    assert "train.blocked.onnx" in fast
    assert "train.blocked.onnx" not in pack_trainable(made, tmp_path / "arm", name="m", target="rpi4")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 16, 7, 7)).astype(np.float32), rng.integers(0, 3, 4)
    losses = [Trainer(tmp_path / name, threads=1).step(x, y, 0.1) for name in ("fast", "arm")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_an_engine_without_the_operators_takes_the_other_graph(tmp_path: Path) -> None:
    bundle = pack_trainable(network(32, 1, 7), tmp_path / "m", name="m", target="x86-64")
    strange = onnx.load_model_from_string(bundle.read("train.blocked.onnx"))
    for node in strange.graph.node:
        node.domain = "elsewhere" if node.domain == DOMAIN else node.domain
    strange.opset_import[-1].domain = "elsewhere"

    class Bundle:
        path = bundle.path

        def __contains__(self, name: str) -> bool:
            return name in bundle

        def read(self, name: str) -> bytes:
            return strange.SerializeToString() if "blocked" in name else bundle.read(name)

    program = stepper._program(Bundle(), "train.onnx", 1)  # type: ignore[arg-type]
    assert program.roles.data == "x"
