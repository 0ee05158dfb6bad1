"""Training stage by stage, and `littoral train`: what is learnt is in every graph, and bad use is one sentence."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from converter.trainable import pack_trainable
from converter.transfer import last_layers, pack_split
from edge_runtime import emulator
from edge_runtime.__main__ import main
from edge_runtime.bundle import Bundle, pack
from edge_runtime.data import Samples
from edge_runtime.errors import BundleError, InputError
from edge_runtime.session import Session
from edge_runtime.storage import code
from edge_runtime.trainer import Trainer, read_parameters
from edge_runtime.training import staged
from edge_runtime.training.export import absorb
from edge_runtime.training.features import FeatureCache
from edge_runtime.training.staged import Turn, parse_plan
from edge_runtime.training.stages import find, select, stages
from tests import assets
from tests.models import cnn, images


def labelled(count=96, seed=1):
    """Pictures whose class can be learnt: the quarter of their mean."""
    x = images(count, seed)
    means = x.mean(axis=(1, 2, 3))
    y = np.searchsorted(np.quantile(means, [0.25, 0.5, 0.75]), means)
    return Samples(x + 3 * y[:, None, None, None].astype(np.float32), y.astype(np.int64))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    model = cnn(4)
    pack_split(model, folder / "two.bundle", name="m", whole=True, trainable=last_layers(model, 2))
    pack_split(model, folder / "head.bundle", name="m")
    pack_trainable(model, folder / "all.bundle", name="m")
    samples = labelled()
    np.savez(folder / "d.npz", x=samples.x, y=samples.y)
    np.savez(folder / "t.npz", x=samples.x[:32], y=samples.y[:32])
    return folder


@pytest.fixture
def desk(home, tmp_path, monkeypatch):
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_a_stage_learnt_is_in_every_graph(home):
    bundle, samples = Bundle.open(home / "two.bundle"), labelled()
    learnt, history = staged.train(
        bundle, samples, [Turn("head", 2), Turn("all", 2), Turn("head", 1)], test=samples, lr=0.02, threads=1
    )
    assert [(epoch.stage, epoch.epoch) for epoch in history] == [
        ("head", 0), ("head", 1), ("head", 2), ("all", 1), ("all", 2), ("head", 1),
    ]  # fmt: skip
    (logits,) = Session(learnt.read("infer.onnx")).run({"images": samples.x}).values()
    features = FeatureCache(learnt, samples).samples
    head = Trainer(select(learnt, find(learnt, "head")))
    np.testing.assert_allclose(head.predict(features.x), logits, rtol=1e-4, atol=1e-4)
    everything = Trainer(select(learnt, find(learnt, "all")))
    np.testing.assert_allclose(everything.predict(samples.x), logits, rtol=1e-4, atol=1e-4)
    assert history[-1].accuracy == np.mean(logits.argmax(1) == samples.y)
    assert history[-1].accuracy > history[0].accuracy


def test_a_stage_changes_only_what_it_trains(home):
    bundle = Bundle.open(home / "two.bundle")
    trainer = Trainer(select(bundle, find(bundle, "head")))
    trainer.load({name: array + 1 for name, array in trainer.parameters.items()})
    changed = absorb(bundle, trainer.parameters)
    assert changed.read("backbone.onnx") == bundle.read("backbone.onnx")
    assert changed.read("infer.onnx") != bundle.read("infer.onnx")
    before, after = (Trainer(select(b, find(b, "all"))).parameters for b in (bundle, changed))
    assert {name for name in before if (before[name] != after[name]).any()} == set(trainer.parameters)


def test_an_interrupted_plan_goes_on_bit_for_bit(home, tmp_path):
    bundle, samples, plan = Bundle.open(home / "two.bundle"), labelled(), [Turn("head", 2), Turn("all", 3)]
    want, _ = staged.train(bundle, samples, plan, threads=1)

    def stop(epoch):
        if (epoch.stage, epoch.epoch) == ("all", 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        staged.train(bundle, samples, plan, threads=1, checkpoint=tmp_path / "c.ckpt", report=stop)
    seen = []
    got, _ = staged.train(
        bundle, samples, plan, threads=1, checkpoint=tmp_path / "c.ckpt", report=seen.append
    )
    assert [(e.stage, e.epoch) for e in seen] == [("head", 2), ("all", 3)]
    for name in want.manifest.files:
        assert got.read(name) == want.read(name), name


def test_a_bundle_without_stages_has_the_one_stage_all(home):
    assert list(stages(Bundle.open(home / "all.bundle"))) == ["all"]


def test_a_step_in_two_parts_is_a_stage_too(tmp_path):
    bundle = pack_trainable(cnn(4), tmp_path / "m.bundle", name="m", micro_batch=8)
    learnt, history = staged.train(bundle, labelled(), [Turn("all", 1)], test=labelled(), threads=1)
    assert history[-1].loss > 0
    assert learnt.read("infer.onnx") != bundle.read("infer.onnx")


def test_a_damaged_table_of_stages_is_said(home, tmp_path):
    bundle = Bundle.open(home / "head.bundle")
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    for content in (b"{", b"[1]", b'{"head": {}}', b'{"head": {"suffix": "-x", "backbone": null}}'):
        broken = pack(tmp_path / "b.bundle", bundle.manifest, files | {"stages.json": content})
        with pytest.raises(BundleError, match=r"stages\.json|needs train-x"):
            stages(broken)


def test_a_plan_is_read():
    assert parse_plan("head:3, all:2@0.005,head:1@1e-3") == [
        Turn("head", 3),
        Turn("all", 2, 0.005),
        Turn("head", 1, 0.001),
    ]


def test_a_turn_may_have_its_own_rate(home):
    bundle = Bundle.open(home / "two.bundle")
    slow, _ = staged.train(bundle, labelled(), [Turn("all", 1, 0.01)], lr=0.5, threads=1)
    same, _ = staged.train(bundle, labelled(), [Turn("all", 1)], lr=0.01, threads=1)
    assert slow.read("infer.onnx") == same.read("infer.onnx")


def test_a_holdout_is_a_part(home):
    train, test = staged.hold_out(labelled(), 0.25)
    assert (len(train), len(test)) == (72, 24)
    with pytest.raises(InputError, match="leaves one part empty"):
        staged.hold_out(labelled(), 0.001)


def test_the_command_trains_and_writes(desk, capsys):
    argv = ["train", "two.bundle", "--data", "d.npz", "--test", "t.npz", "--stages", "head:2,all:1"]
    assert main([*argv, "--out", "e.bundle", "--cache", "f.npy", "--checkpoint", "c.ckpt"]) == 0
    shown = capsys.readouterr().out
    assert "head" in shown
    assert "before" in shown
    assert {path.name for path in desk.iterdir()} >= {"e.bundle", "f.npy", "f-test.npy"}
    assert not list(desk.glob("c*.ckpt")), "a finished run leaves no checkpoint"
    assert main(["train", "e.bundle", "--data", "d.npz", "--epochs", "1", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["stage"] == "head"
    assert lines[-1]["samples"] == 77
    assert lines[-1]["n"] == 19


def test_a_memory_is_learnt_along(desk, capsys):
    assert (
        main(["train", "head.bundle", "--data", "d.npz", "--memory", "t.npz", "--epochs", "1", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["samples"] == 77 + 32


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--stages", "tail:1"], "has no stage 'tail'"),
        (["--stages", "head"], "such as head:3,all:2"),
        (["--stages", "head:1@x"], "such as head:3,all:2"),
        (["--stages", "head:0"], "no epoch at all"),
        (["--epochs", "0"], "1 or more"),
        (["--batch-size", "0"], "1 or more"),
        (["--lr", "0"], "more than 0"),
        (["--lr", "nan"], "more than 0"),
        (["--holdout", "1.5"], "leaves one part empty"),
        (["--test", "none.npz"], "no such file"),
        (["--memory", "wrong.npz"], "expected float32"),
        (["--lr", "1e30"], "lower the learning rate"),
    ],
)
def test_bad_use_is_one_sentence_and_leaves_nothing(desk, argv, said, capsys):
    np.savez("wrong.npz", x=np.zeros((2, 3), np.float32), y=np.zeros(2, np.int64))
    before = sorted(Path().rglob("*"))
    assert main(["train", "two.bundle", "--data", "d.npz", "--out", "e.bundle", "--json", *argv]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert sorted(Path().rglob("*")) == before


@pytest.mark.slow
def test_it_trains_on_an_emulated_device(desk):
    if not emulator.available():
        pytest.skip("no emulator here")
    argv = ["train", "head.bundle", "--data", "d.npz", "--epochs", "1", "--threads", "1", "--json"]
    done = emulator.run("rpi4", [*argv, "--out", "e.bundle"], capture=True)
    assert done.returncode == 0, done.stderr
    there = json.loads(done.stdout.splitlines()[-1])
    assert there["samples"] == 77
    Bundle.open("e.bundle")


@pytest.mark.slow
def test_the_example_learns_its_user_and_forgets_nobody(tmp_path, capsys):
    assets.locate("digits")
    from examples import personalise_on_device

    personalise_on_device.main(tmp_path, emulate=False)
    rows = [line.rsplit(maxsplit=2) for line in capsys.readouterr().out.splitlines()[2:]]
    mine, others = ({row[0].strip(): float(row[k]) for row in rows} for k in (1, 2))
    assert mine["with the memory set"] > mine["as delivered"] + 0.2
    assert others["with the memory set"] > others["own digits alone"]
    assert others["with the memory set"] > others["as delivered"] - 0.08


def test_the_weights_of_a_bundle_of_two_stages_are_stored_once(desk, capsys):
    """In the cloud and after training on the device; what is read is what was there before sharing."""
    bundle = Bundle.open("two.bundle")
    names = {"backbone.onnx", "params.npz", "params-all.npz"}
    assert {f"{name}.shared" for name in names} <= set(bundle.manifest.files)
    assert all(name in bundle and name not in bundle.manifest.files for name in names)
    weights = sum(array.nbytes for array in read_parameters(bundle.read("params-all.npz"), "-").values())
    stored = sum(len(bundle.read(f"{name}.shared")) for name in names)
    assert stored < 0.1 * weights + 4000
    argv = [
        "train",
        "two.bundle",
        "--data",
        "d.npz",
        "--test",
        "t.npz",
        "--stages",
        "head:1,all:1",
        "--threads",
        "1",
    ]
    assert main([*argv, "--out", "better.bundle"]) == 0
    learnt = Bundle.open("better.bundle")
    assert set(learnt.manifest.files) == set(bundle.manifest.files)
    everything = read_parameters(learnt.read("params-all.npz"), "-")
    head = read_parameters(learnt.read("params.npz"), "-")
    graph = onnx.load_from_string(learnt.read("backbone.onnx")).graph
    held = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    for name, array in {**head, **{k: v for k, v in held.items() if k in everything}}.items():
        np.testing.assert_array_equal(array, everything[name])
    before = read_parameters(bundle.read("params-all.npz"), "-")
    assert sum((before[name] != everything[name]).any() for name in everything) > len(everything) / 2


def test_a_coded_bundle_learns(desk, capsys):
    bundle = Bundle.open("head.bundle")
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    files["infer.onnx.coded"] = code(files.pop("infer.onnx"), [])
    pack("coded.bundle", bundle.manifest, files)
    argv = ["train", "coded.bundle", "--data", "d.npz", "--test", "t.npz", "--epochs", "1", "--threads", "1"]
    assert main([*argv, "--out", "better.bundle"]) == 0
    assert Bundle.open("better.bundle").read("infer.onnx") != bundle.read("infer.onnx")


def test_what_a_loss_takes_beside_labels_comes_with_the_data(desk, capsys):
    samples = labelled()
    teacher = np.eye(4, dtype=np.float32)[samples.y] * 4
    pack_trainable(cnn(), "d.bundle", name="m", loss="distillation")
    argv = ["train", "d.bundle", "--data", "taught.npz", "--epochs", "2", "--threads", "1"]
    np.savez("taught.npz", x=samples.x, y=samples.y, teacher=teacher, note=np.array("of nobody's"))
    assert main([*argv, "--json"]) == 0  # and its holdout is tested with the rows that belong to it
    losses = [json.loads(line)["loss"] for line in capsys.readouterr().out.splitlines()[:-1]]
    assert losses[-1] < losses[0]
    np.savez("taught.npz", x=samples.x, y=samples.y)
    assert main(argv) == 2
    assert "the loss distillation needs 'teacher': give it in extra, or beside x" in capsys.readouterr().err
