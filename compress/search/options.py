"""How a search works."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How a search works: where it keeps what it made, how models are stored and compared, epochs of the last rung."""

    folder: Path
    coded: bool
    emulate: bool
    epochs: int
    measure: str
