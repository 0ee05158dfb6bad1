"""`compress`: apply a recipe to a model for a target, check the result on data, measure it, and pack a bundle."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from compress import engines, fidelity
from compress.budget import Budget
from compress.engines import Checked, Form, Preferred
from compress.recipe import Recipe
from compress.samples import usable
from compress.search.choose import Chosen, choose
from compress.search.options import SearchOptions
from compress.step import Work
from compress.storage import lowered_size, stored, stored_lowered, stored_size
from compress.suited import finer, suited
from converter.model import Model, load, to_bytes
from edge_runtime import data
from edge_runtime.agent import vectors
from edge_runtime.bundle import Bundle, Manifest, pack
from edge_runtime.console import say
from edge_runtime.declared import Input, Postprocess
from edge_runtime.errors import ModelError
from edge_runtime.profile import Latency
from edge_runtime.session import Session
from edge_runtime.target import Target
from edge_runtime.tensors import Array


@dataclass(frozen=True, slots=True)
class Measured:
    """Cost of a model: `size` in bytes, `latency` here, guest `instructions` an inference on the target."""

    size: int
    latency: Latency
    instructions: int | None = None


@dataclass(frozen=True, slots=True)
class Compressed:
    """What `compress` made: the bundle, the two models, what each costs, and how far apart their outputs are.

    `chosen` has the recipe, the samples that were compared and, where it was searched for, the candidates; `preferred`
    is the engine that runs it, on which `after`, `fidelity` and `outputs` are.
    """

    bundle: Bundle
    source: onnx.ModelProto
    model: onnx.ModelProto
    before: Measured
    after: Measured
    fidelity: fidelity.Fidelity
    outputs: tuple[Array, Array]
    chosen: Chosen
    preferred: Preferred
    budget: Budget | None = None

    def to_json(self) -> dict[str, object]:
        """The figures, for machines."""
        found = self.chosen.found
        return {
            "bundle": str(self.bundle.path),
            "target": self.bundle.manifest.target,
            **self.preferred.to_json(),
            "original": _cost(self.before),
            "compressed": _cost(self.after),
            **{name: getattr(self.fidelity, name) for name in self.fidelity.__slots__},
            "recipe": self.chosen.recipe.to_json(),
            **({"trials": [trial.to_json() for trial in found.trials]} if found else {}),
        }


def _cost(measured: Measured) -> dict[str, object]:
    return {
        "bytes": measured.size,
        "instructions": measured.instructions,
        "latency": measured.latency.to_json(),
    }


def compress(
    model: Model,
    samples: data.Samples,
    out: str | os.PathLike[str],
    *,
    target: Target | str = "rpi4",
    recipe: Recipe | None = None,
    test: data.Samples | None = None,
    preprocess: Input | None = None,
    labels: Sequence[str] = (),
    postprocess: Postprocess | None = None,
    min_agreement: float = 0.8,
    coded: bool = False,
    emulate: bool = True,
    rounds: int = 20,
    budget: Budget | None = None,
    epochs: int = 9,
    work: str | os.PathLike[str] | None = None,
    measure: str = "auto",
    engine: str = "auto",
) -> Compressed:
    """Compress a float ONNX model for a target, by a recipe or within a budget.

    Args:
        model: the model, or its path.
        samples: data as the model takes it (records for several inputs): it calibrates, and checks without `test`.
        out: where the bundle goes; a folder if the name has no suffix.
        target: the device, or its name.
        recipe: the steps; None takes those that are `suited`, or with a budget those that a search finds.
        test: data to check the result on.
        preprocess: how pictures or sounds become the model's input; goes into the manifest.
        labels: names of the classes; go into the manifest.
        postprocess: what the outputs mean; goes into the manifest.
        min_agreement: smallest share of samples on which both models must agree.
        coded: store the weights entropy-coded, to be decoded when the bundle is opened.
        emulate: count guest instructions on the emulated target, where it can be emulated here.
        rounds: timed calls of each model, on one thread.
        budget: limits to be met; a quarter of the samples is held back to choose by.
        epochs: of training, for the last candidates of a search.
        work: the folder of a search, which goes on from there if it was interrupted; None is one beside `out`.
        measure: how outputs are compared: see `compress.fidelity.compare`.
        engine: "onnxruntime" or "litert", whose form is then packed beside `infer.onnx`; "auto" takes the better one.

    Returns:
        The bundle with everything that was measured.

    Raises:
        InputError: the data does not fit the model.
        ModelError: the model is not valid, or the result agrees with it on too few samples; no bundle is written then.
        BudgetError: nothing meets the budget.
        BackendError: the target is unknown, or LiteRT was asked for and is not installed.
    """
    source, original = _opened(model)
    how = SearchOptions(Path(work or f"{out}.search"), coded, emulate, epochs, measure, engine)
    job = Work(usable(samples, original.inputs, "data"), Target.load(target), source)
    tested = data.fit(test, original.inputs, "test data") if test else None
    engines.wanted(job.target, engine, emulate=emulate)  # before all the work: there may be no such engine
    chosen, coded = _chosen(job, tested, recipe, budget, how)
    result = _Result.of(job, original, chosen, replace(how, coded=coded), min_agreement, budget)
    return result.pack(out, preprocess, tuple(labels), postprocess, rounds)


def _opened(model: Model) -> tuple[onnx.ModelProto, Session]:
    source = load(model)
    return source, Session(to_bytes(source))


@dataclass(frozen=True, slots=True)
class _Result:
    """A model that was chosen and compared, and is still to be packed and measured."""

    work: Work
    candidate: Session
    chosen: Chosen
    how: SearchOptions
    outputs: tuple[Array, Array]
    compared: fidelity.Fidelity
    feed: Mapping[str, Array]
    budget: Budget | None

    @classmethod
    def of(
        cls,
        work: Work,
        original: Session,
        chosen: Chosen,
        how: SearchOptions,
        least: float,
        budget: Budget | None,
    ) -> "_Result":
        """Compare the chosen model with the original, and make LiteRT's form of it if that may be the better one.

        Raises:
            ModelError: they agree on a smaller share than `least`, unless a search chose it.
        """
        candidate, checked = Session(to_bytes(chosen.model)), chosen.checked
        outputs = _check(original, candidate, checked)
        compared = fidelity.compare(*outputs, checked.y, how.measure)
        if chosen.trial is None:
            if missed := _missed(compared, least):
                raise ModelError(f"{missed}; calibrate on more typical data or change the recipe")
            alike = Checked(checked, *outputs, how.measure, lambda found: _missed(found, least))
            form, reason = _form(chosen.model, alike, work.target, how, budget)
            chosen = replace(chosen, form=form, reason=reason)
        feed = next(data.feeds(checked.x[:1], original.inputs))[0]
        return cls(work, candidate, chosen, how, outputs, compared, feed, budget)

    def pack(
        self,
        out: str | os.PathLike[str],
        preprocess: Input | None,
        labels: tuple[str, ...],
        postprocess: Postprocess | None,
        rounds: int,
    ) -> Compressed:
        """Measure the original, and the result on each engine that it has a form for, and write the bundle."""
        source, model, target = self.work.source, self.chosen.model, self.work.target
        preferred = engines.weigh(
            *(target, (source, model), self.feed, self.chosen.form, self.chosen.reason),
            engine=self.chosen.trial.engine if self.chosen.trial else self.how.engine,
            emulate=self.how.emulate,
            rounds=rounds,
        )
        say(f"{preferred.engine} runs it: {preferred.why}")
        form = preferred.form
        compared = form.fidelity if form else self.compared
        manifest = Manifest(
            *(Path(out).stem, target.name, self.candidate.inputs, self.candidate.outputs, preprocess, labels),
            *(self.chosen.recipe.to_json(), _metrics(compared, to_bytes(source), preferred)),
            postprocess=postprocess,
            engine=preferred.engine,
        )
        files = stored(to_bytes(model), coded=self.how.coded) | vectors.files(
            self.candidate, self.work.samples.x, needed=bool(target.accelerators)
        )
        if form:
            files |= stored_lowered(form.content, coded=self.how.coded)
        bundle = pack(out, manifest, files)
        size = bundle.path.stat().st_size if bundle.path.is_file() else bundle.size
        before = _measured(len(to_bytes(source)), preferred, "original")
        after = _measured(size, preferred, preferred.engine)
        outputs = (self.outputs[0], form.outputs) if form else self.outputs
        return Compressed(
            *(bundle, source, model, before, after, compared, outputs, self.chosen, preferred, self.budget)
        )


def _measured(size: int, preferred: Preferred, name: str) -> Measured:
    return Measured(size, preferred.latencies[name], preferred.instructions.get(name))


def _form(
    model: onnx.ModelProto, alike: Checked, target: Target, how: SearchOptions, budget: Budget | None
) -> tuple[Form | None, str]:
    """LiteRT's form of a result, or why it is left out.

    Raises:
        ModelError: it was asked for, and there is none.
        BackendError: the same, for LiteRT is not installed.
    """
    if how.engine == "onnxruntime":
        return None, "it is the engine that was asked for"
    if not engines.wanted(target, how.engine, emulate=how.emulate):
        return None, f"nothing is measured for {target.name} here, and its order of engines begins with it"
    form, reason = engines.tried(model, alike, how.engine)
    if form and budget and budget.max_size_mb is not None:
        size = stored_size(to_bytes(model), coded=how.coded) + lowered_size(form.content, coded=how.coded)
        if missed := budget.complaint({"size_mb": size / 1e6}):
            return None, f"with LiteRT's form beside it, it has {missed}"
    return form, reason


def _chosen(
    work: Work, test: data.Samples | None, recipe: Recipe | None, budget: Budget | None, how: SearchOptions
) -> tuple[Chosen, bool]:
    """The model that is packed, and whether its weights are coded."""
    if budget and recipe is None:
        how = replace(how, coded=how.coded or budget.max_size_mb is not None)
        return choose(work, test, budget, how), how.coded
    steps, lossless = (recipe, False) if recipe else suited(work.source)
    model = apply(steps, work.source, work)
    if recipe is None and not lossless:
        steps, model = finer(model, work, how.measure) or (steps, model)
    return Chosen(steps, model, None, test or work.samples), how.coded or lossless


def _check(original: Session, candidate: Session, samples: data.Samples) -> tuple[Array, Array]:
    say(f"check on {len(samples)} samples")
    return original.run_batches(samples.x)[0], candidate.run_batches(samples.x)[0]


def _missed(found: fidelity.Fidelity, min_agreement: float) -> str:
    if found.agreement >= min_agreement:
        return ""
    return (
        f"the compressed model agrees with the original on {found.agreement:.1%} of {found.n} samples, "
        f"{min_agreement:.0%} is asked for"
    )


def apply(recipe: Recipe, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
    """Apply the steps of a recipe in their order; `model` is not changed.

    Raises:
        ModelError: a step cannot be applied.
    """
    for step in recipe.steps:
        model = step(model, work)
    return model


def _metrics(found: fidelity.Fidelity, source: bytes, preferred: Preferred) -> dict[str, object]:
    """What is the same in every run: no latency, so that equal inputs make an equal bundle."""
    metrics: dict[str, object] = {
        "source": {"sha256": hashlib.sha256(source).hexdigest(), "bytes": len(source)},
        "agreement": round(found.agreement, 6),
        "measure": found.measure,
        "cosine": round(found.cosine, 6),
        "sqnr_db": round(found.sqnr_db, 3),
        "n": found.n,
    }
    if found.original_accuracy is not None and found.compressed_accuracy is not None:
        metrics["accuracy"] = {"original": found.original_accuracy, "compressed": found.compressed_accuracy}
    if preferred.instructions:
        counts = dict(preferred.instructions)
        metrics["instructions"] = counts | {"compressed": counts[preferred.engine]}
    return metrics
