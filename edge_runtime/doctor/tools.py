"""The rest: the emulator's tools, the cache, and the optional parts of the distribution."""

import os
import platform
import re
from importlib import metadata
from pathlib import Path

from edge_runtime.console import megabytes
from edge_runtime.doctor.check import Check, version
from edge_runtime.emulator.needs import NEEDS, install_line
from edge_runtime.files import cache_dir


def checks() -> list[Check]:
    """What there is to say about them."""
    return [*_emulator(), *_extras()]


def _emulator() -> list[Check]:
    found = [
        Check("emulator", n.tool, "found" if n.present else "missing", "" if n.present else install_line([n]))
        for n in NEEDS
    ]
    folder = cache_dir()
    size = sum(os.lstat(Path(where, name)).st_size for where, _, names in os.walk(folder) for name in names)
    return [*found, Check("emulator", "cache", f"{folder}, {megabytes(size)}")]


def _extras() -> list[Check]:
    """Each optional part of the distribution, as its own metadata lists what that part needs."""
    python = Check("parts", "python", platform.python_version())
    try:
        requirements = metadata.requires("littoral") or []
    except metadata.PackageNotFoundError:
        return [python]
    needs: dict[str, list[str]] = {}
    for line in requirements:
        parts = re.fullmatch(r"([\w.-]+)(?:\[([\w,-]+)\])?.*extra == ['\"]([\w-]+)['\"].*", line)
        if parts:
            name, inner, extra = parts.groups()
            needs.setdefault(extra, []).extend(inner.split(",") if name == "littoral" else [f"{name} "])
    return [python, *(_extra(name, needs) for name in sorted(needs) if name not in ("all", "dev"))]


def _extra(name: str, needs: dict[str, list[str]]) -> Check:
    lacking = _lacking(name, needs)
    state = f"lacks {', '.join(lacking)}" if lacking else "installed"
    return Check("parts", f"[{name}]", state, f"pip install 'littoral[{name}]'" if lacking else "")


def _lacking(name: str, needs: dict[str, list[str]]) -> list[str]:
    if name.endswith(" "):  # a package, not another extra
        return [] if version(name.strip()) else [name.strip()]
    return sorted({package for need in needs.get(name, ()) for package in _lacking(need, needs)})
