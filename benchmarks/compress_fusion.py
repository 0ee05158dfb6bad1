"""Fusion: operators left, and time as onnxruntime runs the graph with its own optimisations on, one thread."""

import importlib
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import onnx

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import Case, main
from converter.frontends import torch as torch_frontend
from converter.model import load, to_bytes
from converter.optimize import optimize
from edge_runtime import profile, tensors
from edge_runtime.data import Samples, feeds
from edge_runtime.engines.onnx import load as load_onnxruntime
from edge_runtime.session import Session
from examples import third_party

NETWORKS = ("vit", "transformer", "mobilenetv3", "shufflenetv2", "densenet")
THIRD_PARTY = ("ocr-detector", "ocr-recogniser", "ocr-classifier", "magika", "sentence-transformer")
ROUNDS = 25


def cases() -> Iterator[Case]:
    for name in THIRD_PARTY:
        path, samples = third_party.MODELS[name]()
        yield from _compared(name, load(path), Samples(samples.x[:3]))
    for name in NETWORKS:
        yield from _compared(name, _exported(name), None)
    yield from _branches()


def _compared(name: str, source: onnx.ModelProto, samples: Samples | None) -> Iterator[Case]:
    fused = optimize(source, samples=samples)
    nodes = {
        "ours": _count(fused),
        "onnxscript": _count(_by_onnxscript(source)),
        "onnxruntime": _by_onnxruntime(source),
    }
    note = f"of {_count(source)}; onnxscript's {nodes['onnxscript']}, onnxruntime's basic level {nodes['onnxruntime']}"
    yield Case(
        f"{name}: operators",
        nodes["ours"],
        "operators",
        min(nodes["onnxscript"], nodes["onnxruntime"]),
        "lower",
        1,
        note,
    )
    yield _timed(f"{name}: time / as it was", source, fused, samples, 1.0)
    best = optimize(source, samples=samples, attention=True)
    if any(node.op_type == "Attention" for node in best.graph.node):
        yield _timed(f"{name}: time with the operator Attention / as it was", source, best, samples, 1.0)


def _timed(
    name: str, before: onnx.ModelProto, after: onnx.ModelProto, samples: Samples | None, goal: float | None
) -> Case:
    old, new = (Session(to_bytes(model), threads=1) for model in (before, after))
    feed = (
        tensors.example(old.inputs) if samples is None else next(islice(feeds(samples.x, old.inputs), 1))[0]
    )
    first, second = profile.interleaved([lambda: old.run(feed), lambda: new.run(feed)], ROUNDS)
    note = f"{_count(before)} → {_count(after)} operators, {first.median_ms:.2f} ms as it was"
    return Case(name, round(second.median_ms / first.median_ms, 3), "ratio", goal, "lower", ROUNDS, note)


def _branches() -> Iterator[Case]:
    """Horizontal fusion on an Inception block's shapes: what a Concat takes, and what a Split must follow."""
    for channels, size, outputs in ((192, 28, (64, 96, 16)), (512, 14, (160, 112, 24))):
        for ending in ("concat", "split"):
            model = _block(channels, size, outputs, ending)
            merged = optimize(model, split=ending == "split")
            name = (
                f"branches {channels}x{size}x{size} → {'+'.join(map(str, outputs))}, {ending}: time / apart"
            )
            yield _timed(name, model, merged, None, 1.0 if ending == "concat" else None)


def _block(channels: int, size: int, outputs: tuple[int, ...], ending: str) -> onnx.ModelProto:
    torch = torch_frontend.load_torch()

    class Block(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleList(torch.nn.Conv2d(channels, o, 1) for o in outputs)
            self.after = torch.nn.ModuleList(torch.nn.Conv2d(o, 16, 3, padding=1) for o in outputs)

        def forward(self, x: Any) -> Any:
            found = [torch.relu(part(x)) for part in self.parts]
            if ending == "split":
                found = [after(value) for after, value in zip(self.after, found, strict=True)]
            return torch.cat(found, 1)

    return torch_frontend.to_onnx(Block().eval(), (torch.rand(2, channels, size, size),), ((), ()), 21, True)


def _exported(name: str) -> onnx.ModelProto:
    torch = torch_frontend.load_torch()
    torch.manual_seed(0)
    network, shape = getattr(importlib.import_module("tests.networks"), name)()
    return torch_frontend.to_onnx(network.eval(), (torch.rand(2, *shape),), ((), ()), 21, True)


def _count(model: onnx.ModelProto) -> int:
    return sum(node.op_type != "Constant" for node in model.graph.node)


def _by_onnxscript(model: onnx.ModelProto) -> onnx.ModelProto:
    optimizer = importlib.import_module("onnxscript.optimizer")
    made: onnx.ModelProto = optimizer.optimize(onnx.ModelProto.FromString(to_bytes(model)))
    return made


def _by_onnxruntime(model: onnx.ModelProto) -> int:
    """Operators after onnxruntime's basic level, which stays within ONNX."""
    ort = load_onnxruntime()
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / "m.onnx")
        ort.InferenceSession(to_bytes(model), options, providers=["CPUExecutionProvider"])
        return _count(onnx.load(options.optimized_model_filepath))


if __name__ == "__main__":
    main(cases)
