"""What an emulated device shows of itself: the files of the kernel by which programs recognise a processor.

ONNX Runtime recognises the processor and its cores from /proc/cpuinfo and /sys/devices/system/cpu. QEMU's user mode
would show it the host's, of another architecture: some make it crash, all make it guess. So each run gets these files
in a folder that QEMU looks into before the host's own.
"""

from pathlib import Path

from edge_runtime.errors import EmulatorError
from edge_runtime.target import Target

# MIDR_EL1, the processor's identity, as QEMU's user mode gives it for each of its -cpu names.
_MIDR = {
    "cortex-a35": 0x411FD040,
    "cortex-a53": 0x410FD034,
    "cortex-a55": 0x412FD050,
    "cortex-a57": 0x411FD070,
    "cortex-a72": 0x410FD083,
    "cortex-a76": 0x414FD0B1,
    "neoverse-n1": 0x414FD0C1,
}
_HWCAP = {"neon": "fp asimd", "dotprod": "asimddp", "fp16": "fphp asimdhp", "i8mm": "i8mm", "bf16": "bf16"}


def write_device(folder: Path, target: Target, cores: int) -> None:
    """Write the files of a device with that many cores into `folder`.

    Raises:
        EmulatorError: the target names no processor that can be emulated.
    """
    for name, text in _kernel_files(target, cores).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="ascii")
    (folder / "sys/bus/pci/devices").mkdir(parents=True)  # empty: a board, not the host's graphics cards


def _kernel_files(target: Target, cores: int) -> dict[str, str]:
    every = f"0-{cores - 1}" if cores > 1 else "0"
    files = {f"sys/devices/system/cpu/{name}": every for name in ("online", "possible", "present")}
    files["sys/devices/system/cpu/kernel_max"] = "255"
    for core in range(cores):
        where = f"sys/devices/system/cpu/cpu{core}"
        files |= {f"{where}/topology/{name}": every for name in ("cluster_cpus_list", "core_siblings_list")}
        files[f"{where}/topology/physical_package_id"] = "0"
        files |= {f"{where}/cache/index2/level": "2", f"{where}/cache/index2/size": "512K"}
        files[f"{where}/cache/index2/shared_cpu_list"] = every
    describe = _arm_core if target.arch == "aarch64" else _x86_core
    files["proc/cpuinfo"] = (
        "\n\n".join(f"processor\t: {core}\n{describe(target)}" for core in range(cores)) + "\n"
    )
    return files


def _arm_core(target: Target) -> str:
    if target.emulator_cpu not in _MIDR:
        known = ", ".join(_MIDR)
        raise EmulatorError(
            f"target '{target.name}': emulator_cpu is '{target.emulator_cpu}'; expected one of {known}"
        )
    midr = _MIDR[target.emulator_cpu]
    return (
        f"Features\t: {' '.join(_HWCAP.get(name, name) for name in target.features)} crc32 cpuid\n"
        f"CPU implementer\t: 0x{midr >> 24:02x}\n"
        f"CPU architecture: 8\n"
        f"CPU variant\t: 0x{midr >> 20 & 0xF:x}\n"
        f"CPU part\t: 0x{midr >> 4 & 0xFFF:03x}\n"
        f"CPU revision\t: {midr & 0xF}"
    )


def _x86_core(target: Target) -> str:
    return f"model name\t: {target.name}\nflags\t\t: {' '.join(target.features)}"
