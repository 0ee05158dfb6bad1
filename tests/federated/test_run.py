import socket

import numpy as np
import pytest

from edge_runtime.data import Samples
from edge_runtime.errors import BundleError, FleetError, InputError
from edge_runtime.trainer import Trainer
from federated import Settings, federate, outputs, partition, seeds
from federated.outputs import read_history

QUICK = Settings(rounds=3, clients=4, sample=3, lr=0.1, seed=5)


def weights(folder):
    return Trainer(folder / "model.bundle", threads=1).parameters


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name])


def test_is_algorithm_1_bit_for_bit(linear, digits, held_out, tmp_path):
    """Against a loop written out from the paper, with no Flower and none of our averaging."""
    history = federate(linear, digits, QUICK, out=tmp_path, test=held_out, progress=False)
    parts = partition.dirichlet(digits.y, 4, 0.5, 5)
    trainer = Trainer(linear, threads=1)
    w = trainer.parameters
    for t, entry in enumerate(history.rounds, 1):
        sums, n = {name: np.zeros(array.shape) for name, array in w.items()}, 0
        for k in entry.clients:
            trainer.load(w)
            local = Samples(digits.x[parts[k]], digits.y[parts[k]])
            trainer.fit(local, epochs=1, batch_size=32, lr=0.1, seed=seeds.number(5, "train", t, k))
            n += len(parts[k])
            for name, array in trainer.parameters.items():
                sums[name] = sums[name] + array.astype(np.float64) * len(parts[k])
        w = {name: (total / n).astype(np.float32) for name, total in sums.items()}
    assert_same(weights(tmp_path), w)
    trainer.load(w)
    assert trainer.evaluate(held_out)["accuracy"] == history.rounds[-1].accuracy


def test_learns_and_writes_everything(cnn, digits, held_out, tmp_path, capfd):
    history = federate(
        cnn, digits, Settings(rounds=4, clients=3, lr=0.1), out=tmp_path / "new" / "run", test=held_out
    )
    lines = capfd.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == [f"round {t}/4" for t in range(1, 5)]
    assert history.rounds[-1].accuracy > history.initial["accuracy"] + 0.3
    assert history.held_out == 500
    assert sum(map(sum, history.split)) == len(digits)
    assert sum(map(sum, zip(*history.split, strict=True))) == len(digits)
    assert all(entry.bytes_down == entry.bytes_up > 3 * 4 * 52_000 for entry in history.rounds)
    out = tmp_path / "new" / "run"
    assert sorted(entry.name for entry in out.iterdir()) == [
        "checkpoint.npz",
        "curve.png",
        "events",
        "history.json",
        "model.bundle",
        "report.html",
    ]
    assert read_history(out) == history
    assert Trainer(out / "model.bundle").evaluate(held_out)["accuracy"] == pytest.approx(
        history.rounds[-1].accuracy
    )


