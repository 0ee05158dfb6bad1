"""Every covered operator on ONNX's own test cases: our gradient against central differences in float64.

The gradient runs in float32 on onnxruntime, as on a device; the differences are those of ONNX's reference
implementation, along a random direction for each input.
"""

import functools
import re
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from converter.autodiff import RULES, gradient_graph
from converter.autodiff.canonical import lift_constants, modern
from converter.autodiff.coverage import (
    COVERED,
    DIFFERENTIABLE,
    NOT_COVERED,
    NOT_DIFFERENTIABLE,
    main,
    written,
)
from edge_runtime.errors import ModelError

Arrays = dict[str, np.ndarray]
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)

# Inputs that are settings although they are numbers.
SETTINGS = {
    "AffineGrid": {1}, "BatchNormalization": {3, 4}, "Resize": {1, 2}, "OneHot": {0, 1}, "STFT": {1, 3},
    "CumSum": {1}, "CumProd": {1},
}  # fmt: skip

# ONNX's reference computes these in float32 inside.
COARSE = {
    "CausalConvWithState", "DeformConv", "Erf", "Gelu", "GridSample", "LayerNormalization", "LinearAttention", "Loop",
    "MeanVarianceNormalization", "NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss",
}  # fmt: skip

EXCLUDED = {
    "test_clip_min_greater_than_max": "the bounds contradict each other",
    "test_l1normalization_axis_last": "the reference forgets the absolute values",
    "test_maxunpool_export_with_output_shape": "ONNX cannot infer its shape",
    "test_roialign_mode_max": "the mode max has no gradient here",
    "test_scan_sum": "opset 8 had another Scan",
    "test_resize_downsample_scales_linear_align_corners": "onnxruntime differs from the reference",
    "test_resize_downsample_scales_cubic_align_corners": "onnxruntime differs from the reference",
    "test_attention_24_qk_matmul_output_mode3_softmax_precision": "the reference computes in float32 inside",
    "test_attention_local_window_gqa_rank4_mask": "the reference takes no float64 there",
}


@functools.cache
def all_cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        found = load_model_tests(kind="node")
    table = {}
    for case in found:
        if len(case.model.graph.node) == 1:
            table.setdefault(case.model.graph.node[0].op_type, []).append(case)
    return table


def array_of(x) -> np.ndarray:
    return np.asarray(numpy_helper.to_array(x) if isinstance(x, TensorProto) else x)


def prepared(case) -> tuple[onnx.ModelProto, Arrays, list[np.ndarray]]:
    """The case in float32 and at least opset 21, what is not a number as a constant; inputs, and outputs' weights."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph, node = model.graph, model.graph.node[0]
    feeds, kept = {}, []
    settings = {node.input[i] for i in SETTINGS.get(node.op_type, ()) if i < len(node.input)}
    for value, x in zip(list(graph.input), case.data_sets[0][0], strict=False):
        if not value.type.HasField("tensor_type"):
            raise Unsuited("works on sequences")
        array, kind = array_of(x), value.type.tensor_type
        if kind.elem_type in FLOATS or (node.op_type == "Trilu" and value.name == node.input[0]):
            array = array.astype(np.float32)
            kind.elem_type = TensorProto.FLOAT
        if kind.elem_type == TensorProto.FLOAT and value.name not in settings:
            feeds[value.name] = array
            kept.append(value)
        else:
            graph.initializer.append(numpy_helper.from_array(array, value.name))
    del graph.input[:]
    graph.input.extend(kept)
    if node.op_type == "Trilu":
        graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    weights = scalar_loss(graph, [array_of(x) for x in case.data_sets[0][1]])
    model = modern(model)
    lift_constants(model)
    return model, feeds, weights


def scalar_loss(graph: onnx.GraphProto, results: list[np.ndarray]) -> list[np.ndarray | None]:
    """Replace the outputs by a weighted sum of all that are numbers; return the weights."""
    rng = np.random.default_rng(5)
    weights: list[np.ndarray | None] = []
    parts = []
    first_only = graph.node[0].op_type == "BatchNormalization"
    for value, result in zip(list(graph.output), results, strict=False):
        if graph.node[0].op_type == "Cast" and value.type.tensor_type.elem_type not in FLOATS[:2]:
            raise Unsuited("too coarse for differences")
        if value.type.tensor_type.elem_type not in FLOATS or (first_only and parts):
            weights.append(None)
            continue
        weights.append(rng.uniform(0.5, 1.5, result.shape).astype(np.float32))
        names = [f"__{what}{len(parts)}" for what in ("weights", "single", "product", "sum")]
        graph.initializer.append(numpy_helper.from_array(weights[-1], names[0]))
        graph.node.append(helper.make_node("Cast", [value.name], [names[1]], to=TensorProto.FLOAT))
        graph.node.append(helper.make_node("Mul", [names[1], names[0]], [names[2]]))
        graph.node.append(helper.make_node("ReduceSum", [names[2]], [names[3]], keepdims=0))
        parts.append(names[3])
    if not parts:
        raise Unsuited("no output is a number")
    graph.node.append(helper.make_node("Sum", parts, ["__loss"]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("__loss", TensorProto.FLOAT, []))
    return weights


class Unsuited(Exception):  # noqa: N818
    """The case cannot say anything about a gradient."""


def nudged(kind: str, feeds: Arrays) -> Arrays:
    """Off the kinks and ties that whole numbers and zeros make, without leaving an operator's domain."""
    rng = np.random.default_rng(3)
    positive = kind in ("Sqrt", "Log", "ReduceLogSum", "Pow")
    moved = {}
    for name, x in feeds.items():
        x = np.where(np.isfinite(x), x, 0.5).astype(np.float64)
        sign = 1.0 if positive else rng.choice([-1.0, 1.0], x.shape)
        change = rng.uniform(0, 0.05, x.shape) * (1 if kind == "Acosh" else -1)
        moved[name] = np.asarray(np.where(x == 0, 0.1 * sign, x) * (1 + change), np.float32)
    return moved


