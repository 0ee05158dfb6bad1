"""NPUs on real networks: Qualcomm and Rockchip in their simulators, Arm as Vela estimates it; none of it hardware."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import npu_toolkits
from benchmarks.harness import Case, main
from benchmarks.peers.environment import InstallError
from compress import quantize
from converter import optimize
from converter.convert import convert
from converter.lowering import lower
from converter.model import to_bytes
from edge_runtime import Session, Target
from edge_runtime.accelerators import context, native, rknn, select, selftest, vela
from edge_runtime.accelerators.candidates import Candidate, candidate
from edge_runtime.errors import LittoralError
from edge_runtime.tensors import Array
from examples import efficientnet_lite0, mobilenetv2

NETWORKS = {"efficientnet-lite0": efficientnet_lite0, "mobilenetv2": mobilenetv2}
QUALCOMM, ARM = ("qnn-htp", "qnn-htp-v75"), ("ethos-u55", "ethos-u65", "ethos-u85")
PICTURES = 8
ALIKE, SHARE = 0.98, 95.0


def cases() -> Iterator[Case]:
    for name, example in NETWORKS.items():
        module = example.__name__.partition(".")[2]
        real = optimize(convert(f"examples.{module}:model"))
        samples, pictures = example.calibration(60).x, example.crops(PICTURES, 11).x
        unsigned, signed = (quantize(real, samples, activation=kind) for kind in ("uint8", "int8"))
        for target in QUALCOMM:
            yield from _qualcomm(f"{target}/{name}", _accelerator(target), to_bytes(unsigned), pictures)
        yield from _rockchip(f"rk3588-npu/{name}", to_bytes(signed), pictures)
        yield from _arm(name, signed, samples, pictures)


def _accelerator(target: str) -> Candidate:
    return candidate(Target.load(target).accelerators[0], target)


def _alike(label: str, wanted: Array, got: Array, note: str) -> Iterator[Case]:
    same = 100 * float(np.mean(wanted.argmax(axis=1) == got.argmax(axis=1)))
    likeness = selftest.similarity(wanted, got)
    yield Case(f"{label}: similarity to the CPU", likeness, "cosine", ALIKE, "higher", len(wanted), note)
    yield Case(f"{label}: same best class", same, "%", None, "higher", len(wanted), note)


def _qualcomm(label: str, chip: Candidate, graph: bytes, pictures: Array) -> Iterator[Case]:
    session = Session(graph, threads=1)
    test = selftest.made(session.inputs, session.run)
    with tempfile.TemporaryDirectory() as folder:
        try:
            began = time.perf_counter()
            path = context.compile_context(Path(folder), graph, chip, test.lengths)
            seconds, size = time.perf_counter() - began, path.stat().st_size
            plain = select.open_best(graph, [chip], test)
            ahead = select.open_best(graph, [chip], test, rules=select.Rules(contexts=Path(folder)))
        except LittoralError as error:
            yield Case(f"{label}: nodes on the NPU", None, "%", SHARE, "higher", 0, str(error))
            return
    how = "simulated" if plain.simulated else "hardware"
    total = sum(plain.nodes.values())
    left = ", ".join(sorted({operator for operator, _ in plain.on_cpu}))
    note = f"{how}; left on the CPU: {left}"
    yield Case(f"{label}: nodes on the NPU", 100 * plain.share, "%", SHARE, "higher", total, note)
    loaded = "compiled ahead and loaded" if ahead.compiled_ahead else f"not compiled ahead: {ahead}"
    yield Case(f"{label}: compiled ahead", size / 1e6, "MB", None, "lower", 1, loaded)
    yield Case(f"{label}: compiling", seconds, "s", None, "lower", 1, "here")
    feed = session.inputs[0].name
    got = np.concatenate([ahead.session.run(None, {feed: pictures[k : k + 1]})[0] for k in range(PICTURES)])
    yield from _alike(label, session.run_batches(pictures)[0], got, f"{how}, {loaded}")


def _rockchip(label: str, graph: bytes, pictures: Array) -> Iterator[Case]:
    try:
        if rknn.VARIABLE not in os.environ:
            os.environ[rknn.VARIABLE] = str(npu_toolkits.python("rknn"))
        made = rknn.convert(graph, "rk3588", {"x": pictures})
    except (InstallError, LittoralError) as error:
        yield Case(f"{label}: similarity to the CPU", None, "cosine", ALIKE, "higher", 0, str(error))
        return
    yield from _alike(label, Session(graph).run_batches(pictures)[0], made.outputs[0], "simulated")
    yield Case(f"{label}: converted", len(made.content) / 1e6, "MB", None, "lower", 1)


def _arm(name: str, model: onnx.ModelProto, samples: Array, pictures: Array) -> Iterator[Case]:
    content = lower(model, native=True, samples=samples, lengths={"n": 1})
    session = Session(to_bytes(model))
    (got,) = native.run(content, {session.inputs[0].name: pictures}).values()
    wanted = session.run_batches(pictures)[0]
    yield from _alike(f"ethos-u/{name}", wanted, got, "TFLite's integer kernels, which the NPU keeps to")
    for target in ARM:
        label = f"{target}/{name}"
        try:
            made = vela.compile_model(content, _accelerator(target).options)
        except LittoralError as error:
            yield Case(f"{label}: operators on the NPU", None, "%", 100, "higher", 0, str(error))
            continue
        total = made.npu_operators + len(made.on_cpu)
        yield Case(
            f"{label}: operators on the NPU", 100 * made.share, "%", 100, "higher", total, made.configuration
        )
        sram, budget = made.sram_bytes / 1024, made.budget_bytes / 1024
        yield Case(f"{label}: SRAM", sram, "KiB", budget, "lower", 1, "the goal is what the system has")
        yield Case(f"{label}: cycles", made.cycles / 1e6, "million", None, "lower", 1, "Vela's estimate")
        yield Case(f"{label}: latency", made.latency_ms, "ms", None, "lower", 1, "Vela's estimate")


if __name__ == "__main__":
    main(cases)
