"""Structured pruning on the ONNX graph itself: whole channels go, and every tensor that they run through shrinks.

The units that can be removed come from `compress.pruning.channels`. How much each matters is said by an importance
(`compress.pruning.importance`, `compress.pruning.redundancy`), how many of each layer go by one ranking over the whole
network, or by what each layer was found to bear (`compress.pruning.sensitivity`). With samples, what is left then takes
over what is gone (`compress.pruning.reconstruct`), for which no labels are needed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import onnx

from compress.pruning.analyse import analyse
from compress.pruning.channels import Channels, Labels
from compress.pruning.cost import BUDGETS, PRICES, Costs
from compress.pruning.importance import CRITERIA, importance
from compress.pruning.instructions import counted, fitted
from compress.pruning.linear import Moments, linear_layers, moments
from compress.pruning.prepare import prepared
from compress.pruning.reconstruct import compensate, reconstruct
from compress.pruning.redundancy import redundancy
from compress.pruning.resize import remove
from compress.pruning.sensitivity import Sensitivity, allocate, measure
from compress.pruning.units import Units
from compress.step import Work
from converter.model import Model, load, to_bytes
from edge_runtime.console import say
from edge_runtime.data import Samples, fit
from edge_runtime.errors import ModelError
from edge_runtime.session import Session
from edge_runtime.target import Target
from edge_runtime.tensors import Array

IMPORTANCES = (*CRITERIA, "reconstruction")
ALLOCATIONS = ("global", "sensitivity")
_NOTHING = np.zeros(0, np.int64)
_BATCH = 4
_CORRECTIONS = 4


@dataclass(frozen=True, slots=True)
class Prune:
    """Parameters of the step: remove `amount` of the `budget`.

    The budget counts "macs" (multiply-accumulates), "parameters", "bytes" of the weights, or "instructions" of the
    target: the float model's, counted on the emulated device, or those of the form that `prices` names, one of
    `compress.pruning.cost.PRICES`, calculated. `importance` is one of "magnitude", "taylor", "movement" and
    "reconstruction"; all but the first need samples. `allocation` "global" ranks the channels of all layers together;
    "sensitivity" measures on samples what each layer bears. `reconstruct` refits, where there are samples, the weights
    that are left. `samples` is how many of them are used. `rounds` prunes in as many steps, ranking anew in each. No
    layer loses more than `most` of its channels, and what is left is a multiple of `multiple`, because kernels work on
    several channels at once.
    """

    amount: float = 0.3
    multiple: int = 4
    most: float = 0.75
    budget: str = "macs"
    importance: str = "magnitude"
    allocation: str = "global"
    reconstruct: bool = True
    rounds: int = 1
    samples: int = 64
    prices: str = ""

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """Apply the step."""
        return prune(model, self, work)


Between = Callable[[onnx.ModelProto], onnx.ModelProto]
"""What happens to the model after each round, such as training; it must keep its shapes."""


def prune(
    model: Model, options: Prune | None = None, work: Work | None = None, between: Between | None = None
) -> onnx.ModelProto:
    """Remove the least important channels.

    Args:
        model: a float model with known shapes (the batch aside), or its path; it is not changed.
        options: how much, and how.
        work: samples, target and source model. Without it nothing is measured and nothing reconstructed.
        between: applied after each round.

    Returns:
        A smaller model with the same inputs and outputs. What accuracy it lost is to be restored by training.

    Raises:
        ModelError: the model has no channels that could be removed, a shape is not known, `options` are out of range,
            or need samples or a target that there are not.
        InputError: the samples do not fit the model.
    """
    chosen = options or Prune()
    _check(chosen, work)
    current = prepared(model)
    for k in range(chosen.rounds):
        # Equal shares of what is left, so that the last round leaves (1 - amount) of the first's cost.
        share = 1 - (1 - chosen.amount) ** (1 / chosen.rounds)
        current = _round(current, replace(chosen, amount=share), work)
        if between is not None and k + 1 < chosen.rounds:
            current = between(current)
    return current if between is None else between(current)


def sensitivities(model: Model, options: Prune, work: Work) -> list[Sensitivity]:
    """What the model loses with each layer alone pruned, by the importance of `options` and on the samples of `work`.

    Raises:
        ModelError: as `prune`.
        InputError: the samples do not fit the model.
    """
    chosen = replace(options, allocation="sensitivity")
    _check(chosen, work)
    return _Pruning.of(prepared(model), chosen, work).sensitivities()


def _check(options: Prune, work: Work | None) -> None:
    if not 0 < options.amount < 1 or not 0 < options.most <= 1 or min(options.multiple, options.rounds) < 1:
        raise ModelError(
            f"{options}: amount and most are shares between 0 and 1, multiple and rounds are at least 1"
        )
    for what, accepted in (
        *(("budget", BUDGETS), ("importance", IMPORTANCES), ("allocation", ALLOCATIONS)),
        ("prices", ("", *PRICES)),
    ):
        if getattr(options, what) not in accepted:
            raise ModelError(
                f"prune: {what} '{getattr(options, what)}' is unknown; expected one of {', '.join(accepted)}"
            )
    if _needs_samples(options) and (work is None or options.samples < 1):
        raise ModelError(f"prune: {_what(options)} needs samples; 'magnitude' with 'global' needs none")
    if options.budget == "instructions" and work is None and not options.prices:
        raise ModelError("prune: a budget in instructions needs a target")


def _needs_samples(options: Prune) -> bool:
    return options.importance != "magnitude" or options.allocation != "global"


def _what(options: Prune) -> str:
    return f"importance '{options.importance}' with allocation '{options.allocation}'"


def _round(model: onnx.ModelProto, options: Prune, work: Work | None) -> onnx.ModelProto:
    pruning = _Pruning.of(model, options, work)
    removed = pruning.chosen()
    result = remove(model, pruning.channels, removed)
    if len(pruning.x) and options.reconstruct:
        result = reconstruct(model, result, pruning.channels, removed, pruning.x)
    return result


@dataclass(slots=True)
class _Pruning:
    """One round: the model, what can be removed from it, and what is known of it; `x` is empty without samples."""

    model: onnx.ModelProto
    options: Prune
    work: Work | None
    channels: Channels
    units: Units
    costs: Costs
    x: Array
    seen: Mapping[str, Moments] = field(default_factory=dict)
    order: tuple[Labels, ...] = ()
    ranking: Array = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def of(cls, model: onnx.ModelProto, options: Prune, work: Work | None) -> "_Pruning":
        """Analyse a prepared model, and rank its channels."""
        channels = analyse(model)
        units = Units.of(model, channels)
        if not len(units.roots):
            raise ModelError("nothing to prune: no channel of the model could be removed alone")
        x = np.zeros(0)
        if work is not None and options.samples and len(model.graph.input) == 1:
            spec = Session(to_bytes(model)).inputs[0]
            x = _spread(fit(work.samples, spec, "data"), options.samples).x
        if _needs_samples(options) and not len(x):
            raise ModelError(f"prune: {_what(options)} needs a model with one input")
        made = cls(model, options, work, channels, units, Costs.of(model, channels), x)
        made._rank()
        if options.prices:
            made.costs = replace(made.costs, prices=np.array(PRICES[options.prices]))
        elif options.budget == "instructions" and work is not None:
            made.costs = fitted(model, channels, made.order, made.costs, work.target)
        return made

    def _rank(self) -> None:
        """Set the order of each layer's channels, and the ranking over all layers."""
        chosen = self.options
        if chosen.allocation == "sensitivity" or chosen.importance == "reconstruction":
            inner = [
                layer
                for layer in linear_layers(self.model)
                if (layer.weight, layer.input_axis) in self.channels.ties
            ]
            self.seen = moments(self.model, inner, self.x[: max(1, self._split())])
        criterion = "magnitude" if chosen.importance == "reconstruction" else chosen.importance
        work = self.work and replace(self.work, samples=_spread(self.work.samples, chosen.samples))
        found = importance(self.model, criterion, work)
        scores = self.units.scores(self.channels, found, relative=criterion == "magnitude")
        if chosen.importance == "reconstruction":
            scores = redundancy(self.channels, self.units, linear_layers(self.model), self.seen, scores)
        self.order = self.units.order(scores)
        self.ranking = scores if criterion == "magnitude" else scores / self._savings()[self.units.layer]

    def _split(self) -> int:
        """So many samples fit weights, and what a layer loses is measured on the others: fits flatter themselves."""
        return 2 * len(self.x) // 3 if len(self.x) > 2 else max(len(self.x) - 1, 0)

    def _savings(self) -> Array:
        """What one channel of each layer saves of the budget: what is lost is weighed against it."""
        budget = "macs" if self.options.budget == "instructions" else self.options.budget
        whole = self.costs(budget, _NOTHING)
        saved = [whole - self.costs(budget, mine[:1]) for mine in self.order]
        return np.asarray(np.maximum(saved, 1e-9))

    def chosen(self) -> Labels:
        """The classes to remove; for a budget in instructions the result is counted, and the goal corrected."""
        budget = self.options.budget
        whole = self.costs(budget, _NOTHING)
        goal = (1 - self.options.amount) * whole
        choose = self._choice()
        removed = choose(goal)
        if budget == "instructions" and self.work is not None and not self.options.prices:
            removed = self._exact(choose, removed, goal, self.work.target)
        left = self.costs(budget, removed) / whole
        short = 1 - left < self.options.amount - 5e-4
        asked = (
            f", of {self.options.amount:.1%} asked for: allow more by 'most' or 'multiple'" if short else ""
        )
        say(f"prune: {1 - left:.1%} of the {budget} are gone{asked}")
        return removed

    def _exact(
        self, choose: Callable[[float], Labels], removed: Labels, goal: float, target: Target
    ) -> Labels:
        """Count the candidate, and choose again until what was asked for is met."""
        first = counted([self.model], target)[0]
        wanted = (1 - self.options.amount) * first
        for _ in range(_CORRECTIONS):
            count = counted([remove(self.model, self.channels, removed)], target)[0]
            say(f"prune: {count:,} of {first:,} instructions are left ({count / first:.1%})")
            if count <= wanted:
                break
            goal *= 0.99 * wanted / count
            removed = choose(goal)
        return removed

    def _choice(self) -> Callable[[float], Labels]:
        """From the cost that may be left to the classes that go."""
        options = self.options
        if options.allocation == "global":
            return self._by_ranking
        found = self.sensitivities()

        def choose(goal: float) -> Labels:
            counts = allocate(
                found, self.order, self.costs, options.budget, goal, options.multiple, options.most
            )
            return self._first(counts)

        return choose

    def _first(self, counts: Sequence[int]) -> Labels:
        return np.concatenate([mine[:n] for mine, n in zip(self.order, counts, strict=True)]).astype(np.int64)

    def _by_ranking(self, goal: float) -> Labels:
        """The least important channels of all layers together, as many as it takes."""
        ranked = self.units.layer[np.argsort(self.ranking, kind="stable")]
        totals = np.array([len(mine) for mine in self.order])
        floor = np.maximum(1, np.round(totals * (1 - self.options.most))).astype(int)

        def removed(count: int) -> Labels:
            left = np.maximum(totals - np.bincount(ranked[:count], minlength=len(totals)), floor)
            left = np.minimum(totals, -(-left // self.options.multiple) * self.options.multiple)
            return self._first((totals - left).tolist())

        low, high = 0, len(ranked)
        while low < high:  # the cost falls with every unit, so the number is found by halving
            middle = (low + high) // 2
            if self.costs(self.options.budget, removed(middle)) <= goal:
                high = middle
            else:
                low = middle + 1
        return removed(low)

    def sensitivities(self) -> list[Sensitivity]:
        """What the model loses with each layer alone pruned and refitted."""
        x = self.x[self._split() :]

        def run(removed: Labels) -> Array:
            pruned = remove(self.model, self.channels, removed)
            if self.options.reconstruct:
                pruned = compensate(self.model, pruned, self.channels, removed, self.seen)
            return Session(to_bytes(pruned)).run_batches(x, _BATCH)[0]

        reference = Session(to_bytes(self.model)).run_batches(x, _BATCH)[0]
        return measure(self.units.names, self.order, run, reference)


def _spread(samples: Samples, count: int) -> Samples:
    """At most `count` samples, from all over the data, which may be in the order of its classes."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int))
    return Samples(samples.x[chosen], None if samples.y is None else samples.y[chosen])


def sizes(model: Model) -> Mapping[str, float]:
    """Parameters and multiply-accumulates of a model.

    Raises:
        ModelError: a shape is not known.
    """
    loaded = load(model)
    costs = Costs.of(loaded, Channels.of(loaded))
    return {budget: costs(budget, _NOTHING) for budget in ("parameters", "macs")}
