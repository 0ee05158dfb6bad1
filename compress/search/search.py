"""The search for the recipe that meets a budget: successive halving, then refinement where the budget's border lies.

Every candidate is first made without training and priced: what costs too much is out, because training changes
no cost. The rest is trained a little, and after each rung only those nearest the border are trained three times
longer: the cheapest that keep the accuracy, and the nearest of those that do not (Jamieson and Talwalkar,
"Non-stochastic Best Arm Identification and Hyperparameter Optimization", 2016). In the end the distance between the
best and its neighbours is halved, twice.
"""

import math
from collections.abc import Sequence

import numpy as np
import onnx

from compress import fidelity
from compress.budget import Budget
from compress.recipe import Recipe
from compress.search import space
from compress.search.options import SearchOptions
from compress.search.price import Price, Pricing
from compress.search.record import Record, content
from compress.search.space import Choice
from compress.search.trial import Failed, Found, Trial
from compress.step import Work
from converter.model import to_bytes
from edge_runtime.console import say
from edge_runtime.data import Samples
from edge_runtime.errors import BudgetError, ModelError
from edge_runtime.session import Session

_KEEP = (6, 3, 2)
"""Candidates that are trained in each rung."""
_HELD = 0.25
"""Share of the data that chooses, and neither calibrates nor trains."""


def held_out(samples: Samples, seed: int = 0) -> tuple[Samples, Samples]:
    """Split samples into those that make candidates and those that choose among them."""
    order = np.random.default_rng(seed).permutation(len(samples))
    count = max(1, round(len(samples) * _HELD))

    def part(chosen: np.ndarray) -> Samples:
        return Samples(samples.x[chosen], None if samples.y is None else samples.y[chosen], samples.names)

    return part(np.sort(order[count:])), part(np.sort(order[:count]))


