"""`lower`: from ONNX to the form of another engine, compared with what onnxruntime makes of the model."""

from collections.abc import Mapping

import onnx

from converter import verify
from converter.lowering import rules as rules
from converter.lowering.builder import Builder, label
from converter.lowering.flatbuffer import write
from converter.lowering.layout import channels_last, natural
from converter.lowering.outputs import quantize_outputs
from converter.lowering.prepare import Prepared, prepare, refuse_unknown
from converter.lowering.program import Program, Quantization, Tensor, fixed, pattern
from converter.lowering.registry import RULES
from converter.lowering.tidy import tidy
from converter.model import Model, load, to_bytes
from edge_runtime.engines import litert
from edge_runtime.engines import onnx as ort
from edge_runtime.errors import InputError, ModelError
from edge_runtime.tensors import Array

FORMS = ("tflite",)
_QUANTIZED_TOLERANCE = 0.25
"""Of integers on random inputs: a rounding that falls the other way goes on through all layers; a mistake gives 1."""


def lower(
    model: Model,
    form: str = "tflite",
    *,
    lengths: Mapping[str, int] | None = None,
    samples: Array | None = None,
    native: bool = False,
    tolerance: float = 1e-4,
) -> bytes:
    """Write a model in another engine's form, and compare its outputs with onnxruntime's.

    Inputs and outputs keep their names, types and shapes. A quantised model (QDQ) becomes a full-integer one. Lengths
    that vary, such as the batch, still do, unless an operator does not allow it: then they are 1.

    Args:
        model: a model or the path of one; best an optimised one. It is not changed.
        form: "tflite", for LiteRT.
        lengths: numbers for lengths that vary, by their names in the model: ``{"batch": 4}``.
        samples: inputs for a quantised model, from which the ranges of outputs are taken that the model leaves real:
            then the last layer runs in integers as well, which an NPU may need.
        native: inputs and outputs as the kernels take them: channels last, and int8 where the model quantises them. For
            NPU compilers and microcontrollers; a `Session` takes the form without.
        tolerance: largest difference of the outputs of a float model, relative to outputs larger than 1.

    Returns:
        The content of a .tflite file, always the same bytes for the same model.

    Raises:
        InputError: there is nothing at the path, or no such form.
        ModelError: something in the model has no form in TFLite (the text names the node), or the result differs.
        BackendError: LiteRT, which brings the schema and runs the comparison, is not installed.
    """
    if form not in FORMS:
        raise InputError(f"'{form}' is not a form to lower to; accepted: {', '.join(FORMS)}")
    source = load(model)
    if samples is not None:
        source = quantize_outputs(source, samples)
    prepared = prepare(source, lengths or {}, RULES)
    name = source.graph.name or "main"
    made = write(program(prepared), name)
    _compare(source, made, tolerance)
    return write(program(prepared, native=True), name) if native else made


def program(prepared: Prepared, *, native: bool = False) -> Program:
    """The model as a TFLite program; see `lower`.

    Raises:
        ModelError: something in the model has no form in TFLite.
    """
    graph = prepared.graph
    refuse_unknown(graph.node, RULES)
    b = Builder(graph, prepared.shapes, prepared.types, native=native)
    for value in graph.input:
        if value.name not in b.constants:
            b.program.inputs.append(_input(b, value.name))
    for node in graph.node:
        try:
            RULES[node.op_type](b, node)
        except ModelError as error:
            text = str(error)
            raise ModelError(text if text.startswith("node ") else f"{label(node)}: {text}") from error
    for value in graph.output:
        b.program.outputs.append(_output(b, value.name))
    tidy(b.program)
    if b.pinned:
        for tensor in b.program.tensors:
            tensor.shape = fixed(tensor.shape)
    return b.program


def _input(b: Builder, name: str) -> int:
    if b.native:
        return b.define(name, channels_last(b.rank(name)), b.target(name))
    return b.define(name)


def _output(b: Builder, name: str) -> int:
    """The tensor of an output: in ONNX's order and type, under its name, and no other output's or input's."""
    wanted = b.dtype(name)
    rank = b.rank(name)
    order = channels_last(rank) if b.native else natural(rank)
    index = b.tensor(name, order)
    scale = b.program.tensors[index].quantization
    if scale is not None and wanted == "uint8" and not b.native:
        index = b.requantized(index, Quantization(scale.scale, scale.zero_point + 128), "uint8")
    elif wanted != "int8" and not b.native:
        index = b.real(index)
    tensor = b.program.tensors[index]
    if index in b.program.inputs or index in b.program.outputs or tensor.data is not None:
        copied = b.program.add(Tensor(name, tensor.shape, tensor.dtype, quantization=tensor.quantization))
        target = pattern(tensor.shape)
        index = b.program.emit("RESHAPE", [index, b.vector(target)], copied, newShape=target)
    b.program.tensors[index].name = name
    return index


def _compare(source: onnx.ModelProto, made: bytes, tolerance: float) -> None:
    """Compare with what the model means: quantised ones in floats, for onnxruntime's integer kernels may differ too.

    Raises:
        ModelError: the outputs are further apart than is accepted.
    """
    session = ort.open_session(to_bytes(source), where="the model", config={"session.disable_quant_qdq": "1"})
    engine = litert.LiteRT(made, where="the lowered model")
    difference = verify.compare(
        lambda feeds: list(session.run(None, feeds)),
        lambda feeds: list(engine.run(feeds).values()),
        engine.inputs,
    )
    integers = any(node.op_type == "QuantizeLinear" for node in source.graph.node)
    accepted = _QUANTIZED_TOLERANCE if integers else tolerance
    if not difference.within(accepted):
        raise ModelError(
            f"the lowered model differs from onnxruntime by {difference.max_abs:.3g} over {difference.n} random "
            f"inputs (outputs up to {difference.scale:.3g}); {accepted:g} of that is accepted"
        )
