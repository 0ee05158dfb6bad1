"""Command: accelerate."""

import argparse
import json
from collections import Counter
from pathlib import Path

from edge_runtime import console
from edge_runtime.command import Command
from edge_runtime.errors import InputError
from edge_runtime.session import Session
from edge_runtime.target import Target


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="a bundle, or an .onnx file")
    parser.add_argument("--target", help="whose accelerators are tried (default: the bundle's)")
    parser.add_argument(
        "--compile", action="store_true", help="compile ahead first, for every plug-in that can"
    )
    parser.add_argument(
        "--contexts", metavar="FOLDER", help="where compiled graphs lie (default: in the cache)"
    )
    parser.add_argument(
        "--min-share", type=float, default=0.5, help="of the nodes that it has to run (default 0.5)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _run(args: argparse.Namespace) -> None:
    from edge_runtime.accelerators import context, select, selftest
    from edge_runtime.accelerators.candidates import candidate
    from edge_runtime.errors import BackendError

    session = Session(args.bundle, threads=1)
    manifest = session.bundle.manifest if session.bundle else None
    name = args.target or (manifest.target if manifest else "")
    if not name:
        raise InputError(f"{args.bundle}: an .onnx file names no target; give --target, such as qnn-htp")
    target = Target.load(name)
    tried = [candidate(entry, target.name) for entry in target.accelerators]
    if not tried:
        raise InputError(f"target '{target.name}' names no accelerator; see 'littoral targets'")
    graph = session.bundle.read("infer.onnx") if session.bundle else Path(args.bundle).read_bytes()
    test = selftest.made(session.inputs, session.run)
    if session.bundle and selftest.FILE in session.bundle:
        test = selftest.stored(session.inputs, session.bundle.read(selftest.FILE))
    folder = Path(args.contexts) if args.contexts else context.folder()
    for each in tried if args.compile else ():
        try:
            console.say(
                f"{each.label}: compiled to {context.compile_context(folder, graph, each, test.lengths)}"
            )
        except BackendError as error:
            console.say(f"{each.label}: not compiled: {error}")
    choice = select.open_best(graph, tried, test, min_share=args.min_share, contexts=folder)
    if args.json:
        print(json.dumps(choice.to_json() | {"target": target.name}))
        return
    rows = [(other.label, "no", other.reason) for other in choice.rejected]
    how = "simulated" if choice.simulated else "compiled ahead" if choice.compiled_ahead else ""
    rows.append((choice.label, "taken", f"self-test {choice.similarity:.4f} {how}".strip()))
    print(console.table(["accelerator", "", "why"], rows))
    print("\n" + console.table(["provider", "nodes"], sorted(choice.nodes.items())))
    left = Counter(op for op, _ in choice.on_cpu)
    if left:
        print("\n" + console.table(["operator left on the CPU", "nodes"], left.most_common()))


ACCELERATE = Command(
    "accelerate",
    "Try a target's NPU: what it really runs, what is left on the CPU, and why others were not taken.",
    "littoral accelerate model.bundle --target qnn-htp --compile",
    _arguments,
    _run,
)
