"""NPUs with a compiler of their own: a model in the form that they take, and what the compiler says of it."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from edge_runtime.accelerators import native, rknn, vela
from edge_runtime.accelerators.candidates import Candidate
from edge_runtime.accelerators.selftest import SelfTest
from edge_runtime.console import megabytes
from edge_runtime.errors import BackendError
from edge_runtime.session import Session
from edge_runtime.tensors import Array

_COMPARED = 8  # samples


@dataclass(frozen=True, slots=True)
class Report:
    """What a compiler made of a model: the file's content and usual name, the figures, and those as lines to show."""

    label: str
    file: str
    content: bytes
    figures: Mapping[str, Any]
    rows: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Source:
    """What is compiled: serialised ONNX or a .tflite file, samples that give its outputs a range, and a self-test."""

    onnx: bytes = b""
    tflite: bytes = b""
    samples: Array | None = None
    test: SelfTest | None = None


def compile_for(source: Source, candidate: Candidate) -> Report:
    """Compile a model for an accelerator that has a compiler of its own.

    Raises:
        BackendError: the compiler is not installed.
        ModelError: it refuses the model.
        TargetError: an option is not one of its.
    """
    found: Callable[[Source, Candidate], Report] = {"vela": _vela, "rknn": _rknn}[candidate.compiler]
    return found(source, candidate)


def _vela(source: Source, candidate: Candidate) -> Report:
    vela.command()  # before the long part
    model = source.tflite or _lowered(source)
    made = vela.compile_model(model, candidate.options)
    rows, figures = made.rows(), made.to_json()
    if made.on_cpu and source.samples is None and not source.tflite:
        rows.append(("to have all on the NPU", "give samples (--data): its outputs are real numbers"))
    if source.samples is not None and source.test is not None:
        figures["similarity"] = _likeness(source, model, source.samples[:_COMPARED])
        rows.append(("integer kernels to the graph", f"{figures['similarity']:.4f}"))
    return Report(candidate.label, "infer.vela.tflite", made.content, figures, rows)


def _likeness(source: Source, model: bytes, samples: Array) -> float:
    """Cosine similarity of what TFLite's integer kernels, and so the NPU, give on samples to what the graph gives."""
    wanted = Session(source.onnx)
    given = {wanted.inputs[0].name: samples}
    expected = dict(zip([each.name for each in wanted.outputs], wanted.run_batches(samples), strict=True))
    return SelfTest(given, expected, {}).check(native.run(model, given), -1.0)


def _rknn(source: Source, candidate: Candidate) -> Report:
    if not source.onnx:
        raise BackendError("Rockchip's toolkit takes an ONNX graph; give a bundle or an .onnx file")
    platform, test = candidate.options.get("platform", "rk3588"), source.test
    made = rknn.convert(source.onnx, platform, test.inputs if test else None)
    figures: dict[str, Any] = {
        "platform": platform,
        "toolkit": made.version,
        "bytes": len(made.content),
    }
    if test is not None:
        named = dict(zip(test.outputs, made.outputs, strict=True))
        figures |= {"similarity": test.check(named, -1.0), "simulated": True}
    rows = [("platform", platform), ("rknn-toolkit2", made.version), ("size", megabytes(len(made.content)))]
    if test is not None:
        rows.append(("self-test in its simulator", f"{figures['similarity']:.4f}"))
    return Report(candidate.label, "infer.rknn", made.content, figures, rows)


def _lowered(source: Source) -> bytes:
    """The model as a full-integer .tflite file with channels last, by the package that brings that form.

    Raises:
        BackendError: it is not installed.
    """
    found = [each for each in metadata.entry_points(group="littoral.forms") if each.name == "tflite"]
    try:
        lower = found[0].load()
    except (IndexError, ImportError) as error:
        raise BackendError(
            "an .onnx model is lowered to TFLite first, which is not installed: pip install 'littoral[lower]'"
        ) from error
    with tempfile.TemporaryDirectory(prefix="littoral-") as folder:
        path = Path(folder, "model.onnx")
        path.write_bytes(source.onnx)
        lengths = source.test.lengths if source.test else {}
        made: bytes = lower(path, "tflite", native=True, samples=source.samples, lengths=lengths)
        return made
