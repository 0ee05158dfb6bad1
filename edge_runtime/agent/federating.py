"""The device's part in a federated run: a child that learns while the device has power, time and a free link.

What runs is ``littoral federate join`` on the model that answers; the wish says of which run (`Desired.federated`):
"broker" (a URL), "threads", and "key", the device's key for the run as `littoral federate enrol` made it. Where the
data is, only the device's own settings say.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edge_runtime.agent import durable
from edge_runtime.agent.conditions import FILE as CONDITIONS
from edge_runtime.agent.credential import AUTHORITY, CERTIFICATE, FOLDER, KEY
from edge_runtime.agent.slots import Slots
from edge_runtime.child import python
from edge_runtime.errors import InputError, LittoralError
from edge_runtime.sealing import KEY_VARIABLE

_AGAIN_S = 60.0  # until a child that ended is started again
_PATIENCE_S = 10.0  # after SIGTERM, which lets it end the work at hand


class Federating:
    """Starts and stops the child as the wish and the conditions say; `tend` is called every few seconds.

    Args:
        store: the agent's folder.
        own: the settings' part: "data", and "key" where the wish has none.
    """

    def __init__(self, store: Path, own: Mapping[str, Any]) -> None:
        self._store, self._own = store, own
        self._process: subprocess.Popen[bytes] | None = None
        self._asked: tuple[str, ...] = ()
        self._told = self._again = 0.0
        self.said = "no run"

    @property
    def pids(self) -> tuple[int, ...]:
        """The child's process id, if it runs."""
        return (self._process.pid,) if self._process and self._process.poll() is None else ()

    def tend(self, wish: Mapping[str, Any] | None, hindrance: str) -> str:
        """Let the child run, or not.

        Args:
            wish: the run to take part in; None for none.
            hindrance: why not now; "" for nothing.

        Returns:
            What the child does, in words.
        """
        try:
            words = () if wish is None else self._arguments(wish)
        except (InputError, OSError) as error:
            words, hindrance, wish = (), str(error), wish
        if self.pids and (not words or hindrance or words != self._asked):
            self._stop()
        elif words and not hindrance and not self.pids and time.monotonic() >= self._again:
            try:
                self._start(words)
            except (LittoralError, OSError) as error:
                hindrance = str(error)
        if wish is None:
            self.said = "no run"
        else:
            self.said = (
                "takes part" if self.pids and not self._told else f"waits: {hindrance or 'it begins soon'}"
            )
        return self.said

    def end(self) -> None:
        """End the child, with the agent."""
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, words: tuple[str, ...]) -> None:
        self._asked, self._told = words, 0.0
        self._again = time.monotonic() + _AGAIN_S
        path = os.pathsep.join(filter(None, sys.path))
        log = self._store / "federated.log"
        with log.open("wb") as stream, _key_in_memory(self._store) as key:
            more = {KEY_VARIABLE: f"/proc/self/fd/{key}"} if key is not None else {}
            self._process = subprocess.Popen(
                [*python(), "-m", "federated.device", *words],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more},
                pass_fds=() if key is None else (key,),
            )

    def _stop(self) -> None:
        assert self._process is not None  # noqa: S101
        if not self._told:
            self._told = time.monotonic()
            self._process.send_signal(signal.SIGTERM)
        elif time.monotonic() - self._told > _PATIENCE_S:
            self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0.1)
            self._told = self._again = 0.0

    def _arguments(self, wish: Mapping[str, Any]) -> tuple[str, ...]:
        """As `littoral federate join` takes them; nothing of the wish names a file of the device.

        Raises:
            InputError: something is missing.
        """
        broker, data = wish.get("broker"), self._own.get("data")
        if not isinstance(broker, str) or "://" not in broker:
            raise InputError("the federated run names no broker")
        if not isinstance(data, str):
            raise InputError(
                "the device's settings name no data to learn from: [federated] data in agent.toml"
            )
        slot = Slots(self._store).current()
        if not slot:
            raise InputError("no model answers that could learn")
        words = ["--broker", broker, "--data", data, "--key", self._key(wish)]
        words += ["--bundle", str(Slots(self._store).bundle(slot)), "--state", str(self._store / "federated")]
        if broker.startswith("mqtts"):
            home = self._store / FOLDER
            for flag, name in (("--ca", AUTHORITY), ("--cert", CERTIFICATE), ("--cert-key", KEY)):
                words += [flag, str(home / name)]
        if (said := self._store / CONDITIONS).exists():
            words += ["--conditions", str(said)]
        threads = wish.get("threads", 1)
        return (*words, "--threads", str(threads if type(threads) is int and 0 < threads < 64 else 1))

    def _key(self, wish: Mapping[str, Any]) -> str:
        """The file with the device's key for the run."""
        given = wish.get("key")
        path = self._store / FOLDER / "federated.key"
        if isinstance(given, Mapping):
            content = json.dumps(dict(given)).encode()
            if not path.exists() or path.read_bytes() != content:
                durable.write(path, content, 0o600)
            return str(path)
        chosen = Path(str(self._own.get("key", path)))
        if not chosen.exists():
            raise InputError(f"{chosen}: no key for the federated run, in the wish nor on the device")
        return str(chosen)


@contextmanager
def _key_in_memory(store: Path) -> Iterator[int | None]:
    """A file in memory with the content key of the model that answers, for a child; None if it is not sealed."""
    slots = Slots(store)
    release = slots.release(slots.current())
    if release is None or not release.key:
        yield None
        return
    from edge_runtime.agent.credential import content_key

    handle = os.memfd_create("key")
    try:
        os.write(handle, content_key(store, release.key).hex().encode())
        yield handle
    finally:
        os.close(handle)
