"""The doctor: what the device has, what lies idle on it, and the line that installs what is missing."""

import json

import pytest

from edge_runtime.__main__ import main
from edge_runtime.accelerators import rknn
from edge_runtime.accelerators.candidates import KNOWN, Candidate
from edge_runtime.doctor import device, engines
from edge_runtime.emulator import needs

PI = """processor\t: 0
Features\t: fp asimd evtstrm aes crc32 asimdhp asimddp cpuid
CPU implementer\t: 0x41
CPU part\t: 0xd0b
"""


def test_it_says_what_is_here(capsys):
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "onnxruntime" in shown
    assert all(known.label in shown for known in KNOWN.values())
    assert main(["doctor", "--json"]) == 0
    checks = {check["what"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["numpy"]["state"][0].isdigit()
    assert checks["numpy"]["remedy"] == ""
    assert "CPU" in checks["providers built in"]["state"].split(", ")
    assert "GiB" in checks["memory"]["state"]
    assert {"qemu-aarch64", "cc", "cache", "int8 kernels", "cores", "features", "python"} <= checks.keys()


def test_it_gives_the_line_that_installs_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(needs.shutil, "which", lambda _: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name, _package=None: None)
    monkeypatch.delenv(rknn.VARIABLE, raising=False)
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "apt-get install -y qemu-user gcc libc6-dev" in shown
    assert "pip install 'littoral[ethos-u]'" in shown
    assert "pip install 'littoral[qnn]'" in shown
    assert rknn.VARIABLE in shown


def test_a_device_s_processor_and_memory_are_read(tmp_path):
    for name, text in (
        ("proc/cpuinfo", PI),
        ("proc/meminfo", "MemTotal: 4194304 kB\nMemAvailable: 3145728 kB\nHugePages_Total: 0\n"),
        ("proc/device-tree/model", "Raspberry Pi 5 Model B\0"),
        ("sys/fs/cgroup/memory.max", "1073741824\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "1800000\n"),
        ("sys/devices/system/cpu/cpu4/cpufreq/cpuinfo_max_freq", "2400000\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    said = {check.what: check.state for check in device.checks(tmp_path)}
    assert said["device"] == "Raspberry Pi 5 Model B"
    assert said["processor"].startswith("Arm part 0xd0b")
    assert said["features"] == "NEON, fp16, dot product"
    assert said["memory"] == "4.0 GiB, 3.0 GiB of it free; limited to 1.0 GiB"
    assert "1 of 2.4 GHz and 1 of 1.8 GHz" in said["cores"]


def test_a_system_that_says_nothing_is_no_reason_to_fail(tmp_path):
    said = {check.what: check.state for check in device.checks(tmp_path)}
    assert said["features"] == "none that kernels choose by"
    assert "memory" not in said


@pytest.mark.parametrize("there", [True, False])
def test_hardware_that_lies_idle_gets_its_line(tmp_path, there):
    if there:
        (tmp_path / "npu0").touch()
    known = Candidate(
        "An NPU", "NpuExecutionProvider", install="pip install it", signs=(str(tmp_path / "npu*"),)
    )
    check = engines._accelerator(known)
    assert check.state == f"{'found' if there else 'none found'}; not in this onnxruntime"
    assert check.remedy == ("pip install it" if there else "")
