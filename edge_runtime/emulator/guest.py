"""Runs on the emulated device: marks a few inferences of each model named, and does nothing else."""

import sys
from collections.abc import Sequence

from edge_runtime.errors import LittoralError
from edge_runtime.profile import mark_inferences
from edge_runtime.session import Session


def main(models: Sequence[str]) -> int:
    """Load and mark each model in turn, one at a time in memory."""
    try:
        for tag, model in enumerate(models):
            mark_inferences(Session(model, threads=1), tag=tag)
    except LittoralError as error:
        sys.stderr.write(f"littoral: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
