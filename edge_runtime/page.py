"""One self-contained HTML page: headings, paragraphs, tables and pictures, readable without a network."""

import base64
import html
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edge_runtime.files import write_text

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, sans-serif; color: #1d2b33; background: #f4f6f5; margin: 0; }
main { max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; background: #fff; min-height: 100vh; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.01em; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; padding-top: 1rem; border-top: 1px solid #dde5e3; }
p { max-width: 46rem; } .lead { color: #4a5c64; font-size: 1.05rem; margin-top: 0; }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .9rem .35rem 0; text-align: right; border-bottom: 1px solid #e6ecea; }
th:first-child, td:first-child { text-align: left; } th { color: #4a5c64; font-weight: 600; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; } figcaption { color: #4a5c64; font-size: .9rem; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
.card { background: #eef4f3; border-radius: .5rem; padding: .8rem 1.1rem; min-width: 8rem; }
.card b { display: block; font-size: 1.5rem; line-height: 1.2; } .card span { color: #4a5c64; font-size: .85rem; }
"""


class Page:
    """Blocks in the order in which they are added; `write` puts them into one file."""

    def __init__(self, title: str, lead: str) -> None:
        self._title = title
        self._blocks = [f"<h1>{html.escape(title)}</h1>", f'<p class="lead">{html.escape(lead)}</p>']

    def heading(self, text: str) -> None:
        """A section's heading."""
        self._blocks.append(f"<h2>{html.escape(text)}</h2>")

    def paragraph(self, text: str) -> None:
        """Plain text."""
        self._blocks.append(f"<p>{html.escape(text)}</p>")

    def cards(self, figures: Iterable[tuple[str, str]]) -> None:
        """The few figures that matter, large, each with its caption."""
        cards = "".join(
            f'<div class="card"><b>{html.escape(b)}</b><span>{html.escape(s)}</span></div>'
            for b, s in figures
        )
        self._blocks.append(f'<div class="cards">{cards}</div>')

    def table(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table; the first column is to the left."""
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
        )
        self._blocks.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")

    def figure(self, figure: Any, caption: str) -> None:
        """A picture, PNG bytes or a Matplotlib figure, with its caption."""
        content = figure if isinstance(figure, bytes) else png(figure)
        data = base64.b64encode(content).decode()
        text = html.escape(caption)
        self._blocks.append(
            f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'
        )

    def block(self, content: str) -> None:
        """HTML as it is."""
        self._blocks.append(content)

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the page atomically."""
        body = "\n".join(self._blocks)
        return write_text(
            path,
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(self._title)}</title>'
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
            f"<body><main>\n{body}\n</main></body></html>\n",
        )


def png(figure: Any) -> bytes:
    """A Matplotlib figure as PNG."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    return stream.getvalue()
