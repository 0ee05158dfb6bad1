"""A quantised graph's signed activations made unsigned: the same numbers, and WebAssembly runs them twice as fast.

An int8 value q with zero point z stands for (q - z) * scale, and so does the uint8 value q + 128 with zero point
z + 128. So only the zero points change, by type and value, and each where it stands in the file: a byte of its
`data_type`, and one bit of each value. ONNX's messages are read by their field numbers (onnx.proto, wire format of
Protocol Buffers), for a device has no library for them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_GRAPH = 7  # of ModelProto
_NODES, _CONSTANTS, _OUTPUTS, _KNOWN = 1, 5, 12, 13  # of GraphProto
_INPUT, _OUTPUT, _KIND = 1, 2, 4  # of NodeProto
_TYPE, _NAME, _RAW = 2, 8, 9  # of TensorProto
_UINT8, _INT8 = 2, 3  # of TensorProto.DataType

Span = tuple[int, int]
"""Where the content of a field begins and ends."""


@dataclass(frozen=True, slots=True)
class _Node:
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def zero(self) -> str:
        """The zero point of a QuantizeLinear or DequantizeLinear; "" if it has none."""
        return self.inputs[2] if len(self.inputs) > 2 else ""


def unsigned(model: bytes) -> bytes:
    """The model with uint8 in the place of int8 activations, or as it is where these are more than Q and DQ know of.

    Args:
        model: an ONNX file.
    """
    graphs = [span for number, *span in _fields(model, 0, len(model)) if number == _GRAPH]
    if len(graphs) != 1:
        return model
    parts: dict[int, list[Span]] = {}
    for number, begin, end in _fields(model, *graphs[0]):
        parts.setdefault(number, []).append((begin, end))
    nodes = [_node(model, span) for span in parts.get(_NODES, [])]
    signed = dict(filter(None, (_signed(model, span) for span in parts.get(_CONSTANTS, []))))
    typed = {_texts(model, span, 1)[0] for of in (_OUTPUTS, _KNOWN) for span in parts.get(of, [])}
    changed = bytearray(model)
    for name in _zeros(nodes, signed, typed):
        place, (begin, end) = signed[name]
        changed[place] = _UINT8
        for k in range(begin, end):
            changed[k] ^= 128
    return bytes(changed)


def _zeros(nodes: Sequence[_Node], signed: Mapping[str, object], typed: set[str]) -> set[str]:
    """Names of the zero points to change; none if a value is used, or its type told, elsewhere than by Q and DQ."""
    made = {node.outputs[0]: node for node in nodes if node.kind == "QuantizeLinear"}
    made = {name: node for name, node in made.items() if node.zero in signed}
    zeros = {node.zero for node in made.values()}
    if typed & set(made):
        return set()
    for node in nodes:
        if node.inputs and node.inputs[0] in made and node.kind == "DequantizeLinear":
            zeros.add(node.zero)
            if node.zero not in signed:
                return set()
        elif set(node.inputs) & set(made):
            return set()
    for node in nodes:  # a weight's zero point may be the same constant
        own = node.outputs[0] in made or (node.inputs[:1] and node.inputs[0] in made)
        if not own and zeros & set(node.inputs):
            return set()
    return zeros


def _node(model: bytes, span: Span) -> _Node:
    kinds = _texts(model, span, _KIND)
    return _Node(
        kinds[0] if kinds else "", tuple(_texts(model, span, _INPUT)), tuple(_texts(model, span, _OUTPUT))
    )


def _signed(model: bytes, span: Span) -> tuple[str, tuple[int, Span]] | None:
    """Name of a constant of int8, where its type stands, and its values; None if it is no such one."""
    fields = {number: (begin, end) for number, begin, end in _fields(model, *span)}
    if not {_TYPE, _NAME, _RAW} <= set(fields) or model[fields[_TYPE][0]] != _INT8:
        return None
    return model[slice(*fields[_NAME])].decode(), (fields[_TYPE][0], fields[_RAW])


def _texts(model: bytes, span: Span, wanted: int) -> list[str]:
    return [model[begin:end].decode() for number, begin, end in _fields(model, *span) if number == wanted]


def _fields(model: bytes, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number of each field of a message, and where its content begins and ends."""
    while begin < end:
        key, begin = _varint(model, begin)
        match key & 7:
            case 0:
                last = _varint(model, begin)[1]
            case 1:
                last = begin + 8
            case 2:
                length, begin = _varint(model, begin)
                last = begin + length
            case _:
                last = begin + 4
        yield key >> 3, begin, last
        begin = last


def _varint(model: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = model[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
