"""EfficientNet-Lite0 after transfer to Fashion-MNIST: what int8 costs in accuracy, after training and with it."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import onnx

from benchmarks.harness import Case, main
from compress.fidelity import accuracy
from compress.quantization.quantize import quantize
from compress.training.aware import QuantizationAware, train_quantized
from converter.convert import convert
from converter.model import to_bytes
from converter.optimize import optimize
from converter.transfer import pack_split, replace_head
from edge_runtime import Samples, Session, Trainer
from edge_runtime.training.features import FeatureCache
from examples import efficientnet_lite0, fashion_mnist
from examples.kept import code, kept

TRAIN, TEST, SIDE, EPOCHS, LR = 2000, 10_000, 96, 10, 0.05
TRAINING = QuantizationAware(epochs=1, batch_size=16, alpha=0.5, samples=200)
CASE = "transfer/efficientnet-lite0"


def cases() -> Iterator[Case]:
    train, test = fashion_mnist.load(TRAIN, TEST, SIDE)
    model = transferred(train)
    ptq = quantize(optimize(model), train.x)
    aware = kept(
        "transfer-efficientnet-lite0-int8",
        lambda: train_quantized(model, train, TRAINING),
        model,
        f"{TRAINING}",
        code(),
    )
    before, after, trained = (score(each, test) for each in (model, ptq, aware))
    note = f"{TEST} test photographs of {SIDE}×{SIDE}; accuracy {before:.4f} to"
    yield Case(
        f"{CASE}: accuracy lost by quantisation after training",
        round(100 * (before - after), 2),
        "pp",
        0.3,
        "lower",
        TEST,
        f"{note} {after:.4f}",
    )
    yield Case(
        f"{CASE}: accuracy lost by quantisation-aware training",
        round(100 * (before - trained), 2),
        "pp",
        0.0,
        "lower",
        TEST,
        f"{note} {trained:.4f}, all weights on the {TRAIN} photographs that trained the output layer",
    )


def transferred(train: Samples) -> onnx.ModelProto:
    """The network with an output layer that was trained on its features."""
    import torch

    network, _ = efficientnet_lite0.model()
    model = replace_head(convert(network, example=(torch.zeros(1, 3, SIDE, SIDE),), trainable=True), 10)

    def make() -> onnx.ModelProto:
        with tempfile.TemporaryDirectory() as folder:
            bundle = pack_split(model, Path(folder) / "head.bundle", name="fashion")
            trainer = Trainer(bundle, threads=1)
            trainer.fit(FeatureCache(bundle, train, threads=1).samples, epochs=EPOCHS, lr=LR)
            made = trainer.export(Path(folder) / "trained.bundle")
            return onnx.load_from_string(made.read("infer.onnx"))

    return kept("transfer-efficientnet-lite0", make, model, f"{TRAIN} {SIDE} {EPOCHS} {LR}")


def score(model: onnx.ModelProto, test: Samples) -> float:
    """Accuracy on the test photographs."""
    if test.y is None:
        raise ValueError("the photographs have labels")
    return accuracy(Session(to_bytes(model), threads=1).run_batches(test.x, 50)[0], test.y)


if __name__ == "__main__":
    main(cases)
