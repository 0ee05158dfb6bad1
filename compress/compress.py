"""`compress`: apply a recipe to a model for a target, check the result on data, measure it, and pack a bundle."""

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from compress import fidelity
from compress.budget import Budget
from compress.recipe import Recipe
from compress.samples import usable
from compress.search.choose import Chosen, choose
from compress.search.options import SearchOptions
from compress.step import Work
from compress.storage import stored
from compress.suited import suited
from converter.inputs import with_lengths
from converter.model import Model, load, save, to_bytes
from edge_runtime import data, emulator, profile
from edge_runtime.accelerators import selftest
from edge_runtime.bundle import Bundle, Manifest, Preprocess, pack
from edge_runtime.console import say
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

    `chosen` has the recipe, the samples that were compared and, where it was searched for, the candidates.
    """

    bundle: Bundle
    source: onnx.ModelProto
    model: onnx.ModelProto
    before: Measured
    after: Measured
    fidelity: fidelity.Fidelity
    outputs: tuple[Array, Array]
    chosen: Chosen
    budget: Budget | None = None

    def to_json(self) -> dict[str, object]:
        """The figures, for machines."""
        found = self.chosen.found
        return {
            "bundle": str(self.bundle.path),
            "target": self.bundle.manifest.target,
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
    preprocess: Preprocess | None = None,
    labels: Sequence[str] = (),
    min_agreement: float = 0.8,
    coded: bool = False,
    emulate: bool = True,
    rounds: int = 20,
    budget: Budget | None = None,
    epochs: int = 9,
    work: str | os.PathLike[str] | None = None,
    measure: str = "auto",
) -> Compressed:
    """Compress a float ONNX model for a target, by a recipe or within a budget.

    Args:
        model: the model, or its path.
        samples: data as the model takes it (records for several inputs): it calibrates, and checks without `test`.
        out: where the bundle goes; a folder if the name has no suffix.
        target: the device, or its name.
        recipe: the steps; None takes those that are `suited`, or with a budget those that a search finds.
        test: data to check the result on.
        preprocess: how pictures become the model's input; goes into the manifest.
        labels: names of the classes; go into the manifest.
        min_agreement: smallest share of samples on which both models must agree.
        coded: store the weights entropy-coded, to be decoded when the bundle is opened.
        emulate: count guest instructions on the emulated target, where it can be emulated here.
        rounds: timed calls of each model, on one thread.
        budget: limits to be met; a quarter of the samples is held back to choose by.
        epochs: of training, for the last candidates of a search.
        work: the folder of a search, which goes on from there if it was interrupted; None is one beside `out`.
        measure: how outputs are compared: see `compress.fidelity.compare`.

    Returns:
        The bundle with everything that was measured.

    Raises:
        InputError: the data does not fit the model.
        ModelError: the model is not valid, or the result agrees with it on too few samples; no bundle is written then.
        BudgetError: nothing meets the budget.
        BackendError: the target is unknown.
    """
    source, how = load(model), SearchOptions(Path(work or f"{out}.search"), coded, emulate, epochs, measure)
    original = Session(to_bytes(source))
    job = Work(usable(samples, original.inputs, "data"), Target.load(target), source)
    chosen, coded = _chosen(
        job, data.fit(test, original.inputs, "test data") if test else None, recipe, budget, how
    )
    result = _Result.of(
        job, original, chosen, replace(how, coded=coded), 0 if chosen.found else min_agreement
    )
    return result.pack(out, preprocess, tuple(labels), rounds, budget)


@dataclass(frozen=True, slots=True)
class _Result:
    """A model that was chosen and compared, and is still to be packed and measured."""

    work: Work
    original: Session
    candidate: Session
    chosen: Chosen
    how: SearchOptions
    outputs: tuple[Array, Array]
    compared: fidelity.Fidelity

    @classmethod
    def of(cls, work: Work, original: Session, chosen: Chosen, how: SearchOptions, least: float) -> "_Result":
        """Compare the chosen model with the original.

        Raises:
            ModelError: they agree on a smaller share than `least`.
        """
        candidate = Session(to_bytes(chosen.model))
        outputs = _check(original, candidate, chosen.checked)
        compared = fidelity.compare(*outputs, chosen.checked.y, how.measure)
        _require(compared, least)
        return cls(work, original, candidate, chosen, how, outputs, compared)

    def pack(
        self,
        out: str | os.PathLike[str],
        preprocess: Preprocess | None,
        labels: tuple[str, ...],
        rounds: int,
        budget: Budget | None,
    ) -> Compressed:
        """Write the bundle, and measure both models."""
        source, model, target = self.work.source, self.chosen.model, self.work.target
        feed = next(data.feeds(self.chosen.checked.x[:1], self.original.inputs))[0]
        counts: list[int | None] = [None, None]
        if self.how.emulate:
            counts = _instructions(target, [with_lengths(each, feed) for each in (source, model)])
        manifest = Manifest(
            *(Path(out).stem, target.name, self.candidate.inputs, self.candidate.outputs, preprocess, labels),
            *(self.chosen.recipe.to_json(), _metrics(self.compared, to_bytes(source), counts)),
        )
        files = stored(to_bytes(model), coded=self.how.coded) | _selftest(target, self.candidate)
        bundle = pack(out, manifest, files)
        costs = _measure([source, model], feed, bundle, counts, rounds)
        return Compressed(
            bundle, source, model, costs[0], costs[1], self.compared, self.outputs, self.chosen, budget
        )


def _chosen(
    work: Work, test: data.Samples | None, recipe: Recipe | None, budget: Budget | None, how: SearchOptions
) -> tuple[Chosen, bool]:
    """The model that is packed, and whether its weights are coded."""
    if budget and recipe is None:
        how = replace(how, coded=how.coded or budget.max_size_mb is not None)
        return choose(work, test, budget, how), how.coded
    steps, lossless = (recipe, False) if recipe else suited(work.source)
    return Chosen(steps, apply(steps, work.source, work), None, test or work.samples), how.coded or lossless


def _selftest(target: Target, session: Session) -> dict[str, bytes]:
    """What an accelerator has to give, where the target has one."""
    return (
        {selftest.FILE: selftest.made(session.inputs, session.run).to_bytes()} if target.accelerators else {}
    )


def _measure(
    models: Sequence[onnx.ModelProto],
    feed: Mapping[str, Array],
    bundle: Bundle,
    counts: Sequence[int | None],
    rounds: int,
) -> list[Measured]:
    packed = bundle.path.stat().st_size if bundle.path.is_file() else bundle.size
    columns = zip((len(to_bytes(models[0])), packed), _latencies(models, feed, rounds), counts, strict=True)
    return [Measured(*each) for each in columns]


def _check(original: Session, candidate: Session, samples: data.Samples) -> tuple[Array, Array]:
    say(f"check on {len(samples)} samples")
    return original.run_batches(samples.x)[0], candidate.run_batches(samples.x)[0]


def _require(found: fidelity.Fidelity, min_agreement: float) -> None:
    if found.agreement < min_agreement:
        raise ModelError(
            f"the compressed model agrees with the original on {found.agreement:.1%} of {found.n} samples, "
            f"{min_agreement:.0%} is asked for; calibrate on more typical data or change the recipe"
        )


def _latencies(models: Sequence[onnx.ModelProto], feed: Mapping[str, Array], rounds: int) -> list[Latency]:
    # One thread, as `littoral bench` does: comparable, and what is left on a device that has other work.
    original, candidate = (Session(to_bytes(model), threads=1) for model in models)
    return profile.interleaved([lambda: original.run(feed), lambda: candidate.run(feed)], rounds)


def apply(recipe: Recipe, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
    """Apply the steps of a recipe in their order; `model` is not changed.

    Raises:
        ModelError: a step cannot be applied.
    """
    for step in recipe.steps:
        model = step(model, work)
    return model


def _instructions(target: Target, models: Sequence[onnx.ModelProto]) -> list[int | None]:
    if not target.emulator_cpu or not emulator.available():
        say(f"instructions on {target.name} are not counted here; 'littoral doctor' says what is missing")
        return [None] * len(models)
    try:
        for model in models:
            Session(to_bytes(model))
    except ModelError as error:
        say(f"instructions are not counted: with the lengths of the data, {error}")
        return [None] * len(models)
    with tempfile.TemporaryDirectory() as folder:
        paths = [save(model, Path(folder) / f"{k}.onnx") for k, model in enumerate(models)]
        say(f"count instructions on the emulated {target.name}")
        return [count.instructions for count in emulator.count(target, paths)]


def _metrics(found: fidelity.Fidelity, source: bytes, counts: Sequence[int | None]) -> dict[str, object]:
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
    if counts[0] is not None:
        metrics["instructions"] = {"original": counts[0], "compressed": counts[1]}
    return metrics
