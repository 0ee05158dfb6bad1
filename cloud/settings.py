"""What a cloud is told once, kept in its folder: where it is reached, its brokers and its database."""

import json
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from cloud.home import Home
from edge_runtime.errors import InputError, hint
from edge_runtime.files import write_text

_FILE = "cloud.json"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings.

    Args:
        host: the name or address by which devices reach this machine.
        listen: the address that everything listens on.
        port: of the API, the console and the repository.
        tls: whether all connections are encrypted and devices known by their certificates; without it everything
            listens on the loopback alone.
        shards: brokers that run here, on `broker_port` and those above it.
        broker_port: of the first.
        embedded: whether the broker of the package runs there though mosquitto is installed.
        brokers: URLs of brokers that run elsewhere, such as a cluster; then none runs here.
        database: URL; "" for SQLite in the folder.
        beat_s: how often devices say that they live.
        metrics_port: of the loopback, for the controller's figures; 0 for the Unix socket alone.
    """

    host: str = "127.0.0.1"
    listen: str = "127.0.0.1"
    port: int = 8443
    tls: bool = True
    shards: int = 1
    broker_port: int = 8883
    embedded: bool = False
    brokers: tuple[str, ...] = ()
    database: str = ""
    beat_s: float = 60.0
    metrics_port: int = 0

    def __post_init__(self) -> None:
        """Check what can be checked."""
        for name in ("port", "broker_port"):
            if not 0 < getattr(self, name) < 65_536:
                raise InputError(f"{name} {getattr(self, name)}: expected a port, 1 to 65535")
        if not 0 < self.shards <= 64:
            raise InputError(f"shards {self.shards}: expected 1 to 64")
        if not self.tls and self.listen not in ("127.0.0.1", "::1", "localhost"):
            raise InputError(
                f"listen {self.listen}: without TLS nobody proves who they are; only 127.0.0.1 is listened on"
            )

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"http{'s' if self.tls else ''}://{_bracketed(self.host)}:{self.port}"

    @property
    def broker_urls(self) -> tuple[str, ...]:
        """Where devices find the brokers."""
        front = f"mqtt{'s' if self.tls else ''}://{_bracketed(self.host)}"
        return self.brokers or tuple(f"{front}:{self.broker_port + i}" for i in range(self.shards))

    @property
    def own_broker_urls(self) -> tuple[str, ...]:
        """Where the controller finds them."""
        return self.brokers or tuple(
            url.replace(_bracketed(self.host), _bracketed(self.near)) for url in self.broker_urls
        )

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names and addresses that the server's certificate stands for."""
        return tuple(dict.fromkeys((self.host, self.near, "localhost", "127.0.0.1", socket.gethostname())))

    @property
    def near(self) -> str:
        """The address by which this machine reaches itself."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.listen, self.listen)  # noqa: S104  # nosec B104

    def database_url(self, home: Home) -> str:
        """URL of the database."""
        return self.database or home.database_url

    def save(self, home: Home) -> None:
        """Keep the settings in the folder."""
        write_text(home.root / _FILE, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, home: Home) -> "Settings":
        """The folder's settings.

        Raises:
            InputError: there are none, or one is not understood.
        """
        path = home.root / _FILE
        try:
            found = json.loads(path.read_text("utf-8"))
        except OSError as error:
            raise InputError(
                f"{home.root}: no cloud here; littoral cloud init --home {home.root} makes one"
            ) from error
        except ValueError as error:
            raise InputError(f"{path}: no JSON: {error}") from error
        return cls.of(found, str(path))

    @classmethod
    def of(cls, found: Mapping[str, Any], where: str) -> "Settings":
        """From an object; raises InputError."""
        known = {each.name: each for each in fields(cls)}
        for name in found:
            if name not in known:
                raise InputError(f"{where}: no setting '{name}'{hint(name, known)}")
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in found.items()
        }
        for name, value in given.items():
            expected = type(getattr(cls(), name))
            if type(value) is not expected and not (expected is float and type(value) is int):
                raise InputError(f"{where}: {name} is {value!r}; expected {expected.__name__}")
        return cls(**given)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
