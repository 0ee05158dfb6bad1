"""The site's part in a federated run of the fleet: a child that averages for as long as the cloud wishes it.

What runs is `littoral gateway federate`. The cloud's wish for the gateway (`Desired.federated`) says of which run:
"broker" and "key" as a device has them, "devices" (the keys of the site's devices) and "deadline_s". It is kept, so
that a gateway which was killed goes on.

::

    HOME/averaging/wish.json       what the cloud wishes        (all files: mode 0600)
    HOME/averaging/own.key         the gateway's key for the run
    HOME/averaging/keys/NAME.key   those of the site's devices
"""

import asyncio
import json
import logging
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cloud.gateway.children import keep
from edge_runtime.agent import credential, durable
from edge_runtime.errors import InputError
from federated.link import keys

_LOG = logging.getLogger("cloud.gateway")
_WISH, _OWN, _KEYS = "wish.json", "own.key", "keys"


class Averaging:
    """Does what the cloud wishes of the site in a federated run.

    Args:
        home: the gateway's folder.
        listen: the address that the run's broker listens on.
        host: by which devices reach it.
        port: of the run's broker.
        tls: whether by TLS.
    """

    def __init__(self, home: Path, listen: str, host: str, port: int, *, tls: bool) -> None:
        self._home, self._folder = home, home / "averaging"
        self._listen, self._host, self._port, self._tls = listen, host, port, tls
        self._changed = asyncio.Event()

    @property
    def url(self) -> str:
        """The run's broker, for the devices of this site."""
        return f"mqtt{'s' if self._tls else ''}://{self._host}:{self._port}"

    def wish(self, wish: Mapping[str, Any] | None) -> None:
        """Take part in this run from now on, or in none."""
        content = b"" if wish is None else json.dumps(dict(wish), sort_keys=True).encode()
        path = self._folder / _WISH
        if content == (path.read_bytes() if path.exists() else b""):
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        if content:
            self._folder.mkdir(mode=0o700)
            durable.write(path, content, 0o600)
        self._changed.set()

    async def run(self) -> None:
        """Keep the child running while there is a wish."""
        child: asyncio.Task[None] | None = None
        try:
            while True:
                self._changed.clear()
                words = self._words()
                child = asyncio.create_task(keep(words)) if words else None
                await self._changed.wait()
                await _ended(child)
        finally:
            await _ended(child)

    def _words(self) -> list[str]:
        """The child's command; none where there is nothing to do, or a wish that makes no sense."""
        path = self._folder / _WISH
        if not path.exists():
            return []
        try:
            wish = json.loads(path.read_bytes())
            return self._command(wish)
        except (InputError, OSError, KeyError, TypeError, ValueError) as error:
            _LOG.warning("the site takes no part in the federated run: %s", error)
            return []

    def _command(self, wish: Mapping[str, Any]) -> list[str]:
        _write(self._folder / _OWN, wish["key"])
        for each in wish["devices"]:
            _write(self._folder / _KEYS / f"{keys.check_name(each['device'])}.key", each)
        broker, deadline = wish["broker"], wish["deadline_s"]
        if not isinstance(broker, str) or "://" not in broker or not 0 < float(deadline) < 1e7:
            raise InputError("the wish names no broker, or no deadline")
        words = [*(sys.executable, "-m", "edge_runtime", "gateway", "federate", "--json")]
        words += ["--broker", broker, "--key", str(self._folder / _OWN), "--keys", str(self._folder / _KEYS)]
        words += ["--home", str(self._home), "--listen", f"{self._listen}:{self._port}"]
        words += ["--reach", self._host, "--deadline", str(float(deadline))]
        if broker.startswith("mqtts"):
            words += ["--ca", str(self._home / credential.FOLDER / credential.AUTHORITY)]
        return words if self._tls else [*words, "--plain"]


def _write(path: Path, key: Mapping[str, Any]) -> None:
    """Write a device's key down, if it is one; raises InputError."""
    path.parent.mkdir(exist_ok=True, mode=0o700)
    if not path.exists():
        durable.write(path, json.dumps(dict(key)).encode(), 0o600)
    keys.load(path)


async def _ended(child: "asyncio.Task[None] | None") -> None:
    if child is not None:
        child.cancel()
        with suppress(asyncio.CancelledError):
            await child
