"""What the controller knows of the fleet between two flushes: in memory, a small object for each device."""

from dataclasses import dataclass, field
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cloud.database import tables
from edge_runtime.messages import Beat, Result, Stats


@dataclass(slots=True)
class Known:
    """A device: where it is reached, and what it shall be and has answered, by version.

    `shard` is -1 until it has been heard; `via` is the site whose gateway it was last heard through, "" for none.
    """

    name: str
    site: str = ""
    enrolled: bool = True
    target: str = ""
    online: bool = False
    seen: float = 0.0
    shard: int = -1
    via: str = ""
    desired_v: int = 0
    reported_v: int = 0
    erred: int = (
        -1
    )  # what it had to say against a wish, as far as that was entered: 2 v, and 1 more at its end


class Refusal(NamedTuple):
    """A message that was not taken, or a wish that a device could not follow: whose, of what kind, and why."""

    device: str
    kind: str
    reason: str
    action: str = "message-refused"


class Told(NamedTuple):
    """A report: when it came, what the database counts by, and the whole as JSON."""

    at: float
    v: int
    state: str
    model: str
    text: str


@dataclass(slots=True)
class Buffers:
    """What has come since the last flush; of a beat and a report only the last of each device."""

    touched: set[str] = field(default_factory=set)  # whose `seen` or `online` changed
    beats: dict[str, Beat] = field(default_factory=dict)
    reports: dict[str, Told] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    results: list[tuple[str, float, Result]] = field(default_factory=list)
    stats: list[tuple[str, float, Stats]] = field(default_factory=list)
    refusals: list[tuple[Refusal, int]] = field(
        default_factory=list
    )  # and how many more were not written down

    def __len__(self) -> int:
        """How many rows a flush would write, at least."""
        return len(self.touched) + len(self.reports) + len(self.results) + len(self.stats)

    def before(self, later: "Buffers", most: int) -> "Buffers":
        """Both together, where this one could not be written; of results and stats only the last `most`."""
        return Buffers(
            self.touched | later.touched,
            {**self.beats, **later.beats},
            {**self.reports, **later.reports},
            {**self.targets, **later.targets},
            (self.results + later.results)[-most:],
            (self.stats + later.stats)[-most:],
            (self.refusals + later.refusals)[-most:],
        )


def load(connection: Connection, names: list[str] | None = None) -> dict[str, Known]:
    """What the database knows, of all devices or of these."""
    devices, twins = tables.devices, tables.twins
    query = sa.select(
        devices.c.name, devices.c.site, devices.c.status, devices.c.target, devices.c.online, devices.c.seen,
        sa.func.coalesce(twins.c.desired_v, 0), sa.func.coalesce(twins.c.reported_v, 0),
        twins.c.state.in_(("failed", "reverted")),
    ).select_from(devices.outerjoin(twins, devices.c.name == twins.c.device))  # fmt: skip
    found: dict[str, Known] = {}
    chosen = [query] if names is None else [query.where(devices.c.name.in_(names))]
    for each in chosen:
        for name, site, status, target, online, seen, desired_v, v, erred in connection.execute(each):
            via = "" if site == name else site
            found[name] = Known(
                name, site, status == "enrolled", target, online, seen, -1, via, desired_v, v,
                2 * v + 1 if erred else -1,
            )  # fmt: skip
    return found
