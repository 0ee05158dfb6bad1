"""Versions of bundles, immutable, named by what they hold, and signed so that a device need trust nobody on the way.

A version is the target path ``NAME/VERSION/TARGET.bundle`` in the metadata (`cloud.repository.roles`). What is signed
of it is its length and SHA-256, and in `custom`, in whole numbers and texts: name, version, target, published (seconds
since 1970), metrics (fractions in millionths, with the ending _ppm), and deltas: the SHA-256 of earlier versions, with
the SHA-256 and length of the patch that makes this one of them. Bundles and patches lie under ``blobs/sha256/``.
"""

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuf.api.metadata import TargetFile

from cloud.repository import changes
from cloud.repository.keys import OFFLINE, ONLINE, Keys, checked, role_name, role_of
from cloud.repository.roles import Roles, delegated
from cloud.repository.storage import Storage, blob, is_public
from edge_runtime.bundle import Bundle
from edge_runtime.errors import InputError, TransferError
from edge_runtime.messages.twin import Release
from edge_runtime.wrapping import wrap

_KEPT = 3  # of a role's versions: a reader may be half way through an older snapshot


@dataclass(frozen=True, slots=True)
class Published:
    """A version of a model for one target.

    `path` is its target path, `published` seconds since 1970, `custom` all that is signed of it.
    """

    name: str
    version: int
    target: str
    path: str
    sha256: str
    bytes: int
    custom: Mapping[str, Any]
    published: int

    def release(self, key: str = "") -> Release:
        """As a device's `Desired` names it; `key` is a sealed bundle's content key, wrapped for the device."""
        return Release(self.name, self.version, self.path, self.sha256, self.bytes, key)


