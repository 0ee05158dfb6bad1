"""Fuzz target: whatever comes from a device is read or refused. `python tests/fuzz/messages.py -runs=200000`

Messages of the fleet, a site's batch, MQTT packets, frames and messages of the federated link, coded updates: each
may raise its own error and nothing else. Needs atheris (https://github.com/google/atheris).
"""

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(include=["edge_runtime", "federated"]):
    from edge_runtime.errors import LittoralError
    from edge_runtime.messages import Beat, Command, Desired, Reported, Result, Stats
    from edge_runtime.messages.telemetry import unbatch
    from federated.link import chunks, packets, wire

READ = (
    *(kind.read for kind in (Beat, Command, Desired, Reported, Result, Stats)),
    unbatch,
    lambda content: packets.Reader(1 << 20).feed(content),
    packets.read_connect,
    lambda content: packets.read_publish(content[0] & 15 if content else 0, content),
    lambda content: packets.read_subscribe(content, qos=True),
    chunks.unpack,
    wire.decode,
)


def one(content: bytes) -> None:
    """The first byte says what reads the others."""
    if content:
        try:
            READ[content[0] % len(READ)](content[1:])
        except LittoralError as error:
            assert "\n" not in str(error)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
