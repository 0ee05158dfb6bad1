"""A tuned session beside bare onnxruntime, LiteRT, OpenVINO, ncnn and MNN; its start, memory and import.

EfficientNet-Lite0 and MobileNetV2 with their ImageNet weights, one thread, float32 and int8. `session/MODEL` is the
tuned session's time over that of the fastest engine which it can use, on the same file; `overhead/MODEL` is a session's
over the bare engine that it runs on. Times are of the processor, in processes that take turns.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import Case, main
from benchmarks.peers import process
from benchmarks.peers.peer import PEERS, Peer, PeerError, check, race
from compress import quantize
from converter.convert import convert
from converter.lowering import lower
from converter.model import constants, copy, save, set_constant, to_bytes
from edge_runtime import Bundle, Manifest
from edge_runtime.bundle import pack
from edge_runtime.engines.onnx import open_session, specs
from edge_runtime.session import source_of
from edge_runtime.tensors import Array
from edge_runtime.tuning import setting, store, tuner
from examples import efficientnet_lite0, mobilenetv2

MODELS = {"efficientnet-lite0": efficientnet_lite0, "mobilenetv2": mobilenetv2}
ROUNDS, PICTURES, CALIBRATION = 100, 16, 40
TURN_MS = 5.0
COPIES, PROCESSES, TURNS = 3, 5, 40
STARTS, IMPORTS, TEN, TUNE_S = 7, 9, 10, 30.0
TOLERANCE = 1e-3  # of the largest output: other engines add in another order
TINY = """
<ir_version: 10, opset_import: ["" : 21]>
tiny (float[n, 48] x) => (float[n, 48] y) <float[48, 48] w = {%s}> { h = MatMul(x, w)  y = Relu(h) }
"""


@dataclass(frozen=True, slots=True)
class Workload:
    """A model in one form: the files that the engines read, the bundle with both, and pictures."""

    name: str
    onnx: Path
    tflite: Path
    bundle: Path
    pictures: Array
    calibration: Array

    @property
    def quantized(self) -> bool:
        """Whether it is the int8 form."""
        return self.name.endswith("int8")


def cases() -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as scratch:
        made = []
        for name, example in MODELS.items():
            for workload in _workloads(name, example, Path(scratch)):
                made.append(workload)
                yield from _speed(workload)
                yield _overhead(workload.name, workload.onnx, TURNS)
        small = Path(scratch, "tiny.onnx")
        small.write_bytes(tiny())
        yield _overhead("tiny", small, TURNS)
        for workload in made:
            if not workload.quantized:
                yield from _process(workload, Path(scratch))
        yield from _ten([w for w in made if not w.quantized], Path(scratch))
        for workload in made:
            store.forget(source_of(workload.bundle), 1)
        times = process.import_ms(IMPORTS)
        note = "processor time of importing Bundle and Session, beyond numpy and onnxruntime"
        yield Case("import", round(statistics.median(times), 2), "ms", 30, "lower", IMPORTS, note)


def _workloads(name: str, example: ModuleType, scratch: Path) -> Iterator[Workload]:
    real = convert(f"{example.__name__}:model")
    calibration, pictures = example.calibration(CALIBRATION).x, example.crops(PICTURES, 1).x
    for form, model in (("fp32", real), ("int8", quantize(real, calibration))):
        folder = scratch / f"{name}-{form}"
        folder.mkdir()
        plain, lowered = save(_one(model), folder / "infer.onnx"), lower(_one(model), "tflite")
        (folder / "infer.tflite").write_bytes(lowered)
        files = {"infer.onnx": plain.read_bytes(), "infer.tflite": lowered}
        bare = open_session(plain, where=name)
        manifest = Manifest(name, "x86-64", specs(bare.get_inputs()), specs(bare.get_outputs()))
        bundle = pack(folder / "m.bundle", manifest, files).path
        yield Workload(
            f"{name}-{form}", plain, folder / "infer.tflite", bundle, pictures, calibration[:PICTURES]
        )


def _speed(workload: Workload) -> Iterator[Case]:
    """The tuned session against bare engines on the same files; then the peers, each with its own conversion.

    Two processes that are alike differ by a few per cent for as long as they live, by where their weights happen to
    lie. So of ours and of every engine that it can use there are `COPIES`, whose median counts in each round.
    """
    source, began = source_of(workload.bundle), time.monotonic()
    choice = store.save(source, 1, tuner.tune(source, 1, TUNE_S))
    tuning_s = time.monotonic() - began
    with ExitStack() as stack:

        def started(engine: str, form: str, model: Path) -> Peer:
            peer = Peer(engine, form, model, workload.pictures, workload.calibration)
            return stack.enter_context(peer)

        ours = [started("littoral", "tuned", workload.bundle) for _ in range(COPIES)]
        usable = [[started("onnxruntime", "fp32", workload.onnx) for _ in range(COPIES)]]
        usable += [[started("litert", "fp32", workload.tflite) for _ in range(COPIES)]]
        field, failed = _field(workload, started) if not workload.quantized else ([], [])
        usable += [[peer, *_more(peer, started)] for peer in field if peer.engine == "litert"]
        others = [[peer] for peer in field if peer.engine != "litert"]
        race([peer for group in (ours, *usable, *others) for peer in group], ROUNDS, TURN_MS)
        yield _session(workload.name, ours, usable, f"{choice.setting}; tuned in {tuning_s:.0f} s")
        for group in (*usable, *others):
            first = group[0]
            told = f"{first.version} {first.note}".strip()
            yield _time(f"{_named(first)}/{workload.name}", statistics.median(_rounds(group)), told)
        for engine, reason in failed:
            yield _time(f"{engine}/{workload.name}", None, reason)


def _more(peer: Peer, started: Callable[[str, str, Path], Peer]) -> list[Peer]:
    return [started(peer.engine, peer.form, peer.model) for _ in range(COPIES - 1)]


def _session(name: str, ours: Sequence[Peer], usable: Sequence[Sequence[Peer]], told: str) -> Case:
    """Ours over the fastest of the engines that it can use, round by round."""
    mine = _rounds(ours)
    rival = min(usable, key=lambda group: statistics.median(_rounds(group)))
    theirs = _rounds(rival)
    value = round(statistics.median(a / b for a, b in zip(mine, theirs, strict=True)), 4)
    alike = [statistics.median(peer.cpu_ms) for peer in rival]
    note = (
        f"{told}: {statistics.median(mine):.3f} ms; {_named(rival[0])} {statistics.median(theirs):.3f} ms, "
        f"{min(alike):.3f} to {max(alike):.3f} in {len(alike)} processes"
    )
    return Case(f"session/{name}", value, "ratio", 1.0, "lower", ROUNDS, note)


def _rounds(group: Sequence[Peer]) -> list[float]:
    """Milliseconds of each round: the median of peers that are alike."""
    return [statistics.median(turn) for turn in zip(*(peer.cpu_ms for peer in group), strict=True)]


def _named(peer: Peer) -> str:
    return f"{peer.engine} of our .tflite" if peer.model.suffix == ".tflite" else peer.engine


def _field(
    workload: Workload, started: Callable[[str, str, Path], Peer]
) -> tuple[list[Peer], list[tuple[str, str]]]:
    """The other engines on their own conversion of the float model, and those that do not take it, with the reason."""
    field: list[Peer] = []
    failed: list[tuple[str, str]] = []
    bare = open_session(workload.onnx, where=workload.name)
    name = bare.get_inputs()[0].name
    reference = np.concatenate([bare.run(None, {name: x[None]})[0] for x in workload.pictures])
    for engine in PEERS:
        if engine == "onnxruntime":
            continue  # it reads our file, and is there already
        try:
            peer = started(engine, "fp32", workload.onnx)
            peer.note = f"{check(peer.outputs(), reference, TOLERANCE):.1g} from onnxruntime's outputs"
        except PeerError as error:
            failed.append((engine, str(error)))
            continue
        field.append(peer)
    return field, failed


def _overhead(name: str, model: Path, rounds: int) -> Case:
    """`Session.run` over a bare session's; the same graph, engine and settings, in several processes."""
    found = process.overheads(model, rounds, PROCESSES)
    ratios, alike = ([each[kind] for each in found] for kind in ("ours", "other"))
    ours, bare = (statistics.median(each[kind] for each in found) for kind in ("ours_us", "bare_us"))
    note = (
        f"{ours:.1f} µs against {bare:.1f} µs of processor time, {model.stat().st_size / 1000:.0f} kB; by process "
        f"{min(ratios):.3f} to {max(ratios):.3f}, two bare sessions {min(alike):.3f} to {max(alike):.3f}"
    )
    value = round(statistics.median(ratios), 4)
    return Case(f"overhead/{name}", value, "ratio", 1.02, "lower", rounds * PROCESSES, note)


