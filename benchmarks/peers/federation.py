"""What the federated benchmarks share: a perceptron of a given size, samples for it, and memory of processes."""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, parser

from converter.trainable import pack_trainable
from edge_runtime.bundle import Bundle
from edge_runtime.data import Samples
from edge_runtime.tensors import Array

INPUTS, CLASSES = 64, 10
_TEXT = """<ir_version: 10, opset_import: ["" : 21]>
perceptron (float[n, {inputs}] x) => (float[n, {classes}] logits) {{
    h = Gemm(x, w1, b1)
    r = Relu(h)
    logits = Gemm(r, w2, b2)
}}"""


def perceptron(path: Path, hidden: int) -> Bundle:
    """A trainable bundle of 75 x `hidden` + 10 weights, drawn as He et al. 2015 do."""
    model: onnx.ModelProto = parser.parse_model(_TEXT.format(inputs=INPUTS, classes=CLASSES))
    rng = np.random.default_rng(0)
    for name, shape in (
        ("w1", (INPUTS, hidden)),
        ("b1", (hidden,)),
        ("w2", (hidden, CLASSES)),
        ("b2", (CLASSES,)),
    ):
        scale = np.sqrt(2 / shape[0]) if len(shape) > 1 else 0
        drawn: Array = (rng.standard_normal(shape) * scale).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(drawn, name))
    return pack_trainable(model, path, name="perceptron")


def samples(count: int, seed: int = 0) -> Samples:
    """Random samples with random labels: what is measured does not depend on them."""
    rng = np.random.default_rng(seed)
    return Samples(rng.standard_normal((count, INPUTS)).astype(np.float32), rng.integers(0, CLASSES, count))


def save(data: Samples, path: Path) -> Path:
    """Write them as an .npz."""
    assert data.y is not None
    np.savez(path, x=data.x, y=data.y)
    return path


def resident_mb(pid: int, what: str = "VmRSS") -> float:
    """Megabytes of the process that are in memory now (VmRSS) or were at most (VmHWM); 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(what)), 0.0)