@pytest.mark.parametrize("stop", [1, 2])
def test_an_interrupted_run_goes_on_to_the_same_weights(linear, digits, tmp_path, monkeypatch, capfd, stop):
    federate(linear, digits, QUICK, out=tmp_path / "whole", progress=False)
    commits = 0
    commit = outputs.commit

    def interrupted(out, state):
        nonlocal commits
        commit(out, state)
        commits += 1
        if commits == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(outputs, "commit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        federate(linear, digits, QUICK, out=tmp_path / "parts", progress=False)
    monkeypatch.setattr(outputs, "commit", commit)
    assert [entry.name for entry in (tmp_path / "parts").iterdir()] == ["checkpoint.npz"]
    history = federate(linear, digits, QUICK, out=tmp_path / "parts")
    assert f"going on after round {stop} of 3" in capfd.readouterr().err
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    whole = read_history(tmp_path / "whole")
    for left, right in zip(whole.rounds, history.rounds, strict=True):
        assert (left.accuracy, left.loss, left.clients) == (right.accuracy, right.loss, right.clients)


def test_interrupted_within_a_round_the_round_begins_again(linear, digits, tmp_path, monkeypatch):
    federate(linear, digits, QUICK, out=tmp_path / "whole", progress=False)
    calls = 0
    fit = Trainer.fit

    def pulled_plug(self, *args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == 5:  # the second client of the second round
            raise KeyboardInterrupt
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "fit", pulled_plug)
    with pytest.raises(KeyboardInterrupt):
        federate(linear, digits, QUICK, out=tmp_path / "parts", progress=False)
    monkeypatch.setattr(Trainer, "fit", fit)
    federate(linear, digits, QUICK, out=tmp_path / "parts", progress=False)
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_more_rounds_continue_and_other_settings_do_not(linear, digits, tmp_path):
    two = Settings(rounds=2, clients=4, sample=3, lr=0.1, seed=5)
    federate(linear, digits, two, out=tmp_path / "parts", progress=False)
    federate(linear, digits, QUICK, out=tmp_path / "parts", progress=False)
    federate(linear, digits, QUICK, out=tmp_path / "whole", progress=False)
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert read_history(tmp_path / "parts").settings["rounds"] == 3
    other = Settings(rounds=3, clients=4, sample=3, lr=0.2, seed=5)
    with pytest.raises(InputError, match=r"with lr 0\.1, not 0\.2"):
        federate(linear, digits, other, out=tmp_path / "parts", progress=False)
    history = federate(linear, digits, other, out=tmp_path / "parts", restart=True, progress=False)
    assert len(history.rounds) == 3


def test_other_data_or_another_bundle_does_not_continue(linear, cnn, digits, held_out, tmp_path):
    federate(linear, digits, QUICK, out=tmp_path, test=held_out, progress=False)
    with pytest.raises(InputError, match="the held out was another"):
        federate(linear, digits, QUICK, out=tmp_path, test=digits, progress=False)
    with pytest.raises(InputError, match="the data was another"):
        federate(linear, held_out, QUICK, out=tmp_path, test=held_out, progress=False)
    with pytest.raises(InputError, match="the bundle was another"):
        federate(cnn, digits, QUICK, out=tmp_path, test=held_out, progress=False)


def test_nothing_leaves_the_machine(linear, digits, tmp_path, monkeypatch):
    def connect(self, address):
        raise AssertionError(f"a connection to {address}")

    monkeypatch.setattr(socket.socket, "connect", connect)
    federate(linear, digits, Settings(rounds=1, clients=2), out=tmp_path, progress=False)


def test_iid_split(linear, digits, tmp_path):
    history = federate(
        linear, digits, Settings(rounds=1, clients=8, alpha=None), out=tmp_path, progress=False
    )
    assert {sum(row) for row in history.split} == {100}


def test_divergence_is_one_sentence(linear, digits, tmp_path):
    wild = Settings(rounds=3, clients=2, lr=1e38)
    with pytest.raises(FleetError, match=r"round 1: all 2 clients failed; .*training diverged"):
        federate(linear, digits, wild, out=tmp_path, progress=False)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: Samples(s.x), "has no labels"),
        (lambda s: Samples(s.x[:, :, :20], s.y), r"data: input '.*': expected float32\[n, 1, 28, 28\]"),
        (lambda s: Samples(s.x.astype(np.float64), s.y), "got float64"),
        (lambda s: Samples(s.x, s.y - 1), "label -1; the model's classes are 0 to 9"),
        (lambda s: Samples(s.x, s.y + 1), "label 10; the model's classes are 0 to 9"),
        (lambda s: Samples(s.x[:3], s.y[:3]), "clients 4: more than the 2 samples"),
        (lambda s: Samples(s.x[:1], s.y[:1]), "leaves nothing to train on"),
        (lambda s: Samples(s.x * np.nan, s.y), "NaN"),
    ],
)
def test_data_that_does_not_fit(linear, digits, tmp_path, change, says):
    with pytest.raises(InputError, match=says):
        federate(linear, change(digits), QUICK, out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_bundle_that_cannot_be_trained(digits, tmp_path):
    from edge_runtime.bundle import Manifest, pack
    from edge_runtime.tensors import TensorSpec

    specs = (TensorSpec("x", "float32", ("n", 1, 28, 28)),), (TensorSpec("y", "float32", ("n", 10)),)
    bundle = pack(tmp_path / "m.bundle", Manifest("m", "x86-64", *specs), {"infer.onnx": b"x"})
    with pytest.raises(BundleError):
        federate(bundle, digits, QUICK, out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_non_iid_federation_keeps_95_percent_of_central_accuracy(cnn, mnist, tmp_path):
    """4,000 digits, 5 clients, Dirichlet 0.5, 20 rounds of one epoch, against 20 central epochs on the same data."""
    train, test = Samples(mnist.x[:4000], mnist.y[:4000]), Samples(mnist.x[4000:], mnist.y[4000:])
    history = federate(
        cnn, train, Settings(rounds=20, clients=5, alpha=0.5), out=tmp_path, test=test, progress=False
    )
    central = Trainer(cnn, threads=1)
    central.fit(train, epochs=20, batch_size=32, lr=0.05, seed=0)
    reference = central.evaluate(test)["accuracy"]
    assert reference > 0.93
    assert history.rounds[-1].accuracy >= 0.95 * reference


@pytest.mark.parametrize("method", ["fedprox:mu=0.1", "scaffold", "reptile", "per-fedavg", "fedper"])
def test_every_method_learns_in_a_run(cnn, digits, held_out, tmp_path, method):
    settings = {"clients": 3, "lr": 0.05, "method": method, "codec": "lossless"}
    whole = federate(
        cnn, digits, Settings(rounds=4, **settings), out=tmp_path / "a", test=held_out, progress=False
    )
    assert whole.rounds[-1].accuracy > whole.initial["accuracy"] + (0.0 if method == "fedper" else 0.15)
    assert len(whole.rounds[-1].losses) == 3
