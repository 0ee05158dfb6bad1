"""Structured pruning and factorisation without training: agreement on photographs, and time in proportion to work."""

import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import onnx

from benchmarks.compress_size import lenet, score
from benchmarks.harness import Case, main
from compress.factorization.factorize import Factorize, factorize
from compress.fidelity import compare
from compress.pruning.prepare import prepared
from compress.pruning.prune import Prune, prune, sizes
from compress.step import Work
from compress.training.retrain import retrain
from converter.convert import convert
from converter.model import to_bytes
from converter.optimize import optimize
from edge_runtime import tensors
from edge_runtime.data import Samples
from edge_runtime.session import Session
from edge_runtime.target import Target
from examples import digits
from examples import efficientnet_lite0 as photographs

CROPS, CALIBRATION, SEED = 300, 96, 1
WAYS = {
    "magnitude": Prune(reconstruct=False),
    "taylor": Prune(importance="taylor", reconstruct=False),
    "magnitude, reconstructed": Prune(),
    "taylor, reconstructed": Prune(importance="taylor"),
    "reconstruction, by sensitivity": Prune(importance="reconstruction", allocation="sensitivity"),
}
GOALS = {0.1: 0.95, 0.2: 0.85, 0.3: 0.7}


def cases() -> Iterator[Case]:
    model = prepared(convert("examples.efficientnet_lite0:model", trainable=True))
    given = photographs.calibration(CALIBRATION)
    order = np.argsort(
        np.arange(CALIBRATION) % 12, kind="stable"
    )  # photograph by photograph, as a folder of them is
    work = Work(Samples(given.x[order]), Target.load("rpi4"), model)
    held = photographs.crops(CROPS, SEED).x
    reference = Session(to_bytes(model), threads=1).run_batches(held, 4)[0]
    for amount, goal in GOALS.items():
        for name, way in WAYS.items():
            options = Prune(
                amount,
                importance=way.importance,
                allocation=way.allocation,
                reconstruct=way.reconstruct,
                samples=CALIBRATION,
            )
            pruned = prune(model, options, work)
            found = compare(reference, Session(to_bytes(pruned), threads=1).run_batches(held, 4)[0])
            aimed = goal if way.allocation == "sensitivity" else None
            note = f"SQNR {found.sqnr_db:.1f} dB, {_left(model, pruned, 'parameters'):.3f} of the parameters"
            case = f"EfficientNet-Lite0, {amount:.0%} of the MACs gone, {name}: agreement"
            yield Case(case, round(found.agreement, 4), "share", aimed, "higher", CROPS, note)
            if aimed is not None:
                yield _timed(f"EfficientNet-Lite0, {amount:.0%} of the MACs gone", model, pruned)
    yield from _small()
    yield from _factorised()


def _left(model: onnx.ModelProto, pruned: onnx.ModelProto, unit: str) -> float:
    return sizes(pruned)[unit] / sizes(model)[unit]


def _timed(case: str, model: onnx.ModelProto, pruned: onnx.ModelProto, rounds: int = 40) -> Case:
    """The pruned model's processor time by that of the whole one, both optimised, interleaved, on one thread."""
    sessions = [Session(to_bytes(optimize(each)), threads=1) for each in (model, pruned)]
    feed = tensors.example(sessions[0].inputs)
    spent: list[list[int]] = [[], []]
    for _ in range(rounds):
        for times, session in zip(spent, sessions, strict=True):
            began = time.process_time_ns()  # of this one thread: what else runs here does not count
            session.run(feed)
            times.append(time.process_time_ns() - began)
    before, after = (statistics.median(times) for times in spent)
    ratio, macs = after / before, _left(model, pruned, "macs")
    note = f"MACs {macs:.3f}"
    return Case(
        f"{case}: time / unpruned", round(ratio, 3), "ratio", round(macs + 0.1, 3), "lower", rounds, note
    )


def _small() -> Iterator[Case]:
    """Half of the work gone, by magnitude, in eights as AVX2 works, of architectures as PyTorch exports them."""
    import torch

    from tests import networks

    for name in ("vgg", "resnet18", "resnet50", "densenet", "googlenet", "mobilenetv2", "unet", "vit_packed"):
        torch.manual_seed(0)
        network, shape = getattr(networks, name)()
        example = (torch.zeros(1, *shape),)
        model = prepared(convert(network.eval(), example=example, trainable=True))
        yield _timed(f"{name}, half of the MACs gone", model, prune(model, Prune(0.5, multiple=8, most=0.9)))


def _factorised() -> Iterator[Case]:
    """LeNet-5 trained on digits: what goes without training."""
    train, test = digits.load()
    network, example = lenet()
    model = retrain(convert(network, example=example, trainable=True), train, epochs=6, lr=0.02)
    before = score(model, test)
    for amount in (0.5, 0.75, 0.9):
        made = factorize(model, Factorize(amount, budget="parameters"), train.x)
        lost = round((before - score(made, test)) * 100, 2)
        note = f"accuracy {before:.4f} before; {_left(prepared(model), made, 'macs'):.3f} of the MACs"
        case = f"lenet, {amount:.0%} of the parameters factorised away: accuracy lost"
        yield Case(case, lost, "pp", 1.0, "lower", len(test), note)


if __name__ == "__main__":
    main(cases)
