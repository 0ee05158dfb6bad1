"""Many devices in one process, each with its own key, connection and folder.

`python -m benchmarks.peers.hosted PORT FOLDER FIRST LAST`.

They share one trainer, and so train one after the other: what is measured is the link with many devices on it.
A process holds 300 at most: a connection of paho's is three open files, and it waits for them with select(2), which
knows 1,024.
"""

import sys
import threading
from pathlib import Path

from benchmarks.peers import federation
from edge_runtime.trainer import Trainer
from federated.device import client
from federated.device.client import Device
from federated.link import keys
from federated.link.mqtt import Address

EACH = 8


class Shared(Device):
    """A device that waits for the process's trainer."""

    turn = threading.Lock()

    def _work(self, name: str, payload: bytes | bytearray) -> bytes:
        with self.turn:
            return super()._work(name, payload)


def main(port: int, folder: Path, first: int, last: int) -> None:
    vars(client)["settle"] = lambda: None  # a matter of one device's process, not of a host of many
    threading.stack_size(256 << 10)
    trainer, own = Trainer(folder / "m.bundle", threads=1), federation.samples(EACH)
    devices = []
    for number in range(first, last):
        key = keys.load(folder / f"keys/d{number}.key")
        address = Address("127.0.0.1", port, user=key.device, password=key.password)
        devices.append(Shared(trainer, own, key, address, folder / f"states/{number}"))
    for device in devices:
        threading.Thread(target=device.run, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
