r"""Outlier channel splitting: a channel with outliers becomes two of half its size, and every range halves with it.

Zhao et al., "Improving Neural Network Quantization without Retraining using Outlier Channel Splitting", ICML 2019,
section 3: an input channel c of a layer, whose weights hold the largest values, is duplicated, and its weights are
shared out, ``w x = (w/2) x + (w/2) x``. In quantised form the halves are ``(w - s/2)/2`` and ``(w + s/2)/2`` with the
step s, which round together as w alone would (their equation 5). The layer that makes channel c makes it twice, and
where that is a depthwise convolution, the layer before it as well. The float outputs stay the same; the layers grow by
`amount`.

With one scale an output channel little is left to gain; for weights with one scale a tensor, or with few bits, it is
much.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from compress.quantization.equalize import streams
from compress.quantization.weights import depthwise, symmetric
from compress.step import Work
from converter.model import Model, attribute, constants, copy, load, set_constant
from edge_runtime.errors import ModelError


@dataclass(frozen=True, slots=True)
class SplitOutliers:
    """Parameters of the step: `amount`, the share of channels that are split; `bits` of the weights to come."""

    amount: float = 0.02
    bits: int = 8

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """Apply the step."""
        return split_outliers(model, self)


def split_outliers(model: Model, options: SplitOutliers | None = None) -> onnx.ModelProto:
    """Duplicate the channels whose weights hold the outliers, and share their weights out.

    Args:
        model: float, optimised; or its path; it is not changed.
        options: how many.

    Returns:
        The model with more channels and the same outputs.

    Raises:
        ModelError: the amount is not between 0 and 1.
    """
    chosen = options or SplitOutliers()
    if not 0 <= chosen.amount <= 1:
        raise ModelError(f"split: amount is {chosen.amount}; expected a share of the channels, 0 to 1")
    result = copy(load(model))
    for reader, writers in _chains(result.graph):
        _split(result.graph, reader, writers, chosen)
    del result.graph.value_info[:]
    onnx.checker.check_model(result)
    return result


def _chains(graph: onnx.GraphProto) -> list[tuple[onnx.NodeProto, list[onnx.NodeProto]]]:
    """Each layer whose input channels can be split, and the layers that make them, the last one first."""
    known = constants(graph)
    made = {
        stream.writers[0].output[0]: stream
        for stream in streams(graph)
        if len(stream.writers) == len(stream.readers) == 1
    }
    before = {stream.readers[0].output[0]: stream.writers[0] for stream in made.values()}
    found = []
    for stream in made.values():
        (reader,), chain = stream.readers, list(stream.writers)
        if depthwise(reader, known[reader.input[1]]):
            continue
        while depthwise(chain[-1], known[chain[-1].input[1]]) and chain[-1].output[0] in before:
            chain.append(before[chain[-1].output[0]])
        if not depthwise(chain[-1], known[chain[-1].input[1]]):
            found.append((reader, chain))
    return found


def _split(
    graph: onnx.GraphProto, reader: onnx.NodeProto, writers: Sequence[onnx.NodeProto], options: SplitOutliers
) -> None:
    known = constants(graph)
    axis = 1 if reader.op_type == "Conv" or attribute(reader, "transB", 0) else 0
    weight = np.moveaxis(known[reader.input[1]], axis, 0).copy()
    chosen: list[int] = []
    for _ in range(int(np.ceil(options.amount * len(weight)))):
        # Again and again the channel that now holds the largest weight, as the paper does: one may be split twice.
        c = int(np.abs(weight.reshape(len(weight), -1)).max(axis=1).argmax())
        scale, _ = symmetric(weight, None, options.bits)
        half = np.where(weight[c : c + 1] == 0, 0, (weight[c : c + 1] + scale / 2) / 2).astype(np.float32)
        weight, chosen = np.concatenate([weight, half]), [*chosen, c]
        weight[c] -= half[0]
    set_constant(graph, reader.input[1], np.moveaxis(weight, 0, axis))
    for writer in writers:
        for name in (name for name in writer.input[1:] if name):
            value = known[name]
            for c in chosen:
                value = np.concatenate([value, value[c : c + 1]])
            set_constant(graph, name, value)
        for found in writer.attribute:
            if found.name == "group" and found.i > 1:
                found.i += len(chosen)
