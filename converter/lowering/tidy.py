"""What is simpler seen from the finished program: activations and biases that belong to the operator before."""

import numpy as np

from converter.lowering.program import Operator, Program, Tensor, pattern

_FUSED = frozenset({"RELU", "RELU6", "RELU_N1_TO_1"})
_WITH_ACTIVATION = frozenset(
    {
        "ADD",
        "AVERAGE_POOL_2D",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "DIV",
        "FULLY_CONNECTED",
        "MAX_POOL_2D",
        "MUL",
        "SUB",
    }
)


def tidy(program: Program) -> None:
    """Fuse what can be, and remove what no output needs, in place."""
    _drop_unused(program)
    _activations_first(program)
    _join_reshapes(program)
    _drop_unused(program)
    _fuse_bias(program)
    _fuse_activations(program)
    _drop_unused(program)
    _compact(program)


def _pairs(
    program: Program, first: frozenset[str], second: frozenset[str]
) -> list[tuple[Operator, Operator]]:
    """Operators of which the second is the only reader of the first's output, which is no output of the program."""
    readers = program.readers()
    outputs = set(program.outputs)
    found = []
    for operator in program.operators:
        made = operator.outputs[0]
        after = readers.get(made, [])
        if operator.code in first and len(after) == 1 and after[0].code in second and made not in outputs:
            found.append((operator, after[0]))
    return found


def _activations_first(program: Program) -> None:
    """An activation behind a RESHAPE goes before it, to the operator that it can become a part of."""
    for _ in range(2):  # a signal's activation stands behind two
        for shape, after in _pairs(program, frozenset({"RESHAPE"}), _FUSED):
            source, new = (program.tensors[k] for k in (shape.inputs[0], after.outputs[0]))
            if source.data is not None:
                continue
            made = program.add(
                Tensor(f"{new.name}.flat", source.shape, new.dtype, quantization=new.quantization)
            )
            first, second = program.operators.index(shape), program.operators.index(after)
            after.inputs, shape.inputs = [shape.inputs[0]], [made, *shape.inputs[1:]]
            after.outputs, shape.outputs = [made], after.outputs
            program.operators[first], program.operators[second] = after, shape


def _join_reshapes(program: Program) -> None:
    """A RESHAPE of a RESHAPE reads what the first did; one that comes back to the same shape is none."""
    made: dict[int, Operator] = {}
    same: dict[int, int] = {}
    for operator in program.operators:
        operator.inputs = [same.get(k, k) for k in operator.inputs]
        if operator.code != "RESHAPE":
            continue
        before = made.get(operator.inputs[0])
        if before is not None:
            operator.inputs[0] = before.inputs[0]
        out = operator.outputs[0]
        made[out] = operator
        shapes = [pattern(program.tensors[k].shape) for k in (operator.inputs[0], out)]
        if shapes[0] == shapes[1] and out not in program.outputs:
            same[out] = operator.inputs[0]


def _fuse_activations(program: Program) -> None:
    for operator, after in _pairs(program, _WITH_ACTIVATION, _FUSED):
        made, new = (program.tensors[op.outputs[0]] for op in (operator, after))
        kinds = {
            program.tensors[k].dtype for k in (operator.inputs[0], operator.outputs[0], after.outputs[0])
        }
        if "fusedActivationFunction" in operator.options or len(kinds) != 1 or kinds - {"float32", "int8"}:
            continue
        if made.quantization != new.quantization:
            continue
        operator.options["fusedActivationFunction"] = after.code
        operator.outputs = after.outputs
        program.operators.remove(after)


def _fuse_bias(program: Program) -> None:
    """A product without a bias and the constant that is added to it are a product with a bias."""
    for operator, after in _pairs(program, frozenset({"FULLY_CONNECTED"}), frozenset({"ADD"})):
        other = next((k for k in after.inputs if k != operator.outputs[0]), -1)
        bias, own = program.tensors[other], program.tensors[operator.inputs[2]]
        made, new = (program.tensors[op.outputs[0]] for op in (operator, after))
        if bias.data is None or own.data is None or own.dtype != "float32" or np.any(own.data):
            continue
        row = bias.data.size == own.data.size and bias.shape[-1:] == own.shape
        if not row or made.dtype != "float32" or made.shape != new.shape:
            continue
        operator.inputs[2] = program.add(
            type(own)(bias.name, own.shape, own.dtype, np.ascontiguousarray(bias.data.reshape(-1)))
        )
        operator.outputs = after.outputs
        program.operators.remove(after)


def _drop_unused(program: Program) -> None:
    wanted, kept = set(program.outputs), []
    for operator in reversed(program.operators):
        if wanted.isdisjoint(operator.outputs):
            continue
        kept.append(operator)
        wanted.update(operator.inputs)
    program.operators = kept[::-1]


def _compact(program: Program) -> None:
    """Number the tensors that are left anew, and give each a name of its own."""
    used = [*program.inputs, *program.outputs]
    used += [k for op in program.operators for k in (*op.inputs, *op.outputs) if k >= 0]
    numbers = {old: new for new, old in enumerate(sorted(set(used)))}
    program.tensors = [program.tensors[old] for old in sorted(set(used))]
    for operator in program.operators:
        operator.inputs = [numbers.get(k, -1) for k in operator.inputs]
        operator.outputs = [numbers[k] for k in operator.outputs]
    program.inputs = [numbers[k] for k in program.inputs]
    program.outputs = [numbers[k] for k in program.outputs]
    taken = {program.tensors[k].name for k in (*program.inputs, *program.outputs)}
    ends = {*program.inputs, *program.outputs}
    for k, tensor in enumerate(program.tensors):
        if k in ends:
            continue
        if tensor.name in taken:
            tensor.name = f"{tensor.name}.{k}"
        taken.add(tensor.name)
