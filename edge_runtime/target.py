"""Targets: device profiles in TOML, which say what a model is compressed for, run on and emulated as."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edge_runtime.errors import TargetError, hint

_FOLDER = Path(__file__).with_name("targets")


@dataclass(frozen=True, slots=True)
class Target:
    """A device profile.

    `activation` is the integer type that the device's int8 kernels like for activations: "uint8" where
    multiply-accumulates widen, "int8" where there is a signed dot product (Armv8.2 SDOT).
    `emulator_cpu` is a CPU name of QEMU's user-mode emulator. `mips`: millions of instructions that one core gets
    through in a second in such kernels, by which a count becomes a time; 0 where it is not known. `accelerators`, best
    first: see `edge_runtime.accelerators.candidates`. `engines`, fastest first, as they were measured.
    `saturating_int8`: its int8 kernels add pairs of products in 16 bits (x86 without VNNI).
    """

    name: str
    summary: str
    arch: str
    cores: int
    ram_mib: int
    features: tuple[str, ...] = ()
    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    activation: str = "uint8"
    emulator_cpu: str = ""
    mips: float = 0.0
    accelerators: tuple[Mapping[str, Any], ...] = ()
    engines: tuple[str, ...] = ("onnxruntime", "litert")
    saturating_int8: bool = False

    def __post_init__(self) -> None:
        if self.arch not in ("aarch64", "x86_64", "armv8.1-m"):
            raise TargetError(
                f"target '{self.name}': arch is '{self.arch}'; expected aarch64, x86_64 or armv8.1-m"
            )
        if self.activation not in ("uint8", "int8"):
            raise TargetError(
                f"target '{self.name}': activation is '{self.activation}'; expected uint8 or int8"
            )

    @classmethod
    def load(cls, name: "str | Target") -> "Target":
        """The target of that name, or the one described by the TOML file at that path.

        >>> Target.load("rpi4").emulator_cpu
        'cortex-a72'

        Raises:
            TargetError: there is no such target, or its file has a mistake.
        """
        if isinstance(name, Target):
            return name
        if name.endswith(".toml"):
            if not Path(name).is_file():
                raise TargetError(f"target file {name}: no such file")
            return cls._parse(Path(name).read_text(encoding="utf-8"), name)
        builtin = _FOLDER / f"{name}.toml"
        if not builtin.is_file():
            known = ", ".join(target_names())
            raise TargetError(
                f"no target '{name}'{hint(name, target_names())}; there are {known}, or give a .toml file"
            )
        return cls._parse(builtin.read_text(encoding="utf-8"), f"{name}.toml")

    @classmethod
    def _parse(cls, text: str, where: str) -> "Target":
        try:
            table: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise TargetError(f"{where}: not valid TOML: {error}") from error
        known = [f.name for f in fields(cls)]
        for key in table:
            if key not in known:
                raise TargetError(
                    f"{where}: unknown key '{key}'{hint(key, known)}; known: {', '.join(known)}"
                )
        try:
            values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
            return cls(**values)
        except TypeError as error:
            missing = [k for k in ("name", "summary", "arch", "cores", "ram_mib") if k not in table]
            raise TargetError(f"{where}: missing {', '.join(missing)}") from error


def target_names() -> list[str]:
    """Names of the built-in targets, sorted."""
    return sorted(
        entry.name.removesuffix(".toml") for entry in _FOLDER.iterdir() if entry.name.endswith(".toml")
    )
