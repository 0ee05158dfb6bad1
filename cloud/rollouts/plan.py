"""Who goes first, what a device is told, and what it is given back: pure functions."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from cloud.rollouts.spec import Spec
from edge_runtime.messages.twin import Desired, Release, Shadow


class Variant(Protocol):
    """What the repository says of one bundle, as far as a rollout needs it."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def version(self) -> int: ...  # noqa: D102
    @property
    def target(self) -> str: ...  # noqa: D102
    @property
    def path(self) -> str: ...  # noqa: D102
    @property
    def sha256(self) -> str: ...  # noqa: D102
    @property
    def bytes(self) -> int: ...  # noqa: D102


def rank(rollout: str, device: str) -> bytes:
    """Where the device stands in the queue of its target: by SHA-256, so equal for everybody who asks.

    The rollout's name is part of it, so that not always the same devices are the canaries.
    """
    return hashlib.sha256(f"{rollout}\n{device}".encode()).digest()


def first(rollout: str, devices: Iterable[tuple[str, bool]], count: int) -> list[str]:
    """The next `count` devices of one target, of (name, connected): who is connected first, then by rank.

    A canary that is away tells nothing.
    """
    order = sorted(devices, key=lambda each: (not each[1], rank(rollout, each[0])))
    return [name for name, _ in order[:count]]


def wish(
    spec: Spec, phase: int, variant: Variant, had: Desired | None, *, key: str = "", now: float = 0.0
) -> Desired:
    """What a device is told: the release, and how it may come to it. Everything else stays as it was.

    `v` is left to `Fleet.desire`, which counts it up.
    """
    release = Release(variant.name, variant.version, variant.path, variant.sha256, variant.bytes, key)
    return replace(
        had or Desired(0),
        v=0,
        model=release,
        rollout=spec.name,
        phase=phase,
        window=spec.window,
        jitter_s=spec.jitter_s,
        max_kbps=spec.max_kbps,
        shadow=spec.shadow,
        probation_s=spec.probation_s,
        probes=spec.probes,
        time=int(now),
    )


def restored(
    spec: Spec, told: Desired, had: Desired | None, was: Release | None, *, now: float = 0.0
) -> Desired:
    """What a device gets back: the model that it had.

    It may switch at once, for what it has now was found wanting, and without a shadow, for the old model is known.

    Args:
        spec: the rollout.
        told: what it was told by the rollout.
        had: what it was told before; None for nothing.
        was: where nobody had told it anything, the release that it reported then; None for one nobody knows.
        now: seconds since 1970.
    """
    base = had or Desired(0, probation_s=spec.probation_s, probes=spec.probes)
    return replace(
        base,
        v=0,
        model=base.model if had else was,
        rollout="",
        phase=0,
        window=None,
        jitter_s=min(spec.jitter_s, 60),
        shadow=Shadow(),
        federated=told.federated,  # it was not the rollout's
        brokers=told.brokers,
        time=int(now),
    )
