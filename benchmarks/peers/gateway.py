"""A gateway as a process: to the coordinator a device of the link, to the devices of its site the coordinator.

`python -m benchmarks.peers.gateway KEY STATE BROKER SITE_KEYS SITE_BROKER`, the brokers as ports of this machine.

The round of its site is that of `federated.flower.gateway`. What it was asked is kept on disk until it is answered, so
a gateway that was killed asks its site for the same once more, and the devices send again what they have done.
"""

import sys
from pathlib import Path
from typing import Any

from flwr.app import Context, Message, RecordDict

from edge_runtime.errors import LittoralError
from federated.device import work
from federated.device.client import Device
from federated.flower.gateway import gateway_app
from federated.flower.grid import identity
from federated.flower.mqtt_grid import MqttGrid, from_wire, to_wire
from federated.flower.server import wait_for
from federated.link import keys, wire
from federated.link.keys import Key
from federated.link.mqtt import Address

_WAIT_S = 600


class Gateway(Device):
    """A device whose work is a round over the devices of its site."""

    def __init__(self, key: Key, address: Address, folder: Path, grid: MqttGrid, devices: int) -> None:
        nothing: Any = None  # it neither trains nor has samples
        super().__init__(nothing, nothing, key, address, folder)
        self._context = Context(1, key.number, {}, RecordDict(), {})

        def site(_context: Context) -> MqttGrid:
            wait_for(grid, devices, _WAIT_S)  # one that was killed comes back
            return grid

        self._app = gateway_app(site)

    def _work(self, name: str, payload: bytes | bytearray) -> bytes:
        request = wire.decode(payload)
        message = Message(from_wire(request.records), self._context.node_id, work.TRAIN)
        try:
            answer = self._app(message, self._context)
        except LittoralError as error:
            return wire.encode(wire.Message({"work": name, "error": str(error)}))
        return wire.encode(wire.Message({"work": name}, to_wire(answer.content)))


def main(key: Key, state: Path, port: int, folder: Path, site_port: int) -> None:
    """Be the gateway until the process ends."""
    ring, own = keys.load_all(folder), keys.coordinator(folder)
    inside = Address("127.0.0.1", site_port, user=own.device, password=own.password)
    outside = Address("127.0.0.1", port, user=key.device, password=key.password)
    with MqttGrid(inside, ring, run="site", folder=state / "site") as grid, identity():
        Gateway(key, outside, state, grid, len(ring)).run()


if __name__ == "__main__":
    _, key, state, port, folder, site_port = sys.argv
    main(keys.load(key), Path(state), int(port), Path(folder), int(site_port))
