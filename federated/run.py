"""A whole federated run on one machine: one data set among virtual clients, both apps in this process."""

import hashlib
import json
import os

import numpy as np

from edge_runtime import data as data_files
from edge_runtime.bundle import Bundle
from edge_runtime.data import Samples
from edge_runtime.errors import InputError
from edge_runtime.trainer import Trainer
from federated import outputs, partition
from federated.flower.client import client_app
from federated.flower.grid import LaggingGrid, run_in_process, run_over
from federated.flower.server import server_app
from federated.history import History
from federated.partition import Indices
from federated.privacy import he
from federated.settings import Settings


def federate(
    bundle: Bundle | str | os.PathLike[str],
    data: Samples,
    settings: Settings | None = None,
    *,
    out: str | os.PathLike[str],
    test: Samples | None = None,
    holdout: float = 0.2,
    restart: bool = False,
    progress: bool = True,
) -> History:
    """Federated averaging over virtual clients in this process, each with its share of `data`.

    A run that was interrupted goes on from `out`/checkpoint.npz when called again with the same arguments, to
    the same weights bit for bit; more rounds may be asked for, anything else that differs is refused.

    Args:
        bundle: a trainable bundle.
        data: labelled samples as the model takes them.
        settings: clients, rounds and how to train; None: the defaults.
        out: the folder for the model, its history and report, and the checkpoint.
        test: held-out samples; None: the fraction `holdout` of `data` is kept from all clients.
        holdout: that fraction, more than 0 and less than 1.
        restart: begin at round 1 even if there is a checkpoint.
        progress: one line a round on stderr.

    Returns:
        What happened, round by round.

    Raises:
        InputError: the data, the settings or the folder do not fit.
        BundleError: the bundle is damaged or cannot be trained.
        FleetError: every client of a round failed.
    """
    settings = settings or Settings()
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    train, held_out = _divide(data, test, holdout, settings.seed)
    classes = _classes(opened, train, held_out)
    parts = split(train, settings)
    trainer = Trainer(opened, threads=settings.threads)
    keys = he.generate() if settings.encrypt else (None, None)
    server = server_app(
        trainer,
        settings,
        test=held_out,
        out=outputs.prepare(out),
        split=partition.histogram(_labels(train, "data"), parts, classes).tolist(),
        inputs={"bundle": bundle_digest(opened), "data": digest(train), "held_out": digest(held_out)},
        restart=restart,
        progress=progress,
        encryption=keys[1],
    )
    client = client_app(trainer, lambda k, _clients: take(train, parts[k]), encryption=keys[0])
    if settings.asynchronous:
        run_over(server, LaggingGrid(client, settings.clients, settings.per_round, settings.seed))
    else:
        run_in_process(server, client, settings.clients)
    return outputs.read_history(out)


def split(samples: Samples, settings: Settings) -> list[Indices]:
    """Each client's indices into `samples`, as `settings` asks.

    Raises:
        InputError: there are more clients than samples, or alpha is out of range.
    """
    if settings.alpha is None:
        return partition.iid(len(samples), settings.clients, settings.seed)
    return partition.dirichlet(_labels(samples, "data"), settings.clients, settings.alpha, settings.seed)


def take(samples: Samples, chosen: Indices) -> Samples:
    """The samples at these indices."""
    return Samples(samples.x[chosen], None if samples.y is None else samples.y[chosen], samples.names)


def _divide(data: Samples, test: Samples | None, holdout: float, seed: int) -> tuple[Samples, Samples]:
    if test is not None:
        return data, test
    rest, held = partition.hold_out(len(data), holdout, seed)
    return take(data, rest), take(data, held)


def _labels(samples: Samples, where: str) -> Indices:
    if samples.y is None:
        raise InputError(f"{where}: has no labels y; federated training needs them")
    return samples.y


def _classes(bundle: Bundle, train: Samples, held_out: Samples) -> int:
    """How many classes there are, once both sets are known to fit the model."""
    for samples, where in ((train, "data"), (held_out, "held-out data")):
        data_files.fit(data_files.check(samples, where), bundle.manifest.inputs[0], where)
    labels = np.concatenate([_labels(train, "data"), _labels(held_out, "held-out data")])
    shape = bundle.manifest.outputs[0].shape
    known = shape[-1] if len(shape) > 1 and isinstance(shape[-1], int) else None
    if labels.min() < 0 or (known is not None and labels.max() >= known):
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise InputError(
            f"data: label {wrong}; the model's classes are 0 to {'n' if known is None else known - 1}"
        )
    return known or int(labels.max()) + 1


def digest(samples: Samples) -> str:
    """SHA-256 of the samples and their labels."""
    found = hashlib.sha256()
    for array in (samples.x, samples.y):
        if array is not None:
            found.update(f"{array.dtype}{array.shape}".encode())
            found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def bundle_digest(bundle: Bundle) -> str:
    """SHA-256 of what the bundle holds, whatever the file is called."""
    files = {name: entry["sha256"] for name, entry in bundle.manifest.files.items()}
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
