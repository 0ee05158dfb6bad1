"""First contact and renewal: a one-time token becomes a certificate, and a certificate a newer one.

An enrolment string is ``https://HOST:PORT/#TOKEN#DIGEST``: where to go, the token, and the SHA-256 of the authority's
certificate, by which the device knows whom it talks to. What stands behind ``#`` is never sent as part of an address.
Only the token's SHA-256 is kept, and the first key that comes with it is the only one that it serves.
"""

import base64
import hashlib
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy.engine import Connection

from cloud import alerts
from cloud.audit import Audit
from cloud.broker.placement import placed
from cloud.database import Database, tables
from cloud.fleet import Device, Fleet
from cloud.fleet.fleet import check_labels
from cloud.identity.authority import RESERVED, Authority, Issued, common_name, key_digest, read_csr
from cloud.limits import Limiter
from edge_runtime.errors import FleetError, InputError
from edge_runtime.messages.fields import Fields

_TOKEN_BYTES = 32
_RENEWAL_SKEW_S = (
    3600  # between the device's clock and ours; a replay gives nothing that its key does not open
)
_AGAIN_S = 86_400  # how long the same key may ask again for what its token gave it


class RefusedError(FleetError):
    """A credential that is not given: the token, the certificate or the request is not good."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a device finds what it needs; `root` gives the repository's root metadata, as it is when it is asked."""

    url: str = "https://127.0.0.1:8443"
    brokers: tuple[str, ...] = ()
    repository: str = ""
    root: Callable[[], bytes] = field(default=lambda: b"")


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A token that was made: for whom, until when, and when it was used."""

    device: str
    site: str
    created: float
    expires: float
    used: float | None


class Enrolments:
    """Tokens and what they become.

    Args:
        database: where they are kept.
        authority: who signs.
        reach: what a device is told beside its certificate.
        days: for how long a certificate is good.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        database: Database,
        authority: Authority,
        reach: Reach | None = None,
        *,
        days: float = 365,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database, self._authority, self._reach = database, authority, reach or Reach()
        self._days, self._clock = days, clock
        self._audit, self._fleet = Audit(database), Fleet(database, clock)
        self._refusals = Limiter(1, 100)  # entries in the audit log: whoever knocks cannot fill the disk

    def token(
        self,
        device: str,
        *,
        site: str = "",
        labels: Mapping[str, str] | None = None,
        seconds: float = 86_400,
        hosts: Iterable[str] = (),
        actor: str = "operator",
    ) -> str:
        """An enrolment string that serves once.

        Args:
            device: the name that whoever uses it will have.
            site: the site that it stands at; its own name makes it the site's gateway.
            labels: of the device.
            seconds: how long the token is good.
            hosts: for a gateway: names and addresses by which its devices reach it.
            actor: who asks, for the audit log.

        Raises:
            InputError: the name, the site or a label cannot be one.
        """
        check_name(device)
        if site:
            check_name(site)
        check_labels(labels or {})
        given, now = secrets.token_urlsafe(_TOKEN_BYTES), self._clock()
        row = {
            "digest": _sha256(given),
            "device": device,
            "site": site,
            "labels": dict(labels or {}),
            "hosts": list(hosts),
            "created": now,
            "expires": now + seconds,
        }
        with self._database.begin() as connection:
            connection.execute(tables.enrolments.insert(), [row])
            self._audit.add(connection, actor, "enrolment", device, {"site": site, "expires": now + seconds})
        return f"{self._reach.url.rstrip('/')}/#{given}#{self._authority.digest}"

    def pending(self) -> list[Enrolment]:
        """The tokens that could still be used, the latest first."""
        table = tables.enrolments
        query = sa.select(*(table.c[name] for name in Enrolment.__slots__)).where(
            table.c.used.is_(None), table.c.expires > self._clock()
        )
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.c.created.desc())).mappings()
            return [Enrolment(**{str(key): value for key, value in row.items()}) for row in rows]

    def redeem(self, token: str, csr: str) -> dict[str, Any]:
        """What a device gets for its token and certificate request (PKCS #10, PEM).

        Raises:
            RefusedError: the token is unknown, expired or used with another key, or the request is none.
        """
        table, now, device = tables.enrolments, self._clock(), ""
        try:
            key = key_digest(read_csr(csr))
            with self._database.begin() as connection:
                query = sa.select(table).where(table.c.digest == _sha256(token)).with_for_update()
                row = connection.execute(query).mappings().first()
                if row is None:
                    raise RefusedError("the enrolment token is not known")
                device, again = row["device"], row["used"] is not None
                if again and (row["key"] != key or now > row["used"] + _AGAIN_S):
                    raise RefusedError(f"the enrolment token of '{row['device']}' has been used")
                if not again and now > row["expires"]:
                    raise RefusedError(f"the enrolment token of '{row['device']}' has expired")
                site = row["site"]
                hosts = [device, *row["hosts"]] if site == device else None
                issued = self._authority.issue(csr, device, self._days, hosts=hosts)
                self._forget(connection, device, now)
                self._keep(connection, device, issued, now)
                connection.execute(
                    table.update()
                    .where(table.c.digest == row["digest"])
                    .values(used=row["used"] or now, key=key)
                )
                one = Device(
                    device, site, labels=row["labels"], enrolled=now,
                    certificate=issued.digest, expires=issued.expires,
                )  # fmt: skip
                self._fleet.add(connection, [one])
                self._audit.add(connection, device, "enrol", device, {"site": site, "serial": issued.serial})
                alerts.end(connection, f"device/{device}")
        except (RefusedError, InputError) as error:
            raise self._refuse("enrol", device, error) from error
        return self._answer(device, site, issued)

    def renew(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A newer certificate for who still has a good one.

        Args:
            request: "certificate" (the old one, PEM), "csr" (PEM), "time" (seconds since 1970) and "signature":
                ECDSA with SHA-256 by the old key over what `renewal` gives, DER in base64.

        Raises:
            RefusedError: the old certificate is not good any more, or its key did not sign.
        """
        device, now = "", self._clock()
        try:
            get = Fields(request, "a renewal")
            csr, stamp = get.text("csr", most=8192), get.number("time")
            if abs(stamp - now) > _RENEWAL_SKEW_S:
                raise RefusedError("the renewal's time is more than an hour from ours")
            old = self._authority.verify(get.text("certificate", most=8192))
            device, key = common_name(old), old.public_key()
            assert isinstance(key, ec.EllipticCurvePublicKey)  # noqa: S101  (ours, so it is one of P-256)
            signature = base64.b64decode(get.text("signature"), validate=True)
            key.verify(signature, renewal(stamp, csr), ec.ECDSA(hashes.SHA256()))
            with self._database.begin() as connection:
                site, hosts = self._still(connection, device, f"{old.serial_number:x}")
                issued = self._authority.issue(csr, device, self._days, hosts=hosts)
                self._keep(connection, device, issued, now)
                connection.execute(
                    tables.devices.update()
                    .where(tables.devices.c.name == device)
                    .values(certificate=issued.digest, expires=issued.expires)
                )
                self._audit.add(connection, device, "renew", device, {"serial": issued.serial})
        except (FleetError, InputError, InvalidSignature, ValueError) as error:
            raise self._refuse("renew", device, error) from error
        return self._answer(device, site, issued)

    def revoked(self) -> list[tuple[str, float]]:
        """Serial number and time of every certificate that is revoked and has not expired: the revocation list."""
        table = tables.certificates
        query = sa.select(table.c.serial, table.c.revoked).where(
            table.c.revoked.is_not(None), table.c.expires > self._clock()
        )
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.c.serial))
            return [(serial, when) for serial, when in rows if when is not None]

    def _still(self, connection: Connection, device: str, serial: str) -> tuple[str, list[str] | None]:
        """Site and hosts of a device whose certificate may be renewed."""
        table = tables.certificates
        revoked = connection.execute(sa.select(table.c.revoked).where(table.c.serial == serial)).first()
        found = connection.execute(
            sa.select(tables.devices.c.site, tables.devices.c.status).where(tables.devices.c.name == device)
        ).first()
        if revoked is None or revoked[0] is not None or found is None or found.status != "enrolled":
            raise RefusedError(f"the certificate of '{device}' was revoked")
        if found.site != device:
            return found.site, None
        order = tables.enrolments.c.used.desc()
        query = sa.select(tables.enrolments.c.hosts).where(
            tables.enrolments.c.device == device, tables.enrolments.c.used.is_not(None)
        )
        return found.site, [device, *(connection.scalar(query.order_by(order).limit(1)) or [])]

    def _keep(self, connection: Connection, device: str, issued: Issued, now: float) -> None:
        row = {
            "serial": issued.serial,
            "device": device,
            "digest": issued.digest,
            "key": issued.key,
            "issued": now,
            "expires": issued.expires,
        }
        connection.execute(tables.certificates.insert(), [row])

    def _forget(self, connection: Connection, device: str, now: float) -> None:
        """Who enrols anew has lost the old key, or somebody else has it."""
        table = tables.certificates
        mine = sa.and_(table.c.device == device, table.c.revoked.is_(None))
        connection.execute(table.update().where(mine).values(revoked=now))

    def _answer(self, device: str, site: str, issued: Issued) -> dict[str, Any]:
        return {
            "device": device,
            "site": site,
            "certificate": issued.pem,
            "ca": self._authority.pem,
            "brokers": list(placed(device, self._reach.brokers)),
            "repository": self._reach.repository,
            "root": base64.b64encode(self._reach.root()).decode(),
        }

    def _refuse(self, action: str, device: str, error: Exception) -> RefusedError:
        text = str(error) if isinstance(error, FleetError | InputError) else "the signature is not good"
        if self._refusals.allow():
            with self._database.begin() as connection:
                self._audit.add(connection, "unknown", f"{action}-refused", device, {"reason": text})
                if device and action == "enrol":  # who has its token?
                    alerts.raise_(
                        connection, "warning", f"device/{device}", f"an enrolment was refused: {text}"
                    )
        return RefusedError(text)


def renewal(stamp: int, csr: str) -> bytes:
    """What the old key signs to get a newer certificate."""
    return f"littoral renew {stamp}\n{csr}".encode()


def check_name(name: str) -> str:
    """The name, if a device or a site can have it; raises InputError."""
    try:
        Fields({"name": name}, "a device").name("name")
    except FleetError as error:
        raise InputError(str(error)) from error
    if not name or name.lower() in RESERVED:
        raise InputError(f"device '{name}': expected a name other than {', '.join(RESERVED)}")
    return name


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
