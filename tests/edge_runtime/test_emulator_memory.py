"""The emulated device's memory is all that there is."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from converter.convert import convert
from converter.trainable import pack_trainable
from edge_runtime import emulator
from edge_runtime.emulator import limit
from edge_runtime.emulator.machine import run
from edge_runtime.errors import EmulatorError
from edge_runtime.target import Target
from tests import networks

needs_qemu = pytest.mark.skipif(
    not emulator.available() and "CI" not in os.environ, reason=f"not here: {emulator.missing()}"
)

SMAPS = """\
4000000000-4000001000 r--p 00000000 08:01 12 /lib/ld.so
Size:                  4 kB
Rss:                   4 kB
4000002000-4000900000 rw-p 00000000 00:00 0
Rss:                 512 kB
VmFlags: rd wr mr mw me ac
5581a0000000-5581a0400000 rw-p 00000000 00:00 0          [heap]
Rss:                4096 kB
7f0000000000-7f0008000000 rwxp 00000000 00:00 0
Rss:               65536 kB
"""


def test_only_the_guest_counts() -> None:
    assert limit.guest_kib(SMAPS) == 516


def test_a_process_within_the_limit_is_left_alone() -> None:
    code = [sys.executable, "-c", "print('x' * 3)"]
    done = limit.call(code, "small", 512, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "xxx\n", "")


def test_the_most_that_a_process_had_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit, "_GUEST_ENDS", 1 << 63)  # all of it is the guest's
    code = "import time; x = b'x' * 50_000_000; time.sleep(0.3); del x; time.sleep(0.3)"
    done = limit.call([sys.executable, "-c", code], "small", 512)
    assert 50e6 < done.peak_bytes < 80e6


def test_a_process_beyond_the_limit_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limit, "_GUEST_ENDS", 1 << 63)  # all of it is the guest's
    code = [sys.executable, "-c", "import time; x = bytes(range(256)) * 400_000; time.sleep(60)"]
    with pytest.raises(
        EmulatorError, match=r"small: out of memory: the process took \d+ MiB, and the device has 64"
    ):
        limit.call(code, "small", 64)


@needs_qemu
def test_an_emulated_process_runs_out_of_memory(tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    rpi = Target.load("rpi-zero2")
    path.write_text(
        f'name = "tiny"\nsummary = "-"\narch = "{rpi.arch}"\ncores = 1\nram_mib = 20\n'
        f'emulator_cpu = "{rpi.emulator_cpu}"\n'
    )
    with pytest.raises(EmulatorError, match=r"tiny: out of memory: .* the device has 20; give it less to do"):
        run(str(path), ["targets"], capture=True)


@needs_qemu
@pytest.mark.slow
def test_mobilenetv2_learns_in_512_megabytes(tmp_path: Path) -> None:
    module, shape = networks.mobilenetv2(1.0, 96)
    model = convert(module, example=[torch.zeros(2, *shape)], trainable=True)
    rng = np.random.default_rng(0)
    data = tmp_path / "data.npz"
    np.savez(data, x=rng.standard_normal((16, *shape)).astype(np.float32), y=np.arange(16) % 10)
    small, large = tmp_path / "small.bundle", tmp_path / "large.bundle"
    pack_trainable(model, small, name="m", target="rpi-zero2", max_memory=150_000_000, batch_size=16)
    pack_trainable(model, large, name="m", target="rpi-zero2")
    command = [
        "--data",
        str(data),
        "--test",
        str(data),
        "--epochs",
        "1",
        "--threads",
        "1",
        "--batch-size",
        "16",
    ]
    done = run("rpi-zero2", ["train", str(small), *command], capture=True)
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout

    many = tmp_path / "many.npz"
    np.savez(many, x=rng.standard_normal((64, *shape)).astype(np.float32), y=np.arange(64) % 10)
    command[1] = command[3] = str(many)
    command[-1] = "64"
    with pytest.raises(EmulatorError, match="rpi-zero2: out of memory"):
        run("rpi-zero2", ["train", str(large), *command], capture=True)
