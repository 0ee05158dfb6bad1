"""A broker in a process of its own: the one that comes with the package, or mosquitto where it is installed.

`python -m federated.link.brokers` is the first kind; what it needs comes as one line of JSON on its standard input, so
that no secret stands in a list of processes. It ends when that input closes, that is with who started it. Any further
line asks for the bytes at its sockets, which it says as one line of JSON.
"""

import asyncio
import base64
import getpass
import hashlib
import json
import os
import resource
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_runtime.errors import BackendError, InputError, TransferError
from federated.link import topics
from federated.link.broker import Broker, serve
from federated.link.keys import COORDINATOR, Key
from federated.link.traffic import Traffic, counted

_START_S = 15
_ITERATIONS = 101  # mosquitto's own default; a derived password has 256 bits, which no guessing finds


@dataclass(frozen=True, slots=True)
class Listener:
    """Where a broker listens; with a certificate it speaks TLS, with `ca` it demands client certificates."""

    host: str = "127.0.0.1"
    port: int = 0
    cert: str | None = None
    cert_key: str | None = None
    ca: str | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A broker that runs."""

    port: int
    process: subprocess.Popen[str]

    def traffic(self) -> dict[str, Traffic]:
        """Bytes at the sockets of the broker of the package so far, by client: device names, and "coordinator".

        `sent` is what the broker sent to the client, `received` what the client sent: a device's uplink is
        ``traffic()["pi-1"].received``. Seals, MQTT's framing and acknowledgements and TLS are in it, TCP's headers not.

        Raises:
            BackendError: it is another broker, or this system does not count.
            TransferError: the broker has ended.
        """
        if not (self.process.stdin and self.process.stdout and counted()):
            raise BackendError(
                "bytes at the socket are counted by the embedded broker, on Linux; take the hub's traffic"
            )
        try:
            self.process.stdin.write("traffic\n")
            self.process.stdin.flush()
            said = json.loads(self.process.stdout.readline())
        except (OSError, ValueError) as error:
            raise TransferError("the broker has ended, and its count with it") from error
        return {name: Traffic(*each) for name, each in said.items()}


def passwords(keys: Mapping[str, Key], coordinator: Key) -> dict[str, str]:
    """The broker's list: every device's password, and the coordinator's."""
    return {**{device: key.password for device, key in keys.items()}, COORDINATOR: coordinator.password}


