"""From a budget to a model: search on one part of the data, then confirm on data that chose nothing."""

from dataclasses import dataclass, replace

import onnx

from compress import fidelity
from compress.budget import Budget
from compress.recipe import Recipe
from compress.search.options import SearchOptions
from compress.search.price import pricing
from compress.search.search import Search, held_out
from compress.search.trial import Found, Trial, dropped
from compress.step import Work
from converter.model import to_bytes
from edge_runtime.console import say
from edge_runtime.data import Samples
from edge_runtime.errors import BudgetError
from edge_runtime.session import Session


@dataclass(frozen=True, slots=True)
class Chosen:
    """The model, its recipe, all that was tried if it was searched for, and the samples that it is checked on."""

    recipe: Recipe
    model: onnx.ModelProto
    found: Found | None
    checked: Samples


def choose(work: Work, test: Samples | None, budget: Budget, how: SearchOptions) -> Chosen:
    """Find the best model within a budget.

    A quarter of the samples chooses. Where there is a test, the best candidate that keeps the budget there as well
    is taken; the candidates that fail it are said.

    Raises:
        BudgetError: nothing meets the budget.
    """
    making, choosing = held_out(work.samples)
    prices = pricing(work.target, coded=how.coded, emulate=how.emulate)
    search = Search(replace(work, samples=making), choosing, budget, prices, how)
    found = search.run()
    if test is None:
        best = found.feasible[0]
        return Chosen(best.recipe, search.model(best), found, choosing)
    reference = Session(to_bytes(work.source)).run_batches(test.x)[0]
    drops: list[tuple[float, Trial]] = []
    for trial in found.feasible:
        model = search.model(trial)
        outputs = Session(to_bytes(model)).run_batches(test.x)[0]
        drop = dropped(fidelity.compare(reference, outputs, test.y, how.measure))
        if not budget.excess({"drop": drop}):
            return Chosen(trial.recipe, model, found, test)
        say(
            f"{trial.choice}: drop {trial.drop:.4f} on the data that chose, {drop:.4f} on the test data: left out"
        )
        drops.append((drop, trial))
    drop, nearest = min(drops, key=lambda pair: pair[0])
    raise BudgetError(
        f"no candidate keeps --max-drop {budget.max_drop:g} on the test data; the nearest of {len(drops)} "
        f"({nearest.choice}) loses {drop:.4f}"
    )
