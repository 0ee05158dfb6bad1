"""Command of this floor: compress."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from compress import engines, fidelity
from compress.budget import Budget
from compress.compress import Compressed, compress
from compress.recipe import Recipe
from compress.report import report
from converter.convert import convert
from edge_runtime import console, data, declared
from edge_runtime.command import Command
from edge_runtime.errors import InputError
from edge_runtime.files import write_text
from edge_runtime.target import Target


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="an .onnx or .pt2 file, or module:callable")
    parser.add_argument("--target", default="rpi4", help="the device: see 'littoral targets' (default rpi4)")
    parser.add_argument(
        "--data",
        required=True,
        help="an .npz with x (and y) or an array for each input, an .npy, or pictures",
    )
    parser.add_argument("--test", help="other data to check the result on (default: --data)")
    parser.add_argument(
        "--preprocess", help="for pictures: resize=256,crop=224,mean=127,std=128; or kind=audio,..."
    )
    parser.add_argument("--labels", help="a text file with the name of one class a line")
    parser.add_argument(
        "--postprocess",
        help="what the outputs mean: kind=classify,top=5, kind=detect,threshold=0.3,iou=0.5 ...",
    )
    parser.add_argument("--recipe", help="a TOML file with the steps (default: optimize, quantize)")
    _limits(parser)
    parser.add_argument(
        "--fix",
        metavar="INPUT=VALUE",
        action="append",
        default=[],
        help="make a constant of an input: sr=16000",
    )
    parser.add_argument(
        "--measure", choices=fidelity.MEASURES, default="auto", help="how outputs are compared (default auto)"
    )
    parser.add_argument(
        "--min-agreement", type=float, default=0.8, help="refuse a result below it (default 0.8)"
    )
    parser.add_argument(
        "--engine",
        choices=engines.CHOICES,
        default="auto",
        help="what runs it: auto measures both and packs LiteRT's form where it is the better (default auto)",
    )
    parser.add_argument(
        "-o", "--output", help="the bundle (default: MODEL-TARGET.bundle); a folder without suffix"
    )
    parser.add_argument("--report", help="the HTML page (default: report.html beside the bundle)")
    parser.add_argument("--coded", action="store_true", help="store the weights entropy-coded: smaller")
    parser.add_argument(
        "--no-emulate", action="store_true", help="do not count instructions on the emulated target"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _limits(parser: argparse.ArgumentParser) -> None:
    limits = parser.add_argument_group(
        "budget",
        "instead of a recipe: search for the cheapest model within --max-drop, or the nearest to the original",
    )
    limits.add_argument(
        "--max-drop", type=float, metavar="SHARE", help="accuracy (or agreement) that may be lost: 0.01"
    )
    limits.add_argument(
        "--max-latency-ms", type=float, metavar="MS", help="of one inference on one core of the target"
    )
    limits.add_argument("--max-size-mb", type=float, metavar="MB", help="of the stored graph, entropy-coded")
    limits.add_argument(
        "--epochs", type=int, default=9, help="of training, for the last candidates (default 9)"
    )
    limits.add_argument(
        "--work", metavar="FOLDER", help="of the search, resumed from there (default: OUTPUT.search)"
    )


def _run(args: argparse.Namespace) -> None:
    target = Target.load(args.target)
    recipe = Recipe.load(args.recipe) if args.recipe else None
    preprocess = declared.parse_input(args.preprocess) if args.preprocess else None
    postprocess = declared.parse_postprocess(args.postprocess) if args.postprocess else None
    labels = declared.labels_in(args.labels) if args.labels else ()
    samples = data.load(args.data, preprocess)
    test = data.load(args.test, preprocess) if args.test else None
    out = Path(args.output or f"{_stem(args.model)}-{target.name}.bundle")
    where = Path(args.report or out.parent / "report.html")
    if where.is_dir():
        raise InputError(f"--report {where}: is a folder; expected the name of an HTML page")
    if not 0 <= args.min_agreement <= 1:
        raise InputError(f"--min-agreement {args.min_agreement}: expected a share between 0 and 1")
    budget = Budget(args.max_drop, args.max_latency_ms, args.max_size_mb)
    if budget and recipe:
        raise InputError("--recipe gives the steps and --max-... searches for them: expected one of the two")
    console.say(f"convert {args.model}")
    result = compress(
        convert(args.model, samples=samples, fixed=_fixed(args.fix)),
        samples,
        out,
        target=target,
        recipe=recipe,
        test=test,
        preprocess=preprocess,
        labels=labels,
        postprocess=postprocess,
        min_agreement=args.min_agreement,
        coded=args.coded,
        emulate=not args.no_emulate,
        budget=budget or None,
        epochs=args.epochs,
        work=args.work,
        measure=args.measure,
        engine=args.engine,
    )
    if budget:
        write_text(out.with_suffix(".toml"), result.chosen.recipe.to_toml())
    page = _page(result, where)
    if args.json:
        print(json.dumps(result.to_json() | {"report": None if page is None else str(page)}))
        return
    print(console.table(report.HEADER, report.rows(result)))
    print(
        f"\nengine {result.preferred.engine}: {result.preferred.why}\nbundle {out}\nreport {page or 'not written'}"
    )


def _page(result: Compressed, path: Path) -> Path | None:
    """Write the report; None if that failed, for the bundle is whole without it."""
    try:
        return report.write(result, path)
    except Exception as error:  # noqa: BLE001  (whatever a picture fails at, the bundle may have taken hours)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        console.say(f"warning: the bundle is complete, its report could not be written: {reason}")
        return None


def _fixed(pairs: Sequence[str]) -> dict[str, str]:
    found = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    if len(found) < len(pairs):
        raise InputError(f"--fix {' '.join(pairs)}: expected INPUT=VALUE, each input once")
    return found


def _stem(model: str) -> str:
    return model.rpartition(":")[2] if ":" in model and not Path(model).exists() else Path(model).stem


COMPRESS = Command(
    "compress",
    "Compress a model for a device, check it, and pack a bundle.",
    "littoral compress model.onnx --target rpi4 --data data.npz",
    _arguments,
    _run,
)
