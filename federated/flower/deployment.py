"""The same apps on Flower's deployment engine: a SuperLink and SuperNodes with TLS and a key for each node.

Flower's programs are started as they are. What they would say to others is off: telemetry, the update check, and the
download of an app's dependencies while it runs. Nodes prove who they are by elliptic-curve keys that were registered
before; a node without is not let in. Flower starts a process for each message, so a round takes seconds: this engine is
for machines, the device link (`federated.link`) for devices.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edge_runtime import data as data_files
from edge_runtime.data import Samples
from edge_runtime.errors import BackendError, InputError, TransferError
from edge_runtime.files import write_text
from federated.settings import Settings

QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0"}
_NAME = "littoral"
_START_S = 60
_SERVER = '''"""The coordinator's app: written by littoral."""

import json
from pathlib import Path

from edge_runtime import data
from edge_runtime.bundle import Bundle
from federated import Settings, server_app

given = json.loads({given!r})
bundle = Bundle.open(given["bundle"])
test = data.load(given["test"], bundle.manifest.preprocess)
Path(given["out"]).mkdir(parents=True, exist_ok=True)
app = server_app(bundle, Settings(**given["settings"]), test=test, out=given["out"], timeout=given["deadline_s"])
'''
_CLIENT = '''"""A node's app: written by littoral. Its bundle and its data are files of the node."""

import os

from federated import client_app
from federated.flower.deployment import share

