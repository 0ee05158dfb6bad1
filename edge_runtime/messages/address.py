"""Where a broker is, from its URL."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from edge_runtime.errors import InputError

PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Address:
    """Host and port of a broker, and whether it speaks TLS."""

    host: str
    port: int
    tls: bool

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read ``mqtts://host:8883`` or ``mqtt://host:1883``.

        Raises:
            InputError: it is neither.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in PORTS or not parts.hostname:
            raise InputError(f"broker '{url[:100]}': expected mqtts://HOST:PORT or mqtt://HOST:PORT")
        return cls(parts.hostname, port or PORTS[parts.scheme], parts.scheme == "mqtts")
