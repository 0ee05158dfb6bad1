"""A rollout's gates beside what was measured, as a person reads them."""

from collections.abc import Iterator, Mapping
from typing import Any

# What a gate is called; the measured value; what says how much it rests on; the limit; whether it is a lower bound.
_GATES = (
    ("agreement", "agree", "shadow", "min_agree", True),
    ("accuracy drop", "drop", "labelled", "max_drop", False),
    ("latency ratio", "slower", "", "max_slower", False),
    ("errors", "errors", "inferences", "max_errors", False),
    ("drift", "drift", "inferences", "max_drift", False),
)


def measured(progress: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The gates of a rollout's progress, `cloud.rollouts.Progress.to_json`.

    Returns:
        For each gate and target: name, target ("" for all), value (None where nothing was measured), limit, least
        (whether the limit is a lower one), n (what it rests on, None where that is not counted), state: "holds",
        "breached", or "waits" while there is nothing to judge by.
    """
    return [*_success(progress), *_by_target(progress)]


def _success(progress: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    gates = progress["spec"]["gates"]
    ended = progress["done"] + progress["failed"]
    share = progress["done"] / ended if ended else None
    yield _gate("success", "", share, gates["min_success"], ended, least=True)
    if gates["max_failed"] is not None:
        yield _gate(
            "failed devices", "", progress["failed"], gates["max_failed"], progress["told"], least=False
        )


def _by_target(progress: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    gates = progress["spec"]["gates"]
    for target, found in sorted(progress["evidence"].items()):
        for name, value, rests, limit, least in _GATES:
            n = int(found[rests]) if rests else None
            few = n is not None and n < gates["samples"]
            yield _gate(name, target, found[value], gates[limit], n, least=least, few=few)


def _gate(
    name: str,
    target: str,
    value: float | None,
    limit: float,
    n: int | None,
    *,
    least: bool,
    few: bool = False,
) -> dict[str, Any]:
    state = "waits"
    if value is not None and not few:
        state = "holds" if (value >= limit if least else value <= limit) else "breached"
    return {
        "name": name,
        "target": target,
        "value": value,
        "limit": limit,
        "least": least,
        "n": n,
        "state": state,
    }
