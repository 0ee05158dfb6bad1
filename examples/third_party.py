"""Real ONNX models from other people's packages, and real data for each: to be compressed as they are.

python examples/third_party.py out/          # writes NAME.npz beside the path of each model, for `littoral compress`
"""

import importlib
import io
import sys
import tokenize
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from edge_runtime.data import Samples, records
from edge_runtime.session import Session
from edge_runtime.tensors import Array

sys.path.insert(0, str(Path(__file__).parents[1]))
assets = importlib.import_module("tests.assets")


def magika(count: int = 96) -> tuple[Path, Samples]:
    """The type of a file: int32[n, 2048], the first and last 1,024 bytes (256: none), of Python's own library."""
    folder = Path(tokenize.__file__).parent
    files = [f for f in sorted(folder.rglob("*.*")) if f.is_file() and f.stat().st_size > 64]
    step = max(1, len(files) // count)
    return assets.find("magika")[0], Samples(np.stack([_ends(file) for file in files[::step][:count]]))


def _ends(file: Path) -> Array:
    content = file.read_bytes()
    first, last = content[:4096].lstrip()[:1024], content[-4096:].rstrip()[-1024:]
    found = np.full(2048, 256, np.int32)
    found[: len(first)] = np.frombuffer(first, np.uint8)
    found[2048 - len(last) :] = np.frombuffer(last, np.uint8)
    return found


def voice(count: int = 96) -> tuple[Path, Samples]:
    """Voice activity at 16 kHz: 512 samples behind 64 of context, and the state that the model itself left before.

    The sound is made: a voice-like buzz that comes and goes over noise; no recording is needed.
    """
    path = assets.find("silero-vad")[0]
    rng, rate = np.random.default_rng(0), 16_000
    t = np.arange(512 * count) / rate
    buzz = sum(a * np.sin(2 * np.pi * f * t) for f, a in ((140, 0.3), (280, 0.2), (560, 0.15), (1200, 0.1)))
    sound = buzz * (np.sin(8.2 * t) > -0.3) * (0.5 + 0.5 * np.sin(25 * t)) + 0.02 * rng.standard_normal(
        len(t)
    )
    session, state, before = Session(path), np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32)
    inputs, states = [], []
    for chunk in sound.astype(np.float32).reshape(count, 512):
        inputs.append(np.concatenate([before, chunk])[None])
        states.append(state)
        feed = {"input": inputs[-1], "state": state, "sr": np.array(rate)}
        state, before = session.run(feed)["stateN"], chunk[-64:]
    return path, Samples(records({"input": np.stack(inputs), "state": np.stack(states)}))


def detector(count: int = 24) -> tuple[Path, Samples]:
    """Where text is: float32[n, 3, 160, 320] from a scanned page and a photographed text, ImageNet normalisation."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    found = [(crop - mean) / std for crop in _text(count, 160, 320, (60, 150))]
    return assets.find("ocr-detector")[0], Samples(np.stack(found).transpose(0, 3, 1, 2).astype(np.float32))


def recogniser(count: int = 32) -> tuple[Path, Samples]:
    """What a line says: float32[n, 3, 48, 320] between -1 and 1, strips of the same."""
    found = [crop * 2 - 1 for crop in _text(count, 48, 320, (16, 26))]
    return assets.find("ocr-recogniser")[0], Samples(np.stack(found).transpose(0, 3, 1, 2).astype(np.float32))


def classifier(count: int = 48) -> tuple[Path, Samples]:
    """Whether a line stands on its head: float32[n, 3, 48, 192] between -1 and 1; every second one does."""
    found = [crop * 2 - 1 for crop in _text(count, 48, 192, (16, 26))]
    turned = [crop[::-1, ::-1] if k % 2 else crop for k, crop in enumerate(found)]
    return assets.find("ocr-classifier")[0], Samples(
        np.stack(turned).transpose(0, 3, 1, 2).astype(np.float32)
    )


def _text(count: int, height: int, width: int, sides: tuple[int, int]) -> list[Array]:
    """Cuts from pages of text, [height, width, BGR] between 0 and 1, `sides` pixels high in the page."""
    rng = np.random.default_rng(0)
    pages = [
        Image.open(f).convert("RGB") for f in assets.find("photographs-skimage") if f.stem in ("page", "text")
    ]
    made = []
    for k in range(count):
        page = pages[k % len(pages)]
        high = int(rng.integers(sides[0], min(sides[1], page.height)))
        wide = min(page.width, high * width // height)
        left, top = rng.integers(0, page.width - wide + 1), rng.integers(0, page.height - high + 1)
        cut = page.resize((width, height), Image.Resampling.BICUBIC, (left, top, left + wide, top + high))
        made.append(np.asarray(cut, np.float32)[:, :, ::-1] / 255)
    return made


def sentences(count: int = 32, length: int = 32) -> tuple[Path, Samples]:
    """Meaning of sentences: tokens of BERT's vocabulary between its two marks; frequent ones, at random."""
    rng = np.random.default_rng(0)
    tokens, mask = np.zeros((2, count, length), np.int64)
    for row, used, size in zip(tokens, mask, rng.integers(8, length, count), strict=True):
        row[: size + 1] = [101, *rng.integers(1996, 4000, size - 1), 102]
        used[: size + 1] = 1
    fields = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
    return assets.find("sentence-transformer")[0], Samples(records(fields))


MODELS: Mapping[str, Callable[[], tuple[Path, Samples]]] = {
    "magika": magika, "silero-vad": voice, "ocr-detector": detector, "ocr-recogniser": recogniser,
    "ocr-classifier": classifier, "sentence-transformer": sentences,
}  # fmt: skip


def write(folder: Path) -> str:
    """Write the data of every model, and return the commands that compress them."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = io.StringIO()
    for name, made in MODELS.items():
        path, samples = made()
        arrays = (
            {"x": samples.x}
            if samples.x.dtype.names is None
            else {k: samples.x[k] for k in samples.x.dtype.names}
        )
        np.savez(folder / f"{name}.npz", **arrays)  # type: ignore[arg-type]
        print(f"littoral compress {path} --data {folder / name}.npz -o {folder / name}.bundle", file=lines)
    return lines.getvalue()


if __name__ == "__main__":
    print(write(Path(sys.argv[1] if len(sys.argv) > 1 else "out/third_party")))
