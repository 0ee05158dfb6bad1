"""Delivery: bytes that an update moves, against the whole and other patchers, and what interruptions cost."""

import importlib.util
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import uvicorn
from onnx import numpy_helper

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import Case, main
from cloud.repository import Repository, changes
from cloud.repository.http import Application, app
from compress.quantization.quantize import quantize
from converter.convert import convert
from converter.model import set_constant, to_bytes
from converter.optimize import optimize
from converter.trainable import pack_trainable
from edge_runtime import Bundle, Manifest, Samples, Trainer
from edge_runtime.agent.fetch import BLOCK, fetch
from edge_runtime.agent.trust import Signed
from edge_runtime.bundle import pack
from edge_runtime.errors import TransferError
from edge_runtime.files import sha256
from edge_runtime.tensors import Array, TensorSpec
from examples import digits, efficientnet_lite0
from examples.kept import code, kept

STEP = 1e-3  # of each tensor's standard deviation: what a fine-tune moves the weights by
BREAKS, KILLS = 70, 30
NET = "efficientnet-lite0"


def cases() -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        old = efficient()
        new = kept(f"{NET}-moved", partial(moved, old), old, f"{STEP}")
        yield from tensors(old, work)
        yield from whole_model(f"{NET} float32, all weights by {STEP}", old, new, 60.0, work)
        x = efficientnet_lite0.calibration(16).x
        before, after = (
            kept(f"{NET}-int8", partial(quantize, each, x), each, "16 crops", code()) for each in (old, new)
        )
        frozen = requantized(before, old, new)
        yield from whole_model(f"{NET} int8, all weights by {STEP}, quantised anew", before, after, 8.0, work)
        yield from whole_model(f"{NET} int8, all weights by {STEP}, scales kept", before, frozen, 8.0, work)
        yield from fine_tunes(work)
        yield from interrupted(work, before)


# ------------------------------------------------------------------------------------- the models
def efficient() -> onnx.ModelProto:
    """The network with its ImageNet weights, normalisation folded."""

    def make() -> onnx.ModelProto:
        network, example = efficientnet_lite0.model()
        return optimize(convert(network, example=example))

    return kept(f"{NET}-optimised", make, NET)


def moved(model: onnx.ModelProto, only: str = "") -> onnx.ModelProto:
    """Every weight, or those of one tensor, a random step away."""
    made, rng = onnx.ModelProto(), np.random.default_rng(0)
    made.CopyFrom(model)
    for tensor in made.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and array.size > 8 and only in ("", tensor.name):
            step = STEP * array.std() * rng.normal(size=array.shape)
            set_constant(made.graph, tensor.name, (array + step).astype(np.float32))
    return made


def requantized(quantized: onnx.ModelProto, old: onnx.ModelProto, new: onnx.ModelProto) -> onnx.ModelProto:
    """The quantised model with the new weights in its old scales; one that stays between two levels keeps its own."""
    made = onnx.ModelProto()
    made.CopyFrom(quantized)
    known, before, after = (
        {tensor.name: numpy_helper.to_array(tensor) for tensor in each.graph.initializer}
        for each in (quantized, old, new)
    )
    for name, weights in before.items():
        integers, scale = known.get(f"{name}.integers"), known.get(f"{name}.scale")
        if integers is not None and scale is not None and integers.shape == weights.shape:
            by = scale.reshape(-1, *[1] * (weights.ndim - 1)) if scale.ndim else scale
            inside = np.clip(weights / by - integers, -0.5, 0.5)
            levels = integers + np.round(inside + (after[name] - weights) / by)
            set_constant(made.graph, f"{name}.integers", np.clip(levels, -127, 127).astype(np.int8))
    return made


def bundle(model: onnx.ModelProto, path: Path) -> bytes:
    """The model's bundle, as it is published."""
    spec = TensorSpec("input", "float32", (1, 3, 224, 224))
    pack(path, Manifest(NET, "rpi4", (spec,), (spec,)), {"infer.onnx": to_bytes(model)})
    return path.read_bytes()


# ------------------------------------------------------------------------------------- the patches
def tensors(model: onnx.ModelProto, work: Path) -> Iterator[Case]:
    """One tensor of many changes."""
    largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    size = len(largest.raw_data)
    old, new = bundle(model, work / "old.bundle"), bundle(moved(model, largest.name), work / "new.bundle")
    made, same = changed(old, new), len(changes.patch(old, old) or b"")
    note = f"{NET}: of {len(new)} bytes, one tensor of {size}"
    yield Case("a changed tensor: bytes moved, of its own", round(made / size, 3), "", 0.75, "lower", 1, note)
    yield Case("an unchanged bundle: bytes moved", same, "B", 1000, "lower", 1, "the patch's own head")


