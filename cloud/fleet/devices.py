"""A device, its twin and what was asked of it, as the database's rows hold them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from cloud.database import tables
from edge_runtime.messages import Beat, Command, Desired, Reported


@dataclass(frozen=True, slots=True)
class Device:
    """A device of the fleet; a gateway is the device that has its site's name. Times are seconds since 1970.

    Args:
        name: what its certificate says.
        site: whose gateway stands before it; "" for none.
        target: such as "rpi4".
        labels: {"room": "kitchen"}.
        status: "enrolled" or "retired".
        enrolled: when.
        seen: when it was last heard.
        online: whether it is connected.
        beat: what it last said of itself.
        certificate: SHA-256 of its credential.
        expires: when that credential does.
        latitude: degrees north, where known.
        longitude: degrees east.
        model: SHA-256 of the bundle that it runs; "" for none.
        state: one of `edge_runtime.messages.STATES`; "" before the first report.
        rollout: which rollout wants what it shall be; "" for none.
        desired_v: the version of what it shall be.
        reported_v: the version that it has answered.
    """

    name: str
    site: str = ""
    target: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    status: str = "enrolled"
    enrolled: float = 0.0
    seen: float = 0.0
    online: bool = False
    beat: Beat | None = None
    certificate: str = ""
    expires: float = 0.0
    latitude: float | None = None
    longitude: float | None = None
    model: str = ""
    state: str = ""
    rollout: str = ""
    desired_v: int = 0
    reported_v: int = 0

    @property
    def gateway(self) -> bool:
        """Whether it is the gateway of its site."""
        return bool(self.site) and self.site == self.name


def shown(desired: Mapping[str, Any]) -> Mapping[str, Any]:
    """A wish as people may see it: without the keys of a federated run."""
    part = desired.get("federated") or {}
    open_ = {name: value for name, value in part.items() if name not in ("key", "devices")}
    return {**desired, "federated": open_} if part else desired


@dataclass(frozen=True, slots=True)
class Twin:
    """What a device shall be and what it says it is; `sent_at` is when the controller last took the wish on."""

    device: str
    desired: Desired | None
    reported: Reported | None
    desired_v: int
    reported_v: int
    desired_at: float
    reported_at: float
    sent_at: float
    state: str
    model: str
    rollout: str
    phase: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A command to a device, and what became of it: `status` is "pending", "done", "failed", "unknown", "expired"."""

    id: str
    device: str
    command: Command
    created: float
    sent_at: float
    status: str
    text: str
    ended: float | None


DEVICES = (
    sa.select(
        tables.devices,
        *(tables.twins.c[name] for name in ("model", "state", "rollout", "desired_v", "reported_v")),
    )
    .select_from(tables.devices.outerjoin(tables.twins, tables.devices.c.name == tables.twins.c.device))
    .order_by(tables.devices.c.name)
)
"""Rows that `device_of` takes."""


def device_of(row: RowMapping) -> Device:
    """The device of a row of `DEVICES`."""
    found: dict[str, Any] = {str(key): value for key, value in row.items()}
    beat = found.pop("beat")
    for name in ("model", "state", "rollout"):
        found[name] = found[name] or ""
    for name in ("desired_v", "reported_v"):
        found[name] = found[name] or 0
    return Device(beat=Beat.read(beat) if beat else None, **found)


def twin_of(row: RowMapping) -> Twin:
    """The twin of a row of the table."""
    found: dict[str, Any] = {str(key): value for key, value in row.items()}
    desired, reported = found.pop("desired"), found.pop("reported")
    return Twin(
        desired=Desired.read(desired) if desired else None,
        reported=Reported.read(reported) if reported else None,
        **found,
    )


def asked_of(row: RowMapping) -> Asked:
    """The command of a row of the table."""
    found: dict[str, Any] = {str(key): value for key, value in row.items()}
    found.pop("expires")
    return Asked(command=Command.read(found.pop("command")), **found)
