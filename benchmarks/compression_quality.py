"""ImageNet networks in int8, calibrated on photographs without labels: agreement with fp32 on 1,000 other crops."""

import importlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import quantization_peers as peers
from benchmarks.harness import Case, main
from compress import compress
from compress.compress import Compressed
from compress.fidelity import Fidelity, accuracy, compare
from converter.convert import convert
from converter.model import to_bytes
from edge_runtime import emulator
from edge_runtime.data import Samples
from edge_runtime.engines.onnx import open_session, saturates
from edge_runtime.session import Session
from edge_runtime.tensors import Array

CROPS, SEED, GOAL = 1000, 1, 0.97
EMULATED = 100  # crops of those: an emulated inference takes about a second
NETWORKS = {"efficientnet-lite0": "examples.efficientnet_lite0", "mobilenetv2": "examples.mobilenetv2"}
TARGETS = ("rpi4", "rpi5", "x86-64")
EXACT = {"session.x64quantprecision": "1"}


def cases() -> Iterator[Case]:
    for name, module in NETWORKS.items():
        yield from _network(name, importlib.import_module(module))


def _network(name: str, example: ModuleType) -> Iterator[Case]:
    model = convert(f"{example.__name__}:model")
    difference = next(p.value for p in model.metadata_props if p.key == "littoral.max_abs_difference")
    yield Case(f"{name}: conversion, max abs", float(difference), "logit", 1e-4, "lower", 3, "random inputs")
    photographs, crops = example.photographs(), example.crops(CROPS, SEED)
    calibration = example.calibration()
    reference = Session(to_bytes(model)).run_batches(crops.x, 4)[0]
    found: dict[str, Fidelity] = {}
    with tempfile.TemporaryDirectory() as folder:
        for target in TARGETS:
            path = Path(folder) / f"{target}.bundle"
            made = compress(
                model, calibration, path, target=target, test=photographs, emulate=False, rounds=1
            )
            yield from _target(name, target, made, reference, crops.x, found)
            if target == "x86-64":
                yield _without_vnni(name, made, reference, crops.x, Path(folder))
            right = _top1(made.model, photographs)
            label = f"{name}@{target}: top-1 on the photographs"
            yield Case(label, right, "share", None, "higher", len(photographs))
    original = _top1(model, photographs)
    yield Case(f"{name}: fp32, top-1 on the photographs", original, "share", None, "higher", len(photographs))
    yield from _against_peers(name, model, calibration.x, reference, crops.x, found)


def _target(
    name: str, target: str, made: Compressed, reference: Array, x: Array, found: dict[str, Fidelity]
) -> Iterator[Case]:
    """Size, and agreement with fp32: exact, as a Session runs it here, and by onnxruntime's defaults."""
    label, graph = f"{name}@{target}", made.bundle.read("infer.onnx")
    size = made.bundle.path.stat().st_size
    ratio = round(size / len(to_bytes(made.source)), 4)
    yield Case(f"{label}: bundle / fp32 ONNX", ratio, "ratio", 0.30, "lower", 1, f"{size} bytes")
    kernels = "saturating" if saturates() else "exact"
    runs: dict[str, Any] = {"Session as run here": open_session(graph, where="here")}
    if saturates():  # elsewhere all three are the same kernels
        runs["exact"] = open_session(graph, where="exact", config=EXACT)
        runs["onnxruntime's defaults here"] = open_session(graph, where="defaults", exact_int8=False)
    for how, session in runs.items():
        seen = compare(reference, _outputs(session, x))
        goal = None if how.startswith("onnxruntime") and saturates() else GOAL
        note = f"SQNR {seen.sqnr_db:.1f} dB; {kernels} int8 kernels here"
        yield Case(
            f"{label}: agreement, {how}", round(seen.agreement, 4), "share", goal, "higher", seen.n, note
        )
        found.setdefault(target, seen)


def _without_vnni(name: str, made: Compressed, reference: Array, x: Array, folder: Path) -> Case:
    """What a Session gives on the processors whose int8 kernels saturate, emulated where this one's do not."""
    label = f"{name}@x86-64: agreement, Session on an emulated processor without VNNI"
    if not emulator.available():
        return Case(label, None, "share", GOAL, "higher", 0, "no emulator: see littoral doctor")
    np.save(folder / "x.npy", x[:EMULATED])
    files = ["--input", str(folder / "x.npy"), "--output", str(folder / "y.npz")]
    if emulator.run("x86-64", ["run", str(made.bundle.path), *files, "--json"], capture=True).returncode:
        return Case(label, None, "share", GOAL, "higher", 0, "the emulated run failed")
    with np.load(folder / "y.npz") as outputs:
        given = next(iter(outputs.values()))
    exact = _outputs(open_session(made.bundle.read("infer.onnx"), where="here"), x[:EMULATED])
    seen = compare(reference[:EMULATED], given)
    note = f"SQNR {seen.sqnr_db:.1f} dB; largest difference from this processor {np.abs(given - exact).max():.3g}"
    return Case(label, round(seen.agreement, 4), "share", GOAL, "higher", EMULATED, note)


def _against_peers(
    name: str,
    model: onnx.ModelProto,
    calibration: Array,
    reference: Array,
    x: Array,
    ours: Mapping[str, Fidelity],
) -> Iterator[Case]:
    """Every setting of quantize_static on the same data, without saturation; and the best of them against ours."""
    best, which = 0.0, "none"
    for setting, made in peers.quantized(model, calibration):
        label = f"{name}: agreement, onnxruntime quantize_static {setting}"
        if isinstance(made, str):
            yield Case(label, None, "share", None, "higher", 0, made.splitlines()[0][:200])
            continue
        seen = compare(reference, _outputs(open_session(to_bytes(made), where=setting, config=EXACT), x))
        note = f"SQNR {seen.sqnr_db:.1f} dB"
        yield Case(label, round(seen.agreement, 4), "share", None, "higher", seen.n, note)
        if seen.agreement > best:
            best, which = seen.agreement, setting
    for target, seen in ours.items():
        label = f"{name}@{target}: best of quantize_static / ours"
        yield Case(label, round(best / seen.agreement, 4), "ratio", 1.0, "lower", seen.n, which)


def _top1(model: onnx.ModelProto, samples: Samples) -> float:
    if samples.y is None:
        raise ValueError("the photographs have labels")
    return accuracy(_outputs(open_session(to_bytes(model), where="top-1"), samples.x), samples.y)


def _outputs(session: Any, x: Array) -> Array:
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: x[i : i + 4]})[0] for i in range(0, len(x), 4)])


if __name__ == "__main__":
    main(cases)
