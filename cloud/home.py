"""Where a cloud, or a gateway, keeps what it has: one folder."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Home:
    """The folder, and what lies where in it.

    ::

        fleet.sqlite        the database, unless another is named by URL
        repository/         metadata/ and blobs/: what devices fetch
        keys/               online keys of the repository; keys/offline/ root and targets, to be taken away
        ca/                 the authority of devices, gateways and servers: ca.pem, ca.key, crl.pem
        brokers/            the shards' configurations and logs
        audit.anchor        heads of the audit log, signed: outside the database, so that nobody rewrites it unseen
        cloud.json          the settings: `cloud.settings`
        run/                process ids and sockets while it runs
    """

    root: Path

    @property
    def database_url(self) -> str:
        """URL of the database that is taken where none is given."""
        return f"sqlite:///{self.root.resolve() / 'fleet.sqlite'}"

    @property
    def repository(self) -> Path:
        """The repository's folder."""
        return self.root / "repository"

    @property
    def keys(self) -> Path:
        """The repository's online keys."""
        return self.root / "keys"

    @property
    def ca(self) -> Path:
        """The certificate authority."""
        return self.root / "ca"

    @property
    def anchor(self) -> Path:
        """The heads of the audit log, signed (`cloud.audit.Anchor`)."""
        return self.root / "audit.anchor"

    @property
    def brokers(self) -> Path:
        """The broker's shards."""
        return self.root / "brokers"

    @property
    def run(self) -> Path:
        """What lasts only as long as the processes."""
        return self.root / "run"
