"""The shards' settings and programs: mosquitto where it is installed, else the broker of the package.

A shard knows its clients by their certificates, whose common name is the user's name, and by four patterns what each
may read and write; nothing is set up for a device. It keeps nothing: no retained message, no session.
"""

import getpass
import json
import os
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from cloud.identity.authority import CONTROLLER, COORDINATOR
from edge_runtime.files import write_text
from edge_runtime.messages import topics
from federated.link import topics as link_topics

MAX_PAYLOAD = 256 << 10  # bytes of one message; a site's batch is the longest
_IN_FLIGHT, _QUEUED = 20_000, 200_000  # messages to one subscriber, which is the controller's case


@dataclass(frozen=True, slots=True)
class Files:
    """Certificate and key of the server, the authority's certificate, and the revocation list: PEM."""

    certificate: Path
    key: Path
    authority: Path
    crl: Path


@dataclass(frozen=True, slots=True)
class Shard:
    """One broker: where it listens, and with what; without files it is plain, for the loopback alone."""

    index: int
    host: str
    port: int
    files: Files | None = None

    @property
    def name(self) -> str:
        """As processes and logs call it."""
        return f"broker-{self.index}"


def program(shard: Shard, folder: Path, *, embedded: bool = False) -> list[str]:
    """Write the shard's settings into its folder, and return the command that runs it.

    Args:
        shard: which.
        folder: for settings and access list.
        embedded: the broker of the package, though mosquitto is installed.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = None if embedded else find_mosquitto()
    if found is None:
        told = {"host": shard.host, "port": shard.port}
        files = {name: str(path) for name, path in asdict(shard.files).items()} if shard.files else None
        path = write_text(folder / f"{shard.name}.json", json.dumps({**told, "files": files}))
        return [sys.executable, "-m", "cloud.broker", str(path.resolve())]
    access = write_text(folder / "access", access_list())
    access.chmod(0o600)  # mosquitto warns of what others may read
    return [found, "-c", str(write_text(folder / f"{shard.name}.conf", configuration(shard, access)))]


def find_mosquitto() -> str | None:
    """Where mosquitto is."""
    return shutil.which("mosquitto", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")


def configuration(shard: Shard, access: Path) -> str:
    """mosquitto's settings (mosquitto.conf(5), version 2.0)."""
    lines = [
        "per_listener_settings false",
        f"listener {shard.port} {shard.host}",
        "max_connections -1",
        "set_tcp_nodelay true",
        f"user {getpass.getuser()}",
        "persistence false",
        "retain_available false",
        f"max_packet_size {MAX_PAYLOAD + 1024}",
        f"max_inflight_messages {_IN_FLIGHT}",
        f"max_queued_messages {_QUEUED}",
        "use_username_as_clientid true",  # so that nobody takes over another's connection
        f"acl_file {access.resolve()}",
        "log_dest stderr",
        "log_type error",
        "connection_messages false",
    ]
    if shard.files:
        lines += [
            f"cafile {shard.files.authority.resolve()}",
            f"certfile {shard.files.certificate.resolve()}",
            f"keyfile {shard.files.key.resolve()}",
            f"crlfile {shard.files.crl.resolve()}",
            "require_certificate true",
            "use_identity_as_username true",
            "tls_version tlsv1.2",  # at least
            "log_type subscribe",  # `watch` reads whom it refuses: who would hear what is not theirs,
            "log_type debug",  # and say it, which mosquitto tells there alone; 2 µs a message
        ]
    else:
        lines.append("allow_anonymous true")
    return "\n".join(lines) + "\n"


def access_list() -> str:
    """Who may read and write what; `%u` is the name that the certificate proves."""
    root = topics.ROOT
    lines = [
        f"user {CONTROLLER}",
        f"topic readwrite {root}/#",
        f"user {COORDINATOR}",
        f"topic write {link_topics.down_link('+')}",
        f"topic read {link_topics.UP_LINK}",
        f"topic read {link_topics.UP_STATE}",
        f"topic readwrite {topics.ALL}",
        f"pattern read {root}/d/%u/down/#",
        f"pattern write {root}/d/%u/up/#",
        f"pattern read {root}/s/%u/down/#",
        f"pattern write {root}/s/%u/up/#",
        f"pattern read {topics.ALL}",
    ]
    return "\n".join(lines) + "\n"
