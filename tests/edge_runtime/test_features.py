"""The feature cache: computed once, found again, never half-written, and never taken for another's."""

import numpy as np
import pytest

from converter.transfer import pack_split
from edge_runtime.bundle import Bundle, Manifest, pack
from edge_runtime.data import Samples
from edge_runtime.errors import BundleError, InputError
from edge_runtime.session import Session
from edge_runtime.trainer import Trainer
from edge_runtime.training.features import FeatureCache
from tests.models import cnn, images


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    return pack_split(cnn(), tmp_path_factory.mktemp("features") / "m.bundle", name="m")


@pytest.fixture
def samples():
    return Samples(images(21), np.arange(21) % 4)


def test_features_are_what_the_backbone_gives(bundle, samples):
    cache = FeatureCache(bundle, samples, batch_size=8)
    want = Session(bundle.read("backbone.onnx")).run({"images": samples.x})["f"]
    np.testing.assert_allclose(cache.samples.x, want, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(cache.samples.y, samples.y)
    assert len(cache) == 21
    assert not cache.reused


def test_a_file_is_mapped_and_found_again(bundle, samples, tmp_path):
    file = tmp_path / "f.npy"
    first = FeatureCache(bundle, samples, file)
    assert not first.reused
    assert isinstance(first.samples.x, np.memmap)
    again = FeatureCache(str(bundle.path), samples, file)
    assert again.reused
    np.testing.assert_array_equal(again.samples.x, FeatureCache(bundle, samples).samples.x)
    np.testing.assert_array_equal(np.load(file), again.samples.x, "it is an ordinary .npy")
    assert list(tmp_path.iterdir()) == [file]


def test_other_data_or_another_backbone_is_computed_anew(bundle, samples, tmp_path):
    file = tmp_path / "f.npy"
    FeatureCache(bundle, samples, file)
    assert not FeatureCache(bundle, Samples(samples.x + 1, samples.y), file).reused
    assert not FeatureCache(bundle, samples, file).reused
    other = pack_split(cnn(seed=3), tmp_path / "other.bundle", name="m")
    assert not FeatureCache(other, samples, file).reused


@pytest.mark.parametrize("content", [b"", b"short", b"not an array" * 9])
def test_a_file_that_is_not_a_cache_is_replaced(bundle, samples, tmp_path, content):
    file = tmp_path / "f.npy"
    file.write_bytes(content)
    assert not FeatureCache(bundle, samples, file).reused
    assert FeatureCache(bundle, samples, file).reused


def test_a_cache_cut_short_is_computed_anew(bundle, samples, tmp_path):
    file = tmp_path / "f.npy"
    FeatureCache(bundle, samples, file)
    file.write_bytes(file.read_bytes()[:-40])
    assert not FeatureCache(bundle, samples, file).reused


def test_a_failed_pass_leaves_nothing(bundle, samples, tmp_path, monkeypatch):
    def fail(self, x, batch=0):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Session, "run_batches", fail)
    with pytest.raises(InputError, match="No space left"):
        FeatureCache(bundle, samples, tmp_path / "f.npy")
    assert not list(tmp_path.iterdir())


def test_training_on_the_mapped_file_is_training_in_memory(bundle, samples, tmp_path):
    runs = []
    for file in (None, tmp_path / "f.npy"):
        trainer = Trainer(bundle, threads=1)
        runs.append(trainer.fit(FeatureCache(bundle, samples, file, threads=1).samples, epochs=3))
    assert runs[0] == runs[1]


def test_bad_use(bundle, samples, tmp_path):
    with pytest.raises(InputError, match="float32"):
        FeatureCache(bundle, Samples(samples.x.astype(np.float64)))
    with pytest.raises(InputError, match="need samples"):
        FeatureCache(bundle, Samples(samples.x[:0]))
    with pytest.raises(InputError, match="is a folder"):
        FeatureCache(bundle, samples, tmp_path)
    specs = (bundle.manifest.inputs, bundle.manifest.outputs)
    plain = pack(tmp_path / "p.bundle", Manifest("p", "rpi4", *specs), {"infer.onnx": b"x"})
    with pytest.raises(BundleError, match="littoral adapt"):
        FeatureCache(plain, samples)
