"""The split of a model into A, which is frozen and runs once over the data, and B, which trains on what A gave.

A model can be cut where one single value carries all that the rest needs to know of the data. In an order in which
the model can run, these are the values beside which no other value is still waiting to be read.
"""

import difflib
from collections.abc import Collection

import onnx
from onnx import helper

from converter import verify
from converter.autodiff import Shape, infer_shapes
from converter.autodiff.canonical import BATCH, canonical
from converter.model import copy, prune_unused
from converter.transfer.layers import last_layers
from edge_runtime.errors import ModelError
from edge_runtime.tensors import example


def cuts(model: onnx.ModelProto) -> list[str]:
    """The values at which the model can be cut in two, from the input on; neither the input nor the output.

    Raises:
        ModelError: the model is not of the form that can be trained.
    """
    return [name for name, _ in _cuts(_pruned(canonical(model)).graph)]


def split(
    model: onnx.ModelProto, at: str | None = None, trainable: Collection[str] | None = None
) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """Cut the model: A from the data to the value `at`, B from there to the output.

    Args:
        model: as for `converter.differentiate`.
        at: the value to cut at, one of `cuts(model)`; None takes the last one before the first layer that trains.
        trainable: the weights that will train, all of which B shall hold; None means the output layer's.

    Returns:
        A, whose output is `at`, and B, whose input it is. Every name is kept.

    Raises:
        ModelError: the model cannot be cut there, or a trainable weight would be left in A.
    """
    whole = _pruned(canonical(model))
    chosen = list(last_layers(whole) if trainable is None else trainable)
    places = dict(_cuts(whole.graph))
    first = _first_use(whole.graph, chosen)
    if at is None:
        shapes = infer_shapes(whole)
        before = [k for k, position in places.items() if position < first and _per_sample(shapes.get(k, ()))]
        if not before:
            raise ModelError(
                f"there is nothing to run once: the first layer that trains, node '{_name(whole, first)}', has no "
                "single value before it that carries the data; train fewer layers, or the whole model"
            )
        at = before[-1]
    if at not in places:
        near = difflib.get_close_matches(at, places, n=1)
        raise ModelError(
            f"cannot cut at '{at}': it is not the only value there that the rest needs; "
            + (f"the nearest such name is '{near[0]}'" if near else f"there are {_some(list(places))}")
        )
    if trainable is not None and places[at] >= first:
        raise ModelError(
            f"cut at '{at}': node '{_name(whole, first)}' comes before it and trains; cut earlier, or freeze it"
        )
    return _parts(whole, at)


def _parts(whole: onnx.ModelProto, at: str) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    shape = infer_shapes(whole).get(at, ())
    if not _per_sample(shape):
        raise ModelError(
            f"cut at '{at}': its shape is {list(shape) or 'unknown'}; features need a batch and fixed lengths"
        )
    elem_type = _elem_type(whole, at)
    if any(isinstance(length, str) for length in shape[1:]):
        shape = _measured(whole, at, elem_type)
    feature = helper.make_tensor_value_info(at, elem_type, shape)
    backbone, head = copy(whole), copy(whole)
    del backbone.graph.output[:], head.graph.input[:]
    backbone.graph.output.append(feature)
    head.graph.input.append(feature)
    rest = [node for node in head.graph.node if at not in node.output]
    del head.graph.node[:]
    head.graph.node.extend(rest)
    for part in (backbone, head):
        prune_unused(part.graph)
        onnx.checker.check_model(part)
    return backbone, head


def _per_sample(shape: Shape) -> bool:
    """Whether axis 0 is the batch and the others are fixed or not known, so that features may be kept by sample."""
    known = [length for length in shape[1:] if isinstance(length, str) and not length.startswith("?")]
    return bool(shape) and shape[0] == BATCH and not known


