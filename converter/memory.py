"""The memory of a training step, found without running it; and the micro-batch that fits a budget.

A step's peak is the largest sum, over the nodes in the order in which the engine runs them, of the results
that are still to be read. The order is the engine's own: it loads the graph, and what it writes out after its
optimisations is in that order. Results are freed after their last reader; operators that work element by
element write over an operand that is read for the last time, where the engine knows that the shapes agree.
"""

import math
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import helper, shape_inference

from converter.arena import Arena
from converter.differentiate import evaluation_graph
from converter.model import to_bytes
from converter.step import Step
from edge_runtime.engines import onnx as engine
from edge_runtime.errors import InputError
from edge_runtime.training.program import OPTIONS, WITHOUT, Roles

# A process that has imported Python, NumPy and onnxruntime and done nothing yet, and what the engine keeps for
# each node of a graph: measured on Linux with onnxruntime 1.31, on x86-64 and, the same within a twentieth, on
# an emulated Cortex-A53.
RUNTIME = 60_000_000
NODE = 6_600
# The planner was found within a tenth of what a process takes, a little below more often than above
# (benchmarks/training_memory.py); a budget is kept with this share to spare.
SPARE = 0.06

_ALIAS = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
_OVERWRITES = frozenset(
    """
    Abs Add And Ceil Clip Cos Div Elu Erf Exp Floor Gelu HardSigmoid HardSwish LeakyRelu Log Max Min Mul Neg Not
    Or Pow Reciprocal Relu Selu Sigmoid Sign Sin Softmax Softplus Softsign Sqrt Sub Sum Tanh ThresholdedRelu Where
    """.split()  # noqa: SIM905  (a list would take thirty lines)
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a step is run, and its memory in bytes; `evaluation` is what measuring the model takes beside it.

    `micro_batch` is 0 where the batch runs whole. `node` runs when the most is alive, and `largest` are the
    results that are largest then.
    """

    batch: int
    micro_batch: int
    recompute: bool
    runtime: int
    graphs: int
    parameters: int
    state: int
    gradients: int
    data: int
    evaluation: int
    activations: int
    node: str = ""
    largest: tuple[tuple[str, int], ...] = ()

    @property
    def total(self) -> int:
        """Peak memory of a process that runs the step and the evaluation."""
        held = self.runtime + self.graphs + self.parameters + self.state + self.gradients
        return held + self.data + self.evaluation + self.activations

    def to_json(self) -> dict[str, Any]:
        """As a plain table."""
        names = ("batch", "micro_batch", "recompute", "runtime", "graphs", "parameters", "state", "gradients")
        return {n: getattr(self, n) for n in (*names, "data", "evaluation", "activations", "total")}


def plan(step: Step, batch: int, *, micro_batch: int = 0, recompute: bool = False) -> Plan:
    """The memory of a step of `batch` samples.

    Args:
        step: what to plan.
        batch: samples a step.
        micro_batch: samples that run at a time; 0 for all.
        recompute: compute cheap results twice.

    Raises:
        ModelError: the model cannot be differentiated, or the engine does not accept the graph.
    """
    return _planned(step, batch, recompute=recompute, split=bool(micro_batch))(micro_batch)


def fit_memory(step: Step, batch: int, budget: int) -> Plan:
    """The fastest way to run a step of `batch` samples within `budget` bytes of memory, for the whole process.

    In this order: as it is; with recomputation; in micro-batches of a half, a quarter ... of the batch, down to
    one sample.

    Raises:
        InputError: even the smallest does not fit; the sentence says what it needs.
        ModelError: the model cannot be differentiated.
    """
    found, again = (plan(step, batch, recompute=recompute) for recompute in (False, True))
    if not _fits(found, budget):
        found = min(found, again, key=lambda p: p.total)
    sized = None if _fits(found, budget) else _planned(step, batch, recompute=found.recompute, split=True)
    size = batch
    while sized and not _fits(found, budget) and size > 1:
        size = -(-size // 2)
        found = sized(size)
    if _fits(found, budget):
        return found
    raise InputError(
        f"a training step of this model needs {_megabytes(found.total * (1 + SPARE))} at least, sample by sample, "
        f"and {_megabytes(budget)} are allowed; train fewer weights (trainable) or a smaller model"
    )


def _fits(found: Plan, budget: int) -> bool:
    return found.total * (1 + SPARE) <= budget


def parse_size(text: str) -> int:
    """Bytes of ``150MB``, ``64MiB`` or ``1.5GB``.

    >>> parse_size("150MB")
    150000000

    Raises:
        InputError: it is not a size.
    """
    match = re.fullmatch(r"([\d.]+)\s*([kMG])(i?)B", text.strip())
    if not match:
        raise InputError(f"'{text}' is not an amount of memory; expected one such as 150MB or 64MiB")
    power = "kMG".index(match[2]) + 1
    return int(float(match[1]) * (1024 if match[3] else 1000) ** power)


def _megabytes(count: float) -> str:
    return f"{math.ceil(count / 1e6)} MB"


def _planned(step: Step, batch: int, *, recompute: bool, split: bool) -> Callable[[int], Plan]:
    """A function from the micro-batch to the plan: the graphs are built and loaded once."""
    graphs = list(step.graphs(recompute=recompute, split=split).values())
    runs = [_as_run(graph) for graph in graphs]
    roles = [Roles.read({e.key: e.value for e in graph.metadata_props}, "the graph") for graph in graphs]
    update = roles[-1]
    fixed = _sizes(graphs[-1], 1) | _sizes(graphs[0], 1)
    names = dict.fromkeys([*roles[0].weights, *roles[0].parameters])
    moved = [name for name in update.parameters if name not in update.in_place]
    parameters = sum(fixed[name] for name in [*names, *moved, *roles[0].anchoring])
    state = sum(fixed[name] * (1 if name in update.in_place else 2) for name in update.state)
    gradients = sum(fixed[name] for name in roles[0].buffers.values())
    tested = evaluation_graph(step.model, step.trainable, loss=step.loss)
    test = _as_run(tested)

    def made(micro_batch: int) -> Plan:
        rows = micro_batch or batch
        peaks = [_simulate(run, _sizes(graph, rows)) for run, graph in zip(runs, graphs, strict=True)]
        most = max(peaks)
        data = _sizes(graphs[0], batch)
        return Plan(
            batch,
            micro_batch,
            recompute,
            RUNTIME,
            sum(map(_loaded, runs)),
            parameters,
            state,
            gradients,
            sum(data[name] for name in (roles[0].data, roles[0].labels, *roles[0].extra)),
            _loaded(test) + _simulate(test, _sizes(tested, rows))[0],
            sum(touched for touched, *_ in peaks),  # each graph has a pool of its own
            most[1],
            most[2],
        )

    return made


def _as_run(graph: onnx.ModelProto) -> onnx.GraphProto:
    """The graph as the engine runs it: optimised for the processor at hand, its nodes in order."""
    with tempfile.TemporaryDirectory(prefix="littoral-") as folder:
        written = Path(folder, "optimized.onnx")
        engine.open_session(
            to_bytes(graph),
            where="the training graph",
            options={**OPTIONS, "optimized_model_filepath": str(written)},
            without=WITHOUT,
        )
        return onnx.load(str(written)).graph


def _loaded(run: onnx.GraphProto) -> int:
    """Bytes that the engine holds of a graph before it runs."""
    return sum(len(tensor.raw_data) for tensor in run.initializer) + NODE * len(run.node)


def _sizes(graph: onnx.ModelProto, batch: int) -> dict[str, int]:
    """Bytes of each value for that batch."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(graph)
    del fixed.graph.value_info[:]
    for value in fixed.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_value = batch
    found = shape_inference.infer_shapes(fixed, data_prop=True).graph
    return {value.name: _bytes(value) for value in (*found.input, *found.value_info, *found.output)}


def _bytes(value: onnx.ValueInfoProto) -> int:
    kind = value.type.tensor_type
    count = math.prod(int(dim.dim_value) for dim in kind.shape.dim)
    return count * int(helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize)


Peak = tuple[int, str, tuple[tuple[str, int], ...]]


def _simulate(graph: onnx.GraphProto, sizes: Mapping[str, int]) -> Peak:
    """Run through the nodes, and follow what lives: the most bytes, the node that runs then, and the largest."""
    live = _Live(graph, sizes)
    most, where, largest = 0, "", dict[str, int]()
    for node in graph.node:
        live.make(node)
        if live.bytes > most:
            most, where, largest = live.bytes, node.name or node.output[0], dict(live.buffers)
        live.release(node)
    return live.arena.touched, where, tuple(sorted(largest.items(), key=lambda item: -item[1])[:10])


class _Live:
    """Buffers that are alive, each with the bytes of the value that it was made for; several may share one."""

    def __init__(self, graph: onnx.GraphProto, sizes: Mapping[str, int]) -> None:
        self.bytes = 0
        self.buffers: dict[str, int] = {}
        self.arena = Arena()
        self._sizes = sizes
        # What the trainer binds to memory of its own is counted there.
        self._kept = {value.name for value in (*graph.input, *graph.output, *graph.initializer)}
        self._known = {value.name: _dims(value) for value in (*graph.value_info, *graph.input, *graph.output)}
        self._readers = Counter(name for node in graph.node for name in set(node.input))
        self._holder: dict[str, str] = {}
        self._users: Counter[str] = Counter()

    def make(self, node: onnx.NodeProto) -> None:
        """Find room for the results of `node`."""
        for name in node.output:
            if not name or name in self._kept:
                continue
            held = self._taken_over(node, name)
            if held is None:
                held = name
                # What the engine's own operators make is as large as what they read.
                size = self._sizes.get(name, max((self._sizes.get(i, 0) for i in node.input), default=0))
                self.buffers[name] = size
                self.bytes += size
                self.arena.allocate(name, size)
            self._holder[name] = held
            self._users[held] += 1

    def release(self, node: onnx.NodeProto) -> None:
        """Free what nobody reads any more."""
        for name in set(node.input):
            self._readers[name] -= 1
        for name in {*node.input, *node.output}:
            if not self._readers[name] and name in self._holder:
                held = self._holder.pop(name)
                self._users[held] -= 1
                if not self._users[held]:
                    self.bytes -= self.buffers.pop(held)
                    self.arena.release(held)

    def _taken_over(self, node: onnx.NodeProto, name: str) -> str | None:
        """The buffer of an operand that a result goes into."""
        if name != node.output[0]:
            return None
        if node.op_type in _ALIAS:
            return self._holder.get(node.input[0])
        for operand in node.input if node.op_type in _OVERWRITES else ():
            held = self._holder.get(operand)
            alone = held is not None and self._readers[operand] == 1 and self._users[held] == 1
            if alone and None is not self._known.get(operand) == self._known.get(name):
                return held
        return None


def _dims(value: onnx.ValueInfoProto) -> tuple[int | str, ...] | None:
    """The shape as far as the engine knows it; None if a length has neither number nor name."""
    dims = tuple(
        d.dim_value if d.HasField("dim_value") else d.dim_param for d in value.type.tensor_type.shape.dim
    )
    return None if "" in dims or not value.type.tensor_type.HasField("shape") else dims
