"""Bundles that can learn: inference graph, training step, evaluation graph and initial weights.

The device exports a trained model without the onnx package: `weights.json` says where in `infer.onnx` the
bytes of each parameter lie, so new weights are written over them.
"""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Unpack

import onnx
from onnx import helper, numpy_helper

from converter.autodiff.canonical import canonical
from converter.differentiate import METADATA, evaluation_graph, loss_graph
from converter.memory import fit_memory
from converter.places import quantized_table, tensor_data, weights_table
from converter.step import Step, StepArguments
from edge_runtime.bundle import Bundle, Manifest, pack
from edge_runtime.declared import Input, Postprocess
from edge_runtime.errors import TargetError
from edge_runtime.target import Target
from edge_runtime.tensors import Array, TensorSpec
from edge_runtime.training.arrays import write_parameters

__all__ = ["pack_trainable", "tensor_data"]


def pack_trainable(
    model: onnx.ModelProto,
    path: str | os.PathLike[str],
    *,
    name: str,
    target: str = "rpi4",
    gradients: bool = False,
    recompute: bool = False,
    micro_batch: int = 0,
    max_memory: int = 0,
    batch_size: int = 32,
    quantized: onnx.ModelProto | None = None,
    preprocess: Input | None = None,
    labels: Sequence[str] = (),
    postprocess: Postprocess | None = None,
    metrics: Mapping[str, Any] | None = None,
    **training: Unpack[StepArguments],
) -> Bundle:
    """Write a bundle that runs and learns. The same arguments give the same bytes.

    Args:
        model: as for `converter.differentiate.differentiate`.
        path: where to; with a suffix a zip, else a folder.
        name: what the model is called.
        target: the device profile that it is meant for. One of x86-64 gets a second form of the step, which
            onnxruntime runs faster there.
        gradients: pack a graph of the gradients beside the step: `Trainer.gradients`.
        recompute: compute cheap operators twice, rather than keep their results: less memory.
        micro_batch: run a step in parts of so many samples, which add up to the same step (but batch normalisation
            sees one part at a time): less memory. 0 runs it whole.
        max_memory: bytes that a process which trains may take; 0 for any. Chooses recompute and micro_batch.
        batch_size: samples a step, for which max_memory shall hold.
        quantized: what `compress.quantization.quantize` made of `model`: the form in which it runs and is exported.
        preprocess: how pictures become the input.
        labels: the classes' names.
        postprocess: what the outputs mean.
        metrics: what was measured of the model.
        training: loss, optimizer, momentum, weight_decay, l1, clip_norm, clip_value, trainable, penalty: as for
            `differentiate`. The optimiser "none" packs the gradients alone.

    Raises:
        ModelError: the model cannot be differentiated.
        InputError: `path` cannot be written.
    """
    step = Step(model, **training)
    noted = {}
    if max_memory:
        found = fit_memory(step, batch_size, max_memory)
        recompute, micro_batch = found.recompute, found.micro_batch
        noted = {"evaluation_batch": micro_batch or batch_size, "planned_bytes": found.total}
    x86 = _is_x86(target)
    graphs = step.graphs(recompute=recompute, split=micro_batch > 0, gradients=gradients, blocked=x86)
    for graph in graphs.values():
        _note(graph, micro_batch=micro_batch, **noted)
    inference = canonical(model)
    files = _files(step, graphs, inference, quantized)
    ends = tuple(map(_spec, inference.graph.input)), tuple(map(_spec, inference.graph.output))
    known: dict[str, Any] = {"metrics": dict(metrics or {}), "postprocess": postprocess}
    return pack(path, Manifest(name, target, *ends, preprocess, tuple(labels), **known), files)


def _is_x86(target: str) -> bool:
    try:
        return Target.load(target).arch == "x86_64"
    except TargetError:
        return False  # a name of the user's own


def _files(
    step: Step,
    graphs: Mapping[str, onnx.ModelProto],
    inference: onnx.ModelProto,
    quantized: onnx.ModelProto | None,
) -> dict[str, bytes]:
    """The content of the bundle: the step's graphs, those of the evaluation, and the weights."""
    evaluation = {
        "eval.onnx": evaluation_graph(step.model, step.trainable, loss=step.loss),
        "loss.onnx": loss_graph(step.model, loss=step.loss),
    }
    parameters = _content(inference, _parameters(next(iter(graphs.values()))))
    infer_bytes = _serialised(inference if quantized is None else quantized)
    if quantized is None:
        places = weights_table(infer_bytes, parameters)
    else:
        places = quantized_table(infer_bytes, quantized, inference, parameters)
    return {name: _serialised(graph) for name, graph in {**graphs, **evaluation}.items()} | {
        "infer.onnx": infer_bytes,
        "params.npz": write_parameters(parameters),
        "weights.json": (json.dumps(places, indent=1) + "\n").encode(),
    }


def _parameters(graph: onnx.ModelProto) -> list[str]:
    """What a step replaces: weights and running statistics."""
    roles = _roles(graph)
    return list(dict.fromkeys([*roles.get("weights", ()), *roles["parameters"]]))


def _roles(graph: onnx.ModelProto) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        next(entry.value for entry in graph.metadata_props if entry.key == METADATA)
    )
    return found


def _note(graph: onnx.ModelProto, **further: Any) -> None:
    """Say more in the graph's metadata."""
    helper.set_model_props(graph, {METADATA: json.dumps(_roles(graph) | further)})


def _content(model: onnx.ModelProto, names: Collection[str]) -> dict[str, Array]:
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    return {name: numpy_helper.to_array(tensors[name]) for name in names}


def _serialised(model: onnx.ModelProto) -> bytes:
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    kind = value.type.tensor_type
    shape = tuple(
        dim.dim_param or (dim.dim_value if dim.HasField("dim_value") else "?") for dim in kind.shape.dim
    )
    return TensorSpec(value.name, helper.tensor_dtype_to_np_dtype(kind.elem_type).name, shape)
