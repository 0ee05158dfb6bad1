"""Whom a site lets in no more: the authority's revocation list, on the disk for when the cloud is away.

Only serial numbers are looked at, not when the list expires: a site that was alone for longer than that goes on, with
the last list that it had.
"""

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from edge_runtime.agent import durable
from edge_runtime.errors import TransferError


class Revoked:
    """Serial numbers of certificates that were taken back.

    Args:
        path: where the list (RFC 5280, section 5) is kept, PEM.
        authority: the authority's certificate, PEM.

    Raises:
        TransferError: what is kept is no list of this authority.
    """

    def __init__(self, path: Path, authority: Path) -> None:
        self._path, self._authority = path, x509.load_pem_x509_certificate(authority.read_bytes())
        self._list = self._read(path.read_bytes()) if path.exists() else None
        self._serials = _serials(self._list)

    def __contains__(self, serial: object) -> bool:
        return serial in self._serials

    def take(self, pem: bytes) -> bool:
        """Go by this list from now on, if it is newer; whether there is somebody new on it.

        Raises:
            TransferError: it is no list of this authority, or older than the one that is known.
        """
        found = self._read(pem)
        if self._list is not None:
            if found.last_update_utc < self._list.last_update_utc:
                raise TransferError("the revocation list is older than the last one")
            if found == self._list:
                return False
        durable.write(self._path, pem)
        before, self._list, self._serials = self._serials, found, _serials(found)
        return bool(self._serials - before)

    def _read(self, pem: bytes) -> x509.CertificateRevocationList:
        try:
            found = x509.load_pem_x509_crl(pem)
            good = found.is_signature_valid(self._authority.public_key())
        except (ValueError, TypeError, InvalidSignature):
            good = False
        if not good:
            raise TransferError("what should be the revocation list is none of this authority")
        return found


def _serials(found: x509.CertificateRevocationList | None) -> frozenset[int]:
    return frozenset(each.serial_number for each in found or ())
