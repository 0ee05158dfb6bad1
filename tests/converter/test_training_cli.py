"""`littoral convert --train`: how a bundle that learns is asked for."""

import json
from pathlib import Path

import numpy as np
import pytest

from converter.model import save
from edge_runtime.__main__ import main
from edge_runtime.trainer import Trainer
from tests.edge_runtime.test_trainer import lenet


def test_a_bundle_within_a_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = save(lenet(), tmp_path / "lenet.onnx"), tmp_path / "m.bundle"
    options = ["--optimizer", "adamw", "--clip-norm", "1", "--batch", "512", "--max-memory", "80MB", "--json"]
    assert main(["convert", str(source), "--train", "-o", str(out), *options]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["bytes"] > 10_000
    assert "training 512 samples a step, in micro-batches of" in printed.err
    trainer = Trainer(out)
    x = np.random.default_rng(0).standard_normal((64, 1, 28, 28)).astype(np.float32)
    assert np.isfinite(trainer.step(x, np.arange(64) % 10, 0.01))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--max-memory", "lots"],
            "--max-memory 'lots' is not an amount of memory; expected one such as 150MB",
        ),
        (["--max-memory", "40MB"], "MB at least, sample by sample, and 40 MB are allowed"),
        (["--optimizer", "adamm"], "did you mean"),
        (["--loss", "mae2"], "did you mean 'mae'?"),
    ],
)
def test_what_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    source = save(lenet(), tmp_path / "lenet.onnx")
    assert main(["convert", str(source), "--train", "-o", str(tmp_path / "m.bundle"), *options]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert not (tmp_path / "m.bundle").exists()
