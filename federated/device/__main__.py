"""The device's process alone: `littoral federate join` becomes this, so that no other command stays in its memory."""

import argparse
import sys
from collections.abc import Sequence

from edge_runtime.errors import LittoralError
from federated.device import cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run with the arguments of `littoral federate join`; the exit code is 0, or 2 for what the user can mend."""
    parser = argparse.ArgumentParser(prog="littoral federate join", description=cli.JOIN.summary)
    cli.JOIN.arguments(parser)
    try:
        cli.take_part(parser.parse_args(argv))
    except LittoralError as error:
        sys.stderr.write(f"littoral: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
