"""A whole federated run over devices: the ServerApp in this process, the clients wherever a broker reaches them."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from edge_runtime import data as data_files
from edge_runtime.bundle import Bundle
from edge_runtime.data import Samples
from edge_runtime.files import write_text
from federated import outputs
from federated.flower.mqtt_grid import MqttGrid, run_over_mqtt
from federated.flower.server import server_app
from federated.history import History
from federated.link import chunks
from federated.link.keys import Key
from federated.link.mqtt import Address
from federated.privacy.he import ServerKey
from federated.run import bundle_digest, digest
from federated.settings import Settings

_TOKEN, _PARTS = "run.id", "parts"


def serve(
    bundle: Bundle | str | os.PathLike[str],
    test: Samples,
    settings: Settings,
    *,
    keys: Mapping[str, Key],
    address: Address,
    out: str | os.PathLike[str],
    restart: bool = False,
    progress: bool = True,
    deadline_s: float = 3600,
    chunk_bytes: int = chunks.DEFAULT_CHUNK_BYTES,
    encryption: ServerKey | None = None,
) -> History:
    """Federated averaging over enrolled devices.

    A coordinator that was killed goes on when it is called again with the same arguments, in the middle of a round too:
    devices keep what they have learned, and send it again.

    Args:
        bundle: the trainable bundle that the devices have too.
        test: held-out samples.
        settings: rounds and how to train; `clients` is how many devices to wait for.
        keys: of the enrolled devices, by name.
        address: of the broker, with the coordinator's user and password.
        out: the folder for the model, its history and report, and the checkpoint.
        restart: begin at round 1 even if there is a checkpoint.
        progress: one line a round on stderr.
        deadline_s: how long a round waits for its devices, and the run for their coming.
        chunk_bytes: the length of a chunk.
        encryption: the server's key, where settings ask devices to encrypt.

    Raises:
        InputError: the data or the folder do not fit.
        BundleError: the bundle is damaged or cannot be trained.
        TransferError: there is no broker.
        FleetError: too few devices came, or every device of a round failed.
    """
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    held_out = data_files.fit(data_files.check(test, "test"), opened.manifest.inputs[0], "test")
    folder = outputs.prepare(out)
    server = server_app(
        opened,
        settings,
        test=held_out,
        out=folder,
        inputs={"bundle": bundle_digest(opened), "held_out": digest(held_out)},
        restart=restart,
        progress=progress,
        timeout=deadline_s,
        encryption=encryption,
    )
    grid = MqttGrid(
        address, keys, run=_token(folder, anew=restart), chunk_bytes=chunk_bytes, folder=folder / _PARTS
    )
    run_over_mqtt(server, grid)
    return outputs.read_history(out)


def _token(folder: Path, *, anew: bool) -> str:
    """What tells this run from others; the same when it goes on."""
    path = folder / _TOKEN
    if anew or not path.is_file():
        write_text(path, secrets.token_hex(8) + "\n")
    return path.read_text("utf-8").strip()
