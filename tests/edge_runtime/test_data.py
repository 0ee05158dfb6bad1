"""Data: arrays and folders of pictures, as a model takes them."""

import numpy as np
import pytest
from PIL import Image

from edge_runtime import data, declared
from edge_runtime.bundle import Preprocess
from edge_runtime.data import Samples
from edge_runtime.errors import InputError

PRE = Preprocess(resize=16, crop=8, mean=(127.0,), std=(128.0,))


def paint(path, colour, size=(32, 24)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def test_class_folders_follow_their_sorted_names(tmp_path):
    paint(tmp_path / "dog" / "1.png", (255, 0, 0))
    paint(tmp_path / "cat" / "1.png", (0, 255, 0))
    paint(tmp_path / "cat" / "2.jpg", (0, 0, 255))
    samples = data.load(tmp_path, PRE)
    assert samples.names == ("cat", "dog")
    assert samples.y is not None
    assert samples.y.tolist() == [0, 0, 1]
    assert samples.x.shape == (3, 3, 8, 8)
    np.testing.assert_allclose(samples.x[2, :, 0, 0], [1.0, -127 / 128, -127 / 128])


def test_folders_that_are_integers_are_the_classes(tmp_path):
    paint(tmp_path / "243" / "a.png", (1, 2, 3))
    paint(tmp_path / "22" / "b.png", (1, 2, 3))
    samples = data.load(tmp_path, PRE)
    assert samples.y is not None
    assert sorted(samples.y.tolist()) == [22, 243]


def test_a_flat_folder_has_no_labels(tmp_path):
    paint(tmp_path / "a.png", (1, 2, 3))
    assert data.load(tmp_path, PRE).y is None


def test_the_crop_is_central(tmp_path):
    picture = np.zeros((16, 32, 3), np.uint8)
    picture[4:12, 12:20] = 255
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert data.load(tmp_path, PRE).x.min() == 1.0


def test_a_damaged_picture_is_named(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"bad.png: not a picture"):
        data.load(tmp_path, PRE)


def test_preprocess_from_text():
    assert declared.parse_preprocess("resize=256, crop=224, mean=124/117/104, std=1") == Preprocess(
        256, 224, (124.0, 117.0, 104.0), (1.0,)
    )
    for wrong in ("resize=256", "resize=a,crop=1", "size=1,crop=1", ""):
        with pytest.raises(InputError, match="expected resize=256"):
            declared.parse_preprocess(wrong)


def test_batches_cover_every_sample_once():
    samples = Samples(np.arange(10, dtype=np.float32)[:, None], np.arange(10))
    seen = [int(v) for x, _ in data.batches(samples, 4, np.random.default_rng(0)) for v in x[:, 0]]
    assert sorted(seen) == list(range(10))
    assert seen != list(range(10))
    with pytest.raises(InputError, match="needs labels"):
        list(data.batches(Samples(samples.x), 4))
