"""Which engine runs the result: LiteRT's form is made, checked on the samples, and weighed against onnxruntime's.

On a target of this machine's kind the two are timed in turn; on an emulated one their instructions are counted, in one
process; where there is neither, nothing is measured and the target's own order of engines decides.
"""

import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from compress import fidelity
from converter.inputs import with_lengths
from converter.lowering import lower
from converter.model import save, to_bytes
from edge_runtime import emulator, profile
from edge_runtime.console import say
from edge_runtime.data import Samples
from edge_runtime.engines import FILES
from edge_runtime.errors import BackendError, EmulatorError, InputError, LittoralError, ModelError
from edge_runtime.files import atomic
from edge_runtime.profile import Latency
from edge_runtime.session import Session
from edge_runtime.target import Target
from edge_runtime.tensors import Array

CHOICES = ("auto", *FILES)
"""What may be asked for."""
WORTH = 0.95
"""LiteRT's form is a second file, so it has to cost less than this share of what onnxruntime's does."""
_ALIKE = 0.9  # agreement of both forms, below which something is wrong rather than rounded otherwise
_LOSS = (
    0.01  # of agreement or accuracy, that LiteRT's form may lose beside onnxruntime's; one sample at least
)


@dataclass(frozen=True, slots=True)
class Form:
    """LiteRT's form of a model: the content of the file, its first output on the samples, and how good that is."""

    content: bytes
    outputs: Array
    fidelity: fidelity.Fidelity


@dataclass(frozen=True, slots=True)
class Checked:
    """What a form is checked against: outputs of the original and of the compressed model on the samples.

    `missed` says what is missing where something less faithful to the original than is asked for; else nothing.
    """

    samples: Samples
    original: Array
    compressed: Array
    measure: str
    missed: Callable[[fidelity.Fidelity], str]


@dataclass(frozen=True, slots=True)
class Preferred:
    """The engine that runs the result best, and why.

    `instructions` and `latencies` have the original's as "original" and the result's by the engine's name; `form` is
    what LiteRT reads, if it is the one.
    """

    engine: str
    why: str
    latencies: Mapping[str, Latency]
    instructions: Mapping[str, int] = field(default_factory=dict)
    form: Form | None = None

    def to_json(self) -> dict[str, object]:
        """The account, for machines."""
        return {
            "engine": self.engine,
            "why": self.why,
            "instructions": dict(self.instructions),
            "latency": {name: latency.to_json() for name, latency in self.latencies.items()},
        }


def basis(target: Target, *, emulate: bool) -> str:
    """How engines are compared for a target: "time" on this machine, "instructions" of the emulated one, or "order"."""
    if target.arch == platform.machine():
        return "time"
    return "instructions" if emulate and target.emulator_cpu and emulator.available() else "order"


def wanted(target: Target, engine: str, *, emulate: bool) -> bool:
    """Whether LiteRT's form has to be made at all.

    Raises:
        InputError: there is no such engine.
    """
    if engine not in CHOICES:
        raise InputError(f"engine '{engine}': expected one of {', '.join(CHOICES)}")
    if engine == "auto" and basis(target, emulate=emulate) == "order":
        return _first(target) == "litert"
    return engine != "onnxruntime"


def _first(target: Target) -> str:
    return next(iter(target.engines), "onnxruntime")


def litert_form(model: onnx.ModelProto, checked: Checked) -> Form:
    """Lower a model for LiteRT, and run it on the samples.

    Raises:
        ModelError: it has no such form, or one that gives other answers; the sentence says which.
        BackendError: LiteRT is not installed.
    """
    content = lower(model)
    try:
        outputs = Session(content, engine="litert").run_batches(checked.samples.x)[0]
    except InputError as error:
        raise ModelError(f"LiteRT does not take the samples: {error}") from error
    labels, measure = checked.samples.y, checked.measure
    found = fidelity.compare(checked.original, outputs, labels, measure)
    mine = fidelity.compare(checked.original, checked.compressed, labels, measure)
    same = fidelity.compare(checked.compressed, outputs, None, found.measure)
    if same.agreement < _ALIKE:
        raise ModelError(
            f"LiteRT's form agrees with onnxruntime's on {same.agreement:.1%} of {found.n} samples, "
            f"{_ALIKE:.0%} is the least"
        )
    if missed := checked.missed(found):
        raise ModelError(f"LiteRT's form: {missed}")
    loss = fidelity.dropped(found) - fidelity.dropped(mine)
    if loss > max(_LOSS, 1 / found.n) + 1e-9:
        raise ModelError(f"LiteRT's form loses {loss:.4f} more than onnxruntime's, on {found.n} samples")
    return Form(content, outputs, found)


def tried(model: onnx.ModelProto, checked: Checked, engine: str) -> tuple[Form | None, str]:
    """LiteRT's form, or None and why there is none.

    Raises:
        ModelError: `engine` is "litert", and there is none.
        BackendError: the same, for LiteRT is not installed.
    """
    try:
        return litert_form(model, checked), ""
    except (ModelError, BackendError) as error:
        if engine == "litert":
            raise type(error)(f"engine litert: {error}") from error
        return None, str(error).strip().splitlines()[0]


