"""The topics between cloud, site and device; `D` is a device's name, `S` a site's (its gateway's name).

::

    littoral/v1/d/D/down/desired    QoS 1   what the device shall be: `Desired`
    littoral/v1/d/D/down/command    QoS 1   one thing to do now: `Command`
    littoral/v1/d/D/up/reported     QoS 1   what the device is: `Reported`
    littoral/v1/d/D/up/result       QoS 1   what became of a command: `Result`
    littoral/v1/d/D/up/stats        QoS 1   how the model does: `Stats`
    littoral/v1/d/D/up/beat         QoS 0   that the device lives: `Beat`
    littoral/v1/d/D/up/state        QoS 1   "here", and as the last will "gone"
    littoral/v1/s/S/down/d/D/...    QoS 1   to a device behind a gateway, which passes it on as d/D/down/...
    littoral/v1/s/S/up/batch        QoS 1   what a site's devices said, many in one: `batch`
    littoral/v1/s/S/up/state        QoS 1   the gateway's own "here" and "gone"
    littoral/v1/all                 QoS 0   "who": devices report again; nothing depends on it

Nothing is retained and no session is kept: what shall be is in the twin's database, and is sent again until the
device reports it. So any broker will do that knows who is connected. Its access list needs four patterns, where `%u`
is the name that the client's certificate proves: read ``littoral/v1/d/%u/down/#`` and ``littoral/v1/s/%u/down/#``,
write ``littoral/v1/d/%u/up/#`` and ``littoral/v1/s/%u/up/#``.
"""

ROOT = "littoral/v1"
ALL = f"{ROOT}/all"
DOWN = ("desired", "command")
UP = ("reported", "result", "stats", "beat", "state")


def down(device: str, kind: str) -> str:
    """A topic to the device, one of `DOWN`.

    >>> down("pi-1", "desired")
    'littoral/v1/d/pi-1/down/desired'
    """
    return f"{ROOT}/d/{device}/down/{kind}"


def up(device: str, kind: str) -> str:
    """A topic from the device, one of `UP`; "+" for the device gives the filter for all."""
    return f"{ROOT}/d/{device}/up/{kind}"


def through(site: str, device: str, kind: str) -> str:
    """The topic that reaches a device behind the site's gateway."""
    return f"{ROOT}/s/{site}/down/d/{device}/{kind}"


def site_up(site: str, kind: str) -> str:
    """A topic from a site's gateway: "batch" or "state"."""
    return f"{ROOT}/s/{site}/up/{kind}"


def device_of(topic: str) -> str:
    """The device in a topic that begins with ``littoral/v1/d/``; empty in any other."""
    parts = topic.split("/")
    return parts[3] if len(parts) > 4 and topic.startswith(f"{ROOT}/d/") else ""


def site_of(topic: str) -> str:
    """The site in a topic that begins with ``littoral/v1/s/``; empty in any other."""
    parts = topic.split("/")
    return parts[3] if len(parts) > 4 and topic.startswith(f"{ROOT}/s/") else ""


def kind_of(topic: str) -> str:
    """What the topic is about: its last level."""
    return topic.rpartition("/")[2]


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
