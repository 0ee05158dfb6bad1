"""What decides about a new model: the shadow's limits against what it saw, one sentence where they are not met."""

from collections.abc import Mapping
from typing import Any

from edge_runtime.messages import Shadow

_UNBOUND = Shadow().max_slower_ppm
_GRAIN_US = 1000  # what a busy scheduler alone may take: no device is called slower for less


def refused(limits: Shadow, seen: Mapping[str, Any]) -> str:
    """Why the new model may not take over; "" if it may.

    Accuracy counts where the device learnt labels; agreement with the old model counts over the inputs without one.

    Args:
        limits: of the wish.
        seen: n, agree_ppm (over the inputs without label), unlabelled, labelled, correct, old_correct, p95_us,
            old_p95_us, errors.
    """
    n, labelled = seen.get("n", 0), seen.get("labelled", 0)
    if not n:
        asked = limits.min_agree_ppm or limits.max_drop_ppm < 1_000_000 or limits.max_slower_ppm < _UNBOUND
        return (
            f"the shadow saw no input within {limits.seconds} s, so nothing shows what is asked for"
            if asked
            else ""
        )
    if seen.get("errors", 0):
        return f"the new model failed on {seen['errors']} of {n} inputs in the shadow"
    if labelled:
        drop = 1_000_000 * (seen["old_correct"] - seen["correct"]) // labelled
        if drop > limits.max_drop_ppm:
            return (
                f"on {labelled} labelled inputs the new model is right {seen['correct']} times and the old one "
                f"{seen['old_correct']}: accuracy falls by {drop} ppm, {limits.max_drop_ppm} are allowed"
            )
    unlabelled = seen.get("unlabelled", n - labelled)
    if unlabelled and seen["agree_ppm"] < limits.min_agree_ppm:
        return (
            f"on {unlabelled} inputs without label the new model agrees with the old one in {seen['agree_ppm']} ppm, "
            f"{limits.min_agree_ppm} are asked for"
        )
    return slow(seen["p95_us"], seen["old_p95_us"], limits.max_slower_ppm)


def slow(new_us: int, old_us: int, max_slower_ppm: int) -> str:
    """Why the new model is too slow beside the old one; "" if it is not."""
    allowed = max(old_us * (1_000_000 + max_slower_ppm) // 1_000_000, old_us + _GRAIN_US)
    if max_slower_ppm >= _UNBOUND or new_us <= allowed:
        return ""
    by = 1_000_000 * (new_us - old_us) // max(old_us, 1)
    return f"the new model takes {new_us} us and the old one {old_us}: {by} ppm slower, {max_slower_ppm} are allowed"
