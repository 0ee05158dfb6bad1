"""The whole path on real digits, in seconds: train, compress, run, average."""

import numpy as np
import pytest

from compress import compress
from converter.convert import convert
from converter.trainable import pack_trainable
from edge_runtime import Bundle, Samples, Session, Trainer
from federated import Settings, federate
from tests import assets


@pytest.fixture(scope="module")
def digits():
    assets.locate("digits")
    from examples import digits as example

    train, test = example.load()
    return Samples(train.x[:1500], train.y[:1500]), Samples(test.x[:500], test.y[:500])


def test_from_a_framework_to_a_device_and_back(digits, tmp_path):
    train, test = digits
    model = convert("examples.digits:model", input_names=["images"], output_names=["logits"], trainable=True)
    bundle = pack_trainable(model, tmp_path / "digits.bundle", name="digits")

    trainer = Trainer(bundle, threads=1)
    losses = trainer.fit(train, epochs=4, lr=0.1)
    assert losses[-1] < losses[0]
    alone = trainer.evaluate(test)["accuracy"]
    assert alone > 0.8

    learned = trainer.export(tmp_path / "learned.bundle")
    (logits,) = Session(learned).run_batches(test.x, 100)
    assert np.mean(logits.argmax(1) == test.y) == pytest.approx(alone)

    (tmp_path / "learned.onnx").write_bytes(learned.read("infer.onnx"))
    made = compress(
        tmp_path / "learned.onnx", train, tmp_path / "small.bundle", test=test, emulate=False, rounds=1
    )
    assert made.after.size < 0.35 * made.before.size
    assert made.fidelity.agreement > 0.97
    assert made.fidelity.compressed_accuracy == pytest.approx(alone, abs=0.02)

    settings = Settings(rounds=5, clients=3, lr=0.1, alpha=1.0)
    history = federate(bundle, train, settings, test=test, out=tmp_path / "federated", progress=False)
    assert history.rounds[-1].accuracy > 0.7 > history.initial["accuracy"]
    final = Session(Bundle.open(tmp_path / "federated" / "model.bundle")).run_batches(test.x, 100)[0]
    assert np.mean(final.argmax(1) == test.y) == pytest.approx(history.rounds[-1].accuracy)
