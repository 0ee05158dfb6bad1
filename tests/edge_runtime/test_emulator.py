"""The emulated device: its parts with fakes of their input, and the real one where QEMU is installed."""

import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import onnx.parser
import pytest

from edge_runtime import emulator
from edge_runtime.__main__ import main
from edge_runtime.emulator import counter, device, machine, needs, userland
from edge_runtime.errors import EmulatorError, InputError, TargetError
from edge_runtime.target import Target, target_names

needs_qemu = pytest.mark.skipif(
    not emulator.available() and "CI" not in os.environ, reason=f"not here: {emulator.missing()}"
)


def lines(per_inference, tag=0, extra=0, own=3000):
    """What the plug-in writes for one session whose marks cost `own` and whose group of 4 costs `extra` more."""
    at, text = 1_000_000, ""
    for group in (0, 1, 2, 4):
        for spent in (0, own + group * per_inference + (extra if group == 4 else 0)):
            at += spent
            text += json.dumps({"mark": 1000 * tag + group, "instructions": at, "dot": at // 1000}) + "\n"
    return text


def test_counts_are_per_inference_and_leave_out_the_marks():
    first, second = counter.parse_counts(lines(5_000_000) + lines(7_000_000, tag=1))
    assert (first.instructions, second.instructions) == (5_000_000, 7_000_000)
    assert first.classes == {"dot": 5000}
    assert first.to_json() == {"instructions": 5_000_000, "dot": 5000}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (lines(5_000_000, extra=800_000), "do not agree.*--threads 1"),
        (lines(0), "do not agree"),
        (lines(5_000_000)[:-20], "cut short"),
        (lines(5_000_000).rpartition('{"mark"')[0], "gave marks"),
    ],
)
def test_counts_that_cannot_be_right_raise(text, sentence):
    with pytest.raises(EmulatorError, match=sentence):
        counter.parse_counts(text)


def test_no_marks_no_counts():
    assert counter.parse_counts("") == ()


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root/libc.so.6").write_bytes(b"\x7fELF")
    (tmp_path / "root/libc.so").symlink_to("libc.so.6")
    (tmp_path / "lib").symlink_to("root")
    userland.record(tmp_path, {"libc6.deb": "00"})
    return tmp_path


def test_an_untouched_tree_is_not_damaged(tree):
    assert userland.damage(tree) == ""
    assert json.loads((tree / "userland.json").read_text())["archives"] == {"libc6.deb": "00"}


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (lambda t: (t / "root/libc.so.6").write_bytes(b"\x7fELG"), "root/libc.so.6 was altered"),
        (lambda t: (t / "root/libc.so.6").unlink(), "root/libc.so.6 is missing"),
        (lambda t: (t / "root/sitecustomize.py").touch(), "root/sitecustomize.py does not belong there"),
        (lambda t: ((t / "lib").unlink(), (t / "lib").symlink_to("/lib")), "lib was altered"),
        (lambda t: (t / "userland.json").write_text("{"), "userland.json is missing or cannot be read"),
    ],
)
def test_every_kind_of_damage_is_found(tree, harm, found):
    harm(tree)
    assert userland.damage(tree) == found


@pytest.fixture
def built(tmp_path, monkeypatch):
    """Builds that are quick and counted."""
    builds = []

    def build(home, versions):
        builds.append(home)
        (home / "root").mkdir(parents=True, exist_ok=True)
        (home / "root/python").write_text("python")
        userland.record(home, versions)

    monkeypatch.setenv("LITTORAL_CACHE", str(tmp_path))
    monkeypatch.setattr(userland, "_build", build)
    return builds


def test_the_userland_is_built_once_and_again_only_when_damaged(built, capsys):
    home = userland.userland()
    assert userland.userland() == home
    assert len(built) == 1
    (home / "root/python").write_text("pythom")
    assert userland.userland() == home
    assert len(built) == 2
    assert "root/python was altered; it is built again" in capsys.readouterr().err


