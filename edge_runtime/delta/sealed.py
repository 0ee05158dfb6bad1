"""Patches between sealed bundles: made and applied between their plain forms, and encrypted themselves.

Encryption hides what two versions share, so a patch of ciphertexts would be as long as the bundle. But sealing the same
files with the same key gives the same bytes (`edge_runtime.sealing`): a device unseals the old version, applies the
patch, seals what it made, and has the very file that is signed. The patch is sealed as a file of the new bundle is.
"""

import tempfile
from pathlib import Path

from edge_runtime import sealing
from edge_runtime.bundle import Bundle, pack
from edge_runtime.delta.patch import apply
from edge_runtime.errors import ModelError, TransferError

MAGIC = b"LTE1"


def opened(bundle: Path, key: bytes) -> bytes:
    """The file of a sealed bundle's plain form.

    Raises:
        BundleError: it is another key, or the bundle was altered.
    """
    found = Bundle.open(bundle, key, whole=False)
    names = [name.removesuffix(sealing.SUFFIX) for name in found.manifest.files]
    files = {name: _stored(found, name) for name in names}
    with tempfile.TemporaryDirectory(dir=bundle.parent) as folder:
        return pack(Path(folder) / "plain.bundle", found.manifest, files).path.read_bytes()


def closed(plain: bytes, key: bytes, into: Path) -> bytes:
    """The file of the sealed form of a plain bundle's file; `into` is a folder for what lasts as long as it takes."""
    with tempfile.TemporaryDirectory(dir=into) as folder:
        path = Path(folder) / "plain.bundle"
        path.write_bytes(plain)
        return Bundle.open(path).sealed(Path(folder) / "sealed.bundle", key).path.read_bytes()


def cover(patch: bytes, key: bytes) -> bytes:
    """Encrypt a patch."""
    return MAGIC + sealing.seal(patch, "", "patch", key)


def apply_sealed(old: Path, patch: bytes, key: bytes, *, most: int = 1 << 31) -> bytes:
    """The new sealed bundle's file, of the old one's and an encrypted patch.

    Raises:
        TransferError: the patch is damaged, for another version, or under another key.
    """
    try:
        plain = apply(opened(old, key), sealing.unseal(patch[len(MAGIC) :], "", "patch", key), most=most)
        return closed(plain, key, old.parent)
    except ModelError as error:
        raise TransferError(f"the patch of a sealed bundle does not fit: {error}") from error


def _stored(bundle: Bundle, name: str) -> bytes:
    """A file as it was before it was encrypted, coded or shared as it may be."""
    content = bundle._stored(name)
    if content is None:
        raise TransferError(f"{bundle.path}: has no {name}")
    return content