def changed(old: bytes, new: bytes) -> int:
    """Bytes that a device which has the old bundle fetches."""
    made = changes.patch(old, new)
    return len(new) if made is None else len(made)


def whole_model(
    what: str, old: onnx.ModelProto, new: onnx.ModelProto, goal: float, work: Path
) -> Iterator[Case]:
    """Every weight changes; ours and others' patches of the same two files."""
    before, after = bundle(old, work / "old.bundle"), bundle(new, work / "new.bundle")
    began = time.perf_counter()
    size = changed(before, after)
    seconds = time.perf_counter() - began
    share = 100 * size / len(after)
    note = f"{size} of {len(after)} bytes; made and checked in {seconds:.1f} s"
    yield Case(f"{what}: moved", round(share, 2), "%", goal, "lower", 1, note)
    for name, command in PEERS.items():
        yield peer(f"{what}: moved by {name}", command, work)
    if "quantised anew" in what:
        yield from applied(what, before, after, work)


PEERS: Mapping[str, list[str]] = {
    "zstd -19 of the whole": ["zstd", "-19", "-q", "-f", "--long=27", "new.bundle", "-o", "peer"],
    "zstd -19 --patch-from": [
        "zstd",
        "-19",
        "-q",
        "-f",
        "--long=27",
        "--patch-from=old.bundle",
        "new.bundle",
        "-o",
        "peer",
    ],
    "bsdiff4": [sys.executable, "-c", "import bsdiff4 as b; b.file_diff('old.bundle', 'new.bundle', 'peer')"],
}


def peer(what: str, command: list[str], work: Path) -> Case:
    """The same by a program of others, where it is installed."""
    missing = command[0] if shutil.which(command[0]) is None else ""
    if "bsdiff4" in what and importlib.util.find_spec("bsdiff4") is None:
        missing = "bsdiff4"
    if missing:
        return Case(what, None, "%", None, "lower", 0, f"{missing} is not installed")
    began = time.perf_counter()
    subprocess.run(command, cwd=work, check=True)
    share = 100 * (work / "peer").stat().st_size / (work / "new.bundle").stat().st_size
    return Case(what, round(share, 2), "%", None, "lower", 1, f"in {time.perf_counter() - began:.1f} s")


def applied(what: str, old: bytes, new: bytes, work: Path) -> Iterator[Case]:
    """What the device's process that applies a patch takes."""
    (work / "patch").write_bytes(changes.patch(old, new) or b"")
    command = [sys.executable, "-c", APPLY, "old.bundle", "patch", "made", str(len(new))]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - began
    if (work / "made").read_bytes() != new:
        raise TransferError("the patch does not make the new bundle")
    note = f"in {seconds:.1f} s, in a process of its own, Python and numpy included"
    yield Case(f"{what}: memory to apply it", round(int(done.stdout) / 1024, 1), "MB", None, "lower", 1, note)