@contextmanager
def embedded(listener: Listener, known: Mapping[str, str] | None) -> Iterator[Running]:
    """Run the broker of the package while the block runs; `known` are passwords by name, None lets everybody in.

    Raises:
        InputError: the port is taken, or a certificate cannot be read.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "federated.link.brokers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdin is not None  # noqa: S101
    assert process.stdout is not None  # noqa: S101
    try:
        process.stdin.write(json.dumps({"listener": asdict(listener), "passwords": known}) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline().strip()
        if not answer.isdigit():
            raise InputError(answer or "the broker did not start")
        yield Running(int(answer), process)
    finally:
        _end(process)


@contextmanager
def mosquitto(listener: Listener, known: Mapping[str, str], folder: Path | None = None) -> Iterator[Running]:
    """Run mosquitto with the link's access list while the block runs.

    Args:
        listener: where.
        known: passwords by name.
        folder: for its files, so that sessions outlive it; None: a temporary one.

    Raises:
        BackendError: it is not installed.
        TransferError: it did not start.
    """
    program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        raise BackendError("mosquitto is not on PATH: apt-get install mosquitto, or use the embedded broker")
    with tempfile.TemporaryDirectory() as scratch:
        home = folder or Path(scratch)
        port = listener.port or _free_port(listener.host)
        settings = configure(home, listener, port, known)
        process = subprocess.Popen([program, "-c", str(settings)], stderr=subprocess.PIPE, text=True)
        try:
            _await(process, listener.host, port)
            yield Running(port, process)
        finally:
            _end(process)


def configure(home: Path, listener: Listener, port: int, known: Mapping[str, str]) -> Path:
    """Write mosquitto's settings, passwords and access list into `home`; the path of the settings."""
    home.mkdir(parents=True, exist_ok=True)
    lines = [
        f"listener {port} {listener.host}",
        "set_tcp_nodelay true",
        f"user {getpass.getuser()}",
        "max_queued_messages 0",
        "persistence true",
        f"persistence_location {home.absolute()}/",
        f"acl_file {home.absolute() / 'acl'}",
        "log_type error",
    ]
    if listener.cert:
        lines += [f"certfile {listener.cert}", f"keyfile {listener.cert_key}"]
    if listener.ca:
        lines += [f"cafile {listener.ca}", "require_certificate true", "use_identity_as_username true"]
    else:
        lines += ["allow_anonymous false", f"password_file {home.absolute() / 'passwords'}"]
    access = [
        f"user {COORDINATOR}",
        f"topic readwrite {topics.ROOT}/#",
        f"pattern read {topics.ROOT}/d/%u/down/#",
        f"pattern write {topics.ROOT}/d/%u/up/#",
        f"pattern read {topics.ALL}",
    ]
    for name, content in (
        ("passwords", [f"{user}:{_hashed(password)}" for user, password in known.items()]),
        ("acl", access),
        ("mosquitto.conf", lines),
    ):
        path = home / name
        path.touch(mode=0o600)
        path.write_text("\n".join(content) + "\n", "utf-8")
    return home / "mosquitto.conf"


def _hashed(password: str) -> str:
    """As mosquitto_passwd writes it: PBKDF2 of RFC 8018 with SHA-512."""
    salt = secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    return "$".join(
        ("", "7", str(_ITERATIONS), *(base64.b64encode(each).decode() for each in (salt, digest)))
    )


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _await(process: subprocess.Popen[str], host: str, port: int) -> None:
    ends = time.monotonic() + _START_S
    while time.monotonic() < ends and process.poll() is None:
        with suppress(OSError), socket.create_connection((host, port), 1):
            return
        time.sleep(0.02)
    said = process.stderr.read().strip().splitlines() if process.poll() is not None and process.stderr else []
    raise TransferError(f"mosquitto did not start: {said[-1] if said else 'no answer'}")


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            with suppress(OSError):
                stream.close()


def _context(listener: Listener) -> ssl.SSLContext | None:
    if not listener.cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=listener.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(listener.cert, listener.cert_key)
    if listener.ca:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _main(told: dict[str, Any]) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a connection is an open file
    listener = Listener(**told["listener"])
    broker = Broker(told["passwords"], certificates=bool(listener.ca))
    try:
        asyncio.run(_until_left(broker, listener))
    except (OSError, ValueError) as error:
        print(f"the broker cannot listen on {listener.host}:{listener.port}: {error}", flush=True)


async def _until_left(broker: Broker, listener: Listener) -> None:
    loop, left = asyncio.get_running_loop(), asyncio.Event()

    def say() -> None:
        found = {name: [each.sent, each.received] for name, each in broker.traffic().items()}
        print(json.dumps(found), flush=True)

    def watch() -> None:
        with suppress(RuntimeError):  # the loop has ended before
            for _ in sys.stdin:
                loop.call_soon_threadsafe(say)
            loop.call_soon_threadsafe(left.set)

    threading.Thread(target=watch, daemon=True).start()
    serving = asyncio.create_task(
        serve(broker, listener.host, listener.port, _context(listener), lambda port: print(port, flush=True))
    )
    leaving = asyncio.create_task(left.wait())
    done, pending = await asyncio.wait({serving, leaving}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    if serving in done:
        await serving  # what it raised


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        _main(json.loads(sys.stdin.readline()))
        sys.stdout.flush()
        os._exit(0)  # the thread that reads the input cannot be woken
