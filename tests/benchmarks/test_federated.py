"""What the federated benchmarks are made of: counting rounds, runs that are kept, a tree of processes under kills."""

import random
from contextlib import ExitStack

import pytest

from benchmarks import federated_codecs, federated_kills, federated_rounds
from edge_runtime.files import cache_dir
from federated.outputs import read_history


def test_the_fewest_rounds_to_an_accuracy_count_whatever_the_learning_rate():
    curves = {0.1: [0.2, 0.5, 0.9], 0.2: [0.4, 0.6], 0.3: []}
    assert federated_rounds._rounds(curves, 0.5) == (2, 0.1)
    assert federated_rounds._rounds(curves, 0.3) == (1, 0.2)
    assert federated_rounds._rounds(curves, 0.9) == (3, 0.1)
    assert federated_rounds._rounds(curves, 0.95) == (None, 0.0)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """An empty cache, and runs that are only counted: each learns as much as its seed says."""
    monkeypatch.setenv("LITTORAL_CACHE", str(tmp_path))
    ran = []

    def train(run):
        ran.append(run)
        if run.codec == "qsgd:bucket=4":
            return {"accuracy": 0.0, "up": 1, "down": 1, "parameters": 0, "diverged": 2}
        lost = 0.01 * (run.seed + 1) if run.codec else 0.0
        return {
            "accuracy": 0.9 - lost,
            "up": 10 if run.codec else 1000,
            "down": 1,
            "parameters": 7,
            "test": 5,
        }

    monkeypatch.setattr(federated_codecs, "_train", train)
    return ran


def test_a_codec_is_compared_seed_by_seed_and_runs_once(kept):
    run = federated_codecs.Run("digits", "half")
    for _ in range(2):
        ratio, loss = federated_codecs._compare("c", run, range(3), (50.0, 1.0))
        assert (ratio.value, ratio.met, ratio.n) == (100.0, "yes", 3)
        assert (loss.value, loss.met) == (2.0, "no")
    assert len(kept) == 6
    assert len(list((cache_dir() / "benchmarks" / "federated_codecs").glob("*.json"))) == 6
    list(federated_codecs._compare("c", federated_codecs.Run("digits", "qsgd:bucket=8"), range(3)))
    assert len(kept) == 9  # float32 was there


def test_a_run_that_diverges_has_no_figure_and_says_so(kept):
    ratio, loss = federated_codecs._compare("c", federated_codecs.Run("digits", "qsgd:bucket=4"), range(2))
    assert ratio.value is loss.value is None
    assert "2 of 2 runs diverged" in ratio.note


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1], ids=federated_kills.KINDS)
def test_a_tree_whose_parts_are_killed_comes_to_the_same_model(tmp_path, monkeypatch, seed):
    monkeypatch.setattr(federated_kills, "ROUNDS", 6)
    monkeypatch.setattr(federated_kills, "PORT", 18970 + 3 * seed)
    bundle, wanted = federated_kills._prepare(tmp_path)
    with ExitStack() as stack:
        fleet = federated_kills._start(stack, tmp_path, bundle, federated_kills.KINDS[seed])
        for name in ("gateway 0", "broker 0", "device 11", "broker 2", "coordinator"):
            fleet.again(name)
        fleet.running["coordinator"].wait(120)
    assert [entry.number for entry in read_history(tmp_path / "run").rounds] == list(range(1, 7))
    assert federated_kills._digest(tmp_path / "run") == wanted


def test_kills_end_with_the_coordinator():
    class Ended:
        def poll(self):
            return 0

    fleet = federated_kills._Fleet()
    fleet.running["coordinator"] = Ended()
    killed, ended = federated_kills._disturb(fleet, random.Random(0))
    assert (killed.total(), ended) == (0, 0)
