"""Commands around the emulated device: emulate, doctor."""

import argparse
import importlib.util
import json
import os
import platform
import re
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from edge_runtime import console
from edge_runtime.command import Command
from edge_runtime.emulator.counter import Count
from edge_runtime.emulator.machine import run
from edge_runtime.emulator.needs import NEEDS, install_line, missing
from edge_runtime.engines.onnx import saturates
from edge_runtime.files import cache_dir
from edge_runtime.web.cli import PHONE, phone, phone_arguments


def _emulate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target", help=f"which device: a name from `littoral targets`, a .toml file, or {PHONE}"
    )
    parser.add_argument(
        "args", nargs="+", metavar="-- ARGS", help="a command of the device side: run, bench, targets ..."
    )
    parser.add_argument("--count", action="store_true", help="count the exact instructions of an inference")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object on stdout, after the command's own output"
    )


def _emulate(args: argparse.Namespace) -> None:
    if args.target == PHONE:
        parser = argparse.ArgumentParser(prog=f"littoral emulate {PHONE} --")
        phone_arguments(parser)
        phone(parser.parse_args([*args.args, *(["--json"] if args.json else [])]))
        return
    done = run(args.target, args.args, count=args.count)
    if args.json:
        counts = [count.to_json() for count in done.counts]
        result = {"target": args.target, "exit_code": done.returncode, "peak_bytes": done.peak_bytes}
        print(json.dumps(result | {"counts": counts}))
    elif done.counts:
        print(_count_table(done.counts))
    elif args.count and not done.returncode:
        console.say("no instructions were counted: the command made no session; count `bench` or `run`")
    if not args.json:
        console.say(f"{args.target}: {console.megabytes(done.peak_bytes)} of memory at most")
    if done.returncode:
        raise SystemExit(done.returncode)


def _count_table(counts: tuple[Count, ...]) -> str:
    rows = [(i, *(f"{n:,}" for n in count.to_json().values())) for i, count in enumerate(counts)]
    return console.table(["session", *counts[0].to_json()], rows)


@dataclass(frozen=True, slots=True)
class _Check:
    what: str
    state: str
    remedy: str = ""


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _doctor(args: argparse.Namespace) -> None:
    checks = [*_device_side(), *_emulator(), *_extras()]
    if args.json:
        print(json.dumps({"checks": [asdict(check) for check in checks]}))
        return
    rows = [(check.what, check.state, check.remedy) for check in checks]
    print(console.table(["what", "found", "to have it"], rows))
    if missing():
        print(f"\nto emulate devices here: {install_line(missing())}")


def _device_side() -> list[_Check]:
    found = [_Check("python", platform.python_version())]
    for package, extra in (("numpy", ""), ("onnxruntime", "[device]"), ("pillow", "[images]")):
        version = _version(package)
        found.append(
            _Check(package, version or "missing", "" if version else f"pip install 'littoral{extra}'")
        )
    exact = "exact, the slower ones of x86 without VNNI" if saturates() else "exact, at full speed"
    return [*found, _Check("int8 kernels", exact)]


def _emulator() -> list[_Check]:
    tools = [
        _Check(n.tool, "found" if n.present else "missing", "" if n.present else install_line([n]))
        for n in NEEDS
    ]
    folder = cache_dir()
    size = sum(os.lstat(Path(where, name)).st_size for where, _, names in os.walk(folder) for name in names)
    return [*tools, _Check("cache", f"{folder}, {console.megabytes(size)}")]


def _extras() -> list[_Check]:
    """Each optional part of the distribution, as its own metadata lists what that part needs."""
    try:
        requirements = metadata.requires("littoral") or []
    except metadata.PackageNotFoundError:
        return []
    needs: dict[str, list[str]] = {}
    for line in requirements:
        parts = re.fullmatch(r"([\w.-]+)(?:\[([\w,-]+)\])?.*extra == ['\"]([\w-]+)['\"].*", line)
        if parts:
            name, inner, extra = parts.groups()
            needs.setdefault(extra, []).extend(inner.split(",") if name == "littoral" else [f"{name} "])
    return [_extra(name, needs) for name in sorted(needs) if name not in ("all", "dev")]


def _extra(name: str, needs: dict[str, list[str]]) -> _Check:
    lacking = _lacking(name, needs)
    state = f"lacks {', '.join(lacking)}" if lacking else "installed"
    return _Check(f"[{name}]", state, f"pip install 'littoral[{name}]'" if lacking else "")


def _lacking(name: str, needs: dict[str, list[str]]) -> list[str]:
    if name.endswith(" "):  # a package, not another extra
        return [] if _version(name.strip()) else [name.strip()]
    return sorted({package for need in needs.get(name, ()) for package in _lacking(need, needs)})


def _version(package: str) -> str:
    """The installed version; where only the files are there, as on the emulated device, "found"; else empty."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "found" if package in sys.modules or importlib.util.find_spec(package) else ""


EMULATE = Command(
    "emulate",
    "Run a command on an emulated device.",
    "littoral emulate rpi4 --count -- bench m.bundle",
    _emulate_arguments,
    _emulate,
)
DOCTOR = Command(
    "doctor",
    "Say what is installed here, and how to get the rest.",
    "littoral doctor",
    _doctor_arguments,
    _doctor,
)