def double(model: onnx.ModelProto, weights: list[np.ndarray | None]) -> tuple[onnx.ModelProto, list[str]]:
    """The operator alone, its constants in float64; and the names of its outputs."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    names = [name for name in graph.node[0].output if name][: len(weights)]
    del graph.node[1:], graph.output[:]
    graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and graph.node[0].op_type not in {*SETTINGS, *COARSE}:
            tensor.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name)
            )
    return made, names


class Forward:
    """The loss by ONNX's reference; `exact` says whether it is in float64 throughout."""

    def __init__(self, model: onnx.ModelProto, weights: list[np.ndarray | None], feeds: Arrays) -> None:
        made, self.names = double(model, weights)
        self.reference, self.weights = ReferenceEvaluator(made), weights
        self.exact = model.graph.node[0].op_type not in COARSE
        self.dtype = np.float64 if self.exact else np.float32
        self.feeds = {name: x.astype(np.float64) for name, x in feeds.items()}

    def __call__(self, name: str, direction: np.ndarray, h: float) -> float:
        moved = {**self.feeds, name: self.feeds[name] + h * direction}
        feeds = {key: np.asarray(x, self.dtype) for key, x in moved.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outputs = self.reference.run(None, feeds)
        total = 0.0
        for weight, output in zip(self.weights, outputs, strict=True):
            if weight is not None:
                self.exact = self.exact and np.asarray(output).dtype == np.float64
                total += float((np.asarray(output, np.float64) * weight).sum())
        return total

    def derivative(self, name: str, direction: np.ndarray) -> tuple[float, float]:
        """Along a direction, by central differences; and how exact that is."""
        value = self(name, direction, 0.0)
        if not np.isfinite(value):
            raise Unsuited("not finite")
        h = 1e-6 if self.exact else 2e-3
        near = (self(name, direction, h) - self(name, direction, -h)) / (2 * h)
        if self.exact:
            return near, 1e-4
        far = (self(name, direction, 2 * h) - self(name, direction, -2 * h)) / (4 * h)
        if abs(near - far) > 0.05 * max(abs(near), 1.0):
            raise Unsuited("a step lies near")
        return (4 * near - far) / 3, 1e-2


def gradients(model: onnx.ModelProto, feeds: Arrays, wanted: list[str]) -> Arrays:
    """What our graph gives, the loss under ""; an input that the output does not depend on has zeros."""
    try:
        made = gradient_graph(model, wanted)
    except ModelError as error:
        free = re.search(r"does not depend on '(.*)'", str(error))
        if not free:
            raise
        rest = [name for name in wanted if name != free[1]]
        zeros = {free[1]: np.zeros(feeds[free[1]].shape)}
        if not rest:
            raise Unsuited("depends on no input") from None
        return {**gradients(model, feeds, rest), **zeros}
    names = {value.name for value in made.graph.input}
    given = {name: x for name, x in feeds.items() if name in names}
    found = run(made, {**given, "cotangent": np.array(1, np.float32)})
    return dict(zip(["", *wanted], found, strict=True))


def run(made: onnx.ModelProto, feeds: Arrays) -> list[np.ndarray]:
    """On onnxruntime, or ONNX's reference where it has no kernel."""
    onnx.checker.check_model(made)
    for entry in made.opset_import:
        entry.version = min(entry.version, 26)  # the newest that onnxruntime loads
    made.ir_version = 10
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    try:
        return onnxruntime.InferenceSession(made.SerializeToString(), options).run(None, feeds)
    except Exception as error:
        if not re.search(
            "NOT_IMPLEMENTED|fmod attribute must be true|Unrecognized attribute: mode", str(error)
        ):
            raise
        return ReferenceEvaluator(made).run(None, feeds)


def check(case) -> None:
    if case.name in EXCLUDED:
        raise Unsuited(EXCLUDED[case.name])
    model, feeds, weights = prepared(case)
    kind = model.graph.node[0].op_type
    feeds = nudged(kind, feeds)
    wanted = [name for name, x in feeds.items() if x.size]
    if kind == "BatchNormalization" and "training" not in case.name:
        wanted = wanted[:1]  # with the others frozen, it stays in inference mode
    if not wanted:
        raise Unsuited("no input is a number")
    rng = np.random.default_rng(11)
    forward = Forward(model, weights, feeds)
    directions = {name: rng.standard_normal(feeds[name].shape) for name in wanted}
    derivatives = {name: forward.derivative(name, direction) for name, direction in directions.items()}
    found = gradients(model, feeds, wanted)
    value = forward(wanted[0], directions[wanted[0]], 0.0)
    assert found.pop("") == pytest.approx(value, rel=1e-3, abs=1e-3), f"{case.name}: the loss"
    for name, direction in directions.items():
        got, (want, tolerance) = found[name], derivatives[name]
        assert got.shape == feeds[name].shape, f"{case.name}: {name} has {got.shape}"
        scale = max(0.1, float(np.linalg.norm(direction) * np.linalg.norm(got)), abs(want))
        off = abs(float((got.astype(np.float64) * direction).sum()) - want)
        assert off < tolerance * scale, f"{case.name}: {name} off by {off / scale:.1e}, {want}"


def verified(kind: str) -> list[str]:
    done = []
    for case in all_cases().get(kind, []):
        try:
            check(case)
        except Unsuited:
            continue
        done.append(case.name)
    return done


# Covered, but by tests of their own in test_rules_*.py: what no case here can say anything about.
ELSEWHERE = {
    "Dropout": "random",
    "GlobalLpPool": "there is no case",
    "If": "no case takes a number",
    "MaxRoiPool": "there is no case",
    "QuantizeLinear": "gives integers",
    "Unique": "the cases are all ties",
}


@pytest.mark.parametrize("kind", [kind for kind in COVERED if kind not in ELSEWHERE])
def test_gradient(kind: str) -> None:
    assert verified(kind), f"no case of {kind} says anything about its gradient"


def test_nearly_all_that_is_differentiable_is_covered() -> None:
    assert len(COVERED) >= 0.95 * len(DIFFERENTIABLE), NOT_COVERED


def test_the_review_names_operators_that_exist_once() -> None:
    reviewed = [kind for kinds in NOT_DIFFERENTIABLE.values() for kind in kinds.split()]
    assert len(reviewed) == len(set(reviewed))
    assert {kind for kind in reviewed if not onnx.defs.has(kind)} == set()
    assert set(reviewed).isdisjoint(RULES)


ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/training.md"


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert written(page) == page, "run: python -m converter.autodiff.coverage docs/training.md"


def test_the_rule_on_the_page_is_the_rule() -> None:
    example = re.search("```python\n(@rule.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert example
    assert example[1] in (ROOT / "converter/autodiff/rules/activation.py").read_text(encoding="utf-8")


def test_what_no_case_can_tell_is_tested_elsewhere() -> None:
    texts = "".join(
        path.read_text(encoding="utf-8")
        for path in Path(__file__).parent.glob("test_*.py")
        if path != Path(__file__)
    )
    assert [kind for kind in ELSEWHERE if not re.search(rf"\b{kind}[(<{{]", texts)] == []


def test_the_command_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    assert f"{len(COVERED)} of these are covered" in capsys.readouterr().out
