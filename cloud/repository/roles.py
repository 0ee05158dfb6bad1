"""The signed metadata of The Update Framework: reading it back with suspicion, and signing what is new.

TUF specification 1.0.x with consistent snapshots: `root` names the keys, `targets` gives each model's name to a role of
its own, `snapshot` pins one version of everything, `timestamp` says which snapshot is newest and soon expires. A
reader sees a change only when `timestamp.json` is replaced, which happens last.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Role,
    Root,
    Snapshot,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError

from cloud.repository.keys import OFFLINE, ONLINE, Keys, role_name
from cloud.repository.storage import TIMESTAMP, Storage
from edge_runtime.errors import InputError, TransferError

DAYS = {"root": 730, "targets": 730, "snapshot": 30, "timestamp": 3}
_MODEL_DAYS = 365
Signed: TypeAlias = Any  # tuf's Metadata of some role


class Roles:
    """The metadata of one repository.

    Args:
        storage: where it is.
        keys: what signs; None to read only.
        now: the clock, in UTC.
    """

    def __init__(
        self, storage: Storage, keys: Keys | None, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.storage, self._keys, self.now = storage, keys, now
        self._seen: tuple[object, Mapping[str, Signed]] | None = None

    @property
    def keys(self) -> Keys:
        """The keys.

        Raises:
            InputError: the repository was opened without.
        """
        if self._keys is None:
            raise InputError(
                f"{self.storage.url}: was opened to read; give the folder with the keys to change it"
            )
        return self._keys

    @property
    def signs(self) -> bool:
        """Whether it was opened with keys."""
        return self._keys is not None

    def create(self, roots: int, threshold: int) -> None:
        """The first metadata, with new keys.

        Raises:
            InputError: there is a repository already, or the threshold makes no sense.
        """
        if self.storage.size(TIMESTAMP) is not None:
            raise InputError(f"{self.storage.url}: holds a repository already")
        if not 1 <= threshold <= roots:
            raise InputError(f"{threshold} of {roots} root keys cannot be asked for; expected 1 to {roots}")
        root = Root()
        for role in (*OFFLINE, *ONLINE):
            for signer in self.keys.make(role, roots if role == "root" else 1):
                root.add_key(signer.public_key, role)
        root.roles["root"].threshold = threshold
        first: dict[str, Signed] = {"root": Metadata(root), "targets": Metadata(Targets())}
        first |= {"snapshot": Metadata(Snapshot()), "timestamp": Metadata(Timestamp())}
        self._publish(first, ["root", "targets"])

    def load(self) -> dict[str, Signed]:
        """All metadata that is current, each verified: by role.

        Raises:
            TransferError: something is missing, was altered, or is older than what was signed here.
        """
        return {role: Metadata.from_dict(each.to_dict()) for role, each in self.current().items()}

    def current(self) -> Mapping[str, Signed]:
        """What `load` gives, not to be changed."""
        content, noted = self.storage.read(TIMESTAMP), self._keys.signed() if self._keys else {}
        if self._seen is None or self._seen[0] != (content, noted):
            self._seen = ((content, noted), _Checked(self.storage, noted).all(content))
        return self._seen[1]

    def commit(self, found: dict[str, Signed], changed: list[str], before: Sequence[Any] = ()) -> None:
        """Sign the roles that changed, then snapshot and timestamp, and write them in an order that readers can follow.

        Args:
            found: all metadata.
            changed: the roles that changed, without snapshot and timestamp.
            before: signers of the root until now, where the root's keys change.

        Raises:
            InputError: a key that is needed is not here; nothing was changed.
            TransferError: the store cannot be written.
        """
        for role in {*changed, *ONLINE}:
            found[role].signed.version += 1
        self._publish(found, changed, before)

    def delegate(self, found: dict[str, Signed], role: str, name: str) -> None:
        """Give a model's name to a role of its own, with a new key; `targets` changes by it.

        Raises:
            InputError: the key of `targets` is not here; nothing was changed.
        """
        self._signers("targets", found)
        targets: Targets = found["targets"].signed
        if targets.delegations is None:
            targets.delegations = Delegations({}, {})
        known = targets.delegations.roles
        if known is not None and role not in known:
            known[role] = DelegatedRole(role, [], 1, True, [f"{name}/*/*"])
            found[role] = Metadata(Targets())
            found[role].signed.version = 0  # its first is 1
        for old in list(targets.get_delegated_role(role).keyids):
            targets.revoke_key(old, role)
        (signer,) = self.keys.make(role)
        targets.add_key(signer.public_key, role)

    def rotate(self, found: dict[str, Signed], role: str) -> None:
        """Replace the key of a role that stands in `found`, and sign all that this takes.

        Raises:
            InputError: a key that must sign is not here; nothing was changed.
        """
        if role not in OFFLINE + ONLINE:
            self.delegate(found, role, role_name(role))
            self.commit(found, ["targets", role])
            return
        old = self._signers("root", found)
        keys = found["root"].signed.roles[role].keyids
        fresh = self.keys.make(role, len(keys))
        for keyid in list(keys):
            found["root"].signed.revoke_key(keyid, role)
        for signer in fresh:
            found["root"].signed.add_key(signer.public_key, role)
        self.commit(
            found, ["root", *(["targets"] if role == "targets" else [])], old if role == "root" else []
        )

    def is_due(self, role: str, metadata: Signed) -> bool:
        """Whether the metadata is past half its life."""
        left: timedelta = metadata.signed.expires - self.now()
        return left < timedelta(days=DAYS.get(role, _MODEL_DAYS)) / 2

    def _publish(self, found: dict[str, Signed], changed: list[str], before: Sequence[Any] = ()) -> None:
        content: dict[str, bytes] = {}
        if "root" in changed:
            content["root"] = self._sign("root", found, before)
        for role in [each for each in changed if each != "root"]:
            content[role] = self._sign(role, found)
            version = found[role].signed.version
            found["snapshot"].signed.meta[f"{role}.json"] = MetaFile(version)
        content["snapshot"] = self._sign("snapshot", found)
        found["timestamp"].signed.snapshot_meta = MetaFile(
            found["snapshot"].signed.version,
            len(content["snapshot"]),
            {"sha256": hashlib.sha256(content["snapshot"]).hexdigest()},
        )
        last = self._sign("timestamp", found)
        self._write(found, content | {"timestamp": last})

    def _write(self, found: Mapping[str, Signed], content: Mapping[str, bytes]) -> None:
        """Everything under a name of its own, what makes it current last, and only then what was signed is noted."""
        for role, text in content.items():
            if role != "timestamp":
                self.storage.write(f"metadata/{found[role].signed.version}.{role}.json", text)
        self.storage.write(TIMESTAMP, content["timestamp"])
        self.keys.note(
            {
                role: (found[role].signed.version, hashlib.sha256(text).hexdigest())
                for role, text in content.items()
            }
        )
        for role in found:
            self.keys.forget(role, delegated(found, role).keyids)

    def _sign(self, role: str, found: Mapping[str, Signed], more: Sequence[Any] = ()) -> bytes:
        metadata, days = found[role], DAYS.get(role, _MODEL_DAYS)
        metadata.signed.expires = (self.now() + timedelta(days=days)).replace(microsecond=0)
        metadata.signatures.clear()
        for signer in [*self._signers(role, found), *more]:
            metadata.sign(signer, append=True)
        content: bytes = metadata.to_bytes()
        return content

    def _signers(self, role: str, found: Mapping[str, Signed]) -> list[Any]:
        """As many signers of a role as must sign.

        Raises:
            InputError: there are fewer.
        """
        named = delegated(found, role)
        signers = self.keys.signers(role, named.keyids)
        if len(signers) < named.threshold:
            raise InputError(
                f"{self.keys.where(role)}: {len(signers)} of the keys of '{role_name(role)}' are here, and "
                f"{named.threshold} must sign; bring them back from where they are kept"
            )
        return signers


def delegated(found: Mapping[str, Signed], role: str) -> Role:
    """Which keys sign a role, and how many of them must."""
    by = found["root"] if role in OFFLINE + ONLINE else found["targets"]
    named: Role = by.signed.get_delegated_role(role)
    return named


class _Checked:
    """Reading the store as something that others may have written to.

    What was noted when it was signed here is taken by its digest; what is newer must be signed by the keys that count
    now (another who holds them may have signed it); what is older was put back, and is refused.
    """

    def __init__(self, storage: Storage, noted: Mapping[str, tuple[int, str]]) -> None:
        self._storage, self._noted = storage, noted

    def all(self, timestamp: bytes) -> dict[str, Signed]:
        """Every role's metadata, beginning with the timestamp's bytes."""
        found: dict[str, Signed] = {"root": self._root()}
        try:
            found["timestamp"] = self._one("timestamp", timestamp, found["root"])
            meta = found["timestamp"].signed.snapshot_meta
            content = self._read("snapshot", meta.version)
            meta.verify_length_and_hashes(content)
            found["snapshot"] = self._one("snapshot", content, found["root"])
            pinned = {name.removesuffix(".json"): m for name, m in found["snapshot"].signed.meta.items()}
            top = self._read("targets", pinned.pop("targets").version)
            found["targets"] = self._one("targets", top, found["root"])
            for role, info in pinned.items():
                found[role] = self._one(role, self._read(role, info.version), found["targets"])
        except (RepositoryError, DeserializationError, KeyError, ValueError) as error:
            raise TransferError(
                f"{self._storage.url}: the metadata was altered or is damaged: {error}; restore it from a backup"
            ) from error
        return found

    def _root(self) -> Signed:
        """The newest root, by the chain of signatures from the first."""
        files = self._storage.under("metadata")
        last = max(
            (int(n) for n in (f[9:-10] for f in files if f.endswith(".root.json")) if n.isdigit()), default=0
        )
        root: Signed | None = None
        noted, digest = self._noted.get("root", (0, ""))
        for version in range(1, last + 1):
            content = self._read("root", version)
            try:
                after: Signed = Metadata.from_bytes(content)
                for by in (root or after, after):
                    by.signed.verify_delegate("root", after.signed_bytes, after.signatures)
            except (RepositoryError, DeserializationError, ValueError) as error:
                raise TransferError(
                    f"{self._storage.url}: root {version} is not signed as it has to be: {error}"
                ) from error
            if version == noted and hashlib.sha256(content).hexdigest() != digest:
                raise TransferError(
                    f"{self._storage.url}: root {version} is not the one that was signed here"
                )
            root = after
        if root is None or last < noted:
            raise TransferError(
                f"{self._storage.url}: holds no repository, or an older one than was signed here"
            )
        return root

    def _one(self, role: str, content: bytes, by: Signed) -> Signed:
        found: Signed = Metadata.from_bytes(content)
        version, digest = self._noted.get(role, (0, ""))
        if found.signed.version < version:
            raise TransferError(
                f"{self._storage.url}: holds version {found.signed.version} of '{role}', and {version} was signed "
                "here: somebody put an older one back"
            )
        if hashlib.sha256(content).hexdigest() != digest:
            by.signed.verify_delegate(role, found.signed_bytes, found.signatures)
            if found.signed.version == version:
                raise TransferError(f"{self._storage.url}: '{role}' is not the one that was signed here")
        return found

    def _read(self, role: str, version: int) -> bytes:
        return self._storage.read(f"metadata/{version}.{role}.json")
