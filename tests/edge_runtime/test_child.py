"""How children start Python: as this process was started, also under QEMU."""

import json
import subprocess
import sys

import pytest

from edge_runtime import child, emulator
from edge_runtime.emulator import limit, machine
from edge_runtime.target import Target

GUEST = """
import subprocess, tuf.ngclient, cryptography.x509, paho.mqtt.client
from edge_runtime.child import python
subprocess.run([*python(), "-c", "import platform; print(platform.machine())"])
"""


def test_python_is_this_one_where_nothing_is_said(monkeypatch):
    monkeypatch.delenv(child.VARIABLE, raising=False)
    assert child.python() == [sys.executable]


def test_python_is_what_the_emulator_says(monkeypatch):
    monkeypatch.setenv(child.VARIABLE, json.dumps(["/usr/bin/qemu-aarch64", "-0", "/usr/bin/python3.11"]))
    assert child.python() == ["/usr/bin/qemu-aarch64", "-0", "/usr/bin/python3.11"]


@pytest.mark.parametrize("count", [False, True])
def test_the_emulator_tells_its_command_to_children_but_not_where_it_counts(monkeypatch, tmp_path, count):
    seen = {}

    def call(command, name, ram_mib, *, env, **_):
        seen.update(command=list(map(str, command)), env=env)
        return limit.Ended(1, "", "", 0)

    monkeypatch.setattr(machine, "require", lambda *_: None)
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/opt/bin/{name}")
    monkeypatch.setattr(
        machine, "_arm_python", lambda _: (["-0", "/usr/bin/python3.11", "python"], "/littoral")
    )
    monkeypatch.setattr(machine, "compile_counter", lambda folder: folder / "counter.so")
    monkeypatch.setattr(machine.limit, "call", call)
    (tmp_path / "counts.jsonl").touch()
    if count:
        with pytest.raises(emulator.machine.EmulatorError, match="did not load"):
            emulator.run("rpi4", ["targets"], count=True)
        assert child.VARIABLE not in seen["env"]
        return
    emulator.run("rpi4", ["targets"])
    told = json.loads(seen["env"][child.VARIABLE])
    assert told[0] == "/opt/bin/qemu-aarch64"
    assert [*told[1:], "-m", "edge_runtime", "targets"] == seen["command"][1:]


def test_the_device_sees_the_runtime_and_its_part_in_federated_runs(tmp_path):
    machine._show_packages(tmp_path / "littoral")
    assert (tmp_path / "littoral/edge_runtime/child.py").exists()
    assert (tmp_path / "littoral/federated/device/__main__.py").exists()


def test_a_sigterm_is_passed_on_and_waited_for():
    code = """if True:
        import os, sys
        from edge_runtime.emulator import limit
        inner = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(7)); "
        inner += "print('up', flush=True); time.sleep(60)"
        done = limit.call([sys.executable, "-c", inner], "x", 1024)
        sys.exit(done.returncode)"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"up\n"
    process.terminate()
    assert process.wait(20) == 7
    process.stdout.close()


@pytest.mark.slow
@pytest.mark.skipif(not emulator.available(), reason=f"not here: {emulator.missing()}")
def test_an_emulated_board_has_what_the_agent_needs_and_starts_children_of_its_own():
    module = ["timeit", "-n", "1", "-r", "1", *GUEST.strip().splitlines()]
    done = machine._emulate(Target.load("rpi4"), module, count=False, capture=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("aarch64\n")
