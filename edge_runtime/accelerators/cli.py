"""Command: accelerate."""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_runtime import console
from edge_runtime.bundle import Bundle
from edge_runtime.command import Command
from edge_runtime.errors import BackendError, InputError
from edge_runtime.files import atomic, existing
from edge_runtime.sealing import SUFFIX
from edge_runtime.session import Session
from edge_runtime.target import Target

if TYPE_CHECKING:
    from edge_runtime.accelerators.candidates import Candidate
    from edge_runtime.accelerators.compilers import Report, Source
    from edge_runtime.accelerators.select import Choice


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a bundle, or an .onnx or .tflite file")
    parser.add_argument("--target", help="whose accelerators are tried (default: the bundle's)")
    parser.add_argument(
        "--compile",
        action="store_true",
        help="compile ahead first, for every one that can; for Ethos-U this is all that is done",
    )
    parser.add_argument(
        "--contexts", metavar="FOLDER", help="where compiled graphs lie (default: in the cache)"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="where an NPU's own form goes, such as infer.vela.tflite; or a .bundle, with what was compiled in it",
    )
    parser.add_argument(
        "--data", help="samples for the range of outputs that are left real: .npz, or pictures in a folder"
    )
    parser.add_argument("--preprocess", help="for pictures: resize=256,crop=224,mean=127,std=128")
    parser.add_argument(
        "--min-share", type=float, default=0.5, help="of the nodes that it has to run (default 0.5)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


@dataclass(frozen=True, slots=True)
class _Given:
    target: Target
    tried: "Sequence[Candidate]"
    source: "Source"
    bundle: Bundle | None = None


def _run(args: argparse.Namespace) -> None:
    if not 0 <= args.min_share <= 1:
        raise InputError(f"--min-share {args.min_share:g}: expected a share between 0 and 1")
    given = _given(args)
    providers = [each for each in given.tried if each.provider]
    reports, refused = _compiled(args, given)
    if args.output and not args.output.endswith(".bundle") and not reports:
        none = f"'{given.target.name}' has no form of its own; a .bundle takes what --compile makes"
        raise BackendError(f"--output {args.output}: {'; '.join(refused) or none}")
    choice = _choice(args, given, providers) if providers and given.source.onnx else None
    if choice is None and not reports:
        raise BackendError("; ".join(refused) or f"nothing of '{given.target.name}' takes {args.model}")
    if args.output and args.output.endswith(".bundle"):
        _pack(args, given, reports)
    why = _why(given, choice)
    if args.json:
        result: dict[str, Any] = choice.to_json() if choice else {}
        compiled = [{"label": each.label, **each.figures} for each in reports]
        print(json.dumps(result | {"target": given.target.name, "compiled": compiled, "reasons": why}))
        return
    for report in reports:
        print(console.table([report.label, ""], report.rows) + ("\n" if choice else ""))
    if choice is not None:
        _show(choice, why)


def _given(args: argparse.Namespace) -> _Given:
    from edge_runtime.accelerators import selftest
    from edge_runtime.accelerators.candidates import candidate
    from edge_runtime.accelerators.compilers import Source

    path = existing(args.model, "a bundle, or an .onnx or .tflite file")
    packs = bool(args.output) and args.output.endswith(".bundle")
    tflite = path.read_bytes() if path.suffix == ".tflite" and path.is_file() else b""
    bundle = None if path.is_file() and path.suffix in (".onnx", ".tflite") else Bundle.open(path)
    if packs and (bundle is None or any(file.endswith(SUFFIX) for file in bundle.manifest.files)):
        raise InputError(f"--output {args.output}: what is compiled goes into a bundle that is not encrypted")
    name = args.target or (bundle.manifest.target if bundle else "")
    if not name:
        raise InputError(f"{path}: a model file names no target; give --target, such as qnn-htp or ethos-u55")
    target = Target.load(name)
    tried = [candidate(entry, target.name) for entry in target.accelerators]
    if not tried:
        raise InputError(f"target '{target.name}' names no accelerator; see 'littoral targets'")
    if tflite:
        return _Given(target, tried, Source(tflite=tflite))
    graph = bundle.read("infer.onnx") if bundle else path.read_bytes()
    session = Session(graph, threads=1)
    if bundle and selftest.FILE in bundle:
        test = selftest.stored(session.inputs, bundle.read(selftest.FILE))
    else:
        test = selftest.made(session.inputs, session.run)
    return _Given(target, tried, Source(graph, samples=_samples(args, bundle), test=test), bundle)


def _samples(args: argparse.Namespace, bundle: Bundle | None) -> Any:
    from edge_runtime import data, declared

    if not args.data:
        return None
    preprocess = bundle.manifest.preprocess if bundle else None
    if args.preprocess:
        preprocess = declared.parse_preprocess(args.preprocess)
    return data.load(args.data, preprocess).x


def _compiled(args: argparse.Namespace, given: _Given) -> "tuple[list[Report], list[str]]":
    """What the compilers made, and why others made nothing."""
    from edge_runtime.accelerators.compilers import compile_for

    reports, refused = [], []
    for each in given.tried:
        # With no provider, compiling is all that can be done.
        if not each.compiler or (each.provider and not args.compile and not args.output):
            continue
        try:
            report = compile_for(given.source, each)
        except BackendError as error:
            refused.append(f"{each.label}: not compiled: {error}")
            if each.provider:
                console.say(refused[-1])
            continue
        reports.append(report)
        if args.output and not args.output.endswith(".bundle"):
            with atomic(args.output) as partial:
                partial.write_bytes(report.content)
            console.say(f"{each.label}: {args.output}, {console.megabytes(len(report.content))}")
    return reports, refused


def _choice(args: argparse.Namespace, given: _Given, tried: "Sequence[Candidate]") -> "Choice | None":
    from edge_runtime.accelerators import context, select

    graph, test = given.source.onnx, given.source.test
    if test is None:
        return None
    folder = Path(args.contexts) if args.contexts else context.folder()
    for each in (each for each in tried if args.compile and each.plugin):
        try:
            path = context.compile_context(folder, graph, each, test.lengths)
            console.say(f"{each.label}: compiled to {path}")
        except BackendError as error:
            console.say(f"{each.label}: not compiled: {error}")
    rules = select.Rules(min_share=args.min_share, contexts=folder)
    return select.open_best(graph, tried, test, rules=rules)


def _pack(args: argparse.Namespace, given: _Given, reports: "list[Report]") -> None:
    """Write the bundle again, with what was compiled for its chip."""
    from edge_runtime.accelerators import context

    added = {report.file: report.content for report in reports}
    folder = Path(args.contexts) if args.contexts else context.folder()
    for each in given.tried:
        if each.plugin:
            added |= context.shipped(folder, given.source.onnx, each)
    if not added:
        raise BackendError(f"{args.output}: nothing was compiled that could go into it; see --compile")
    if given.bundle is not None:
        given.bundle.rewritten(args.output, given.bundle.manifest, added)
    console.say(f"{args.output}: with {', '.join(sorted(added))}")


def _why(given: _Given, choice: "Choice | None") -> dict[str, str]:
    """Why nodes were left on the CPU, by name, as far as the provider says."""
    from edge_runtime.accelerators.reasons import reasons

    taken = [each for each in given.tried if choice and each.plugin and each.label == choice.label]
    if not taken or not choice or not choice.on_cpu or given.source.test is None:
        return {}
    found = reasons(given.source.onnx, taken[0], given.source.test.lengths)
    return {name: found[name] for _, name in choice.on_cpu if name in found}


def _show(choice: "Choice", why: dict[str, str]) -> None:
    rows = [(other.label, "no", other.reason) for other in choice.rejected]
    words = (("compiled ahead", choice.compiled_ahead), ("simulated", choice.simulated))
    how = "".join(f", {word}" for word, yes in words if yes)
    rows.append((choice.label, "taken", f"self-test {choice.similarity:.4f}{how}"))
    print(console.table(["accelerator", "", "why"], rows))
    print("\n" + console.table(["provider", "nodes"], sorted(choice.nodes.items())))
    left = Counter(
        (operator, why.get(name, "the provider gives no reason")) for operator, name in choice.on_cpu
    )
    if left:
        rows = [(operator, str(count), reason) for (operator, reason), count in left.most_common()]
        print("\n" + console.table(["left on the CPU", "nodes", "why"], rows))


ACCELERATE = Command(
    "accelerate",
    "Try a target's NPU: what it really runs, what is left on the CPU, and why others were not taken.",
    "littoral accelerate model.bundle --target qnn-htp --compile",
    _arguments,
    _run,
)
