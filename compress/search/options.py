"""How a search works."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How a search works: where it keeps what it made, how models are stored, compared and run, epochs of training."""

    folder: Path
    coded: bool
    emulate: bool
    epochs: int
    measure: str
    engine: str = "auto"
