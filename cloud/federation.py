"""A federated run over a fleet: a coordinator beside the cloud, and wishes that devices take part while it lasts.

Devices learn on their own data, which only their own settings name, while they charge, are idle and unmetered (the
agent sees to that). The run has a broker and keys of its own: what devices send to the fleet and what they learn do
not meet. Called again with the same arguments, a run that was cut off goes on.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from cloud import runs
from cloud.audit import Audit
from cloud.database import Database
from cloud.fleet import Fleet
from cloud.home import Home
from cloud.settings import Settings
from edge_runtime.bundle import Bundle
from edge_runtime.data import Samples
from edge_runtime.errors import InputError
from edge_runtime.messages import Desired
from federated.history import History
from federated.link import keys
from federated.settings import Settings as Learning

if TYPE_CHECKING:
    from federated.link.brokers import Listener

_LOOK_S = 2.0
_SITE_SHARE = 0.8  # of the time that a round waits, after which a gateway sends what its site has
_SITE_MOST = 300  # devices whose keys fit into one message
Part = Mapping[str, Any]
"""What a device, or a gateway, is wished to do in a run: `Desired.federated`."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run is told.

    Args:
        name: of the run; its folder in the cloud's is ``federated/NAME``.
        selector: which devices, as `cloud.fleet.selector` reads it; for those of a site their gateway averages, and
            to the run it is one device.
        port: of the run's broker, on the address that the cloud listens on.
        learning: rounds, rate, codec and so on; `clients` is set to the number of devices and sites.
        deadline_s: how long a round waits for its devices.
    """

    name: str
    selector: str
    port: int
    learning: Learning
    deadline_s: float = 3600.0


def federate(home: Home, run: Run, bundle: Bundle, test: Samples, *, actor: str = "operator") -> History:
    """Run it to its end; the model is ``federated/NAME/run/model.bundle``.

    Args:
        home: the cloud's folder.
        run: what it shall do.
        bundle: the trainable bundle that the devices run.
        test: held-out samples.
        actor: who wants it, for the audit log.

    Raises:
        InputError: no device is selected, or the data does not fit.
        TransferError: the broker cannot listen.
        FleetError: too few devices came.
    """
    from federated.link.brokers import embedded, passwords
    from federated.link.mqtt import Address
    from federated.serve import serve

    settings = Settings.load(home)
    database = Database(settings.database_url(home))
    fleet, folder = Fleet(database), home.root / "federated" / keys.check_name(run.name)
    near, sites = _chosen(fleet, run.selector)
    if sites and (run.learning.secure or run.learning.encrypt):
        raise InputError(
            f"the gateway of '{min(sites)}' averages what it sees, which secure aggregation and encryption hide; leave "
            "them away, or choose devices that are not behind a gateway"
        )
    enrolled = _enrolled(folder / "keys", [*near, *sites])
    own = keys.coordinator(folder / "keys")
    learning = replace(run.learning, clients=len(enrolled))
    with embedded(_listener(home, settings, run.port), passwords(enrolled, own)) as running:
        front = f"mqtt{'s' if settings.tls else ''}"
        address = Address.parse(
            f"{front}://{settings.near}:{running.port}", user=keys.COORDINATOR, password=own.password,
            **({"ca": str(home.ca / "ca.pem")} if settings.tls else {}),
        )  # fmt: skip
        broker = f"{front}://{settings.host}:{running.port}"
        parts = {name: _part(broker, enrolled[name]) for name in near}
        for site, devices in sites.items():
            inside = _enrolled(folder / "sites" / site, devices)
            parts |= {name: _part("", key) for name, key in inside.items()}
            parts[site] = _part(broker, enrolled[site], inside, _SITE_SHARE * run.deadline_s)
        invited = _invited(fleet, database, parts, broker, actor)
        shown = _shown(database, run.name, bundle.manifest.name, folder / "run")
        with invited, shown:
            return serve(
                bundle, test, learning, keys=enrolled, address=address, out=folder / "run",
                deadline_s=run.deadline_s,
            )  # fmt: skip


def _chosen(fleet: Fleet, selector: str) -> tuple[list[str], dict[str, list[str]]]:
    """The devices that reach the cloud by themselves, and the others by their sites.

    Raises:
        InputError: there are none, or too many at a site to tell its gateway.
    """
    near, sites = list[str](), dict[str, list[str]]()
    for each in fleet.each(selector):
        if each.status != "enrolled" or each.gateway:
            continue  # a gateway has no data of its own
        if each.site:
            sites.setdefault(each.site, []).append(each.name)
        else:
            near.append(each.name)
    lost = [site for site in sites if site not in set(fleet.names(f"name={site},status=enrolled"))]
    if lost:
        raise InputError(f"the site '{lost[0]}' has devices but no gateway that is enrolled")
    large = [site for site, devices in sites.items() if len(devices) > _SITE_MOST]
    if large:
        raise InputError(
            f"the site '{large[0]}' has {len(sites[large[0]])} devices in the run; at most {_SITE_MOST} are told to "
            "its gateway; choose fewer with the selector"
        )
    if not near and not sites:
        raise InputError(f"no device fits {selector or 'all'!r}")
    return near, sites


def _enrolled(folder: Path, names: Sequence[str]) -> dict[str, keys.Key]:
    """The keys of the run by name; who has none gets one."""
    known = keys.load_all(folder, empty=True) if folder.exists() else {}
    for name in sorted(set(names) - set(known)):
        keys.enrol(name, folder)
    found = keys.load_all(folder)
    return {name: found[name] for name in found if name in set(names)}


def _part(
    broker: str, key: keys.Key, inside: Mapping[str, keys.Key] | None = None, deadline_s: float = 0
) -> Part:
    """The part of a device; `inside` are the keys of a site's devices, for its gateway."""

    def plain(key: keys.Key) -> dict[str, Any]:
        return {"device": key.device, "number": key.number, "key": key.secret.hex()}

    found: dict[str, Any] = {"broker": broker, "key": plain(key), "threads": 1}
    if inside is not None:
        found |= {"devices": [plain(each) for each in inside.values()], "deadline_s": round(deadline_s, 3)}
    return found


