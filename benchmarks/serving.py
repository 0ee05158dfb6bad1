"""The server under load: batching against none, tail latency, swaps without a lost request, malformed bodies."""

import asyncio
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import Case, main

CLIENTS = 64
SECONDS = 3.0
ROUNDS = 3
SWAPPED = 100_000
NONSENSE = 10_000


def cases() -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as folder:
        model = _model(Path(folder))
        with (
            Server(model, 64, Path(folder) / "batched") as batched,
            Server(model, 1, Path(folder) / "alone") as alone,
        ):
            runs: dict[str, list[Load]] = {"batched": [], "alone": []}
            for _ in range(ROUNDS):  # in turn, so that both meet the same weather
                runs["batched"].append(asyncio.run(load(batched.socket, seconds=SECONDS)))
                runs["alone"].append(asyncio.run(load(alone.socket, seconds=SECONDS)))
        ratios = [a.rate / b.rate for a, b in zip(runs["batched"], runs["alone"], strict=True)]
        best = sorted(runs["batched"], key=lambda run: run.rate)[ROUNDS // 2]
        plain = sorted(runs["alone"], key=lambda run: run.rate)[ROUNDS // 2]
        note = (
            f"{best.rate:.0f} requests/s against {plain.rate:.0f} from bare sessions behind the same server"
        )
        yield Case(
            f"batched / unbatched, {CLIENTS} clients",
            float(np.median(ratios)),
            "ratio",
            3,
            "higher",
            best.n,
            note,
        )
        for name, run in (("batched", best), ("unbatched", plain)):
            note = f"p50 {run.quantile(0.5):.1f} ms, p95 {run.quantile(0.95):.1f} ms"
            yield Case(
                f"p99 under load, {name}", round(run.quantile(0.99), 2), "ms", None, "lower", run.n, note
            )
        yield _swaps(Path(folder))
        yield _nonsense(Path(folder))


def _swaps(folder: Path) -> Case:
    """Replace the model's file again and again under load."""
    model = _model(folder, width=64)
    with Server(model, 64, folder / "swapped", watch=0.05) as server:
        stop = [False]

        async def both() -> "Load":
            async def swap() -> None:
                while not stop[0]:
                    shutil.copy(model, folder / "next")
                    (folder / "next").replace(model)
                    await asyncio.sleep(0.2)

            task = asyncio.create_task(swap())
            found = await load(server.socket, requests=SWAPPED, width=64)
            stop[0] = True
            await task
            return found

        found = asyncio.run(both())
        swaps = int(server.metric("littoral_swaps_total"))
    note = f"{swaps} swaps, {found.rate:.0f} requests/s"
    return Case("requests lost in swaps", found.failed, "requests", 0, "lower", found.n, note)


def _nonsense(folder: Path) -> Case:
    """Bodies that are damaged, cut short or random; afterwards the server still answers."""
    rng = random.Random(0)  # noqa: S311  (damage, not secrets)
    good, head = body(np.zeros((1, 64), np.float32))
    model = _model(folder, width=64)
    wrong = 0
    with Server(model, 8, folder / "fuzzed") as server:

        async def send() -> int:
            reader, writer = await asyncio.open_unix_connection(server.socket)
            odd = 0
            for _ in range(NONSENSE):
                damaged = bytearray(good[: rng.randrange(len(good) + 1)] if rng.random() < 0.5 else good)
                for _ in range(rng.randrange(1, 6)):
                    if damaged:
                        damaged[rng.randrange(len(damaged))] = rng.randrange(256)
                writer.write(post(bytes(damaged), str(rng.choice([head, 0, 10**6, rng.randrange(200)]))))
                status, _ = await answer(reader)
                odd += status not in (200, 400)
            return odd

        wrong = asyncio.run(send())
        alive = asyncio.run(load(server.socket, requests=100, width=64))
    note = f"then {alive.n - alive.failed} of {alive.n} good requests answered"
    return Case(
        "malformed bodies answered otherwise than 400",
        wrong + alive.failed,
        "requests",
        0,
        "lower",
        NONSENSE,
        note,
    )


def _model(folder: Path, width: int = 1024) -> Path:
    """A multi-layer perceptron of three layers, which a single sample uses a fraction of the processor for."""
    from onnx import parser

    from converter.model import save, set_constant

    text = """<ir_version: 10, opset_import: ["" : 21]> mlp (float[n, W] x) => (float[n, 10] y)
    { a = MatMul(x, w0) b = Relu(a) c = MatMul(b, w1) d = Relu(c) y = MatMul(d, w2) }"""
    model = parser.parse_model(text.replace("W", str(width)))
    rng = np.random.default_rng(0)
    for k, shape in enumerate([(width, width), (width, width), (width, 10)]):
        set_constant(model.graph, f"w{k}", (rng.standard_normal(shape) / width**0.5).astype(np.float32))
    return save(model, folder / f"mlp{width}.onnx")


class Server:
    """``littoral serve`` in a process of its own, on a Unix socket."""

    def __init__(self, model: Path, batch: int, home: Path, watch: float = 0) -> None:
        home.mkdir()
        self.socket = str(home / "s")
        options = [
            "--socket",
            self.socket,
            "--max-batch",
            str(batch),
            "--threads",
            "1",
            "--watch",
            str(watch),
        ]
        self._command = [sys.executable, "-m", "edge_runtime", "serve", f"m={model}", *options]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=Path(__file__).parents[1], stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + 60
        while time.monotonic() < until and self._process.poll() is None:
            try:
                asyncio.run(load(self.socket, requests=1, clients=1, width=None))
            except OSError:
                time.sleep(0.05)
                continue
            return self
        raise RuntimeError("the server did not start")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)

    def metric(self, name: str) -> float:
        """The value of a metric without labels."""

        async def get() -> bytes:
            reader, writer = await asyncio.open_unix_connection(self.socket)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            return (await answer(reader))[1]

        return float(asyncio.run(get()).decode().rpartition(f"\n{name} ")[2].partition("\n")[0])


@dataclass(frozen=True)
class Load:
    """What a load did: milliseconds of each request, how many failed, and requests a second."""

    times: list[float]
    failed: int
    rate: float

    @property
    def n(self) -> int:
        """Requests sent."""
        return len(self.times)

    def quantile(self, share: float) -> float:
        """Milliseconds within which that share was answered."""
        return float(np.quantile(self.times, share))


async def load(
    path: str, *, requests: int = 0, seconds: float = 0, clients: int = CLIENTS, width: int | None = 1024
) -> Load:
    """Clients that each send the next request when the last is answered."""
    good, head = body(np.ones((1, width or 1), np.float32))
    message = post(good, str(head)) if width else b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    times: list[float] = []
    left, failed = [requests], [0]
    began = time.perf_counter()

    async def client() -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        while (left[0] > 0) if requests else (time.perf_counter() - began < seconds):
            left[0] -= 1
            start = time.perf_counter()
            writer.write(message)
            status, _ = await answer(reader)
            times.append(1000 * (time.perf_counter() - start))
            failed[0] += status != 200
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return Load(times, failed[0], len(times) / (time.perf_counter() - began))


def body(x: "np.ndarray[tuple[int, int], np.dtype[np.float32]]") -> tuple[bytes, int]:
    """A binary inference request and the length of its JSON."""
    tensor = {
        "name": "x",
        "shape": list(x.shape),
        "datatype": "FP32",
        "parameters": {"binary_data_size": x.nbytes},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return head + x.tobytes(), len(head)


def post(content: bytes, head: str) -> bytes:
    """The bytes of an HTTP request."""
    lines = [
        "POST /v2/models/m/infer HTTP/1.1",
        "Host: x",
        f"Inference-Header-Content-Length: {head}",
        f"Content-Length: {len(content)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of the next HTTP answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0])
    return int(head[9:12]), await reader.readexactly(length)


if __name__ == "__main__":
    main(cases)
