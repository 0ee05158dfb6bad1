"""Checkpoints: training goes on bit for bit, and neither a kill nor a full disk costs more than the last steps."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from converter.trainable import pack_trainable
from edge_runtime.bundle import Bundle
from edge_runtime.data import Samples
from edge_runtime.errors import InputError
from edge_runtime.trainer import Trainer
from edge_runtime.training import checkpoint as checkpoints
from edge_runtime.training.fitting import Epoch
from edge_runtime.training.schedules import cosine
from tests.edge_runtime.test_trainer import lenet

RNG = np.random.default_rng(0)
X = RNG.standard_normal((90, 1, 28, 28)).astype(np.float32)
SAMPLES = Samples(X, RNG.integers(0, 10, 90))
OTHERS = Samples(X[:30] + 1, SAMPLES.y[:30])


@pytest.fixture(scope="module", params=["whole", "micro-batches"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("checkpoint") / "m.bundle"
    parts = 0 if request.param == "whole" else 8
    return pack_trainable(lenet(), path, name="m", optimizer="adam", micro_batch=parts)


def same(a: Trainer, b: Trainer) -> None:
    for name, array in a.parameters.items():
        np.testing.assert_array_equal(b.parameters[name], array)


class PulledPlugError(Exception):
    """Stands for whatever stops a training."""


def stop_after(monkeypatch: pytest.MonkeyPatch, trainer: Trainer, count: int) -> None:
    step, left = trainer.step, iter(range(count))

    def counted(*args, **kwargs):
        if next(left, None) is None:
            raise PulledPlugError
        return step(*args, **kwargs)

    monkeypatch.setattr(trainer, "step", counted)


@pytest.mark.parametrize("stop", [2, 3, 7, 11], ids=lambda n: f"after {n} steps")
def test_interrupted_and_resumed_is_uninterrupted(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    settings = {
        "epochs": 4,
        "batch_size": 24,
        "lr": cosine(0.01, 16),
        "seed": 3,
        "validation": OTHERS,
        "patience": 2,
    }
    straight = Trainer(bundle, threads=1)
    losses = straight.fit(SAMPLES, **settings)

    path = tmp_path / "training.ckpt"
    broken = Trainer(bundle, threads=1)
    stop_after(monkeypatch, broken, stop)
    with pytest.raises(PulledPlugError):
        broken.fit(SAMPLES, **settings, checkpoint=path, every=1)
    again = Trainer(bundle, threads=1)
    again.restore(path)
    assert again.fit(SAMPLES, **settings) == losses
    same(straight, again)
    # And beyond: the optimiser's state is the same too.
    assert again.step(X[:8], SAMPLES.y[:8], 0.01) == straight.step(X[:8], SAMPLES.y[:8], 0.01)
    same(straight, again)


def test_a_checkpoint_outside_of_a_fit(bundle: Bundle, tmp_path: Path) -> None:
    first, second = Trainer(bundle, threads=1), Trainer(bundle, threads=1)
    for _ in range(3):
        first.step(X[:16], SAMPLES.y[:16], 0.01)
    first.checkpoint(tmp_path / "c")
    second.restore(tmp_path / "c")
    for _ in range(3):
        assert first.step(X[:16], SAMPLES.y[:16], 0.01) == second.step(X[:16], SAMPLES.y[:16], 0.01)
    same(first, second)


def test_a_finished_fit_is_not_repeated_and_may_be_followed(bundle: Bundle, tmp_path: Path) -> None:
    trainer = Trainer(bundle, threads=1)
    losses = trainer.fit(SAMPLES, epochs=2, lr=0.01, checkpoint=tmp_path / "c")
    trainer.restore(tmp_path / "c")
    before = trainer.parameters
    assert trainer.fit(SAMPLES, epochs=2, lr=0.01) == losses
    for name, array in trainer.parameters.items():
        np.testing.assert_array_equal(before[name], array)
    trainer.restore(tmp_path / "c")
    assert trainer.fit(SAMPLES, epochs=3, lr=0.01)[:2] == losses
    trainer.restore(tmp_path / "c")
    assert len(trainer.fit(OTHERS, epochs=1, lr=0.01)) == 1


def test_other_settings_are_refused(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(bundle)
    stop_after(monkeypatch, trainer, 2)
    with pytest.raises(PulledPlugError):
        trainer.fit(SAMPLES, checkpoint=tmp_path / "c", every=1)
    again = Trainer(bundle)
    again.restore(tmp_path / "c")
    with pytest.raises(
        InputError, match=r"of a fit of 90 samples, batch_size 32 and seed 0.* got 90, 16 and 0"
    ):
        again.fit(SAMPLES, batch_size=16)


CHILD = """
import sys, numpy as np
from edge_runtime import Samples, Trainer
trainer = Trainer(sys.argv[1], threads=1)
rng = np.random.default_rng(0)
samples = Samples(rng.standard_normal((90, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, 90))
trainer.fit(samples, epochs=1000, batch_size=8, lr=0.01, checkpoint=sys.argv[2], every=1,
            on_epoch=lambda epoch: print(epoch.number, flush=True))
"""


@pytest.mark.parametrize("delay", [0.003, 0.011, 0.023])
def test_killed_while_it_writes(bundle: Bundle, tmp_path: Path, delay: float) -> None:
    """Nearly all of this child's time goes into checkpoints, so the kill most likely meets one."""
    path = tmp_path / "training.ckpt"
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(bundle.path), str(path)], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()  # one epoch is done
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
    trainer = Trainer(bundle, threads=1)
    trainer.restore(path)  # whole
    _, progress = checkpoints.read(path)
    assert progress is not None
    done = progress["epoch"] * 12 + progress["step"]
    assert done >= 12
    # It is the checkpoint of that very step.
    straight = Trainer(bundle, threads=1)
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, straight, done)
        with pytest.raises(PulledPlugError):
            straight.fit(SAMPLES, epochs=1000, batch_size=8, lr=0.01)
    same(straight, trainer)
    trainer.checkpoint(path)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]  # what the kill left is swept away


