"""What a person sees in a terminal: tables and a progress bar, with the standard library alone."""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TypeVar

T = TypeVar("T")
_WIDTH = 28


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns aligned: figures to the right, words to the left."""
    lines = [[str(cell) for cell in header], *([str(cell) for cell in row] for row in rows)]
    columns = list(zip(*lines, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [_figures(column[1:]) for column in columns]
    lines.insert(1, ["─" * width for width in widths])
    return "\n".join(
        "  ".join(
            cell.rjust(width) if figures else cell.ljust(width)
            for cell, width, figures in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def _figures(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell]
    return 2 * sum(cell[0] in "0123456789+-–" for cell in filled) > len(filled)


def progress(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield the items, and draw a bar on a terminal; elsewhere say one line when done. Writes to stderr."""
    total = total or (len(items) if isinstance(items, Sized) else 0)
    live = sys.stderr.isatty()
    began = drawn = time.monotonic()
    done = 0
    if live:
        _draw(what, 0, total, 0.0)
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if live and (now - drawn > 0.1 or done == total):
            _draw(what, done, total, now - began)
            drawn = now
    if live:
        sys.stderr.write("\n")
    else:
        sys.stderr.write(f"{what}: {done} in {time.monotonic() - began:.1f} s\n")


def _draw(what: str, done: int, total: int, seconds: float) -> None:
    filled = _WIDTH * done // total if total else 0
    left = f", {seconds / done * (total - done):.0f} s left" if 0 < done < total else f", {seconds:.1f} s"
    sys.stderr.write(f"\r\x1b[K{what} {'━' * filled}{'─' * (_WIDTH - filled)} {done}/{total or '?'}{left}")
    sys.stderr.flush()


def say(text: str) -> None:
    """One line of progress, on stderr, so that stdout stays a result that machines can read."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def megabytes(count: float) -> str:
    """``18.6 MB``."""
    return f"{count / 1e6:.2f} MB" if count < 1e7 else f"{count / 1e6:.1f} MB"


def listen() -> None:
    """Show what the library logs, line by line on stderr, as commands do."""
    import logging

    logger = logging.getLogger("edge_runtime")
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(logging.INFO)
