"""A gateway as a process: to the coordinator a device of the link, to the devices of its site the coordinator.

`python -m benchmarks.peers.gateway KEY STATE BROKER SITE_KEYS SITE_BROKER`, the brokers as ports of this machine. It is
that of `littoral gateway federate`, but that its site's broker is a process of its own, to be killed alone.
"""

import sys
from pathlib import Path

from cloud.gateway.federation import SiteDevice
from federated.link import keys
from federated.link.keys import Key
from federated.link.mqtt import Address


def main(key: Key, state: Path, port: int, folder: Path, site_port: int) -> None:
    """Be the gateway until the process ends."""
    ring, own = keys.load_all(folder), keys.coordinator(folder)
    inside = Address("127.0.0.1", site_port, user=own.device, password=own.password)
    outside = Address("127.0.0.1", port, user=key.device, password=key.password)
    SiteDevice(key, outside, site=inside, devices=ring, folder=state).run()


if __name__ == "__main__":
    _, key, state, port, folder, site_port = sys.argv
    main(keys.load(key), Path(state), int(port), Path(folder), int(site_port))