def _measured(whole: onnx.ModelProto, at: str, elem_type: int) -> Shape:
    """The shape of a value that only a run tells, as behind a Reshape to a computed shape."""
    part = copy(whole)
    del part.graph.output[:]
    part.graph.output.append(helper.make_tensor_value_info(at, elem_type, None))
    prune_unused(part.graph)
    run, inputs = verify.runner(part)
    lengths = inputs[0].shape[1:]
    if any(isinstance(length, str) for length in lengths):
        raise ModelError(
            f"cut at '{at}': its shape is not known while the input's lengths vary ({inputs[0]}); export fixed ones"
        )
    (found,) = run(example(inputs))
    return (BATCH, *found.shape[1:])


def join(backbone: onnx.ModelProto, head: onnx.ModelProto) -> onnx.ModelProto:
    """One model again: what the backbone gives goes into the head. The head's names are kept.

    Args:
        backbone: from the data to the features; it may have been optimised since the split.
        head: its one input has the name of the backbone's output.

    Raises:
        ModelError: they do not fit together.
    """
    given, taken = backbone.graph.output[0].name, head.graph.input[0].name
    if given != taken:
        raise ModelError(
            f"the backbone gives '{given}' and the head takes '{taken}': they are not of one split"
        )
    versions = [{entry.domain: entry.version for entry in part.opset_import} for part in (backbone, head)]
    if any(versions[0].get(domain, version) != version for domain, version in versions[1].items()):
        raise ModelError(f"backbone and head are of different opsets: {versions[0]} and {versions[1]}")
    front = _apart(backbone, head)
    made = copy(head)
    graph = made.graph
    nodes, tensors = list(graph.node), list(graph.initializer)
    del graph.node[:], graph.initializer[:], graph.input[:], graph.value_info[:]
    graph.node.extend([*front.graph.node, *nodes])
    graph.initializer.extend([*front.graph.initializer, *tensors])
    graph.input.extend(front.graph.input)
    made.ir_version = max(backbone.ir_version, head.ir_version)
    known = {entry.domain for entry in made.opset_import}
    made.opset_import.extend(entry for entry in front.opset_import if entry.domain not in known)
    onnx.checker.check_model(made)
    return made


def _apart(backbone: onnx.ModelProto, head: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the backbone whose inner names are not the head's: an optimiser may have invented the same."""
    taken = {tensor.name for tensor in head.graph.initializer}
    taken.update(name for node in head.graph.node for name in [*node.input, *node.output])
    feature = backbone.graph.output[0].name
    made = copy(backbone)
    own = {name for node in made.graph.node for name in node.output}
    own |= {tensor.name for tensor in made.graph.initializer}
    new = {name: f"backbone/{name}" for name in (own & taken) - {feature}}
    for tensor in made.graph.initializer:
        tensor.name = new.get(tensor.name, tensor.name)
    for node in made.graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    return made


def _pruned(model: onnx.ModelProto) -> onnx.ModelProto:
    prune_unused(model.graph)
    return model


def _cuts(graph: onnx.GraphProto) -> list[tuple[str, int]]:
    """The values that separate the data from the output, each with the position of the node that makes it."""
    last = {name: k for k, node in enumerate(graph.node) for name in node.input}
    output = graph.output[0].name
    live = {graph.input[0].name}
    found = []
    for position, node in enumerate(graph.node):
        if not live.isdisjoint(node.input):
            live.update(node.output)
        live = {name for name in live if last.get(name, -1) > position or name == output}
        if len(live) == 1:
            (name,) = live
            if name in node.output and name != output:
                found.append((name, position))
    return found


def _first_use(graph: onnx.GraphProto, names: Collection[str]) -> int:
    wanted = set(names)
    for position, node in enumerate(graph.node):
        if not wanted.isdisjoint(node.input):
            return position
    raise ModelError(f"no node uses {_some(list(names))}: there is nothing to train")


def _name(model: onnx.ModelProto, position: int) -> str:
    node = model.graph.node[position]
    return str(node.name or node.output[0])


def _elem_type(model: onnx.ModelProto, name: str) -> int:
    inferred = onnx.shape_inference.infer_shapes(model).graph
    for value in [*inferred.value_info, *inferred.input, *inferred.output]:
        if value.name == name:
            return int(value.type.tensor_type.elem_type)
    return int(model.graph.output[0].type.tensor_type.elem_type)


def _some(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[-4:])
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown or "none"
