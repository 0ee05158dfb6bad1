"""The real networks in int8, as `compress` makes them for an NPU, and real pictures to compare on."""

import functools

import numpy as np

from compress import quantize
from converter import optimize
from converter.convert import convert
from converter.model import to_bytes
from edge_runtime import Manifest, Session
from edge_runtime.accelerators import selftest
from edge_runtime.bundle import pack
from edge_runtime.tensors import Array
from examples import efficientnet_lite0, mobilenetv2
from tests.assets import locate

NETWORKS = {"efficientnet_lite0": efficientnet_lite0, "mobilenetv2": mobilenetv2}
PICTURES = 6


@functools.cache
def int8(name: str, activation: str) -> tuple[bytes, Array, Array]:
    """The model, the samples that it was calibrated on, and pictures to compare on."""
    for asset in (
        name.replace("_", "-"),
        "labelled-photographs",
        "photographs-skimage",
        "photographs-sklearn",
    ):
        locate(asset)
    example = NETWORKS[name]
    samples = example.calibration(16).x
    model = quantize(optimize(convert(f"examples.{name}:model")), samples, activation=activation)
    return to_bytes(model), samples, example.crops(PICTURES, 11).x


def bundle(graph: bytes, path, target: str):
    """A bundle with a self-test, as `compress` writes it."""
    session = Session(graph)
    test = selftest.made(session.inputs, session.run)
    manifest = Manifest(path.stem, target, session.inputs, session.outputs)
    return pack(path, manifest, {"infer.onnx": graph, selftest.FILE: test.to_bytes()})


def alike(wanted: Array, got: Array) -> tuple[float, float]:
    """Cosine similarity, and the share of samples with the same best class."""
    same = float(np.mean(wanted.argmax(axis=1) == got.argmax(axis=1)))
    return selftest.similarity(wanted, got), same
