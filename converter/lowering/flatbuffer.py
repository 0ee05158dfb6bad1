"""Writes a program as a TFLite flatbuffer (schema version 3, identifier TFL3): the only place that imports the schema.

The schema's Python classes come with LiteRT (`ai_edge_litert.schema_py_generated`), so they are those of the runtime
that the result is compared with; TensorFlow is not needed.
"""

from functools import cache
from typing import Any

import numpy as np

from converter.lowering.program import Free, Operator, Program, Quantization, Tensor, pattern
from edge_runtime.errors import BackendError

_ALIGNMENT = 16
"""Bytes; kernels load constants in vectors (`force_align` in the schema, which the Python classes do not keep)."""
_TYPES = {
    "float32": "FLOAT32",
    "float16": "FLOAT16",
    "float64": "FLOAT64",
    "int8": "INT8",
    "uint8": "UINT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "bool": "BOOL",
}
_OPTIONS = {
    "ADD": "AddOptions",
    "ARG_MAX": "ArgMaxOptions",
    "ARG_MIN": "ArgMinOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "CAST": "CastOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "CUMSUM": "CumsumOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "DEPTH_TO_SPACE": "DepthToSpaceOptions",
    "DIV": "DivOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "GATHER": "GatherOptions",
    "GELU": "GeluOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "MIRROR_PAD": "MirrorPadOptions",
    "MUL": "MulOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "REDUCE_PROD": "ReducerOptions",
    "RESHAPE": "ReshapeOptions",
    "RESIZE_BILINEAR": "ResizeBilinearOptions",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
    "SOFTMAX": "SoftmaxOptions",
    "SPACE_TO_DEPTH": "SpaceToDepthOptions",
    "SPLIT": "SplitOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "SUB": "SubOptions",
    "SUM": "ReducerOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
}
_FUSED = {"RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}
_PADDING = {"SAME": 0, "VALID": 1}
_VERSIONS = {"BROADCAST_TO": 2}
"""The version that runtimes know an operator by, where that is not 1."""
_LARGE = 127
"""Codes from here on do not fit in the field that runtimes before 2.4 read."""
_INTEGER_VERSIONS = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    **dict.fromkeys(
        (
            *("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "RELU", "RELU6", "LEAKY_RELU", "LOGISTIC", "TANH"),
            *("AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "SUM", "REDUCE_MAX", "SOFTMAX", "BATCH_MATMUL"),
            *("CONCATENATION", "GATHER", "PAD", "PADV2", "SLICE", "SPLIT", "STRIDED_SLICE", "TRANSPOSE"),
            *("DEQUANTIZE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "TRANSPOSE_CONV"),
        ),
        2,
    ),
}
"""The version of an operator that brought its int8 kernel, where that is not 1."""


_SIZES = {"FLOAT32": 4, "INT32": 4, "INT64": 8, "FLOAT16": 2, "INT16": 2, "INT8": 1, "UINT8": 1}
"""Bytes of an element, by the name of the schema's type."""


@cache
def schema() -> Any:
    """The module of the schema's classes.

    Raises:
        BackendError: it is not installed.
    """
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise BackendError(
            f"the TFLite schema cannot be imported ({error}): pip install 'littoral[lower]'"
        ) from error
    return schema_py_generated


def write(program: Program, name: str, metadata: dict[str, str] | None = None) -> bytes:
    """The program as the content of a .tflite file, always the same bytes for the same program.

    Args:
        program: inputs and outputs are found by their tensors' names.
        name: of the graph.
        metadata: notes, which no runtime reads.
    """
    import flatbuffers

    fb = schema()
    model = fb.ModelT(version=3, description="littoral", buffers=[fb.BufferT()])
    codes: dict[tuple[str, int], int] = {}
    graph = fb.SubGraphT(name=name, inputs=_vector(program.inputs), outputs=_vector(program.outputs))
    graph.tensors = [_tensor(fb, model, tensor) for tensor in program.tensors]
    graph.operators = [_operator(fb, program, operator, codes) for operator in program.operators]
    model.operatorCodes = [_code(fb, code, version) for code, version in codes]
    model.subgraphs = [graph]
    model.signatureDefs = [_signature(fb, program)]
    model.metadata = []
    for key, text in (metadata or {}).items():
        model.metadata.append(fb.MetadataT(name=key, buffer=len(model.buffers)))
        model.buffers.append(_buffer(fb, np.frombuffer(text.encode(), np.uint8)))
    size = sum(len(b.data) + 2 * _ALIGNMENT for b in model.buffers if b.data is not None)
    builder = flatbuffers.Builder(size + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def buffers(content: bytes) -> list[tuple[int, int, int]]:
    """The constants within a .tflite file: offset, length in bytes, and bytes of an element; the empty ones left out.

    Raises:
        BackendError: the schema is not installed.
    """
    fb = schema()
    model = fb.Model.GetRootAs(content)
    graph = model.Subgraphs(0)
    found: dict[int, tuple[int, int, int]] = {}
    for tensor in map(graph.Tensors, range(graph.TensorsLength())):
        data = model.Buffers(tensor.Buffer())
        field = data._tab.Offset(4)  # of the vector `data`, the first field of a Buffer
        size = next(
            (size for name, size in _SIZES.items() if getattr(fb.TensorType, name) == tensor.Type()), 1
        )
        if field and data.DataLength() >= size:
            found[tensor.Buffer()] = (data._tab.Vector(field), data.DataLength() // size * size, size)
    return sorted(found.values())


def _vector(values: list[int]) -> Any:
    return np.asarray(values, np.int32)


def _buffer(fb: Any, data: Any) -> Any:
    class Aligned(fb.BufferT):  # type: ignore[misc]
        def Pack(self, builder: Any) -> Any:  # noqa: N802  (the schema's name)
            raw = self.data.tobytes()
            builder.StartVector(1, len(raw), _ALIGNMENT)
            builder.head -= len(raw)
            builder.Bytes[builder.head : builder.head + len(raw)] = raw
            vector = builder.EndVector()
            fb.BufferStart(builder)
            fb.BufferAddData(builder, vector)
            return fb.BufferEnd(builder)

    made = Aligned()
    made.data = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    return made


def _tensor(fb: Any, model: Any, tensor: Tensor) -> Any:
    made = fb.TensorT(name=tensor.name, hasRank=True, shape=_vector([int(n) for n in tensor.shape]))
    made.type = getattr(fb.TensorType, _TYPES[tensor.dtype])
    if any(isinstance(length, Free) for length in tensor.shape):
        made.shapeSignature = _vector(pattern(tensor.shape))
    if tensor.quantization is not None:
        made.quantization = _quantization(fb, tensor.quantization)
    if tensor.data is not None:
        made.buffer = len(model.buffers)
        model.buffers.append(_buffer(fb, tensor.data))
    return made


def _quantization(fb: Any, given: Quantization) -> Any:
    return fb.QuantizationParametersT(
        scale=np.asarray(given.scale, np.float32),
        zeroPoint=np.full(len(given.scale), given.zero_point, np.int64),
        quantizedDimension=given.axis,
    )


def _operator(fb: Any, program: Program, operator: Operator, codes: dict[tuple[str, int], int]) -> Any:
    integer = any(program.tensors[k].dtype == "int8" for k in operator.inputs if k >= 0)
    version = (_INTEGER_VERSIONS if integer else _VERSIONS).get(
        operator.code, _VERSIONS.get(operator.code, 1)
    )
    made = fb.OperatorT(opcodeIndex=codes.setdefault((operator.code, version), len(codes)))
    made.inputs, made.outputs = _vector(operator.inputs), _vector(operator.outputs)
    kind = _OPTIONS.get(operator.code)
    if kind is not None:
        made.builtinOptionsType = getattr(fb.BuiltinOptions, kind)
        made.builtinOptions = getattr(fb, f"{kind}T")()
        for key, value in operator.options.items():
            setattr(made.builtinOptions, key, _option(fb, key, value))
    return made


def _option(fb: Any, key: str, value: Any) -> Any:
    if key == "padding":
        return _PADDING[value]
    if key == "fusedActivationFunction":
        return _FUSED[value]
    if key in ("inDataType", "outDataType", "outputType"):
        return getattr(fb.TensorType, _TYPES[value])
    return np.asarray(value, np.int32) if isinstance(value, list) else value


def _code(fb: Any, code: str, version: int) -> Any:
    number = getattr(fb.BuiltinOperator, code)
    return fb.OperatorCodeT(builtinCode=number, deprecatedBuiltinCode=min(number, _LARGE), version=version)


def _signature(fb: Any, program: Program) -> Any:
    def maps(indices: list[int]) -> list[Any]:
        return [fb.TensorMapT(name=program.tensors[k].name, tensorIndex=k) for k in indices]

    return fb.SignatureDefT(
        signatureKey="serving_default", inputs=maps(program.inputs), outputs=maps(program.outputs)
    )
