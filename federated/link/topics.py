"""The topics of the link; `D` is a device's name.

::

    littoral/v1/d/D/down/link    frames to device D            only the coordinator may write
    littoral/v1/d/D/up/link      frames from device D          only D may write
    littoral/v1/d/D/up/state     "here", with what D says of itself, and, as the last will, "gone"
    littoral/v1/all              "who": devices say "here" again; nothing depends on it alone

Quality of service is 1 throughout, nothing is retained. A broker's access list needs two patterns, for `%u`
is the name that the device proved: read ``littoral/v1/d/%u/down/#`` and write ``littoral/v1/d/%u/up/#``.
"""

from edge_runtime.messages import topics
from edge_runtime.messages.topics import ALL, ROOT, device_of, matches

__all__ = ["ALL", "ROOT", "UP_LINK", "UP_STATE", "device_of", "down_link", "matches", "up_link", "up_state"]


def down_link(device: str) -> str:
    """Frames to the device."""
    return topics.down(device, "link")


def up_link(device: str) -> str:
    """Frames from the device."""
    return topics.up(device, "link")


def up_state(device: str) -> str:
    """Whether the device is there."""
    return topics.up(device, "state")


UP_LINK, UP_STATE = up_link("+"), up_state("+")
