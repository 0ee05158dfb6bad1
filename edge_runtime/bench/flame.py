"""Where an inference's time goes as one page: types of operators over operators, like a flame graph hung upside down.

Width is time. After Gregg, "The Flame Graph", Communications of the ACM 59(6), 2016.
"""

import html
import os
from collections.abc import Sequence
from pathlib import Path

from edge_runtime.bench.operators import Operator, Profile
from edge_runtime.page import Page

_COLOURS = ("#0f7a7a", "#e4883a", "#5b6fa8", "#8aa53f", "#b4527f", "#3d93b8", "#a8643f", "#6f7f86", "#c9a227")
_STYLE = """<style>
.flame { position: relative; font-size: .75rem; margin: 1rem 0; }
.flame div { position: absolute; box-sizing: border-box; height: 1.6rem; line-height: 1.6rem; overflow: hidden;
  white-space: nowrap; text-indent: .3rem; border-right: 1px solid #fff; color: #fff; }
.flame div:hover { outline: 2px solid #1d2b33; z-index: 1; }
</style>"""
_LINE = 1.7  # of one row, in rem


def write(profiles: Sequence[tuple[str, Profile]], path: str | os.PathLike[str]) -> Path:
    """Write the page of several models.

    Args:
        profiles: names and profiles.
        path: the .html file.

    Raises:
        InputError: it cannot be written.
    """
    page = Page("Where the time goes", "Width is time; point at a part to read what it is.")
    page.block(_STYLE)
    for name, profile in profiles:
        page.heading(name)
        total = profile.total_micros
        page.cards(
            [
                (f"{total / 1000:.3f} ms", "an inference, while it is recorded"),
                (str(len(profile.operators)), "operators, after the engine's fusions"),
                (f"{100 * profile.between() / (total or 1):.0f} %", "of the time between operators"),
            ]
        )
        page.paragraph("By type of operator, the longest first.")
        page.block(icicle(profile))
        page.paragraph("In the order in which they run.")
        page.block(strip(profile))
        page.table(
            ["operator", "count", "ms", "share"],
            [
                (kind, n, f"{us / 1000:.3f}", f"{100 * us / (total or 1):.1f} %")
                for kind, n, us in profile.kinds()
            ],
        )
        page.paragraph("The longest ten.")
        page.table(["operator", "type", "output", "ms", "share"], longest(profile))
    return page.write(path)


def longest(profile: Profile, count: int = 10) -> list[tuple[str, str, str, str, str]]:
    """Rows of a table: name, type, output, milliseconds and share of the operators that take longest."""
    chosen = sorted(profile.operators, key=lambda each: -each.micros)[:count]
    total = profile.total_micros or 1
    return [
        (each.name, each.kind, each.shape, f"{each.micros / 1000:.3f}", f"{100 * each.micros / total:.1f} %")
        for each in chosen
    ]


def icicle(profile: Profile) -> str:
    """Three rows: the whole inference, the types of operators, the operators of each type."""
    total = profile.total_micros or 1.0
    blocks = [_block(0, 0, 1, "#1d2b33", "inference", f"{total / 1000:.3f} ms")]
    at = 0.0
    for kind, count, micros in profile.kinds():
        colour = _colour(kind, profile)
        blocks.append(
            _block(1, at / total, micros / total, colour, f"{kind} × {count}", _about(micros, total))
        )
        inner = at
        for each in sorted((e for e in profile.operators if e.kind == kind), key=lambda e: -e.micros):
            blocks.append(_operator(2, inner, each, total, colour))
            inner += each.micros
        at += micros
    blocks.append(
        _block(
            1, at / total, profile.between() / total, "#c8d2d0", "between", _about(profile.between(), total)
        )
    )
    return _frame(blocks, 3)


def strip(profile: Profile) -> str:
    """One row: every operator in the order in which they run."""
    total = sum(each.micros for each in profile.operators) or 1.0
    blocks, at = [], 0.0
    for each in profile.operators:
        blocks.append(_operator(0, at, each, total, _colour(each.kind, profile)))
        at += each.micros
    return _frame(blocks, 1)


def _operator(row: int, at: float, each: Operator, total: float, colour: str) -> str:
    about = f"{each.kind} → {each.shape}, {_about(each.micros, total)}"
    return _block(row, at / total, each.micros / total, colour, each.name, about)


def _about(micros: float, total: float) -> str:
    return f"{micros / 1000:.3f} ms, {100 * micros / total:.1f} %"


def _colour(kind: str, profile: Profile) -> str:
    kinds = [each for each, *_ in profile.kinds()]
    return _COLOURS[kinds.index(kind) % len(_COLOURS)]


def _block(row: int, left: float, width: float, colour: str, name: str, about: str) -> str:
    text = html.escape(name) if width > 0.02 else ""
    return (
        f'<div style="top:{row * _LINE:.1f}rem;left:{100 * left:.3f}%;width:{100 * width:.3f}%;background:{colour}" '
        f'title="{html.escape(f"{name}: {about}", quote=True)}">{text}</div>'
    )


def _frame(blocks: Sequence[str], rows: int) -> str:
    return f'<div class="flame" style="height:{rows * _LINE:.1f}rem">{"".join(blocks)}</div>'
