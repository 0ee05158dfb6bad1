"""EfficientNet-Lite0 learns Fashion-MNIST on cached features: an epoch against whole-network training, accuracy."""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import Case, main
from converter.convert import convert
from converter.transfer import pack_split, replace_head
from edge_runtime import Samples, Session, Trainer
from edge_runtime.bundle import Bundle
from edge_runtime.data import batches
from edge_runtime.errors import LittoralError
from edge_runtime.profile import interleaved
from edge_runtime.training.features import FeatureCache
from edge_runtime.training.stages import find, select
from examples import efficientnet_lite0, fashion_mnist

TRAIN, TEST, SIDE, BATCH, EPOCHS, LR = 2000, 1000, 96, 32, 10, 0.05
STEPS = 3  # of the whole network, which are scaled to an epoch


def cases() -> Iterator[Case]:
    import torch

    torch.set_num_threads(1)
    train, test = fashion_mnist.load(TRAIN, TEST, SIDE)
    network, _ = efficientnet_lite0.model()
    model = replace_head(convert(network, example=(torch.zeros(1, 3, SIDE, SIDE),), trainable=True), 10)
    with tempfile.TemporaryDirectory() as folder:
        bundle, whole = _bundles(model, Path(folder))
        file = Path(folder) / "features.npy"
        began = time.perf_counter()
        cache = FeatureCache(bundle, train, file, threads=1)
        feature_pass = time.perf_counter() - began
        began = time.perf_counter()
        reused = FeatureCache(bundle, train, file, threads=1).reused
        again = time.perf_counter() - began
        trainer = Trainer(bundle, threads=1)
        start = trainer.parameters
        epoch, ours, theirs = _times(trainer, whole, network, cache.samples, train)
        yield _features(bundle, network, train)
        trainer.load(start)
        held = FeatureCache(bundle, test, threads=1).samples
        yield from _speed(epoch, feature_pass, again if reused else None, ours, theirs)
        yield from _accuracy(trainer, network, start, (cache.samples, held), (train, test))


def _bundles(model: onnx.ModelProto, folder: Path) -> tuple[Bundle, Bundle | None]:
    """The split bundle, whose backbone is folded, and the one that trains all."""
    bundle = pack_split(model, folder / "head.bundle", name="fashion")
    try:
        whole = pack_split(model, folder / "all.bundle", name="fashion", whole=True)
    except LittoralError:
        return bundle, None
    return bundle, select(whole, find(whole, "all"))


