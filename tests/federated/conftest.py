"""Real digits, small models as ONNX text, and the trainable bundles that the tests of this folder share."""

import gzip

import numpy as np
import pytest
from onnx import numpy_helper

from converter.trainable import pack_trainable
from edge_runtime.data import Samples
from tests.assets import locate
from tests.models import HEADER, build

LINEAR = (
    HEADER
    + """
linear (float[n, 1, 28, 28] x) => (float[n, 10] logits)
<float[784, 10] w, float[10] b>
{
    flat = Flatten(x)
    logits = Gemm(flat, w, b)
}
"""
)

CNN = (
    HEADER
    + """
cnn (float[n, 1, 28, 28] x) => (float[n, 10] logits)
<float[8, 1, 5, 5] k1, float[8] b1, float[16, 8, 3, 3] k2, float[16] b2,
 float[784, 64] w3, float[64] b3, float[64, 10] w4, float[10] b4>
{
    c1 = Conv<strides = [2, 2], pads = [2, 2, 2, 2]>(x, k1, b1)
    r1 = Relu(c1)
    c2 = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(r1, k2, b2)
    r2 = Relu(c2)
    flat = Flatten(r2)
    h = Gemm(flat, w3, b3)
    r3 = Relu(h)
    logits = Gemm(r3, w4, b4)
}
"""
)


def model(text):
    """The model of the text, its weights as training should begin: He et al. 2015, biases 0."""
    drawn = build(text)
    for tensor in drawn.graph.initializer:
        values = numpy_helper.to_array(tensor)
        fan_in = values[0].size if values.ndim == 4 else len(values)
        scale = 0 if values.ndim == 1 else np.sqrt(2 / fan_in) / values.std()
        tensor.CopyFrom(numpy_helper.from_array((values * scale).astype(np.float32), tensor.name))
    return drawn


@pytest.fixture(scope="session")
def mnist():
    """5,000 MNIST digits, float32[5000, 1, 28, 28] in 0 to 1, shuffled once."""
    with gzip.open(locate("digits")[0]) as stream:
        table = np.loadtxt(stream, delimiter=",", dtype=np.float32)
    table = table[np.random.default_rng(0).permutation(len(table))]
    return Samples((table[:, :-1] / 255).reshape(-1, 1, 28, 28), table[:, -1].astype(np.int64))


@pytest.fixture(scope="session")
def digits(mnist):
    """The first 1,000 of them, to train on."""
    return Samples(mnist.x[:1000], mnist.y[:1000])


@pytest.fixture(scope="session")
def held_out(mnist):
    """500 others."""
    return Samples(mnist.x[1000:1500], mnist.y[1000:1500])


@pytest.fixture(scope="session")
def linear(tmp_path_factory):
    """A trainable bundle: softmax regression, 7,850 weights."""
    path = tmp_path_factory.mktemp("linear") / "linear.bundle"
    return pack_trainable(model(LINEAR), path, name="linear", target="x86-64")


@pytest.fixture(scope="session")
def cnn(tmp_path_factory):
    """A trainable bundle: two convolutions and two dense layers, 52,266 weights."""
    path = tmp_path_factory.mktemp("cnn") / "cnn.bundle"
    return pack_trainable(model(CNN), path, name="cnn", target="x86-64")