def _process(workload: Workload, scratch: Path) -> Iterator[Case]:
    """Start and memory of a process with one model, tuned and as it is, beside bare onnxruntime's."""
    ways = {
        "bare": (process.BARE, "", workload.onnx),
        "tuned": (process.OURS, "tuned", workload.bundle),
        "onnx file": (process.OURS, "plain", workload.onnx),
        "bundle as it is": (process.OURS, "plain", workload.bundle),
    }
    found = process.starts(ways, STARTS)
    sizes = {name: process.resident(code, kind, [model]) for name, (code, kind, model) in ways.items()}
    bare = found["bare"]
    for name in [each for each in ways if each != "bare"]:
        told = f"start/{workload.name}" + ("" if name == "tuned" else f", {name}")
        clock = statistics.median(each.wall_s for each in found[name])
        theirs = statistics.median(each.wall_s for each in bare)
        by_clock = process.ratio(found[name], bare, "wall_s")
        note = f"processor time; by the clock {by_clock:.3f}: {clock:.3f} s against {theirs:.3f} s"
        goal = None if name == "bundle as it is" else 1.10
        value = round(process.ratio(found[name], bare, "cpu_s"), 3)
        yield Case(told, value, "ratio", goal, "lower", STARTS, note)
        told = f"rss/{workload.name}" + ("" if name == "tuned" else f", {name}")
        note = f"{sizes[name]:.1f} MB against {sizes['bare']:.1f} MB"
        yield Case(told, round(sizes[name] / sizes["bare"], 3), "ratio", 1.10, "lower", 1, note)
    try:
        names = Bundle.open(workload.bundle, whole=False).manifest.inputs
        after, taken = process.served(workload.bundle, names[0].name, scratch / workload.name)
    except (RuntimeError, OSError) as error:
        yield Case(f"rss-serving/{workload.name}", None, "ratio", 1.10, "lower", 0, str(error))
        return
    note = (
        f"{taken:.1f} MB with the HTTP server in it, idle for {process.REST_S:g} s, {after:.1f} MB right after a "
        f"request; {sizes['bare']:.1f} MB of a bare process without one"
    )
    yield Case(
        f"rss-serving/{workload.name}", round(taken / sizes["bare"], 3), "ratio", 1.10, "lower", 1, note
    )


