"""The first try of a graph on an accelerator, in a process of its own: it compiles there, runs once, and may crash.

A vendor's library can end the process that calls it: by a fault, or because memory runs out under a limit. What the
trial found is kept beside the compiled graph until the library, onnxruntime or the graph changes; a death for want of
memory is not, since the next start may have more.
"""

import json
import resource
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_runtime import tensors
from edge_runtime.accelerators import context
from edge_runtime.accelerators.candidates import Candidate, device_of
from edge_runtime.engines import plugins
from edge_runtime.engines.onnx import specs
from edge_runtime.errors import BackendError
from edge_runtime.files import write_text


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a trial found: whether a compiled graph can be used, and what there is to say about it."""

    compiled: bool
    remark: str = ""


def ensure(home: Path, model: bytes, candidate: Candidate, lengths: Mapping[str, int], keep: bool) -> Verdict:
    """See to it that a plug-in has survived this graph, and that the graph compiled ahead lies in `home`.

    A compiled graph that was altered is compiled again.

    Args:
        home: the folder of compiled graphs and of verdicts.
        model: the serialised graph.
        candidate: a plug-in whose library loads.
        lengths: of the dimensions that may vary.
        keep: whether a compiled graph may be written; False for a graph that is encrypted at rest.

    Raises:
        BackendError: the process died, or there is not the memory; nothing of it is to be tried in this process.
    """
    place = context.place(home, model, candidate).with_suffix(".trial")
    library = plugins.identity(candidate.located())
    known = _known(place, library)
    remark = ""
    if known is not None:
        _judge(known)
        try:
            if keep and not known["refused"]:
                context.compiled(home, model, candidate)
        except BackendError as error:
            known, remark = None, f"{str(error).removesuffix('; compile again')}; compiled again"
    if known is None:
        known = _try(home, model, candidate, lengths, keep)
        if not known.pop("passing", False):
            write_text(place, json.dumps(known | {"library": library}) + "\n")
        _judge(known)
    return Verdict(keep and not known["refused"], known["refused"] or remark)


def _known(place: Path, library: str) -> dict[str, Any] | None:
    try:
        found: Any = json.loads(place.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(found, dict) and {"library", "died", "refused", "bytes"} <= set(found)
    return found if whole and found["library"] == library else None


def _judge(found: Mapping[str, Any]) -> None:
    if found["died"]:
        raise BackendError(f"a process that tries it {found['died']}")
    limit, there = resource.getrlimit(resource.RLIMIT_AS)[0], _mapped()
    if limit != resource.RLIM_INFINITY and there + found["bytes"] > limit:
        needs = f"needs {found['bytes'] >> 20} MB of addresses beside the {there >> 20} MB"
        raise BackendError(f"{needs} of this process, and its limit is {limit >> 20} MB")


def _try(
    home: Path, model: bytes, candidate: Candidate, lengths: Mapping[str, int], keep: bool
) -> dict[str, Any]:
    """What the process said, or how it died; `passing` if that may be another the next time."""
    request = {
        "home": str(home) if keep else "",
        "candidate": asdict(candidate),
        "lengths": dict(lengths),
    }
    limited = resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    done = plugins.child(
        ["-P", "-m", "edge_runtime.accelerators.trial"], json.dumps(request).encode() + b"\n" + model
    )
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    if done.returncode == 0 and lines:
        answer: dict[str, Any] = json.loads(lines[-1])
        return answer | {"passing": bool(limited and answer["refused"])}
    said = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode < 0:
        died = f"dies from {signal.Signals(-done.returncode).name}"
        passing = limited or done.returncode == -signal.SIGKILL
        died += ", perhaps for want of memory" if passing else ""
    else:
        died, passing = f"fails: {said[-1][:200] if said else done.returncode}", True
    return {"died": died, "refused": "", "bytes": 0, "passing": passing}


def _mapped() -> int:
    """The size of this process's address space, in bytes."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    return pages * resource.getpagesize()


def _ahead(home: Path, model: bytes, candidate: Candidate, lengths: Mapping[str, int]) -> bytes:
    """The compiled graph: one that lies there, as it came with the bundle, if it is whole and runs, or a new one."""
    try:
        graph = context.compiled(home, model, candidate)[0]
        _once(graph, device_of(candidate), candidate, lengths)
    except BackendError:
        context.compile_context(home, model, candidate, lengths)
        graph = context.compiled(home, model, candidate)[0]
    return graph


def _once(graph: bytes, device: Any, candidate: Candidate, lengths: Mapping[str, int]) -> None:
    chosen = plugins.options(candidate.config, 1, lengths)
    session = plugins.open_plugin(graph, device, candidate.resolved(), chosen)
    context.fits(plugins.compatibility(session), candidate)
    plugins.run(session, tensors.example(specs(session.get_inputs())))


def main() -> None:
    """The process: reads a request and a graph from its standard input, and answers with one line of JSON."""
    line, _, model = sys.stdin.buffer.read().partition(b"\n")
    request = json.loads(line)
    candidate = Candidate(**request["candidate"])
    before = _mapped()
    refused, graph = "", model
    try:
        found = device_of(candidate)
        if request["home"]:
            try:
                graph = _ahead(Path(request["home"]), model, candidate, request["lengths"])
            except BackendError as error:
                refused = f"not compiled ahead: {error}"
        _once(graph, found, candidate, request["lengths"])
    except BackendError as error:
        refused = str(error)
    print(json.dumps({"died": "", "refused": refused, "bytes": max(0, _mapped() - before)}), flush=True)


if __name__ == "__main__":
    main()
