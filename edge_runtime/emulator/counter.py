"""The instruction counter: compiles the QEMU plug-in, and turns what it wrote into counts per inference.

Guest instructions do not depend on the host's speed or load: the same model on the same target gives the same count.
They are not time: a device with caches and several pipelines may run more instructions in less of it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from edge_runtime.emulator.needs import call, require
from edge_runtime.errors import EmulatorError

_SOURCE = "counter.c"
_GROUPS = (0, 1, 2, 4)
_TOLERANCE = 0.005
_SETTLING = 20_000  # instructions: Python specialises its own bytecode during the first calls


class CountError(EmulatorError):
    """The counts of a session's groups are not in proportion to their inferences."""


@dataclass(frozen=True, slots=True)
class Count:
    """Guest instructions per inference, exact; and how many of them were of each class.

    Classes on Arm: `simd_fp` (SIMD and floating-point arithmetic), of it `fmla` (float multiply-add), `smlal`
    (widening integer multiply), `dot` (SDOT, UDOT) and `mmla` (SMMLA, UMMLA); `load_store`. None on x86-64.
    """

    instructions: int
    classes: Mapping[str, int]

    def to_json(self) -> dict[str, int]:
        """As a plain table."""
        return {"instructions": self.instructions, **self.classes}


def compile_counter(folder: Path) -> Path:
    """Compile the plug-in into `folder` and return its path. It takes a tenth of a second, so it is not kept.

    Raises:
        EmulatorError: there is no C compiler, or it refused.
    """
    require("cc")
    library = folder / "counter.so"
    with resources.as_file(resources.files(__package__) / _SOURCE) as source:
        options = ["-O2", "-shared", "-fPIC", "-fvisibility=hidden"]
        call(["cc", *options, "-o", library, source], "the instruction counter cannot be compiled")
    return library


def parse_counts(text: str) -> tuple[Count, ...]:
    """Counts per inference, in the order in which the guest marked its sessions.

    Args:
        text: the plug-in's lines; for each session four pairs of marks, around 0, 1, 2 and 4 inferences.

    Raises:
        EmulatorError: marks are missing, or the groups do not grow in proportion to their inferences.
    """
    try:
        lines = [json.loads(line) for line in text.splitlines()]
        marks = [line.pop("mark") for line in lines]
    except (json.JSONDecodeError, KeyError, AttributeError) as error:
        raise EmulatorError(
            f"the instruction counter's output was cut short ({error}); run it again"
        ) from error
    size = 2 * len(_GROUPS)
    sessions = [_session(marks[i : i + size], lines[i : i + size]) for i in range(0, len(lines), size)]
    return tuple(sessions)


def _session(marks: list[int], lines: list[dict[str, int]]) -> Count:
    if [mark % 1000 for mark in marks] != [group for group in _GROUPS for _ in range(2)]:
        raise EmulatorError(
            f"the emulated device gave marks {marks} where 0, 1, 2 and 4 inferences were to be counted"
        )
    session = marks[0] // 1000
    spent = [
        {name: end[name] - begin[name] for name in begin}
        for begin, end in zip(lines[::2], lines[1::2], strict=True)
    ]
    each = [
        {name: (group[name] - spent[0][name]) // n for name in group}
        for n, group in zip(_GROUPS[1:], spent[1:], strict=True)
    ]
    totals = [group["instructions"] for group in each]
    if max(totals) - min(totals) > _TOLERANCE * max(totals) + _SETTLING or min(totals) <= 0:
        raise CountError(
            f"session {session}: {totals[0]:,}, {totals[1]:,} and {totals[2]:,} instructions per inference, in groups "
            "of 1, 2 and 4, do not agree: more than the inference ran between the marks; give --threads 1"
        )
    settled = each[-1]
    return Count(settled.pop("instructions"), settled)
