"""EfficientNet-Lite0: conversion error, size, and int8 agreement on 500 crops, exact and as run here."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import Case, main
from compress import compress
from compress.fidelity import accuracy, compare
from converter.convert import convert
from converter.model import to_bytes
from edge_runtime import emulator
from edge_runtime.data import Samples
from edge_runtime.engines.onnx import open_session, saturates
from edge_runtime.session import Session
from edge_runtime.tensors import Array
from examples import efficientnet_lite0 as example

CROPS, SEED = 500, 1


def cases() -> Iterator[Case]:
    model = convert("examples.efficientnet_lite0:model")
    difference = next(p.value for p in model.metadata_props if p.key == "littoral.max_abs_difference")
    yield Case(
        "converted against PyTorch, max abs", float(difference), "logit", 1e-4, "lower", 3, "random inputs"
    )
    photographs, crops = example.photographs(), example.crops(CROPS, SEED)
    reference = Session(to_bytes(model)).run_batches(crops.x, 4)[0]
    for target in ("rpi4", "rpi5"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "m.bundle"
            made = compress(
                model, example.calibration(), path, target=target, test=photographs, emulate=False, rounds=1
            )
            size = path.stat().st_size / len(to_bytes(model))
            note = f"{path.stat().st_size} bytes"
            yield Case(f"{target}: bundle / fp32 ONNX", round(size, 4), "ratio", 0.30, "lower", 1, note)
            graph = made.bundle.read("infer.onnx")
            if target == "rpi4":
                yield _without_vnni(path, reference, crops.x, Path(folder))
        runs = {
            "exact": open_session(graph, where="exact", config={"session.x64quantprecision": "1"}),
            "Session as run here": open_session(graph, where="here"),
            "onnxruntime's defaults here": open_session(graph, where="defaults", exact_int8=False),
        }
        kernels = "saturating int8 kernels" if saturates() else "exact int8 kernels"
        for name, session in runs.items():
            found = compare(reference, _outputs(session, crops.x))
            goal = 0.94 if not name.startswith("onnxruntime") else None
            note = f"SQNR {found.sqnr_db:.1f} dB; {kernels}"
            yield Case(
                f"{target}: agreement, {name}",
                round(found.agreement, 4),
                "share",
                goal,
                "higher",
                found.n,
                note,
            )
        right = _top1(runs["exact"], photographs)
        yield Case(
            f"{target}: top-1 on the photographs", right, "share", None, "higher", len(photographs), ""
        )
    original = _top1(open_session(to_bytes(model), where="fp32"), photographs)
    yield Case("fp32: top-1 on the photographs", original, "share", None, "higher", len(photographs), "")


def _without_vnni(bundle: Path, reference: Array, x: Array, folder: Path, samples: int = 100) -> Case:
    """What a Session gives on the processors whose int8 kernels saturate, emulated where this one's do not."""
    name = "rpi4: agreement, Session on an emulated x86-64 without VNNI"
    if not emulator.available():
        return Case(name, None, "share", 0.94, "higher", 0, "no emulator: see littoral doctor")
    np.save(folder / "x.npy", x[:samples])
    command = [
        "run",
        str(bundle),
        "--input",
        str(folder / "x.npy"),
        "--output",
        str(folder / "y.npz"),
        "--json",
    ]
    if emulator.run("x86-64", command, capture=True).returncode:
        return Case(name, None, "share", 0.94, "higher", 0, "the emulated run failed")
    with np.load(folder / "y.npz") as outputs:
        found = compare(reference[:samples], next(iter(outputs.values())))
    return Case(
        name, round(found.agreement, 4), "share", 0.94, "higher", samples, f"SQNR {found.sqnr_db:.1f} dB"
    )


def _top1(session: Any, samples: Samples) -> float:
    if samples.y is None:
        raise ValueError("the photographs have labels")
    return accuracy(_outputs(session, samples.x), samples.y)


def _outputs(session: Any, x: Array) -> Array:
    parts = [session.run(None, {session.get_inputs()[0].name: x[i : i + 4]})[0] for i in range(0, len(x), 4)]
    return np.concatenate(parts)


if __name__ == "__main__":
    main(cases)