APPLY = """
import sys; from edge_runtime.delta.__main__ import main
if main(sys.argv[1:]): raise SystemExit(2)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


# ------------------------------------------------------------------------------- real fine-tunes
def fine_tunes(work: Path) -> Iterator[Case]:
    """A network that was trained on digits and goes on learning with new ones, on the device."""
    train, test = digits.load()
    half = len(train) // 2
    first, then = (
        Samples(train.x[part], _labels(train)[part]) for part in (slice(0, half), slice(half, None))
    )
    network, example = digits.model()
    model = convert(network, example=example, trainable=True)
    pack_trainable(model, work / "begin.bundle", name="digits")
    trainer = Trainer(work / "begin.bundle", threads=1)
    trainer.fit(first, epochs=5, lr=0.05)
    before = trainer.export(work / "first.bundle")
    for lr in (1e-4, 1e-3, 1e-2):
        later = Trainer(before, threads=1)
        later.fit(then, epochs=1, lr=lr)
        after = later.export(work / f"{lr}.bundle")
        score, better = _accuracy(before, test), _accuracy(after, test)
        note = f"digits, one epoch over {len(then)} new ones at a rate of {lr}; accuracy {score:.3f} to {better:.3f}"
        yield _tuned(
            f"fine-tune at {lr}, float32, with the training step: moved", before.path, after.path, note
        )
        old, new = (_int8(each, first.x[:64], work / f"{k}.bundle") for k, each in enumerate((before, after)))
        yield _tuned(f"fine-tune at {lr}, int8, quantised anew: moved", old, new, note)


def _labels(samples: Samples) -> Array:
    return np.asarray(samples.y)


def _accuracy(made: Bundle, test: Samples) -> float:
    from compress.fidelity import accuracy
    from edge_runtime import Session

    return accuracy(Session(made.read("infer.onnx"), threads=1).run_batches(test.x, 50)[0], _labels(test))


def _int8(made: Bundle, x: Array, path: Path) -> Path:
    quantized = quantize(optimize(onnx.load_from_string(made.read("infer.onnx"))), x)
    bundle(quantized, path)
    return path


def _tuned(what: str, old: Path, new: Path, note: str) -> Case:
    before, after = old.read_bytes(), new.read_bytes()
    size = changed(before, after)
    return Case(
        what,
        round(100 * size / len(after), 2),
        "%",
        None,
        "lower",
        1,
        f"{size} of {len(after)} bytes; {note}",
    )


# -------------------------------------------------------------------------------- interruptions
def interrupted(work: Path, model: onnx.ModelProto) -> Iterator[Case]:
    """Downloads of the int8 bundle over HTTP that end early, at random points."""
    bundle(model, work / "old.bundle")
    repository = Repository.create(work / "repository", work / "keys")
    made = repository.publish(work / "old.bundle", delta_from=0)
    rng, bad, most = random.Random(0), 0, 0  # noqa: S311 - not a secret
    with serving(app(repository)) as (url, wire):
        signed = Signed(made.path, made.sha256, made.bytes, url=url)
        for trial in range(BREAKS):
            wire.sent, wire.cut = 0, rng.randrange(made.bytes)
            path = fetch(signed, {}, work / f"break{trial}", sleep=lambda _: None)
            bad += sha256(path) != made.sha256
            most = max(most, wire.sent - made.bytes)
            shutil.rmtree(path.parent)
        for trial in range(KILLS):
            wire.sent, wire.cut = 0, -1
            path = killed(signed, work / f"kill{trial}", rng)
            bad += sha256(path) != made.sha256
            most = max(most, wire.sent - made.bytes)
            shutil.rmtree(path.parent)
    note = f"{BREAKS} broken lines and {KILLS} kill -9 at random points of {made.bytes} bytes"
    yield Case("interrupted: not the signed bundle in the end", bad, "", 0, "lower", BREAKS + KILLS, note)
    yield Case(
        "interrupted: most fetched again, of a block",
        round(most / BLOCK, 3),
        "",
        1.0,
        "lower",
        BREAKS + KILLS,
        f"{most} bytes; a block has {BLOCK}; counted by the server",
    )


CHILD = """
import sys; from pathlib import Path
from edge_runtime.agent.fetch import fetch; from edge_runtime.agent.trust import Signed
path, sha256, length, url, into = sys.argv[1:]
fetch(Signed(path, sha256, int(length), url=url), {}, Path(into), max_kbps=80_000)
"""


def killed(signed: Signed, into: Path, rng: random.Random) -> Path:
    """A device that is killed at a random byte of the download, and begins again."""
    command = [
        sys.executable,
        "-c",
        CHILD,
        signed.path,
        signed.sha256,
        str(signed.length),
        signed.url,
        str(into),
    ]
    part, stop = into / f"{signed.sha256}.part", rng.randrange(signed.length)
    process = subprocess.Popen(command, cwd=Path(__file__).parents[1])
    while process.poll() is None and not (part.exists() and part.stat().st_size >= stop):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return fetch(signed, {}, into)


class Wire:
    """What went over it, in bytes of bodies, and after how many of them it breaks once; -1 for never."""

    def __init__(self) -> None:
        self.sent, self.cut = 0, -1


@contextmanager
def serving(application: Application) -> Iterator[tuple[str, Wire]]:
    """The repository on a port of loopback."""
    wire = Wire()

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        async def count(message: Any) -> None:
            body = message.get("body", b"")
            if 0 <= wire.cut < wire.sent + len(body):
                message = {**message, "body": body[: wire.cut - wire.sent]}
                wire.sent, wire.cut = wire.cut, -1
                await send(message)
                raise ConnectionError("the line breaks here")
            wire.sent += len(body)
            await send(message)

        await application(scope, receive, count)

    config = uvicorn.Config(counted, port=0, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", wire
    server.should_exit = True
    thread.join()


if __name__ == "__main__":
    main(cases)
