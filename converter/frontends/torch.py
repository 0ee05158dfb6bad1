"""From PyTorch: an nn.Module, an exported program, or a `.pt2` file; the only place that imports torch."""

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx

from converter.verify import Run
from edge_runtime.errors import BackendError, ModelError


def load_torch() -> ModuleType:
    """The torch module.

    Raises:
        BackendError: it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise BackendError("converting from PyTorch needs torch: pip install 'littoral[torch]'") from error
    module: ModuleType = torch
    return module


def is_source(source: object) -> bool:
    """Whether `source` is an nn.Module or an exported program, found out without importing torch."""
    names = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(source).__mro__}
    return bool(names & {"torch.Module", "torch.ExportedProgram"})


def read_program(path: Path) -> Any:
    """An exported program from a `.pt2` file.

    Raises:
        ModelError: it is not one.
    """
    torch = load_torch()
    try:
        with _quiet():
            return torch.export.load(str(path))
    except Exception as error:
        raise ModelError(f"{path}: not an exported PyTorch program ({str(error).splitlines()[0]})") from error


def to_onnx(
    source: Any,
    example: Sequence[Any] | None,
    names: tuple[Sequence[str], Sequence[str]],
    opset: int,
    dynamic: bool,
    trainable: bool = False,
) -> onnx.ModelProto:
    """Export with PyTorch's own exporter.

    Args:
        source: nn.Module or ExportedProgram.
        example: the module's arguments, tensors or arrays; a program brings its own.
        names: of the inputs and of the outputs; empty for the source's own.
        opset: ONNX opset version.
        dynamic: let axis 0 of every input vary, unless the source's own code fixes it.
        trainable: do not let the exporter fuse layers or merge equal weights.

    Raises:
        ModelError: PyTorch cannot export it.
    """
    torch = load_torch()
    given = _arguments(source, example)
    program = source
    with _quiet():
        try:
            if not isinstance(source, torch.export.ExportedProgram):
                program = _program(torch, source, given, dynamic)
            exported = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=opset,
                input_names=list(names[0]) or None,
                output_names=list(names[1]) or None,
                verbose=False,
                optimize=not trainable,
            )
        except Exception as error:
            first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise ModelError(f"PyTorch cannot export {type(source).__name__}: {first}") from error
    model: onnx.ModelProto = exported.model_proto
    return _named_batch(model)


def _named_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Call the batch "n" in place of the exporter's own symbol, such as "s85"; it changes the model given."""
    values = (*model.graph.input, *model.graph.output, *model.graph.value_info)
    dims = [dim for value in values for dim in value.type.tensor_type.shape.dim]
    first = model.graph.input[0].type.tensor_type.shape.dim[:1] if model.graph.input else []
    symbols = {dim.dim_param for dim in first if dim.dim_param}
    if symbols and not any(dim.dim_param == "n" for dim in dims):
        for dim in dims:
            if dim.dim_param in symbols:
                dim.dim_param = "n"
    return model


def _program(torch: ModuleType, module: Any, given: tuple[Any, ...], dynamic: bool) -> Any:
    if not dynamic:
        return torch.export.export(module.eval(), given)
    # A batch of 1 would be taken for a constant, so the example is repeated to two samples.
    doubled = tuple(t.repeat(2, *[1] * (t.dim() - 1)) if t.dim() and t.shape[0] == 1 else t for t in given)
    batch = torch.export.Dim("n")
    shapes = tuple({0: batch} if t.dim() else None for t in doubled)
    try:
        return torch.export.export(module.eval(), doubled, dynamic_shapes=shapes)
    except Exception:  # noqa: BLE001  (many kinds: the model's own code, such as len(x), makes the batch a constant)
        return torch.export.export(module.eval(), given)


def runner(source: Any, names: Sequence[str]) -> Run:
    """A function that runs the source on arrays given by input name."""
    torch = load_torch()
    module = source.module() if isinstance(source, torch.export.ExportedProgram) else source.eval()

    def run(feeds: dict[str, np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        with torch.no_grad():
            out = module(*[torch.from_numpy(feeds[name]) for name in names])
        outs = (
            out if isinstance(out, tuple | list) else list(out.values()) if isinstance(out, dict) else [out]
        )
        return [t.numpy() for t in outs]

    return run


def _arguments(source: Any, example: Sequence[Any] | None) -> tuple[Any, ...]:
    torch = load_torch()
    if isinstance(source, torch.export.ExportedProgram):
        return ()
    if example is None:
        raise ModelError(
            "a PyTorch module needs an example input: give --input float32[1,3,224,224], or example= in Python"
        )
    return tuple(
        value if isinstance(value, torch.Tensor) else torch.from_numpy(np.asarray(value)) for value in example
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter reports on what it does; only its errors concern the user."""
    os.environ.setdefault("TORCH_LOGS", "-all")
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