class Repository:
    """A repository in a folder, or in a store that fsspec reaches by URL. Made by `create` or `open`."""

    def __init__(self, roles: Roles) -> None:
        self._roles, self._storage = roles, roles.storage

    @classmethod
    def create(
        cls, where: str | Path, keys: Path, *, roots: int = 1, threshold: int = 1, **options: Any
    ) -> "Repository":
        """A new repository with new keys.

        Args:
            where: the folder or URL.
            keys: the folder for the keys; take its `offline` away afterwards.
            roots: how many root keys there are.
            threshold: how many of them must sign a new root.
            options: what fsspec's file system is made with.

        Raises:
            InputError: there is one already.
        """
        roles = Roles(Storage(str(where), **options), Keys(Path(keys)))
        with roles.keys.lock():
            roles.create(roots, threshold)
        return cls(roles)

    @classmethod
    def open(cls, where: str | Path, keys: Path | None = None, **options: Any) -> "Repository":
        """A repository that is there; without keys to read only.

        Raises:
            TransferError: there is none, or its metadata was altered.
        """
        roles = Roles(Storage(str(where), **options), None if keys is None else Keys(Path(keys)))
        roles.current()
        return cls(roles)

    @property
    def root(self) -> bytes:
        """The newest root metadata, which a device is given when it enrols."""
        version = self._roles.current()["root"].signed.version
        return self._storage.read(f"metadata/{version}.root.json")

    def publish(
        self,
        bundle: str | Path,
        name: str | None = None,
        version: int | None = None,
        target: str | None = None,
        delta_from: int = 2,
        *,
        seal: bool = False,
    ) -> Published:
        """Add a version; the same bundle again under the same version changes nothing.

        Args:
            bundle: the bundle, a folder or a file.
            name: the model; None for the bundle's own name.
            version: None for the newest version, if that one lacks the target, else for the one after it.
            target: None for the bundle's own.
            delta_from: from how many earlier versions for the target a patch is made, where it is worth it.
            seal: whether it is encrypted with the model's content key, so that only devices that are told it read it.

        Raises:
            InputError: there is another bundle under this version, or a key that is needed is not here.
            BundleError: it is no bundle, or damaged.
            TransferError: the store cannot be written.
        """
        content, manifest = _packed(Path(bundle))
        name = checked(name or manifest.name, "a model's name")
        key = self._roles.keys.content_key(name) if seal else None
        if key is not None:
            content = changes.sealed(content, key)
        target = checked(target or manifest.target, "a target's name")
        digest = hashlib.sha256(content).hexdigest()
        with self._roles.keys.lock():
            known = self.releases(name)
            version = version or _next(known, target)
            path = f"{name}/{version}/{target}.bundle"
            if version < 1:
                raise InputError(f"{path}: versions begin with 1")
            same = next((each for each in known if each.path == path), None)
            if same is not None:
                if same.sha256 == digest:
                    return same
                raise InputError(
                    f"{path} is published already, and versions never change; publish another version"
                )
            earlier = [each for each in known if each.target == target and each.version < version]
            deltas = self._deltas(content, earlier[-delta_from:] if delta_from > 0 else [], key)
            custom = self._custom(name, version, target, manifest.metrics, deltas)
            custom |= {"sealed": 1} if seal else {}
            self._storage.write(blob(digest), content)
            self._add(name, TargetFile(len(content), {"sha256": digest}, path, {"custom": custom}))
        return _published(path, custom, digest, len(content))

    def releases(self, name: str | None = None) -> list[Published]:
        """All versions, or one model's, by name, version and target.

        Raises:
            TransferError: the metadata was altered.
        """
        current = self._roles.current()
        wanted = (
            [role for role in current if role not in OFFLINE + ONLINE] if name is None else [role_of(name)]
        )
        found = [
            _published(path, file.custom, file.hashes["sha256"], file.length)
            for role in wanted
            if role in current
            for path, file in current[role].signed.targets.items()
        ]
        return sorted(found, key=lambda each: (each.name, each.version, each.target))

    def withdraw(self, name: str, version: int, target: str | None = None) -> list[Published]:
        """Take a version off the list, for one target or all: no device takes it from then on.

        Raises:
            InputError: there is no such version, or the model's key is not here.
        """
        role = role_of(name)
        with self._roles.keys.lock():
            gone = [e for e in self.releases(name) if e.version == version and target in (None, e.target)]
            if not gone:
                known = sorted({each.version for each in self.releases(name)})
                raise InputError(f"{name} has no version {version} to withdraw; there are {known or 'none'}")
            found = self._roles.load()
            for each in gone:
                del found[role].signed.targets[each.path]
            self._roles.commit(found, [role])
        return gone

    def refresh(self) -> list[str]:
        """Sign the timestamp again, and what is past half its life where its key is here; once an hour will do.

        Returns:
            The roles that were signed.

        Raises:
            InputError: the online keys are not here.
        """
        with self._roles.keys.lock():
            found = self._roles.load()
            due = [role for role in found if role not in ONLINE and self._roles.is_due(role, found[role])]
            due = [role for role in due if self._roles.keys.has(role, delegated(found, role).keyids)]
            self._roles.commit(found, due)
        return [*due, *ONLINE]

    def rotate(self, role: str) -> None:
        """Replace a role's key: "root", "targets", "snapshot", "timestamp", or a model's name.

        What the old key signs is refused by every device that has seen the new root, or targets, metadata.

        Raises:
            InputError: there is no such role, or a key that must sign the change is not here.
        """
        with self._roles.keys.lock():
            found = self._roles.load()
            known = role if role in OFFLINE + ONLINE else role_of(role)
            if known not in found:
                raise InputError(
                    f"no role and no model {role!r}; there are {', '.join(map(role_name, found))}"
                )
            self._roles.rotate(found, known)

    def gc(self) -> tuple[int, int]:
        """Delete blobs that no version refers to, and metadata that newer has long replaced.

        Returns:
            Number of files, and of bytes.
        """
        with self._roles.keys.lock():
            current = self._roles.current()
            keep = {blob(digest) for each in self.releases() for digest in _digests(each)}
            newest = {role: signed.signed.version for role, signed in current.items()}
            gone = [path for path in self._storage.under("blobs") if path not in keep]
            for path in self._storage.under("metadata"):
                version, _, rest = path.removeprefix("metadata/").partition(".")
                role = rest.removesuffix(".json")
                if role != "root" and version.isdigit() and int(version) <= newest.get(role, 0) - _KEPT:
                    gone.append(path)
            freed = sum(self._storage.size(path) or 0 for path in gone)
            for path in gone:
                self._storage.delete(path)
        return len(gone), freed

    def verify(self) -> list[str]:
        """Check all signatures, that every blob is there and holds what is signed, and that every patch fits.

        Returns:
            One sentence for each thing that is wrong; none if all is well.
        """
        try:
            current, releases = self._roles.current(), self.releases()
        except TransferError as error:
            return [str(error)]
        now = self._roles.now()
        wrong = [
            f"'{role}' has expired on {signed.signed.expires:%d %B %Y}: refresh it, with its key"
            for role, signed in current.items()
            if signed.signed.is_expired(now)
        ]
        by_digest = {each.sha256: each for each in releases}
        for each in releases:
            content = self._blob(each.path, each.sha256, each.bytes, wrong)
            for old, delta in each.custom["deltas"].items():
                about = f"the patch to {each.path} from {old[:12]}"
                patch = self._blob(about, delta["sha256"], delta["length"], wrong)
                before = by_digest.get(old)
                if patch and content and before and (self._roles.signs or "sealed" not in each.custom):
                    wrong += changes.wrong(
                        about, self._storage.read(blob(old)), patch, content, self._key(each)
                    )
        return wrong

    def wrap(self, name: str, device: bytes) -> str:
        """The content key of a model's sealed bundles, wrapped for a device: what `Release.key` holds.

        Args:
            name: the model.
            device: the device's P-256 public key or certificate, PEM.

        Raises:
            InputError: it is no such key, or there is no sealed bundle of the model.
        """
        if not self._roles.keys.seals(name):
            raise InputError(f"{name}: no version is sealed, so there is no content key to wrap")
        return wrap(self._roles.keys.content_key(name), device)

    def read(self, path: str, start: int | None = None, stop: int | None = None) -> bytes:
        """A public file's bytes, or some of them.

        Raises:
            TransferError: there is no such file, or it is none that is served.
        """
        if not is_public(path):
            raise TransferError(f"{path[:200]!r} is nothing that a repository serves")
        return self._storage.read(path, start, stop)

    def size(self, path: str) -> int | None:
        """A public file's length in bytes; None if there is none."""
        return self._storage.size(path) if is_public(path) else None

    def _key(self, each: Published) -> bytes | None:
        return self._roles.keys.content_key(each.name) if "sealed" in each.custom else None

    def _blob(self, about: str, digest: str, length: int, wrong: list[str]) -> bytes | None:
        try:
            content = self._storage.read(blob(digest))
        except TransferError:
            wrong.append(f"{about}: its blob {digest[:12]}… is missing; publish it again or withdraw it")
            return None
        if len(content) != length or hashlib.sha256(content).hexdigest() != digest:
            wrong.append(f"{about}: its blob {digest[:12]}… was altered; publish it again or withdraw it")
            return None
        return content

    def _custom(
        self, name: str, version: int, target: str, metrics: Mapping[str, Any], deltas: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What is signed of a version beside its length and SHA-256."""
        return {
            "name": name,
            "version": version,
            "target": target,
            "published": int(self._roles.now().timestamp()),
            "metrics": _whole(metrics),
            "deltas": deltas,
        }

    def _deltas(
        self, content: bytes, earlier: list[Published], key: bytes | None
    ) -> dict[str, dict[str, Any]]:
        """The patches from earlier versions that are worth it, written to the store."""
        found = {}
        for each in earlier:
            if ("sealed" in each.custom) != (key is not None):
                continue  # a patch from plain to sealed would be as long as the bundle
            patch = changes.patch(self._storage.read(blob(each.sha256)), content, key)
            if patch is not None:
                digest = hashlib.sha256(patch).hexdigest()
                self._storage.write(blob(digest), patch)
                found[each.sha256] = {"sha256": digest, "length": len(patch)}
        return found

    def _add(self, name: str, file: TargetFile) -> None:
        role, found, changed = role_of(name), self._roles.load(), [role_of(name)]
        if role not in found:
            self._roles.delegate(found, role, name)
            changed.append("targets")
        found[role].signed.targets[file.path] = file
        self._roles.commit(found, changed)


def _packed(path: Path) -> tuple[bytes, Any]:
    """A bundle's file, checked, and its manifest; a folder becomes a file."""
    opened = Bundle.open(path)
    if path.is_file():
        return path.read_bytes(), opened.manifest
    with tempfile.TemporaryDirectory() as folder:
        packed = opened.rewritten(Path(folder) / "packed.bundle", opened.manifest)
        return packed.path.read_bytes(), packed.manifest


def _next(known: list[Published], target: str) -> int:
    newest = max((each.version for each in known), default=1)
    taken = any(each.version == newest and each.target == target for each in known)
    return newest + 1 if taken else newest


def _published(path: str, custom: Mapping[str, Any], digest: str, length: int) -> Published:
    return Published(
        custom["name"], custom["version"], custom["target"], path, digest, length, custom, custom["published"]
    )


def _digests(each: Published) -> list[str]:
    return [each.sha256, *(delta["sha256"] for delta in each.custom["deltas"].values())]


def _whole(metrics: Mapping[str, Any]) -> dict[str, int | str]:
    """Metrics as canonical JSON takes them, which has no fractions; what is nested is joined by underscores."""
    found: dict[str, int | str] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            found |= {f"{name}_{inner}": each for inner, each in _whole(value).items()}
        elif isinstance(value, float) and abs(value) < 1e9:
            found[f"{name}_ppm"] = round(value * 1_000_000)
        elif isinstance(value, int | str):
            found[name] = value if isinstance(value, str) else int(value)
    return found