def test_killed_in_the_middle_of_a_write(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "training.ckpt"
    trainer = Trainer(bundle, threads=1)
    trainer.checkpoint(path)
    before = path.read_bytes()
    code = """
import os, signal, sys, zipfile
from edge_runtime import Trainer
import edge_runtime.training.checkpoint as c
trainer = Trainer(sys.argv[1]); add = c.add
def slow(archive, name, array):
    add(archive, name, array)
    if name.startswith("state/"):
        archive.fp.flush(); os.kill(os.getpid(), signal.SIGKILL)
c.add = slow
trainer.checkpoint(sys.argv[2])
"""
    done = subprocess.run([sys.executable, "-c", code, str(bundle.path), str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2  # with the half-written one
    trainer.restore(path)


def test_a_full_disk(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "training.ckpt"
    trainer = Trainer(bundle, threads=1)
    trainer.checkpoint(path)
    before = path.read_bytes()
    trainer.step(X[:8], SAMPLES.y[:8], 0.01)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limit[1]))
        with pytest.raises(
            InputError, match=r"the checkpoint of 0\.\d+ MB cannot be written .* is intact"
        ) as error:
            trainer.checkpoint(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.strerror(errno.EFBIG) in str(error.value)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
    trainer.checkpoint(path)
    assert path.read_bytes() != before


def test_no_space_left(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(bundle)

    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoints.os, "fsync", full)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)$"):
        trainer.checkpoint(tmp_path / "c")


@pytest.mark.parametrize("cut", [0, 30, 2000, -40])
def test_what_is_no_checkpoint(bundle: Bundle, tmp_path: Path, cut: int) -> None:
    path = tmp_path / "c"
    trainer = Trainer(bundle)
    trainer.checkpoint(path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match="is not a checkpoint, or cut short"):
        trainer.restore(path)


def test_a_byte_that_flipped(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "c"
    trainer = Trainer(bundle)
    trainer.checkpoint(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not a checkpoint, or cut short"):
        trainer.restore(path)


def test_a_checkpoint_of_another_model(bundle: Bundle, tmp_path: Path) -> None:
    trainer = Trainer(bundle)
    checkpoints.write(tmp_path / "c", {"parameters": {"w": np.zeros(3)}, "state": {}}, None)
    before = trainer.parameters
    with pytest.raises(InputError, match="parameter 'w': the model has no such parameter"):
        trainer.restore(tmp_path / "c")
    for name, array in trainer.parameters.items():
        np.testing.assert_array_equal(before[name], array)
    with pytest.raises(InputError, match="no such file; expected a checkpoint"):
        trainer.restore(tmp_path / "nothing")


def test_early_stopping_returns_to_the_best(bundle: Bundle) -> None:
    seen: list[Epoch] = []
    best: list[dict[str, np.ndarray]] = []
    trainer = Trainer(bundle, threads=1)

    def note(epoch: Epoch) -> None:
        seen.append(epoch)
        best.append(trainer.parameters)

    losses = trainer.fit(SAMPLES, epochs=60, lr=0.02, validation=OTHERS, patience=3, on_epoch=note)
    measured = [epoch.validation["loss"] for epoch in seen]
    lowest = int(np.argmin(measured))
    assert len(losses) == len(seen) == lowest + 4 < 60
    for name, array in trainer.parameters.items():
        np.testing.assert_array_equal(best[lowest][name], array)
    assert trainer.evaluate(OTHERS)["loss"] == measured[lowest]
