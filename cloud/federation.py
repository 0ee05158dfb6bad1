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
from typing import TYPE_CHECKING

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
from federated.history import History
from federated.link import keys
from federated.settings import Settings as Learning

if TYPE_CHECKING:
    from federated.link.brokers import Listener

_LOOK_S = 2.0
Way = tuple[str, Path]
"""The URL of a run's broker, and the folder with its devices' keys."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run is told.

    Args:
        name: of the run; its folder in the cloud's is ``federated/NAME``.
        selector: which devices, as `cloud.fleet.selector` reads it; those behind a gateway are left out
            (`littoral gateway federate` averages at a site).
        port: of the run's broker, on the address that the cloud listens on.
        learning: rounds, rate, codec and so on; `clients` is set to the number of devices.
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
    devices = [each.name for each in fleet.each(run.selector) if not each.site and each.status == "enrolled"]
    if not devices:
        raise InputError(f"no device fits {run.selector or 'all'!r} that is not behind a gateway")
    known = set(keys.load_all(folder / "keys", empty=True)) if (folder / "keys").exists() else set()
    for name in sorted(set(devices) - known):
        keys.enrol(name, folder / "keys")
    own, enrolled = keys.coordinator(folder / "keys"), keys.load_all(folder / "keys")
    learning = replace(run.learning, clients=len(devices))
    with embedded(_listener(home, settings, run.port), passwords(enrolled, own)) as running:
        front = f"mqtt{'s' if settings.tls else ''}"
        near = Address.parse(
            f"{front}://{settings.near}:{running.port}", user=keys.COORDINATOR, password=own.password,
            **({"ca": str(home.ca / "ca.pem")} if settings.tls else {}),
        )  # fmt: skip
        invited = _invited(
            fleet, database, devices, f"{front}://{settings.host}:{running.port}", folder / "keys", actor
        )
        shown = _shown(database, run.name, bundle.manifest.name, folder / "run")
        with invited, shown:
            return serve(
                bundle, test, learning, keys=enrolled, address=near, out=folder / "run", deadline_s=run.deadline_s
            )  # fmt: skip


def _listener(home: Home, settings: Settings, port: int) -> "Listener":
    from federated.link.brokers import Listener

    if not settings.tls:
        return Listener(settings.listen, port)
    return Listener(settings.listen, port, str(home.ca / "server.pem"), str(home.ca / "server.key"))


@contextmanager
def _invited(
    fleet: Fleet, database: Database, devices: Sequence[str], broker: str, folder: Path, actor: str
) -> Iterator[None]:
    """Devices shall take part while the block runs, each with its own key."""

    def tell(action: str, way: Way | None) -> None:
        with database.begin() as connection:
            told = invite(connection, fleet, dict.fromkeys(devices, way))
            Audit(database).add(connection, actor, action, broker, {"devices": told})

    tell("federated.invite", (broker, folder))
    try:
        yield
    finally:
        tell("federated.end", None)


def invite(connection: Connection, fleet: Fleet, ways: Mapping[str, Way | None]) -> int:
    """Wish that devices take part in a run, each by its way; None: in none.

    Returns:
        How many were told; who has nothing to run has nothing that it could learn.
    """
    wishes = {}
    for twin in fleet.twins(sorted(ways)):
        if twin.desired is None:
            continue
        wish, way = None, ways[twin.device]
        if way is not None:
            key = keys.load(way[1] / f"{twin.device}.key")
            secret = {"device": key.device, "number": key.number, "key": key.secret.hex()}
            wish = {"broker": way[0], "key": secret, "threads": 1}
        wishes[twin.device] = replace(twin.desired, federated=wish)
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