app = client_app(os.environ.get("LITTORAL_BUNDLE") or {bundle!r}, share(os.environ.get("LITTORAL_DATA") or {data!r}))
'''
_PROJECT = """[project]
name = "{name}-app"
version = "1.0.0"
description = "Federated averaging by littoral"
license = "Apache-2.0"
dependencies = []

[tool.hatch.build.targets.wheel]
packages = ["."]

[tool.flwr.app]
publisher = "{name}"

[tool.flwr.app.components]
serverapp = "{name}_app.server:app"
clientapp = "{name}_app.client:app"

[tool.flwr.app.config]
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the SuperLink listens, for nodes and for `flwr` alike."""

    port: int = 9092
    host: str = "127.0.0.1"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def write_app(
    folder: Path,
    bundle: Path,
    test: Path,
    out: Path,
    settings: Settings,
    deadline_s: float = 3600,
    data: str = "",
) -> Path:
    """Write a Flower app that `flwr run` takes: server and client around this package's, and pyproject.toml.

    Args:
        folder: of the app.
        bundle: the trainable bundle.
        test: held-out data.
        out: the folder of results.
        settings: rounds and how to train.
        deadline_s: how long a round waits.
        data: of nodes that do not name theirs, as `share` takes it: for Flower's simulation engine.
    """
    given = {"bundle": bundle, "test": test, "out": out}
    text = json.dumps(
        {name: str(path.absolute()) for name, path in given.items()}
        | {"settings": settings.to_json(), "deadline_s": deadline_s}
    )
    package = folder / f"{_NAME}_app"
    write_text(package / "__init__.py", '"""Federated averaging by littoral."""\n')
    write_text(package / "server.py", _SERVER.format(given=text))
    write_text(package / "client.py", _CLIENT.format(bundle=str(bundle.absolute()), data=data))
    write_text(folder / "pyproject.toml", _PROJECT.format(name=_NAME))
    return folder


def share(path: str) -> Callable[[int, int], Samples]:
    """A client's samples by its number: of the file at the path, where ``{partition}`` stands for the number.

    Raises:
        InputError: no path is given.
    """
    if not path:
        raise InputError(
            "a node needs its data: start it with LITTORAL_DATA=mine.npz, or write the app with --data"
        )
    return cache(lambda client, _clients: data_files.load(path.replace("{partition}", str(client))))


def make_certificates(folder: Path, host: str = "127.0.0.1") -> None:
    """Make an authority (ca.pem) and the SuperLink's certificate (server.pem, server.key) with openssl.

    Raises:
        BackendError: openssl is missing or refused.
    """
    folder.mkdir(parents=True, exist_ok=True)
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    _openssl(folder, "req", "-x509", *curve, "-days", "3650", "-keyout", "ca.key", "-out", "ca.pem",
             "-subj", "/CN=littoral authority")  # fmt: skip
    _openssl(folder, "req", *curve, "-keyout", "server.key", "-out", "server.csr", "-subj", f"/CN={host}")
    kind = "IP" if host.replace(".", "").isdigit() else "DNS"
    write_text(folder / "names", f"subjectAltName={kind}:{host},DNS:localhost\n")
    _openssl(folder, "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
             "-days", "825", "-extfile", "names", "-out", "server.pem")  # fmt: skip


def make_node_key(folder: Path, node: str) -> Path:
    """Make a node's key pair, NODE and NODE.pub: P-256 in OpenSSH's form, as Flower demands."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir(parents=True, exist_ok=True)
    key, path = ec.generate_private_key(ec.SECP256R1()), folder / node
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    (folder / f"{node}.pub").write_bytes(public + b"\n")
    return path


def superlink(folder: Path, place: Place, listen: str = "") -> "subprocess.Popen[bytes]":
    """Start a SuperLink in `folder`, where `make_certificates` has been; and tell `flwr` where it is.

    Args:
        folder: of its certificate, its data base and its log.
        place: where nodes and `flwr` reach it.
        listen: the address that it listens on, such as 0.0.0.0; empty: that of `place`.

    Raises:
        TransferError: it does not answer.
    """
    home = folder / "flwr"
    config = [
        "[superlink]", f'default = "{_NAME}"', "", f"[superlink.{_NAME}]", f'address = "{place}"',
        f'root-certificates = "{(folder / "ca.pem").absolute()}"', "",
    ]  # fmt: skip
    write_text(home / "config.toml", "\n".join(config))
    process = _start(
        folder, "flower-superlink", "--ssl-ca-certfile", "ca.pem", "--ssl-certfile", "server.pem",
        "--ssl-keyfile", "server.key", "--enable-supernode-auth", "--disable-runtime-dependency-installation",
        "--host", listen or place.host, "--port", str(place.port),
        "--database", str(folder / "superlink.db"),
    )  # fmt: skip
    _listening(process, place.host, place.port)
    return process


def supernode(
    folder: Path, key: Path, number: int, count: int, place: Place, own_port: int, files: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    """Start a SuperNode; `files` are LITTORAL_BUNDLE and LITTORAL_DATA, which stay on the node."""
    return _start(
        folder, "flower-supernode", "--root-certificates", "ca.pem", "--superlink", str(place),
        "--auth-supernode-private-key", str(key), "--port", str(own_port), "--host", "127.0.0.1",
        "--node-config", f"partition-id={number} num-partitions={count}", more=files,
    )  # fmt: skip


def flwr(folder: Path, *argv: str) -> str:
    """Call Flower's command line against the SuperLink of `folder`; what it says.

    Raises:
        TransferError: it failed.
    """
    done = subprocess.run(
        [_program("flwr"), *argv], cwd=folder, env=_environment(folder, {}), capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines() or ["no answer"]
        raise TransferError(f"flwr {' '.join(argv[:2])} failed: {said[-1]}")
    return done.stdout


def _environment(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, **QUIET, "PATH": path, "FLWR_HOME": str((folder / "flwr").absolute()), **more}


def _start(
    folder: Path, program: str, *argv: str, more: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    with (folder / f"{program}.log").open("ab") as log:
        return subprocess.Popen(
            [_program(program), *argv], cwd=folder, env=_environment(folder, more or {}), stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip


def _program(name: str) -> str:
    beside = str(Path(sys.executable).parent)
    found = shutil.which(name, path=beside) or shutil.which(name)
    if found is None:
        raise BackendError(f"{name} is neither in {beside} nor on PATH: pip install 'littoral[federated]'")
    return found


def _openssl(folder: Path, *argv: str) -> None:
    try:
        done = subprocess.run(["openssl", *argv], cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BackendError("certificates are made with openssl, which is not installed") from error
    if done.returncode:
        raise BackendError(f"openssl {argv[0]} failed: {done.stderr.strip().splitlines()[-1]}")


def _listening(process: "subprocess.Popen[bytes]", host: str, port: int) -> None:
    ends = time.monotonic() + _START_S
    while time.monotonic() < ends and process.poll() is None:
        with suppress(OSError), socket.create_connection((host, port), 1):
            return
        time.sleep(0.2)
    raise TransferError(f"the SuperLink does not answer on {host}:{port}; see flower-superlink.log")