def test_two_at_once_build_one_userland(built):
    threads = [threading.Thread(target=userland.userland) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


def test_an_interrupted_build_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(folder):
        raise KeyboardInterrupt

    monkeypatch.setenv("LITTORAL_CACHE", str(tmp_path))
    monkeypatch.setattr(userland, "require", lambda *_: None)
    monkeypatch.setattr(userland, "_debian_release", lambda: "bookworm")
    monkeypatch.setattr(userland, "_fetch_packages", interrupt)
    with pytest.raises(KeyboardInterrupt):
        userland.userland()
    assert [entry.suffix for entry in (tmp_path / "emulator").iterdir()] == [".lock"]


def test_another_system_is_told_what_is_needed(tmp_path, monkeypatch):
    monkeypatch.setenv("LITTORAL_CACHE", str(tmp_path))
    monkeypatch.setattr(userland, "require", lambda *_: None)
    monkeypatch.setattr(userland, "_debian_release", lambda: "noble")
    with pytest.raises(EmulatorError, match=r"Debian 12.*'noble'"):
        userland.userland()


def test_a_missing_tool_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(needs.shutil, "which", lambda _: None)
    lacking = [need.tool for need in emulator.missing()]
    assert lacking[:3] == ["qemu-aarch64", "qemu-x86_64", "cc"]
    assert not emulator.available()
    with pytest.raises(EmulatorError, match=r"qemu-aarch64.*apt-get install -y qemu-user$"):
        emulator.run("rpi4", ["targets"])
    assert needs.install_line(emulator.missing()).startswith("apt-get install -y qemu-user gcc libc6-dev")


def test_a_tools_complaint_is_the_line_that_says_what_is_wrong():
    assert needs.complaint("Reading\nE: Unable to locate package x\nbye\n") == "E: Unable to locate package x"
    assert needs.complaint("one\ntwo\n\n") == "two"
    assert needs.complaint("") == "nothing"


@pytest.mark.parametrize("name", target_names())
def test_every_target_can_be_emulated(name, tmp_path):
    target = Target.load(name)
    device.write_device(tmp_path, target, 4)
    described = (tmp_path / "proc/cpuinfo").read_text()
    assert described.count("processor") == 4
    assert (tmp_path / "sys/devices/system/cpu/present").read_text() == "0-3\n"


def test_a_device_shows_its_own_processor(tmp_path):
    device.write_device(tmp_path, Target.load("rpi4"), 1)
    described = (tmp_path / "proc/cpuinfo").read_text()
    assert "CPU part\t: 0xd08" in described  # Cortex-A72
    assert "CPU revision\t: 3" in described
    assert "asimddp" not in described


def test_a_target_that_cannot_be_emulated_raises(tmp_path):
    unknown = Target("x", "x", "aarch64", 1, 64, emulator_cpu="cortex-m55")
    with pytest.raises(EmulatorError, match="'cortex-m55'; expected one of cortex-a35"):
        device.write_device(tmp_path, unknown, 1)
    with pytest.raises(EmulatorError, match="names no emulator_cpu"):
        emulator.run(Target("x", "x", "aarch64", 1, 64), ["targets"])
    with pytest.raises(TargetError, match="did you mean 'rpi4'"):
        emulator.run("rpi44", ["targets"])


def test_a_model_that_is_not_there_raises_before_the_device_starts(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        emulator.count("rpi4", [tmp_path / "none.onnx"])


@pytest.fixture
def emulated(monkeypatch):
    """Replaces the run behind the command, and keeps what it was asked for."""
    asked = []

    def run(target, args, *, count):
        asked.append((target, args, count))
        return emulator.Emulated(
            3 if "fail" in args else 0,
            counts=(emulator.Count(42, {"dot": 7}),) if count else (),
            peak_bytes=14_000_000,
        )

    monkeypatch.setattr("edge_runtime.emulator.cli.run", run)
    return asked


def test_arguments_after_the_dashes_are_the_devices(emulated, capsys):
    assert main(["emulate", "rpi4", "--count", "--", "bench", "m.onnx", "--json"]) == 0
    assert emulated == [("rpi4", ["bench", "m.onnx", "--json"], True)]
    printed = capsys.readouterr()
    assert "42" in printed.out
    assert "rpi4: 14.0 MB of memory at most" in printed.err


def test_json_is_one_object_on_the_last_line(emulated, capsys):
    assert main(["emulate", "rpi4", "--json", "--count", "--", "bench", "m.onnx"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    counts = [{"instructions": 42, "dot": 7}]
    assert result == {"target": "rpi4", "exit_code": 0, "peak_bytes": 14_000_000, "counts": counts}


def test_the_guests_exit_code_passes_through(emulated):
    with pytest.raises(SystemExit) as stopped:
        main(["emulate", "rpi4", "--", "fail"])
    assert stopped.value.code == 3
    assert main(["emulate", "rpi4"]) == 2  # no command for the device


@needs_qemu
def test_a_raspberry_pi_lists_the_targets():
    done = emulator.run("rpi4", ["targets", "--json"], capture=True)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["name"] for line in done.stdout.splitlines()] == target_names()


FP32 = """<ir_version: 8, opset_import: ["" : 17]>
g (float[16, 256] x) => (float[16, 256] y) {
    shape = Constant<value_ints = [256, 256]>()
    w = ConstantOfShape<value = float[1] {0.5}>(shape)
    y = MatMul(x, w)
}"""
INT8 = """<ir_version: 8, opset_import: ["" : 17]>
g (uint8[16, 256] x) => (int32[16, 256] y) {
    shape = Constant<value_ints = [256, 256]>()
    w = ConstantOfShape<value = int8[1] {3}>(shape)
    y = MatMulInteger(x, w)
}"""


@pytest.fixture
def models(tmp_path):
    paths = [tmp_path / "fp32.onnx", tmp_path / "int8.onnx"]
    for path, text in zip(paths, (FP32, INT8), strict=True):
        onnx.save(onnx.parser.parse_model(text), path)
    return paths


@needs_qemu
@pytest.mark.slow
def test_counts_repeat_exactly_and_show_the_processor(models):
    first = emulator.count("rpi4", models)
    assert emulator.count("rpi4", models) == first
    fp32, int8 = first
    assert fp32.classes["fmla"] >= 16 * 256 * 256 / 4  # four lanes each
    assert int8.classes["smlal"] > 0
    assert int8.classes["dot"] == 0  # Armv8.0 has none
    modern = emulator.count("rpi5", models)[1]
    assert modern.classes["dot"] >= 16 * 256 * 256 / 16  # four lanes of four products each
    assert modern.instructions < int8.instructions < fp32.instructions


@needs_qemu
@pytest.mark.slow
def test_bench_counts_each_session_and_fails_as_the_device_fails(models, capfd):
    assert (
        main(["emulate", "rpi4", "--count", "--json", "--", "bench", *map(str, models), "--rounds", "1"]) == 0
    )
    result = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert len(result["counts"]) == 2
    with pytest.raises(SystemExit) as stopped:
        main(["emulate", "rpi4", "--", "bench", "none.onnx"])
    assert stopped.value.code == 2
    assert "none.onnx: no such file" in capfd.readouterr().err
    Path(models[0]).write_bytes(b"not a model")
    with pytest.raises(EmulatorError, match="does not accept this model"):
        emulator.count("rpi4", models)


@needs_qemu
@pytest.mark.slow
def test_a_guest_that_dies_from_a_signal_raises(monkeypatch):
    monkeypatch.setattr(machine, "_no_core_file", lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(EmulatorError, match="died from SIGKILL"):
        emulator.run("rpi4", ["targets"])


@needs_qemu
@pytest.mark.slow
def test_an_x86_64_is_emulated_too(models):
    fp32, _ = emulator.count("x86-64", models)
    assert 16 * 256 * 256 / 8 < fp32.instructions < 16 * 256 * 256
    assert fp32.classes == {}


def test_packages_that_apt_put_elsewhere_are_missed(tmp_path, monkeypatch):
    def listed(_):
        (tmp_path / "apt/lists/deb_Packages").touch()
        return subprocess.CompletedProcess([], 0, "", "")

    monkeypatch.setattr(userland, "attempt", listed)
    monkeypatch.setattr(userland, "call", lambda *_: None)
    with pytest.raises(EmulatorError, match="give a shorter path for the cache"):
        userland._fetch_packages(tmp_path)
