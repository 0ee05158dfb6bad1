"""Arm Ethos-U: Vela compiles an int8 TFLite model into commands for it, and estimates what they cost.

The NPU sits beside a microcontroller (or, the U65 and U85, beside a Cortex-A) and runs integers only; what it cannot
run is left to the CPU. Vela exits with 0 also where it has put nothing on the NPU, so its summary is read. Cycles and
latency are the compiler's estimates for a system's clock and memories, not measurements. Nothing here runs the result:
its operator is the NPU's driver's.
"""

import csv
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge_runtime.errors import BackendError, ModelError, TargetError, hint

INSTALL = "pip install 'littoral[ethos-u]'"
_OPTIONS = ("accelerator-config", "system-config", "memory-mode", "sram-kib")
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Compiled:
    """What Vela made: the .tflite file, how many operators run where, and what it estimates.

    `on_cpu` names the operators that the NPU does not run. `sram_bytes` is what the network takes of `budget_bytes`
    (0: none was given); `other_bytes` lie in flash or DRAM. `cycles` and `latency_ms` are one inference's.
    """

    content: bytes
    configuration: str
    npu_operators: int
    on_cpu: tuple[str, ...]
    sram_bytes: int
    budget_bytes: int
    other_bytes: int
    cycles: int
    latency_ms: float

    @property
    def share(self) -> float:
        """Of the operators, on the NPU."""
        return self.npu_operators / max(self.npu_operators + len(self.on_cpu), 1)

    @property
    def fits(self) -> bool:
        """Whether its SRAM is within the budget."""
        return not self.budget_bytes or self.sram_bytes <= self.budget_bytes

    def to_json(self) -> dict[str, Any]:
        """As a plain table, without the content."""
        values = {name: value for name, value in asdict(self).items() if name != "content"}
        return values | {"bytes": len(self.content), "share": self.share, "fits": self.fits}

    def rows(self) -> list[tuple[str, str]]:
        """What there is to show, line by line."""
        total = self.npu_operators + len(self.on_cpu)
        budget = f" of {self.budget_bytes / _KIB:.0f}" if self.budget_bytes else ""
        return [
            ("configuration", self.configuration),
            ("operators on the NPU", f"{self.npu_operators} of {total} ({100 * self.share:.0f} %)"),
            *(("left on the CPU", operator) for operator in self.on_cpu),
            ("SRAM", f"{self.sram_bytes / _KIB:.0f}{budget} KiB" + ("" if self.fits else ", too much")),
            ("flash or DRAM", f"{self.other_bytes / _KIB:.0f} KiB"),
            ("cycles, estimated", f"{self.cycles:,}"),
            ("latency, estimated", f"{self.latency_ms:.3g} ms"),
        ]


def compile_model(model: bytes, options: Mapping[str, str]) -> Compiled:
    """Compile a .tflite model.

    Args:
        model: full-integer, with channels last and integers at its ends (``converter.lower(native=True)``).
        options: `accelerator-config` ("ethos-u55-128"), `system-config` and `memory-mode` as Vela's Arm/vela.ini calls
            them, and `sram-kib`, the SRAM that the network may take.

    Raises:
        BackendError: Vela is not installed.
        ModelError: it refuses the model, or the NPU would run nothing of it.
        TargetError: there is no such option.
    """
    for name in options:
        if name not in _OPTIONS:
            raise TargetError(
                f"Ethos-U has no option '{name}'{hint(name, _OPTIONS)}; it has {', '.join(_OPTIONS)}"
            )
    budget = _budget(options)
    given = [f"--{name}={options[name]}" for name in _OPTIONS[:3] if name in options]
    if "system-config" in options:
        given.append("--config=Arm/vela.ini")
    if budget:
        given.append(f"--arena-cache-size={budget}")
    with tempfile.TemporaryDirectory(prefix="littoral-") as folder:
        source = Path(folder, "model.tflite")
        source.write_bytes(model)
        fixed = ["--show-cpu-operations", f"--output-dir={folder}"]
        done = subprocess.run(
            [*command(), str(source), *fixed, *given], capture_output=True, text=True, check=False
        )
        made = Path(folder, "model_vela.tflite")
        if done.returncode or not made.is_file():
            raise ModelError(f"Vela does not compile this model: {_complaint(done.stderr + done.stdout)}")
        (summary,) = Path(folder).glob("model_summary_*.csv")
        with summary.open(encoding="utf-8", newline="") as stream:
            figures = next(csv.DictReader(stream))
        compiled = _compiled(made.read_bytes(), figures, done.stdout, budget)
        if not compiled.npu_operators:
            raise ModelError(
                "an Ethos-U runs nothing of this model: it takes integers; compress it for the target"
            )
        return compiled


def _complaint(said: str) -> str:
    """The line of what a program wrote that says what went wrong."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"\w*(Error|Exception)\b", line)]
    return (named or lines or ["no message"])[-1]


def _budget(options: Mapping[str, str]) -> int:
    text = options.get("sram-kib", "0")
    if not text.isdigit():
        raise TargetError(f"Ethos-U: sram-kib is '{text}'; expected a whole number of KiB")
    return int(text) * _KIB


def _compiled(content: bytes, figures: Mapping[str, str], said: str, budget: int) -> Compiled:
    counts = [re.search(rf"^{unit} operators = (\d+)", said, re.MULTILINE) for unit in ("NPU", "CPU")]
    npu, cpu = (int(found.group(1)) if found else 0 for found in counts)
    named = re.findall(r"^\s+CPU: (.+)$", said, re.MULTILINE)
    on_cpu = tuple(named) if len(named) == cpu else (*named, *["(unnamed)"] * (cpu - len(named)))
    others = ("dram", "on_chip_flash", "off_chip_flash")
    return Compiled(
        content,
        f"{figures['accelerator_configuration']}, {figures['system_config']}, {figures['memory_mode']}",
        npu,
        on_cpu,
        round(float(figures["sram_memory_used"]) * _KIB),
        budget,
        round(sum(float(figures[f"{name}_memory_used"]) for name in others) * _KIB),
        round(float(figures["cycles_total"])),
        1e3 * float(figures["inference_time"]),
    )


def command() -> Sequence[str]:
    """What starts Vela: this Python, or the program of that name.

    Raises:
        BackendError: it is not installed.
    """
    if importlib.util.find_spec("ethosu") is not None:
        return [sys.executable, "-m", "ethosu.vela"]
    found = shutil.which("vela")
    if found is None:
        raise BackendError(f"Vela, which compiles for Arm Ethos-U, is not installed: {INSTALL}")
    return [found]
