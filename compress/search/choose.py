"""From a budget to a model: search on one part of the data, then confirm on data that chose nothing."""

from dataclasses import dataclass, replace
from functools import partial

import onnx

from compress import engines, fidelity
from compress.budget import Budget
from compress.engines import Checked, Form
from compress.recipe import Recipe
from compress.search.options import SearchOptions
from compress.search.price import pricing
from compress.search.search import Search, held_out
from compress.search.trial import Found, Trial
from compress.step import Work
from converter.model import to_bytes
from edge_runtime.console import say
from edge_runtime.data import Samples
from edge_runtime.errors import BudgetError
from edge_runtime.session import Session


@dataclass(frozen=True, slots=True)
class Chosen:
    """The model, its recipe, all that was tried if it was searched for, and the samples that it is checked on.

    `trial` is the candidate that was chosen, with its engine; `form` what LiteRT reads if that is the one, and
    `reason` why there is none.
    """

    recipe: Recipe
    model: onnx.ModelProto
    found: Found | None
    checked: Samples
    trial: Trial | None = None
    form: Form | None = None
    reason: str = ""


def choose(work: Work, test: Samples | None, budget: Budget, how: SearchOptions) -> Chosen:
    """Find the best model within a budget, and the engine that runs it best.

    A quarter of the samples chooses. Where there is a test, the best candidate that keeps the budget there as well
    is taken; the candidates that fail it are said. A candidate whose form for LiteRT gives other answers has to keep
    the budget on onnxruntime.

    Raises:
        BudgetError: nothing meets the budget.
    """
    making, choosing = held_out(work.samples)
    prices = pricing(work.target, coded=how.coded, emulate=how.emulate, engine=how.engine)
    search = Search(replace(work, samples=making), choosing, budget, prices, how)
    found = search.run()
    checked = test or choosing
    reference = Session(to_bytes(work.source)).run_batches(checked.x)[0]
    drops: list[tuple[float, Trial]] = []
    for trial in found.feasible:
        model = search.model(trial)
        outputs = Session(to_bytes(model)).run_batches(checked.x)[0]
        drop = fidelity.dropped(fidelity.compare(reference, outputs, checked.y, how.measure))
        if test is not None and budget.excess({"drop": drop}):
            say(
                f"{trial.choice}: drop {trial.drop:.4f} on the data that chose, {drop:.4f} on the test data: left out"
            )
            drops.append((drop, trial))
            continue
        alike = Checked(checked, reference, outputs, how.measure, partial(_missed, budget))
        form, reason, kept = _form(model, trial, alike, how)
        if not (missed := budget.complaint(kept.figures)):
            return Chosen(trial.recipe, model, _settled(found, trial, kept), checked, kept, form, reason)
        say(f"{trial.choice}: {reason}; on onnxruntime it has {missed}: left out")
        drops.append((drop, kept))
    drop, nearest = min(drops, key=lambda pair: pair[0])
    raise BudgetError(_complaint(budget, drop, nearest, len(drops)))


def _settled(found: Found, trial: Trial, kept: Trial) -> Found:
    """What was found, with the trial that was chosen, on the engine that it was chosen on, as the best."""
    rest = [other for other in found.feasible if other is not trial]
    trials = [kept if other is trial else other for other in found.trials]
    return replace(found, trials=tuple(trials), feasible=(kept, *rest))


def _missed(budget: Budget, found: fidelity.Fidelity) -> str:
    return budget.complaint({"drop": fidelity.dropped(found)})


def _form(
    model: onnx.ModelProto, trial: Trial, checked: Checked, how: SearchOptions
) -> tuple[Form | None, str, Trial]:
    """LiteRT's form if it is the better one, else why not; and the trial on the engine that remains."""
    if trial.engine != "litert":
        return None, _why(trial, how), trial
    form, reason = engines.tried(model, checked, how.engine)
    return form, reason, trial if form else replace(trial, engine="onnxruntime")


def _why(trial: Trial, how: SearchOptions) -> str:
    """Why a candidate runs on onnxruntime."""
    if how.engine == "onnxruntime":
        return "it is the engine that was asked for"
    if trial.price.litert is None:
        return "LiteRT's form was not priced: there is none of this model, or nothing to compare it by"
    size, latency, _ = trial.price.litert
    return (
        f"{trial.price.latency_ms:.3g} ms; LiteRT's form, {size:.3g} MB more, takes {latency:.3g} ms: "
        "not faster by enough, or more than fits the budget"
    )


def _complaint(budget: Budget, drop: float, nearest: Trial, count: int) -> str:
    limit = "" if budget.max_drop is None else f"--max-drop {budget.max_drop:g}"
    if limit and drop > (budget.max_drop or 0):
        return (
            f"no candidate keeps {limit} on the test data; the nearest of {count} ({nearest.choice}) "
            f"loses {drop:.4f}"
        )
    return (
        f"no candidate meets the budget without LiteRT's form, which gives other answers; the nearest of {count} "
        f"({nearest.choice}) has {budget.complaint(nearest.figures)}"
    )