class Search:
    """A search under way. `run` gives what it found."""

    def __init__(
        self, work: Work, choosing: Samples, budget: Budget, pricing: Pricing, how: SearchOptions
    ) -> None:
        """Begin, or go on with what lies in the folder of `how`.

        Args:
            work: the source, the samples that calibrate and train, and the target.
            choosing: the samples on which candidates are compared.
            budget: what has to be met.
            pricing: how models are priced.
            how: where models and figures are kept, and so on.
        """
        self._work, self._choosing, self._budget, self._pricing = work, choosing, budget, pricing
        self._record = Record(how.folder, work)
        self._epochs, self._measure, self._how = how.epochs, how.measure, how
        self._careful = work.samples.y is None and not work.samples.x.dtype.names
        self._reference = Session(to_bytes(work.source)).run_batches(choosing.x)[0]
        self._original = self._price([work.source], [Recipe(())])[0]
        self._trials: list[Trial] = []
        self._failed: list[Failed] = []

    def run(self) -> Found:
        """Search.

        Raises:
            BudgetError: no candidate meets the budget; the sentence names the nearest and what it exceeds.
        """
        say(
            f"original: {self._original.latency_ms:.3g} ms, {self._original.size_mb:.3g} MB ({self._original.how})"
        )
        self._try(space.candidates(), 0)
        self._require_cost()
        for rung, keep in enumerate(_KEEP):
            self._try(self._nearest(keep), max(1, round(self._epochs / 3 ** (len(_KEEP) - 1 - rung))))
        for _ in range(2):
            self._try(self._refined(), self._epochs)
        ranked = sorted((t for t in self._trials if not self._budget.excess(t.figures)), key=self._objective)
        if not ranked:
            raise BudgetError(self._complaint())
        return Found(tuple(self._trials), tuple(self._failed), tuple(ranked), self._original)

    def model(self, trial: Trial) -> onnx.ModelProto:
        """The model of a trial."""
        return self._record.apply(trial.recipe)

    def _objective(self, trial: Trial) -> tuple[float, float]:
        """What is the least for the best: the cost, if the drop is limited; else the drop."""
        shares = [
            trial.figures["latency_ms"] / self._original.latency_ms,
            trial.price.size_mb / self._original.size_mb,
        ]
        cost = math.sqrt(math.prod(shares))
        return (trial.drop, cost) if self._budget.max_drop is None else (cost, trial.drop)

    def _try(self, choices: Sequence[Choice], epochs: int) -> None:
        """Make candidates, price them together, compare each with the original."""
        made: list[tuple[Choice, Recipe, onnx.ModelProto]] = []
        for choice in choices:
            recipe = space.recipe(choice, epochs, careful=self._careful)
            if any(trial.recipe == recipe for trial in self._trials):
                continue
            try:
                made.append((choice, recipe, self._record.apply(recipe)))
            except ModelError as error:
                say(f"{choice}: {error}")
                self._failed.append(Failed(choice, str(error)))
        prices = self._price([model for *_, model in made], [recipe for _, recipe, _ in made])
        for (choice, recipe, model), price in zip(made, prices, strict=True):
            engine = price.engine(self._how.engine, self._budget.max_size_mb)
            if self._how.engine not in ("auto", engine):
                self._failed.append(Failed(choice, f"{self._how.engine} has no form of it"))
                continue
            trial = Trial(choice, epochs, recipe, self._compare(recipe, model), price, engine)
            say(str(trial))
            self._trials.append(trial)

    def _price(self, models: Sequence[onnx.ModelProto], recipes: Sequence[Recipe]) -> list[Price]:
        """The prices of models, of which those that were priced before are known."""
        how = [self._how.coded, self._how.emulate, self._how.engine == "onnxruntime"]
        digests = [self._record.digest("price", how, recipe.to_json()) for recipe in recipes]
        unknown = [k for k, digest in enumerate(digests) if not self._record.known(digest)]
        fresh = dict(zip(unknown, self._pricing([models[k] for k in unknown]), strict=True))
        return [
            Price(**self._record.remember(digest, lambda k=k: fresh[k].to_json()))  # type: ignore[misc]
            for k, digest in enumerate(digests)
        ]

    def _compare(self, recipe: Recipe, model: onnx.ModelProto) -> fidelity.Fidelity:
        digest = self._record.digest(
            "fidelity", self._measure, recipe.to_json(), content(self._choosing).hex()
        )

        def compute() -> dict[str, object]:
            outputs = Session(to_bytes(model)).run_batches(self._choosing.x)[0]
            found = fidelity.compare(self._reference, outputs, self._choosing.y, self._measure)
            return {name: getattr(found, name) for name in found.__slots__}

        return fidelity.Fidelity(**self._record.remember(digest, compute))

    def _latest(self) -> list[Trial]:
        """Of each candidate the trial with the longest training."""
        last = {trial.choice: trial for trial in sorted(self._trials, key=lambda trial: trial.epochs)}
        return list(last.values())

    def _affordable(self) -> list[Trial]:
        return [t for t in self._latest() if not set(self._budget.excess(t.figures)) - {"max_drop"}]

    def _nearest(self, keep: int) -> list[Choice]:
        """The candidates on both sides of the border: the cheapest that keep the accuracy, the nearest that do not."""
        order, limit = self._objective, self._budget.max_drop
        alive = sorted(self._affordable(), key=order)
        if limit is None:
            return [trial.choice for trial in alive[:keep]]
        good = [trial for trial in alive if trial.drop <= limit]
        cheaper = [
            trial for trial in alive if trial.drop > limit and (not good or order(trial) < order(good[0]))
        ]
        cheaper.sort(key=lambda trial: trial.drop)
        near = cheaper[: keep - min(len(good), keep // 2)]
        return [trial.choice for trial in [*good[: keep - len(near)], *near]]

    def _refined(self) -> list[Choice]:
        """Candidates half-way between the best so far and the next that is not good enough."""
        alive = sorted(self._affordable(), key=self._objective)
        good = [t for t in alive if not self._budget.excess(t.figures)]
        if not good:
            return []
        tried = [trial.choice for trial in self._latest()]
        return space.neighbours(good[0].choice, tried)

    def _require_cost(self) -> None:
        if not self._affordable():
            raise BudgetError(self._complaint())

    def _complaint(self) -> str:
        """Which limit is not met, and the point that comes nearest."""
        if not self._trials:
            return f"no candidate could be made: {self._failed[0].reason}"
        nearest = min(self._trials, key=lambda trial: sum(self._budget.excess(trial.figures).values()))
        return (
            f"no candidate meets the budget: the nearest of {len(self._trials)} ({nearest.choice}) has "
            f"{self._budget.complaint(nearest.figures)}; its figures are drop {nearest.drop:.4f}, "
            f"{nearest.figures['latency_ms']:.3g} ms, {nearest.figures['size_mb']:.3g} MB"
        )
