"""Differential privacy for whole devices: clip each update, add Gaussian noise at the server or on the device.

Central (McMahan et al. 2018, "Learning Differentially Private Recurrent Language Models", DP-FedAvg with a fixed
denominator): each of K devices takes part in a round with probability q of its own (Poisson sampling, as the
accountant assumes), counts the same whatever it says of its examples, and

    ``w <- w + (sum_k clip(delta_k, C) + N(0, (sigma C)²)) / (q K)``.

One device changes the sum by at most C. The server is trusted with updates; who gets the model learns little of any
device. Local: the device itself sends ``clip(delta_k, C) + N(0, (sigma C)²)``, so the server need not be trusted with
updates, at the price of sqrt(q K) times the noise; nothing is gained by sampling then, for the server sees who answers.

Sampling and noise follow from 128 secret random bits and the round. They are drawn once and kept in the checkpoint, so
an interrupted round is repeated with the same noise, and nobody who has only history.json can subtract it. Noise is
drawn in float64; the attack of Mironov 2012 on its low bits is not defended against.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from edge_runtime.errors import InputError
from federated import spec
from federated.privacy.accountant import Ledger, noise_for
from federated.robust.clipping import clip
from federated.robust.submission import Submission, Vector, matrix

Where = Literal["central", "local"]
_SAMPLE, _NOISE = 1, 2  # what the secret is spread to


@dataclass(frozen=True, slots=True)
class Privacy:
    """A budget and how to keep it: ``central:epsilon=8,delta=1e-5,clip=0.5`` or ``local:...``.

    `clip` is C. `sigma`, the noise multiplier, is found for epsilon over all rounds unless it is given.
    """

    where: Where = "central"
    epsilon: float = 8.0
    delta: float = 1e-5
    clip: float = 1.0
    sigma: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.epsilon < np.inf:
            raise InputError(f"privacy: epsilon {self.epsilon:g}: expected a positive number, such as 8")
        if not 0 < self.delta < 1:
            raise InputError(
                f"privacy: delta {self.delta:g}: expected below 1 over the number of devices, such as 1e-5"
            )
        if not 0 < self.clip < np.inf or not 0 <= self.sigma < np.inf:
            raise InputError(
                f"privacy: clip {self.clip:g}, sigma {self.sigma:g}: expected a positive norm, and 0 or more"
            )

    def noise(self, q: float, rounds: int) -> float:
        """The noise multiplier: as given, or the least that keeps `rounds` rounds at rate `q` within epsilon."""
        return self.sigma or noise_for(self.epsilon, self.delta, self.rate(q), rounds)

    def rate(self, q: float) -> float:
        """The sampling rate that counts for the accountant: a device's own noise gains nothing from sampling."""
        return q if self.where == "central" else 1.0


@dataclass(frozen=True, slots=True)
class _Central:
    epsilon: float = 8.0
    delta: float = 1e-5
    clip: float = 1.0
    sigma: float = 0.0


@dataclass(frozen=True, slots=True)
class _Local(_Central):
    pass


def parse(text: str) -> Privacy:
    """Read ``central:epsilon=8,clip=0.5`` or ``local:...``.

    >>> parse("central:epsilon=4").epsilon
    4.0

    Raises:
        InputError: a name or key is unknown, or a value out of range.
    """
    found = spec.build(text, {"central": _Central, "local": _Local}, "privacy")
    where: Where = "local" if isinstance(found, _Local) else "central"
    return Privacy(where, found.epsilon, found.delta, found.clip, found.sigma)


@dataclass(frozen=True, slots=True)
class Secret:
    """128 random bits of the server's, from which a run's sampling and noise follow; never in the history."""

    bits: int = field(default_factory=lambda: secrets.randbits(128), repr=False)

    def generator(self, purpose: int, round_number: int) -> np.random.Generator:
        """Random numbers for one purpose in one round."""
        sequence = np.random.SeedSequence(self.bits, spawn_key=(purpose, round_number))
        return np.random.Generator(np.random.Philox(sequence))


def poisson_sample(clients: Sequence[int], q: float, secret: Secret, round_number: int) -> list[int]:
    """Each client with probability `q` of its own, sorted; there may be none."""
    ordered = sorted(clients)
    chosen = secret.generator(_SAMPLE, round_number).random(len(ordered)) < q
    return [client for client, one in zip(ordered, chosen, strict=True) if one]


def central_mean(
    submissions: Sequence[Submission],
    size: int,
    *,
    bound: float,
    sigma: float,
    expected: float,
    secret: Secret,
    round_number: int,
) -> Vector:
    """The clipped and noised change of the model, float64[size]; also of a round where nobody answered.

    Args:
        submissions: what came; how many examples each claims does not count.
        size: of the change.
        bound: C, the norm to clip to.
        sigma: the noise multiplier.
        expected: q K, the denominator whoever came.
        secret: where the noise comes from.
        round_number: of the run.
    """
    total = clip(matrix(submissions), bound).sum(axis=0) if submissions else np.zeros(size)
    noise = secret.generator(_NOISE, round_number).standard_normal(size)
    found: Vector = (total + sigma * bound * noise) / expected
    return found


def local_noise(
    delta: Vector, bound: float, sigma: float, generator: np.random.Generator | None = None
) -> Vector:
    """What a device sends instead of its change float64[d]: clipped to `bound`, with noise of its own.

    Without a generator the noise comes from the operating system's randomness, as it has to on a device.
    """
    drawn = generator or np.random.Generator(np.random.Philox(np.random.SeedSequence(secrets.randbits(128))))
    found: Vector = clip(delta[None], bound)[0] + sigma * bound * drawn.standard_normal(delta.shape)
    return found


def spent(ledger: Ledger, privacy: Privacy, q: float, sigma: float) -> Ledger:
    """The ledger after one more round."""
    return ledger.spend(privacy.rate(q), sigma)
