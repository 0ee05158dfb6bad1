"""The device itself: processor, cores, the features that kernels choose by, and memory."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from edge_runtime.doctor.check import Check
from edge_runtime.engines.onnx import saturates

# The kernel's word for a feature, and the usual one; the first that matter to integer and half-precision kernels.
_X86 = {
    "avx2": "AVX2",
    "fma": "FMA",
    "f16c": "F16C",
    "avx_vnni": "AVX-VNNI",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "amx_int8": "AMX int8",
}
_ARM = {
    "asimd": "NEON",
    "asimdhp": "fp16",
    "asimddp": "dot product",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve": "SVE",
    "sve2": "SVE2",
    "sme": "SME",
}
_GIB = 1 << 30


def checks(root: Path = Path("/")) -> list[Check]:
    """What there is to say about the device; `root` is where its /proc and /sys are."""
    info = _text(root / "proc/cpuinfo")
    found = [
        ("device", _text(root / "proc/device-tree/model").strip("\0\n")),
        ("processor", f"{_processor(info)}, {platform.machine()}"),
        ("cores", _cores(root)),
        ("features", ", ".join(features(info)) or "none that kernels choose by"),
        (
            "int8 kernels",
            "exact, the slower ones of x86 without VNNI" if saturates() else "exact, at full speed",
        ),
        ("memory", _memory(root)),
        ("system", f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}".rstrip(", ")),
    ]
    return [Check("device", what, state) for what, state in found if state]


def features(info: str) -> list[str]:
    """The features that /proc/cpuinfo lists, by their usual names."""
    words = {
        word
        for line in info.splitlines()
        if line.lower().startswith(("flags", "features"))
        for word in line.partition(":")[2].split()
    }
    known: Mapping[str, str] = {**_X86, **_ARM}
    return [name for flag, name in known.items() if flag in words]


def _processor(info: str) -> str:
    fields = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in info.splitlines())
    }
    part = fields.get("CPU part", "")
    return (
        fields.get("model name") or (f"Arm part {part}" if part else "") or platform.processor() or "unknown"
    )


def _cores(root: Path) -> str:
    """``8, of them 4 of 2.4 GHz and 4 of 1.8 GHz``; how many of them the process may use, if not all."""
    total = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    rates: dict[int, int] = {}
    for path in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/cpuinfo_max_freq"):
        text = _text(path).strip()
        if text.isdigit():
            rates[int(text)] = rates.get(int(text), 0) + 1
    kinds = [f"{rates[rate]} of {rate / 1e6:.1f} GHz" for rate in sorted(rates, reverse=True)]
    said = f"{total}"
    if len(kinds) > 1:
        said += f", of them {' and '.join(kinds)}"
    return said if usable == total else f"{said}; this process may use {usable}"


def _memory(root: Path) -> str:
    """``3.7 GiB, 2.9 GiB of it free``, and a container's limit."""
    kib = {
        key: int(value.split()[0])
        for key, _, value in (line.partition(":") for line in _text(root / "proc/meminfo").splitlines())
        if value.split()[:1] and value.split()[0].isdigit()
    }
    if "MemTotal" not in kib:
        return ""
    said = f"{kib['MemTotal'] * 1024 / _GIB:.1f} GiB"
    if "MemAvailable" in kib:
        said += f", {kib['MemAvailable'] * 1024 / _GIB:.1f} GiB of it free"
    limit = _text(root / "sys/fs/cgroup/memory.max").strip()
    return f"{said}; limited to {int(limit) / _GIB:.1f} GiB" if limit.isdigit() else said


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