def _listener(home: Home, settings: Settings, port: int) -> "Listener":
    from federated.link.brokers import Listener

    if not settings.tls:
        return Listener(settings.listen, port)
    return Listener(settings.listen, port, str(home.ca / "server.pem"), str(home.ca / "server.key"))


@contextmanager
def _invited(
    fleet: Fleet, database: Database, parts: Mapping[str, Part], broker: str, actor: str
) -> Iterator[None]:
    """Devices shall take part while the block runs, each with its own key."""

    def tell(action: str, told: Mapping[str, Part | None]) -> None:
        with database.begin() as connection:
            count = _invite(connection, fleet, told)
            Audit(database).add(connection, actor, action, broker, {"devices": count})

    tell("federated.invite", parts)
    try:
        yield
    finally:
        tell("federated.end", dict.fromkeys(parts))


def _invite(connection: Connection, fleet: Fleet, parts: Mapping[str, Part | None]) -> int:
    """Wish that devices take part in a run as `parts` says, or in none; how many were told.

    Who has nothing to run has nothing that it could learn; but a gateway averages without a model of its own.
    """
    wishes = {}
    for twin in fleet.twins(sorted(parts)):
        if twin.desired is not None or "devices" in (parts[twin.device] or ()):
            wishes[twin.device] = replace(twin.desired or Desired(0), federated=parts[twin.device])
    fleet.desire(connection, wishes)
    return len(wishes)


@contextmanager
def _shown(database: Database, name: str, model: str, folder: Path) -> Iterator[None]:
    """Keep the console's row of the run current while the block runs."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_S):
            runs.record(database, name, model, folder)

    watching = threading.Thread(target=look, daemon=True)
    watching.start()
    state = "failed"
    try:
        yield
        state = "finished"
    finally:
        ended.set()
        watching.join()
        runs.record(database, name, model, folder, state)
