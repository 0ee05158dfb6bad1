"""Small models as ONNX text, for tests that need no training and no framework."""

import numpy as np
import onnx
from onnx import numpy_helper

HEADER = '<ir_version: 10, opset_import: ["" : 21]>'

CNN = (
    HEADER
    + """
cnn (float[n, 3, 8, 8] images) => (float[n, 4] logits)
<float[6, 3, 3, 3] w1, float[6] b1, float[6] gamma, float[6] beta, float[6] mean, float[6] var,
 float[6, 1, 3, 3] w2, float[6] b2, float zero = {0}, float six = {6}, float[6, 4] w3, float[4] b3>
{
    c1 = Conv<pads = [1, 1, 1, 1]>(images, w1, b1)
    n1 = BatchNormalization(c1, gamma, beta, mean, var)
    r1 = Clip(n1, zero, six)
    c2 = Conv<pads = [1, 1, 1, 1], group = 6>(r1, w2, b2)
    r2 = Relu(c2)
    s = Add(r2, r1)
    p = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(s)
    g = GlobalAveragePool(p)
    f = Flatten(g)
    logits = Gemm(f, w3, b3)
}
"""
)

LINEAR = HEADER + " linear (float[n, 4] x) => (float[n, 3] y) <float[4, 3] w> { y = MatMul(x, w) }"


def build(text: str, seed: int = 0) -> onnx.ModelProto:
    """The model of the text, its weights without a value drawn at random; variances are positive."""
    model = onnx.parser.parse_model(text)
    rng = np.random.default_rng(seed)
    for value in model.graph.value_info:  # what the text declares without a value
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        values = rng.standard_normal(shape).astype(np.float32) * np.float32(0.5)
        values = np.abs(values) + np.float32(0.5) if value.name == "var" else values
        model.graph.initializer.append(numpy_helper.from_array(values, value.name))
    del model.graph.value_info[:]
    return model


def cnn(seed: int = 0) -> onnx.ModelProto:
    """Conv, batch normalisation, ReLU6, depthwise Conv, a residual, pooling and a dense layer."""
    return build(CNN, seed)


def images(count: int, seed: int = 1) -> np.ndarray:
    """Inputs for `cnn`."""
    return np.random.default_rng(seed).standard_normal((count, 3, 8, 8)).astype(np.float32)
