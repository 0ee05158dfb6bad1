"""A site's part in a federated run: to the cloud one device, to its devices the coordinator; one average goes up.

The mechanics of a device are those of `federated.device`: a request is on the disk before it is worked on, its answer
is kept until the cloud has it, and a gateway that was killed goes on where it was. Only the work is another: a round
of the site's own devices, over a broker of its own, averaged as `federated.flower.gateway` says.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from edge_runtime import console
from edge_runtime.errors import TransferError
from federated.device.client import Device
from federated.link import chunks, wire
from federated.link.keys import Key
from federated.link.mqtt import Address

_FIRST_S = 30.0  # until the site's broker must have answered, and that its devices are waited for


class SiteDevice(Device):
    """The gateway as a device of the cloud's coordinator.

    Args:
        key: the gateway's, as the cloud's coordinator made it.
        address: of the cloud's broker, with the gateway's user and password.
        site: of the site's broker, with the coordinator's user and password.
        devices: the keys of the site's devices, by name.
        folder: what is kept across restarts.
        deadline_s: seconds that a round of the site waits; less than the cloud's own.
        share: of the devices, that is enough to end a round early.
        chunk_bytes: the length of a chunk.
    """

    def __init__(
        self,
        key: Key,
        address: Address,
        *,
        site: Address,
        devices: Mapping[str, Key],
        folder: Path,
        deadline_s: float = 600,
        share: float = 1.0,
        chunk_bytes: int = chunks.DEFAULT_CHUNK_BYTES,
    ) -> None:
        from federated.flower.gateway import SiteWork, gateway_app
        from federated.flower.mqtt_grid import MqttGrid

        none = cast("Any", None)  # a gateway learns nothing itself: it has neither trainer nor samples
        super().__init__(none, none, key, address, folder, chunk_bytes=chunk_bytes)
        self.grid = MqttGrid(site, devices, chunk_bytes=chunk_bytes, folder=folder / "site")
        self._wanted = max(round(share * len(devices)), 1)
        self._site = SiteWork(gateway_app(self.grid, deadline_s=deadline_s, share=share), key.number)

    def run(self) -> None:
        """Serve until `stop` or `leave` is called.

        Raises:
            TransferError: the site's broker does not answer.
        """
        with self.grid:
            self.grid.hub.wait(_FIRST_S)
            ends = time.monotonic() + _FIRST_S
            while len(self.grid.get_node_ids()) < self._wanted and time.monotonic() < ends:
                time.sleep(0.1)  # a round asks whoever is there when it begins
            super().run()

    def _work(self, name: str, payload: bytes | bytearray) -> bytes:
        try:
            request = wire.decode(payload)
        except TransferError as error:
            return wire.encode(wire.Message({"work": name, "error": str(error)}))
        # the cloud's run is the site's: the same work after a restart, another in another run
        self.grid._token = str(request.head.get("run", ""))
        answer = self._site.answer(request, name)
        self.worked += 1
        console.say(
            f"{request.head.get('kind')}: {answer.head.get('error') or 'the average of the site is ready'}"
        )
        with suppress(TransferError):
            return wire.encode(answer)
        return wire.encode(wire.Message({"work": name, "error": "the answer cannot be sent"}))