def _ten(workloads: list[Workload], scratch: Path) -> Iterator[Case]:
    """Ten models in one process: the float networks in turn, no two with the same weights."""
    folder = scratch / "ten"
    folder.mkdir()
    paths = []
    for k in range(TEN):
        model = onnx.load(workloads[k % len(workloads)].onnx)
        name, values = next((n, v) for n, v in constants(model.graph).items() if v.ndim == 4)
        set_constant(model.graph, name, values * np.float32(1 + k / 1000))
        paths.append(save(model, folder / f"{k}.onnx"))
    for path in paths:  # as `littoral tune` leaves it, without the race
        source = source_of(path)
        store.save(source, 1, store.Choice(setting.default(source, 1), 1.0))
    sizes: Mapping[str, float] = {
        "bare": process.resident(process.BARE, "", paths),
        "tuned": process.resident(process.OURS, "tuned", paths),
        "plain": process.resident(process.OURS, "plain", paths),
    }
    for kind, told in (("tuned", "rss-ten"), ("plain", "rss-ten, not tuned")):
        note = f"{sizes[kind]:.0f} MB against {sizes['bare']:.0f} MB, of which weights {_size(paths):.0f} MB"
        yield Case(told, round(sizes[kind] / sizes["bare"], 3), "ratio", 0.7, "lower", TEN, note)
    for path in paths:
        store.forget(source_of(path), 1)


def _size(paths: list[Path]) -> float:
    return sum(path.stat().st_size for path in paths) / 1e6


def _time(case: str, spent: float | None, note: str) -> Case:
    return Case(case, None if spent is None else round(spent, 3), "ms", None, "lower", ROUNDS, note)


def _one(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with a batch of one, which converters want to know."""
    made = copy(model)
    for value in [*made.graph.input, *made.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    return made


def tiny() -> bytes:
    """A model of about 10 kB: one product and a Relu."""
    values = np.random.default_rng(0).standard_normal(48 * 48).astype(np.float32)
    model = onnx.parser.parse_model(TINY % ", ".join(map(str, values)))
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(values.reshape(48, 48), "w"))
    return to_bytes(model)


if __name__ == "__main__":
    main(cases)
