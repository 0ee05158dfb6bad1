"""Export: what was learnt is in the bundle that is written, plain, coded or quantised, and nothing else changed."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from compress.quantization.quantize import Quantize, quantize
from converter.optimize import optimize
from converter.trainable import pack_trainable
from edge_runtime.bundle import Bundle, pack
from edge_runtime.errors import BundleError
from edge_runtime.session import Session
from edge_runtime.storage import SUFFIX, code
from edge_runtime.trainer import Trainer
from edge_runtime.training.integers import _carried
from tests.edge_runtime.test_trainer import digits, lenet


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return pack_trainable(lenet(), tmp_path_factory.mktemp("export") / "m.bundle", name="m", momentum=0.9)


@pytest.mark.parametrize("name", ["m.bundle", "m"])
def test_a_bundle_may_be_written_over_itself(bundle: Bundle, tmp_path: Path, name: str) -> None:
    pack(tmp_path / name, bundle.manifest, {file: bundle.read(file) for file in bundle.manifest.files})
    trainer = Trainer(tmp_path / name)
    for offset in (1, 2):  # the second export reads what the first one wrote
        trainer.load({k: array + 1 for k, array in trainer.parameters.items()})
        trainer.export(tmp_path / name)
        written = Trainer(tmp_path / name).parameters
        for k, array in Trainer(bundle).parameters.items():
            np.testing.assert_array_equal(written[k], (array + 1) + 1 if offset == 2 else array + 1)


def test_an_export_does_not_follow_what_is_learnt_later(bundle: Bundle, tmp_path: Path) -> None:
    trainer = Trainer(bundle)
    exported = trainer.export(tmp_path / "e.bundle")
    before = exported.read("infer.onnx")
    trainer.load({k: array + 1 for k, array in trainer.parameters.items()})
    assert exported.read("infer.onnx") == before == Bundle.open(tmp_path / "e.bundle").read("infer.onnx")


def test_a_bundle_given_by_path_stays_on_the_disk(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "copy.bundle"
    path.write_bytes(bundle.path.read_bytes())
    trainer = Trainer(path)
    assert trainer.bundle.read("infer.onnx") == bundle.read("infer.onnx")
    assert trainer.bundle.size == bundle.size
    with pytest.raises(BundleError, match="has no other"):
        trainer.bundle.read("other")
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(bundle.read("params.npz")[:200]) + 150] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(BundleError, match=r"params\.npz (was altered|cannot be read)"):
        trainer.export(tmp_path / "out.bundle")


def test_a_bundle_stored_coded_trains_and_exports(bundle: Bundle, tmp_path: Path) -> None:
    plain = {name: bundle.read(name) for name in bundle.manifest.files}
    coded = dict(plain)
    for name in ("infer.onnx", "params.npz"):
        coded[f"{name}{SUFFIX}"] = code(coded.pop(name), [])
    pack(tmp_path / "coded.bundle", bundle.manifest, coded)
    trainer = Trainer(tmp_path / "coded.bundle")
    exported = trainer.export(tmp_path / "out.bundle")
    assert {name: exported.read(name) for name in exported.manifest.files} == plain


def test_what_a_device_probes_the_old_weights_by_is_left_out(bundle: Bundle, tmp_path: Path) -> None:
    added = {"selftest.npz": b"of the old weights", "reference.json": b"{}"}
    bundle.rewritten(tmp_path / "probed.bundle", bundle.manifest, added)
    exported = Trainer(tmp_path / "probed.bundle").export(tmp_path / "out.bundle")
    assert exported.manifest.files.keys() == bundle.manifest.files.keys()


def test_a_quantised_model_is_exported_as_it_came(tmp_path: Path) -> None:
    plain = Quantize(bias_correction=False, calibrator="minmax", rounding="nearest")
    train, test = digits()
    model = optimize(lenet())  # batch normalisation is folded
    before = quantize(model, train.x[:100], plain)
    bundle = pack_trainable(model, tmp_path / "m.bundle", name="m", quantized=before)
    assert bundle.read("infer.onnx") == before.SerializeToString(deterministic=True)
    trainer = Trainer(bundle)
    same = trainer.export(tmp_path / "same.bundle")
    assert same.read("infer.onnx") == bundle.read("infer.onnx")
    trainer.fit(train, epochs=1, lr=0.05)
    exported = onnx.load_from_string(trainer.export(tmp_path / "better.bundle").read("infer.onnx"))
    onnx.checker.check_model(exported, full_check=True)

    for tensor in model.graph.initializer:
        if tensor.name in trainer.parameters:
            tensor.CopyFrom(numpy_helper.from_array(trainer.parameters[tensor.name], tensor.name))
    wanted = {
        t.name: numpy_helper.to_array(t) for t in quantize(model, train.x[:100], plain).graph.initializer
    }
    found = {t.name: numpy_helper.to_array(t) for t in exported.graph.initializer}
    old = {t.name: numpy_helper.to_array(t) for t in before.graph.initializer}
    changed = 0
    for name in (n for n in wanted if ".integers" in n or n.endswith(".scale")):
        if name.startswith(tuple(trainer.parameters)):  # weights: bit for bit what compress makes of them
            np.testing.assert_array_equal(found[name], wanted[name])
            changed += not np.array_equal(found[name], old[name])
        elif ".bias." in name:  # of the input's old scale, so as a number
            stem = name.rpartition(".")[0]
            np.testing.assert_allclose(
                found[f"{stem}.integers"] * found[f"{stem}.scale"],
                wanted[f"{stem}.integers"] * wanted[f"{stem}.scale"],
                atol=2 * found[f"{stem}.scale"].max() + 2 * wanted[f"{stem}.scale"].max(),
            )
        else:  # activations stay as they were calibrated
            np.testing.assert_array_equal(found[name], old[name])
    assert changed >= 4
    logits = Session(tmp_path / "better.bundle").run({"x": test.x})["logits"]
    agreement = (logits.argmax(1) == trainer.predict(test.x).argmax(1)).mean()
    assert agreement > 0.95


def test_what_was_not_trained_keeps_its_integers(tmp_path: Path) -> None:
    """Also where rounding was learnt, and not to the nearest."""
    train, _ = digits()
    model = optimize(lenet())
    made = quantize(model, train.x[:32], Quantize(samples=32))
    bundle = pack_trainable(model, tmp_path / "m.bundle", name="m", quantized=made, trainable=["fc"])
    trainer = Trainer(bundle)
    assert trainer.export(tmp_path / "same.bundle").read("infer.onnx") == bundle.read("infer.onnx")
    trainer.fit(train, epochs=1, lr=0.01)
    exported = onnx.load_from_string(trainer.export(tmp_path / "e.bundle").read("infer.onnx"))
    before, after = ({t.name: t.raw_data for t in m.graph.initializer} for m in (made, exported))
    changed = {name for name in before if before[name] != after[name]}
    assert {"fc.integers", "fc.scale"} <= changed
    assert all(name.startswith(("fc.", "logits.bias.")) for name in changed)


@pytest.mark.parametrize("bits", [8, 4])
def test_the_correction_of_biases_is_kept_and_fitted_to_new_weights(tmp_path: Path, bits: int) -> None:
    train, test = digits()
    first = Trainer(pack_trainable(lenet(), tmp_path / "first.bundle", name="m", momentum=0.9))
    first.fit(train, epochs=2, lr=0.02)
    model = optimize(onnx.load_from_string(first.export(tmp_path / "first.bundle").read("infer.onnx")))
    errors: dict[bool, list[float]] = {}
    for corrected in (True, False):
        options = Quantize(
            bias_correction=corrected, weight_bits=bits, calibrator="minmax", rounding="nearest"
        )
        made = quantize(model, train.x[:100], options)
        trainer = Trainer(pack_trainable(model, tmp_path / f"{corrected}.bundle", name="m", quantized=made))
        same = trainer.export(tmp_path / "same.bundle")
        assert same.read("infer.onnx") == trainer.bundle.read("infer.onnx")
        trainer.fit(train, epochs=1, lr=0.01)
        wanted = trainer.predict(test.x)
        exported = trainer.export(tmp_path / "better.bundle")
        again = Trainer(exported).export(tmp_path / "again.bundle")
        for learnt in (exported, again):
            found = Session(learnt.read("infer.onnx")).run_batches(test.x, 100)[0]
            errors.setdefault(corrected, []).append(float(((found - wanted) ** 2).mean()))
    # Nothing is added where nothing had been; else it brings the outputs nearer, and does not wear off.
    assert errors[False][0] == errors[False][1]
    assert max(errors[True]) < 0.9 * errors[False][0]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.sampled_from([1, 2, 6]), st.integers(2, 5), st.integers(1, 4))
def test_the_means_are_found_from_the_old_correction(
    seed: int, group: int, outputs: int, inputs: int
) -> None:
    """Where a group has as many outputs as inputs, the new correction is what the true means give."""
    rng = np.random.default_rng(seed)
    inputs = min(inputs, outputs)
    old, new = rng.uniform(-1, 1, (2, group * outputs, inputs))
    means = rng.uniform(0, 1, (group, inputs))
    added, wanted = (
        -np.einsum("goi,gi->go", d.reshape(group, outputs, inputs), means).ravel() for d in (old, new)
    )
    step = np.full(len(added), 1e-6)
    bias = {"group": group, "input_scale": 1 / 128}
    conditions = np.linalg.cond(old.reshape(group, outputs, inputs))
    if conditions.max() < 30:
        np.testing.assert_allclose(_carried(added, old, new, step, bias), wanted, atol=1e-4)
    np.testing.assert_array_equal(_carried(added, old, old, step, bias), added)


def test_a_table_without_groups_keeps_the_correction_as_it_is() -> None:
    added = np.array([1.0, 2.0])
    assert _carried(added, np.ones((2, 3)), np.zeros((2, 3)), np.ones(2), {"input_scale": 0.1}) is added
