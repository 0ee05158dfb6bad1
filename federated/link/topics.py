"""The topics of the link; `D` is a device's name.

::

    littoral/v1/d/D/down/link    frames to device D            only the coordinator may write
    littoral/v1/d/D/up/link      frames from device D          only D may write
    littoral/v1/d/D/up/state     "here", with what D says of itself, and, as the last will, "gone"
    littoral/v1/all              "who": devices say "here" again; nothing depends on it alone

Quality of service is 1 throughout, nothing is retained. A broker's access list needs two patterns, for `%u`
is the name that the device proved: read ``littoral/v1/d/%u/down/#`` and write ``littoral/v1/d/%u/up/#``.
"""

ROOT = "littoral/v1"
ALL = f"{ROOT}/all"
UP_LINK, UP_STATE = f"{ROOT}/d/+/up/link", f"{ROOT}/d/+/up/state"


def down_link(device: str) -> str:
    """Frames to the device."""
    return f"{ROOT}/d/{device}/down/link"


def up_link(device: str) -> str:
    """Frames from the device."""
    return f"{ROOT}/d/{device}/up/link"


def up_state(device: str) -> str:
    """Whether the device is there."""
    return f"{ROOT}/d/{device}/up/state"


def device_of(topic: str) -> str:
    """The device in a topic that begins with ``littoral/v1/d/``; empty in any other."""
    parts = topic.split("/")
    return parts[3] if len(parts) > 4 and topic.startswith(f"{ROOT}/d/") else ""


def matches(pattern: str, topic: str) -> bool:
    """Whether the topic matches the filter, by the rules of MQTT 3.1.1, section 4.7.

    >>> matches("a/+/c", "a/b/c"), matches("a/#", "a"), matches("a/+", "a/b/c"), matches("#", "$SYS/x")
    (True, True, False, False)
    """
    if topic.startswith("$") and pattern[:1] in ("#", "+"):
        return False
    want, have = pattern.split("/"), topic.split("/")
    for i, level in enumerate(want):
        if level == "#":
            return True
        if i >= len(have) or level not in ("+", have[i]):
            return False
    return len(want) == len(have)
