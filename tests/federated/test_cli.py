import json
import subprocess
import sys

import numpy as np
import pytest

from edge_runtime.__main__ import main


@pytest.fixture
def desk(linear, digits, tmp_path, monkeypatch):
    """A folder with a trainable bundle and data, as a user would have them."""
    monkeypatch.chdir(tmp_path)
    np.savez("digits.npz", x=digits.x, y=digits.y)
    np.savez("test.npz", x=digits.x[:100], y=digits.y[:100])
    np.savez("unlabelled.npz", x=digits.x[:100])
    (tmp_path / "m.bundle").write_bytes(linear.path.read_bytes())
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "cut.bundle").write_bytes(linear.path.read_bytes()[:-500])
    return tmp_path


BASE = ["federate", "m.bundle", "--data", "digits.npz", "--out", "run"]
QUICK = [*BASE, "--rounds", "2", "--clients", "3"]


def test_a_run(desk, capsys):
    assert main([*QUICK, "--test", "test.npz"]) == 0
    said = capsys.readouterr()
    assert [line[:9] for line in said.err.splitlines()] == ["round 1/2", "round 2/2"]
    assert "over 100 held-out samples after 2 rounds" in said.out
    assert sorted(entry.name for entry in (desk / "run").iterdir()) == [
        "checkpoint.npz",
        "curve.png",
        "events",
        "history.json",
        "model.bundle",
        "report.html",
    ]


def test_json_alone_is_on_stdout(desk, capsys):
    assert main([*QUICK, "--iid", "--sample", "2", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["rounds"] == 2
    assert result["n"] == 200
    assert 0 < result["accuracy"] <= 1
    assert result["bytes_up"] == result["bytes_down"] > 0


def test_called_again_it_resumes_and_with_other_settings_it_refuses(desk, capsys):
    assert main(QUICK) == 0
    model = (desk / "run" / "model.bundle").read_bytes()
    capsys.readouterr()
    assert main([*QUICK, "--resume"]) == 0
    assert "going on after round 2 of 2" in capsys.readouterr().err
    assert (desk / "run" / "model.bundle").read_bytes() == model
    assert main([*QUICK, "--lr", "0.2"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main([*QUICK, "--lr", "0.2", "--restart"]) == 0
    (desk / "run" / "checkpoint.npz").write_bytes(b"PK\x03\x04 but no more")
    capsys.readouterr()
    assert main(QUICK) == 2
    assert "cut short" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["federate", "none.bundle", *BASE[2:]], "no such file"),
        (["federate", "digits.npz", *BASE[2:]], "not a bundle"),
        (["federate", "cut.bundle", *BASE[2:]], "cut.bundle: not a bundle"),
        (["federate", "m.bundle", "--data", "none.npz", "--out", "run"], "no such file"),
        (["federate", "m.bundle", "--data", "unlabelled.npz", "--out", "run"], "no labels"),
        (["federate", "m.bundle", "--data", "file", "--out", "run"], "not a NumPy"),
        (["federate", "m.bundle", "--data", "digits.npz"], "--out"),
        ([*BASE, "--test", "unlabelled.npz"], "held-out data: has no labels"),
        ([*BASE, "--test", "test.npz", "--holdout", "0.3"], "not allowed with"),
        ([*BASE, "--out", "file"], "cannot be the folder of the results"),
        ([*BASE, "--out", "file/run"], "cannot be the folder of the results"),
        ([*BASE, "--clients", "0"], "clients 0"),
        ([*BASE, "--clients", "801"], "more than the 800 samples"),
        ([*BASE, "--clients", "many"], "invalid int value"),
        ([*BASE, "--rounds", "0"], "rounds 0"),
        ([*BASE, "--rounds", "-3"], "rounds -3"),
        ([*BASE, "--fraction", "0"], "fraction 0"),
        ([*BASE, "--fraction", "1.5"], "fraction 1.5"),
        ([*BASE, "--sample", "6"], "sample 6"),
        ([*BASE, "--sample", "2", "--fraction", "0.5"], "not allowed with"),
        ([*BASE, "--alpha", "0"], "alpha 0"),
        ([*BASE, "--alpha", "nan"], "alpha nan"),
        ([*BASE, "--alpha", "0.5", "--iid"], "not allowed with"),
        ([*BASE, "--lr", "-1"], "lr -1"),
        ([*BASE, "--epochs", "0"], "epochs 0"),
        ([*BASE, "--batch-size", "0"], "batch_size 0"),
        ([*BASE, "--holdout", "1"], "holdout 1"),
        ([*BASE, "--seed", "-1"], "seed -1"),
        ([*BASE, "--resume", "--restart"], "not allowed with"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(desk, capsys, argv, says):
    before = sorted(desk.rglob("*"))
    assert main(argv) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("littoral: ")
    assert said.err.count("\n") == 1
    assert says in said.err
    assert sorted(desk.rglob("*")) == before


def test_a_missing_flower_names_the_install_line(desk, capsys, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert main(QUICK) == 2
    assert "needs flwr and matplotlib: pip install 'littoral[federated]'" in capsys.readouterr().err


def test_killed_at_any_moment_it_goes_on_to_the_same_model(desk, capsys):
    argv = [*BASE, "--rounds", "30", "--clients", "3"]
    whole = [*argv[:4], "--out", "whole", *argv[6:]]
    assert main(whole) == 0
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-m", "edge_runtime", *argv], stderr=subprocess.PIPE, text=True
        )
        lines = (line for line in process.stderr if line.startswith("round "))
        next(lines)
        next(lines)
        process.kill()
        process.communicate()
    capsys.readouterr()
    assert main(argv) == 0
    assert "going on after round" in capsys.readouterr().err
    assert (desk / "run" / "model.bundle").read_bytes() == (desk / "whole" / "model.bundle").read_bytes()
