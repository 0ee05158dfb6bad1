"""Update codecs over the device link: bytes that leave the devices' sockets, against whole float32 weights.

The networks, the data and the ten clients of `federated_codecs.py`, each client a device with its own key and
connection; with a codec for updates the model's changes come down in four bits. Two ratios: of the codec's messages
alone, and of all that the broker takes in from the devices over the whole run, as the system's TCP counts it: their
connecting, the link's headers, seals and acknowledgements, and MQTT's.
"""

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.federated_codecs import DOWN, GOALS, pack, problem_of
from benchmarks.harness import Case, main
from benchmarks.peers.hosted import Shared
from edge_runtime import Samples
from edge_runtime.bundle import Bundle
from federated import Settings
from federated.link import brokers
from federated.link.brokers import Listener
from federated.link.keys import COORDINATOR, Key
from federated.link.mqtt import Address
from federated.serve import serve

CLIENTS, SEED = 10, 0
ROUNDS = {"digits": 20, "watch": 20, "million": 4}


@dataclass(frozen=True, slots=True)
class Uplink:
    """Bytes a device and round: of its messages, and at its socket."""

    messages: float
    socket: float


def cases() -> Iterator[Case]:
    for data, rounds in ROUNDS.items():
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            bundle = pack(data, folder / "m.bundle")
            parts, test = problem_of(data).split(SEED, CLIENTS)
            runs = {name: _run(folder / name, bundle, parts, test, codec, rounds)
                    for name, codec in (("float32", ""), *((goal, goal) for goal in GOALS))}  # fmt: skip
        plain = runs.pop("float32")
        for name, coded in runs.items():
            yield from _compare(f"{data}/{name}", plain, coded, rounds, GOALS[name][0])


def _compare(name: str, plain: Uplink, coded: Uplink, rounds: int, goal: float) -> Iterator[Case]:
    more = coded.socket - coded.messages
    note = (
        f"{rounds} rounds; {coded.socket:,.0f} bytes a device and round, {more:,.0f} of them the link's and MQTT's; "
        f"{plain.socket:,.0f} of float32"
    )
    ratio = round(plain.socket / coded.socket, 1)
    yield Case(f"{name}, at the socket", ratio, "x", goal, "higher", rounds * CLIENTS, note)
    note = f"{coded.messages:,.0f} bytes a device and round; {plain.messages:,.0f} of float32"
    ratio = round(plain.messages / coded.messages, 1)
    yield Case(f"{name}, messages alone", ratio, "x", goal, "higher", rounds * CLIENTS, note)


def _run(home: Path, bundle: Bundle, parts: list[Samples], test: Samples, codec: str, rounds: int) -> Uplink:
    ring = {f"d{number}": Key(f"d{number}", number, os.urandom(32)) for number in range(CLIENTS)}
    own = Key(COORDINATOR, 0, os.urandom(32))
    problem = problem_of(bundle.manifest.name)
    with ExitStack() as stack:
        running = stack.enter_context(brokers.embedded(Listener(), brokers.passwords(ring, own)))

        def address(key: Key) -> Address:
            return Address("127.0.0.1", running.port, user=key.device, password=key.password)

        for key, part in zip(ring.values(), parts, strict=True):
            device = Shared(problem.trainer, part, key, address(key), home / key.device)
            thread = threading.Thread(target=device.run)
            thread.start()
            stack.callback(thread.join)
            stack.callback(device.stop)
        settings = Settings(
            rounds=rounds, clients=CLIENTS, lr=problem.lr, batch_size=problem.batch, codec=codec,
            downlink=DOWN if codec else "",
        )  # fmt: skip
        history = serve(
            bundle, test, settings, keys=ring, address=address(own), out=home / "run", progress=False
        )
        traffic = running.traffic()
    each = rounds * CLIENTS
    socket = sum(traffic[device].received for device in ring)
    return Uplink(sum(entry.bytes_up for entry in history.rounds) / each, socket / each)


if __name__ == "__main__":
    main(cases)
