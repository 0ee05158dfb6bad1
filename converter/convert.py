"""`convert`: from a framework's model to a verified ONNX model."""

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from converter import verify
from converter.frontends import torch as torch_frontend
from converter.inputs import with_fixed_input, with_known_ranks
from converter.model import load
from converter.optimize import OPSET, optimize
from edge_runtime.data import Samples
from edge_runtime.errors import InputError, ModelError
from edge_runtime.files import existing


def convert(
    source: Any,
    *,
    example: Sequence[Any] | None = None,
    input_names: Sequence[str] = (),
    output_names: Sequence[str] = (),
    opset: int = OPSET,
    dynamic_batch: bool = True,
    trainable: bool = False,
    tolerance: float = 1e-4,
    samples: Samples | None = None,
    fixed: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Convert to ONNX, optimise, and check the result numerically against the source.

    Args:
        source: a PyTorch nn.Module or ExportedProgram; the path of a `.pt2` or `.onnx` file; or `"module:callable"`,
            whose call gives a module, or a module and its example arguments.
        example: a PyTorch module's positional arguments (tensors or arrays).
        input_names: names of the inputs; empty keeps the source's.
        output_names: names of the outputs; empty keeps the source's.
        opset: ONNX opset version.
        dynamic_batch: let axis 0 of the inputs vary, unless the source's own code fixes it to that of `example`.
        trainable: keep what training needs: batch normalisation, and every weight under its own name.
        tolerance: largest difference from the source that is accepted, relative to outputs larger than 1.
        samples: data to compare on; None takes random inputs.
        fixed: inputs of an ONNX model that become constants, and their values as text.

    Returns:
        The model. Its metadata `littoral.max_abs_difference` holds the difference that was measured.

    Raises:
        InputError: there is nothing at the path, or the samples do not fit.
        ModelError: it is not a model, cannot be exported, or the result differs from the source.
        BackendError: the source's framework is not installed.
    """
    if isinstance(source, str | os.PathLike):
        source, example = _read(source, example)
    if isinstance(source, onnx.ModelProto):
        model = _as_asked(source, samples, fixed or {})
        reference, _ = verify.runner(model)
    elif torch_frontend.is_source(source):
        names = (input_names, output_names)
        model = torch_frontend.to_onnx(source, example, names, opset, dynamic_batch, trainable)
        reference = torch_frontend.runner(source, [value.name for value in model.graph.input])
    else:
        raise ModelError(
            f"{type(source).__name__} is not a model; accepted: a PyTorch module or program, or ONNX"
        )
    model = optimize(model, trainable=trainable, samples=samples)
    candidate, specs = verify.runner(model)
    difference = verify.compare(reference, candidate, specs, samples)
    if not difference.within(tolerance):
        raise ModelError(
            f"the converted model differs from its source by {difference.max_abs:.3g} over {difference.n} "
            f"inputs; {tolerance:g} is accepted"
        )
    onnx.helper.set_model_props(model, {"littoral.max_abs_difference": f"{difference.max_abs:.3g}"})
    return model


def _as_asked(model: onnx.ModelProto, samples: Samples | None, fixed: Mapping[str, str]) -> onnx.ModelProto:
    for name, number in fixed.items():
        model = with_fixed_input(model, name, number)
    return with_known_ranks(model, samples)


def _read(source: str | os.PathLike[str], example: Sequence[Any] | None) -> tuple[Any, Sequence[Any] | None]:
    text = os.fspath(source)
    if ":" in text and not Path(text).exists():
        return _call(text, example)
    path = existing(source, "an .onnx or .pt2 file, or module:callable")
    if path.suffix == ".pt2":
        return torch_frontend.read_program(path), None
    if path.suffix in (".pt", ".pth"):
        raise ModelError(
            f"{path}: holds weights without a network; give module:callable, or an exported program (.pt2) "
            "written by torch.export.save"
        )
    return load(path), None


def _call(text: str, example: Sequence[Any] | None) -> tuple[Any, Sequence[Any] | None]:
    name, _, attribute = text.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"{text}: cannot be imported ({error}); expected module:callable") from error
    made = found() if callable(found) and not torch_frontend.is_source(found) else found
    if isinstance(made, tuple) and len(made) == 2:
        return made[0], example if example is not None else made[1]
    return made, example