def weigh(
    target: Target,
    models: tuple[onnx.ModelProto, onnx.ModelProto],
    feed: Mapping[str, Array],
    form: Form | None,
    why: str,
    *,
    engine: str,
    emulate: bool,
    rounds: int,
) -> Preferred:
    """Measure the original, the result, and its form for LiteRT if there is one; take the better engine.

    Args:
        target: the device.
        models: the original and the compressed model.
        feed: one sample.
        form: for LiteRT; None is onnxruntime, and `why` says why.
        why: there is no form.
        engine: "auto", or the one that it has to be.
        emulate: count instructions, where the target can be emulated here.
        rounds: timed calls of each.
    """
    fixed = [with_lengths(model, feed) for model in models]
    lowered = None if form is None else _countable(models[1], form, feed)
    counts = counted(target, fixed, lowered) if emulate else {}
    timed = latencies(models, feed, form, rounds)
    if form is None:
        return Preferred("onnxruntime", why or "it is the engine that was asked for", timed, counts)
    how = basis(target, emulate=emulate)
    if engine == "litert":
        return Preferred(engine, "it is the engine that was asked for", timed, counts, form)
    if how == "order":
        said = f"nothing is measured for {target.name} here, and its order of engines begins with it"
        return Preferred("litert", said, timed, counts, form)
    if how == "instructions" and "litert" not in counts:
        return Preferred("onnxruntime", "LiteRT's form could not be counted", timed, counts)
    costs = (
        dict(counts) if how == "instructions" else {name: spent.median_ms for name, spent in timed.items()}
    )
    better = costs["litert"] < WORTH * costs["onnxruntime"]
    text = _said(costs, how, target)
    return Preferred("litert" if better else "onnxruntime", text, timed, counts, form if better else None)


def _said(costs: Mapping[str, float], how: str, target: Target) -> str:
    if how == "time":
        return (
            f"timed here in turn: onnxruntime {costs['onnxruntime']:.3g} ms, litert {costs['litert']:.3g} ms"
        )
    return (
        f"on the emulated {target.name}: onnxruntime {costs['onnxruntime'] / 1e6:.2f} M instructions, "
        f"litert {costs['litert'] / 1e6:.2f} M"
    )


def _countable(model: onnx.ModelProto, form: Form, feed: Mapping[str, Array]) -> bytes:
    """The form with the lengths of one sample, where more than the batch may vary; an emulator knows no data."""
    free = any(
        not dim.dim_value for value in model.graph.input for dim in value.type.tensor_type.shape.dim[1:]
    )
    return lower(with_lengths(model, feed)) if free else form.content


def latencies(
    models: Sequence[onnx.ModelProto], feed: Mapping[str, Array], form: Form | None, rounds: int
) -> dict[str, Latency]:
    """Time the original, the result on onnxruntime, and on LiteRT, in turn."""
    # One thread, as `littoral bench` does: comparable, and what is left on a device that has other work.
    sessions = {
        name: Session(to_bytes(model), threads=1)
        for name, model in zip(("original", "onnxruntime"), models, strict=True)
    }
    if form is not None:
        sessions["litert"] = Session(form.content, threads=1, engine="litert")
    calls = [lambda s=session: s.run(feed) for session in sessions.values()]
    return dict(zip(sessions, profile.interleaved(calls, rounds), strict=True))


def counted(target: Target, models: Sequence[onnx.ModelProto], lowered: bytes | None) -> dict[str, int]:
    """Instructions of an inference of the original and of the result on each engine; nothing where it cannot be."""
    if not target.emulator_cpu or not emulator.available():
        say(f"instructions on {target.name} are not counted here; 'littoral doctor' says what is missing")
        return {}
    try:
        for model in models:
            Session(to_bytes(model))
    except ModelError as error:
        say(f"instructions are not counted: with the lengths of the data, {error}")
        return {}
    say(f"count instructions on the emulated {target.name}")
    names = ("original", "onnxruntime")
    if lowered is not None:
        try:
            return dict(zip((*names, "litert"), count_forms(target, [*models, lowered]), strict=True))
        except EmulatorError as error:
            say(f"LiteRT's form is not counted: {error}")
    return dict(zip(names, count_forms(target, models), strict=True))


def count_forms(target: Target, forms: Sequence[onnx.ModelProto | bytes]) -> list[int]:
    """Instructions of an inference of each of several models, in onnxruntime's form or (bytes) LiteRT's, at once.

    Raises:
        EmulatorError: see `emulator.count`.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [_write(form, Path(folder, str(k))) for k, form in enumerate(forms)]
        return [count.instructions for count in emulator.count(target, paths)]


def _write(form: onnx.ModelProto | bytes, name: Path) -> Path:
    if not isinstance(form, bytes):
        return save(form, name.with_suffix(".onnx"))
    with atomic(name.with_suffix(".tflite")) as partial:
        partial.write_bytes(form)
    return name.with_suffix(".tflite")


def lowered(model: onnx.ModelProto) -> bytes | None:
    """LiteRT's form of a candidate, to be priced; None if there is none, or nothing to make it with."""
    try:
        return lower(model)
    except LittoralError:
        return None
