"""What a run has spent of its privacy budget: Rényi differential privacy of the subsampled Gaussian mechanism.

One step clips every device's update to norm C, takes each device with probability q, and adds Gaussian noise of
deviation sigma C to the sum. Neighbours differ in one device's whole data (add or remove). Then

1. at order alpha the step is ``(alpha, log(A_alpha) / (alpha - 1))``-RDP, where A_alpha is the alpha-th moment of the
   ratio of densities of the mixture ``(1 - q) N(0, sigma²) + q N(1, sigma²)`` and ``N(0, sigma²)``: Mironov, Talwar
   and Zhang 2019, "Rényi Differential Privacy of the Sampled Gaussian Mechanism", section 3.3;
2. steps add up at each order (Mironov 2017, "Rényi Differential Privacy", Proposition 1);
3. ``epsilon = min over alpha of rdp + log(1 - 1/alpha) - log(alpha delta) / (alpha - 1)``: Canonne, Kamath and Steinke
   2020, "The Discrete Gaussian for Differential Privacy", Proposition 12.

`tests/federated/test_accountant.py` holds it to an independent library.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from edge_runtime.errors import InputError

ORDERS: tuple[float, ...] = (
    *(1 + i / 10 for i in range(1, 100)),
    *map(float, range(11, 64)),
    *map(float, (72, 80, 96, 112, 128, 160, 192, 256, 320, 384, 512, 768, 1024)),
)
"""Orders at which the divergence is followed: fine where epsilon is large, coarse where it is small."""

_TERMS = 10_000  # of the series at an order that is no whole number; it converges long before
_NEGLIGIBLE = 30.0  # in log: a term that no longer changes the sum


@dataclass(frozen=True, slots=True)
class Step:
    """A mechanism that was used `times` times: sampling rate q (0 to 1) and noise multiplier sigma."""

    q: float
    sigma: float
    times: int = 1


@dataclass(frozen=True, slots=True)
class Ledger:
    """What was released so far, in the order of release; equal neighbours are counted together."""

    delta: float
    steps: tuple[Step, ...] = ()

    def spend(self, q: float, sigma: float) -> "Ledger":
        """This ledger and one more release."""
        if self.steps and (self.steps[-1].q, self.steps[-1].sigma) == (q, sigma):
            last = self.steps[-1]
            return Ledger(self.delta, (*self.steps[:-1], Step(q, sigma, last.times + 1)))
        return Ledger(self.delta, (*self.steps, Step(q, sigma)))

    @property
    def epsilon(self) -> float:
        """What is spent, at the ledger's delta; 0 before the first release."""
        return epsilon(self.steps, self.delta) if self.steps else 0.0

    def to_json(self) -> dict[str, Any]:
        """The form in which a checkpoint holds it."""
        return {"delta": self.delta, "steps": [[step.q, step.sigma, step.times] for step in self.steps]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Ledger":
        """Read the form that `to_json` gives.

        Raises:
            InputError: it is not a ledger.
        """
        try:
            steps = tuple(Step(float(q), float(sigma), int(times)) for q, sigma, times in value["steps"])
            return cls(float(value["delta"]), steps)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a privacy ledger: {error!r}") from error


def epsilon(steps: Iterable[Step], delta: float, orders: Sequence[float] = ORDERS) -> float:
    """The epsilon at `delta` of all the steps together; infinity where there was no noise.

    Raises:
        InputError: delta, a sampling rate or a noise multiplier is out of range.
    """
    if not 0 < delta < 1:
        raise InputError(f"delta {delta:g}: expected more than 0 and less than 1, such as 1e-5")
    totals = [0.0] * len(orders)
    for step in steps:
        for i, one in enumerate(rdp(step.q, step.sigma, tuple(orders))):
            totals[i] += step.times * one
    return max(
        0.0, min(_to_epsilon(order, total, delta) for order, total in zip(orders, totals, strict=True))
    )


def noise_for(target: float, delta: float, q: float, times: int) -> float:
    """The least noise multiplier (to 0.1 %) whose `times` steps at rate `q` stay within epsilon `target`.

    Raises:
        InputError: the target is not positive, or no noise reaches it.
    """
    if not 0 < target < math.inf:
        raise InputError(f"epsilon {target:g}: expected a positive number, such as 8")
    low, high = 0.05, 1.0
    while epsilon([Step(q, high, times)], delta) > target:
        low, high = high, 2 * high
        if high > 1e6:
            raise InputError(f"epsilon {target:g} at delta {delta:g}: no noise reaches it in {times} rounds")
    while high / low > 1.001:
        middle = math.sqrt(low * high)
        if epsilon([Step(q, middle, times)], delta) > target:
            low = middle
        else:
            high = middle
    return high


@lru_cache(maxsize=256)
def rdp(q: float, sigma: float, orders: tuple[float, ...] = ORDERS) -> tuple[float, ...]:
    """The Rényi divergence of one step at each order.

    Raises:
        InputError: the sampling rate or the noise multiplier is out of range.
    """
    if not 0 <= q <= 1 or not sigma >= 0:
        raise InputError(f"sampling rate {q:g}, noise multiplier {sigma:g}: expected 0 to 1, and 0 or more")
    if q == 0:
        return tuple(0.0 for _ in orders)
    if sigma == 0:
        return tuple(math.inf for _ in orders)
    if q == 1:
        return tuple(order / (2 * sigma**2) for order in orders)
    return tuple(_log_moment(q, sigma, order) / (order - 1) for order in orders)


def _to_epsilon(order: float, divergence: float, delta: float) -> float:
    if math.isinf(divergence):
        return math.inf
    return divergence + math.log1p(-1 / order) - math.log(delta * order) / (order - 1)


def _log_moment(q: float, sigma: float, order: float) -> float:
    return _whole(q, sigma, int(order)) if float(order).is_integer() else _fractional(q, sigma, order)


def _whole(q: float, sigma: float, order: int) -> float:
    """``log sum_k C(order, k) (1-q)^(order-k) q^k exp((k²-k) / (2 sigma²))``."""
    terms = [
        _log_binomial(order, k)
        + k * math.log(q)
        + (order - k) * math.log1p(-q)
        + (k * k - k) / (2 * sigma**2)
        for k in range(order + 1)
    ]
    top = max(terms)
    return top + math.log(sum(math.exp(term - top) for term in terms))


def _fractional(q: float, sigma: float, order: float) -> float:
    """The two series of section 3.3, which meet where both parts of the mixture are equally dense."""
    meet = sigma**2 * math.log(1 / q - 1) + 0.5
    total, sign, log_coefficient = 0.0, 1.0, 0.0
    scale: float | None = None
    for i in range(_TERMS):
        if i:
            factor = (order - i + 1) / i
            sign, log_coefficient = sign * math.copysign(1, factor), log_coefficient + math.log(abs(factor))
        j = order - i
        left = i * math.log(q) + j * math.log1p(-q) + (i * i - i) / (2 * sigma**2)
        right = j * math.log(q) + i * math.log1p(-q) + (j * j - j) / (2 * sigma**2)
        logs = (
            log_coefficient + left + _log_tail((i - meet) / sigma),
            log_coefficient + right + _log_tail((meet - j) / sigma),
        )
        scale = max(logs) if scale is None else scale
        total += sign * sum(math.exp(each - scale) for each in logs)
        if i > order and max(logs) < scale + math.log(total) - _NEGLIGIBLE:
            return scale + math.log(total)
    return math.inf  # this order says nothing; others do


def _log_binomial(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _log_tail(z: float) -> float:
    """The log of the probability that a standard normal exceeds z; by its asymptotic series where that is 0."""
    if z < 25:
        return math.log(0.5 * math.erfc(z / math.sqrt(2)))
    series = 1 - 1 / z**2 + 3 / z**4 - 15 / z**6 + 105 / z**8
    return -z * z / 2 - math.log(z * math.sqrt(2 * math.pi)) + math.log(series)