def _times(
    trainer: Trainer, whole: Bundle | None, network: Any, features: Samples, train: Samples
) -> tuple[float, float | None, float]:
    """Seconds of an epoch: on features, of the whole network here, and in PyTorch; interleaved, medians."""
    x, y = next(batches(train, BATCH))
    count = -(-len(train) // BATCH)
    full = Trainer(whole, threads=1) if whole is not None else None
    peer = _torch_step(network, x, y)
    spent: list[list[float]] = [[], [], []]
    for round_ in range(STEPS + 1):
        calls: list[Callable[[], object]] = [
            lambda: trainer.fit(features, batch_size=BATCH, lr=LR),
            lambda: full.step(x, y, LR) if full is not None else None,
            peer,
        ]
        for call, times in zip(calls, spent, strict=True):
            began = time.perf_counter()
            call()
            if round_:  # the first warms up
                times.append(time.perf_counter() - began)
    medians = [statistics.median(times) for times in spent]
    return medians[0], medians[1] * count if full is not None else None, medians[2] * count


def _features(bundle: Bundle, network: Any, train: Samples) -> Case:
    """The frozen part, folded, against PyTorch's in evaluation mode: a batch, interleaved, medians."""
    session = Session(bundle.read("backbone.onnx"), threads=1)
    x = train.x[:BATCH]
    calls = [lambda: session.run_batches(x, BATCH), lambda: _torch_features(network, x)]
    ours, theirs = interleaved(calls, 2 * STEPS, warmup=1)
    note = f"{ours.median_ms:.0f} ms against {theirs.median_ms:.0f} ms for {BATCH} photographs"
    ratio = round(ours.median_ms / theirs.median_ms, 3)
    return Case("feature pass: ours / PyTorch's", ratio, "ratio", 1.0, "lower", ours.n, note)


def _torch_step(network: Any, x: Any, y: Any) -> Callable[[], object]:
    """One whole-network step of PyTorch, eager."""
    import copy

    import torch

    peer = copy.deepcopy(network).train()
    peer._fc = torch.nn.Linear(1280, 10)
    solver = torch.optim.SGD(peer.parameters(), LR)
    images, labels = torch.tensor(x), torch.tensor(y)

    def step() -> object:
        solver.zero_grad()
        torch.nn.functional.cross_entropy(peer(images), labels).backward()
        return solver.step()

    return step


def _speed(
    epoch: float, feature_pass: float, again: float | None, ours: float | None, theirs: float
) -> Iterator[Case]:
    scaled = f"the whole network's from the median of {STEPS} steps of {BATCH}, times {-(-TRAIN // BATCH)}"
    note = (
        f"{epoch * 1e3:.1f} ms against {ours or 0:.0f} s for {TRAIN} photographs of {SIDE}×{SIDE}; {scaled}"
    )
    if ours is None:
        note = "the whole network cannot be differentiated yet"
    filled = None if ours is None else round(ours / epoch, 1)
    first = None if ours is None else round(ours / (epoch + feature_pass), 2)
    yield Case(
        "epoch with the cache filled: whole network / head", filled, "ratio", 200.0, "higher", STEPS, note
    )
    note = f"{epoch + feature_pass:.1f} s with the feature pass"
    yield Case("first epoch: whole network / head", first, "ratio", 5.0, "higher", STEPS, note)
    note = f"PyTorch's whole network: {theirs:.0f} s an epoch"
    yield Case(
        "epoch with the cache filled: PyTorch's whole network / head",
        round(theirs / epoch, 1),
        "ratio",
        200.0,
        "higher",
        STEPS,
        note,
    )
    found = None if again is None else round(again, 3)
    note = f"{feature_pass:.1f} s the first time; the data is hashed"
    yield Case("a second start finds the features", found, "s", None, "lower", 1, note)


def _accuracy(
    trainer: Trainer,
    network: Any,
    start: dict[str, Any],
    features: tuple[Samples, Samples],
    photographs: tuple[Samples, Samples],
) -> Iterator[Case]:
    """Both train the same head from the same weights, in the same order, each on its own features."""
    import torch

    trainer.fit(features[0], epochs=EPOCHS, batch_size=BATCH, lr=LR)
    ours = float(trainer.evaluate(features[1])["accuracy"])
    weight, bias = (torch.tensor(array) for array in start.values())
    head = torch.nn.Linear(1280, 10)
    with torch.no_grad():
        head.weight.copy_(weight if weight.shape == head.weight.shape else weight.T)
        head.bias.copy_(bias)
    known, held = (_torch_features(network, part.x) for part in photographs)
    solver = torch.optim.SGD(head.parameters(), LR)
    rng = np.random.default_rng(0)
    for _ in range(EPOCHS):
        for x, y in batches(Samples(known, photographs[0].y), BATCH, rng):
            solver.zero_grad()
            torch.nn.functional.cross_entropy(head(torch.tensor(x)), torch.tensor(y)).backward()
            solver.step()
    with torch.no_grad():
        theirs = float((head(torch.tensor(held)).argmax(1).numpy() == photographs[1].y).mean())
    gap = float(np.abs(features[1].x - held).max())
    note = f"{ours:.4f} against {theirs:.4f} after {EPOCHS} epochs; features differ by {gap:.1g} at most"
    yield Case(
        "accuracy: away from PyTorch's", round(100 * abs(ours - theirs), 2), "pp", 1.0, "lower", TEST, note
    )
    yield Case("accuracy on Fashion-MNIST", ours, "share", None, "higher", TEST, f"trained on {TRAIN}")


def _torch_features(network: Any, x: Any) -> Any:
    import torch

    network.eval()
    with torch.no_grad():
        parts = [
            network.extract_features(torch.tensor(x[i : i + BATCH])).mean((2, 3)).numpy()
            for i in range(0, len(x), BATCH)
        ]
    return np.concatenate(parts)


if __name__ == "__main__":
    main(cases)
