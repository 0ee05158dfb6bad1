"""The whole way from a photograph, a sound or an array to an answer: read, prepare, run, decide."""

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime import data
from edge_runtime.declared import Audio, Classify, Detect, Events, Input, MultiLabel, Postprocess, Preprocess
from edge_runtime.errors import InputError
from edge_runtime.files import existing
from edge_runtime.processing import answers, audio, images
from edge_runtime.processing.results import Result, Values
from edge_runtime.session import Session
from edge_runtime.tensors import Array, TensorSpec

Source = str | os.PathLike[str] | bytes
Feed = dict[str, Array]
Outputs = Mapping[str, Array]
Steps = Generator[Feed, Outputs, Result]
ARRAYS = (".npy", ".npz")
SOUNDS = (".wav",)
_PREPROCESS = "a preprocess, in its manifest or by --preprocess, such as {}"


class Pipeline:
    """``Pipeline(Session("m.bundle"))("photo.jpg")`` gives a list with one result for each picture, sound or sample.

    What a bundle's manifest declares is used unless something else is given.
    """

    def __init__(
        self,
        session: Session,
        *,
        preprocess: Input | None = None,
        postprocess: Postprocess | None = None,
        labels: Sequence[str] = (),
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            session: the model.
            preprocess: how a picture or sound becomes its input; None takes the manifest's.
            postprocess: what its outputs mean; None takes the manifest's, else classes if it has labels or gives one
                row of floats, else plain values.
            labels: names of the classes; none takes the manifest's.

        Raises:
            InputError: inputs or outputs are declared that the model does not have, or answers that do not fit.
        """
        manifest = session.bundle.manifest if session.bundle else None
        self.session = session
        self.preprocess = preprocess or (manifest.preprocess if manifest else None)
        self.labels = tuple(labels) or (manifest.labels if manifest else ())
        declared = postprocess or (manifest.postprocess if manifest else None)
        self.postprocess = declared or _usual(session, self.labels)
        self._input = _main_input(session, self.preprocess)
        _check(session, self.preprocess, self.postprocess)

    def __call__(self, sources: Source | Sequence[Source]) -> list[Result]:
        """Answer each: a path of a picture, a .wav, .npy or .npz file, or the content of a picture or .wav file.

        Raises:
            InputError: one cannot be read, or does not fit the model.
            BackendError: a picture is to be read, and Pillow is not installed.
            ModelError: the engine failed.
        """
        several: Sequence[Source] = [sources] if isinstance(sources, str | bytes | os.PathLike) else sources
        found: list[Result] = []
        for source in several:
            for steps in self.steps(source):
                feed, result = advance(steps)
                while feed is not None:
                    feed, result = advance(steps, self.session.run(feed))
                assert result is not None  # noqa: S101 - a generator ends with its result
                found.append(result)
        return found

    def steps(self, source: Source, name: str = "") -> Iterator[Steps]:
        """For each answer that a source has, its work as a generator: it yields feeds, is sent outputs, and returns it.

        So whoever runs the model, here or in a server's queue, need not know what a source is.

        Args:
            source: as for a call.
            name: what to call it in the answer.

        Raises:
            InputError: it cannot be read.
        """
        if isinstance(source, bytes):
            heard = source[:4] == b"RIFF" and source[8:12] == b"WAVE"
            yield self._sound(source, name or "sound") if heard else self._picture(source, name or "picture")
            return
        path = existing(source, "a picture, a .wav, .npy or .npz file")
        if path.suffix.lower() in ARRAYS:
            samples = data.fit(data.load(path), self.session.inputs, str(path))
            for k, (feed, _) in enumerate(data.feeds(samples.x, self.session.inputs, 1)):
                yield self._sample(feed, f"{name or path.name}[{k}]")
        elif path.suffix.lower() in SOUNDS:
            yield self._sound(path, name or path.name)
        else:
            yield self._picture(path, name or path.name)

    def _picture(self, source: Path | bytes, name: str) -> Steps:
        declared = self.preprocess
        if not isinstance(declared, Preprocess):
            wanted = "sounds" if declared else _PREPROCESS.format("resize=256,crop=224,mean=127,std=128")
            raise InputError(f"{name}: to answer a picture, {self.session.name} needs {wanted}")
        placed, frame = images.place(images.decode(source, name), declared)
        size = placed.shape[:2]
        outputs = yield self._feed(_oriented(images.normalise(placed, declared), self._input))
        return self._answer(name, _first(outputs), frame, (size[0], size[1]))

    def _sound(self, source: Path | bytes, name: str) -> Steps:
        declared = self.preprocess
        if not isinstance(declared, Audio):
            wanted = "pictures" if declared else _PREPROCESS.format("kind=audio,rate=16000,window=512")
            raise InputError(f"{name}: to answer a sound, {self.session.name} needs {wanted}")
        samples = audio.resample(*audio.read_wav(source, name), declared.rate)
        carried = {of: self._zeros(of) for of in declared.state}
        rows: list[Outputs] = []
        spans: list[answers.Span] = []
        for start, end, part in audio.windows(samples, declared):
            shaped = _shaped(
                audio.log_mel(part, declared) if declared.mels else part, self._input, declared.mels
            )
            outputs = yield self._feed(shaped) | carried
            carried = {of: outputs[by] for of, by in declared.state.items()}
            rows.append(outputs)
            spans.append((start, end))
        return self._heard(name, rows, spans)

    def _heard(self, name: str, rows: Sequence[Outputs], spans: Sequence[answers.Span]) -> Result:
        declared = self.postprocess
        if not isinstance(declared, Classify | MultiLabel | Events):
            return Values(name, {of: np.concatenate([row[of] for row in rows]) for of in rows[0]})
        values = [_first(row)[declared.output or next(iter(row))] for row in rows]
        if isinstance(declared, Events):
            return answers.of_windows(name, values, spans, declared, self.labels)
        return answers.of_scores(
            name, np.concatenate([v.reshape(1, -1) for v in values]), declared, self.labels
        )

    def _sample(self, feed: Feed, name: str) -> Steps:
        outputs = yield feed
        shape = feed[self._input.name].shape
        height, width = (shape[1], shape[2]) if shape[-1] in (1, 3) else (*shape[-2:], 1, 1)[:2]
        return self._answer(name, _first(outputs), images.Frame(width, height), (height, width))

    def _answer(self, name: str, outputs: Outputs, frame: images.Frame, size: tuple[int, int]) -> Result:
        if self.postprocess is None:
            return Values(name, dict(outputs))
        return answers.of_picture(name, outputs, self.postprocess, self.labels, frame, size)

    def _feed(self, x: Array) -> Feed:
        """What the model takes: `x` as a batch of one, and the inputs that are always the same."""
        kind = np.dtype(self._input.dtype)
        if kind.kind in "iu":
            bounds = np.iinfo(kind)
            x = np.clip(np.rint(x), bounds.min, bounds.max)
        batch = self._input.shape[0] if self._input.shape else 1
        feed = {
            self._input.name: np.repeat(x[None].astype(kind), batch if isinstance(batch, int) else 1, axis=0)
        }
        fixed = self.preprocess.fixed if isinstance(self.preprocess, Audio) else {}
        for spec in self.session.inputs:
            if spec.name in fixed:
                feed[spec.name] = np.full(_lengths(spec), fixed[spec.name], spec.dtype)
        return feed

    def _zeros(self, name: str) -> Array:
        spec = next(each for each in self.session.inputs if each.name == name)
        return np.zeros(_lengths(spec), spec.dtype)


def advance(steps: Steps, outputs: Outputs | None = None) -> tuple[Feed | None, Result | None]:
    """The next feed, or the result if that was the last: one of the two is None.

    Args:
        steps: as `Pipeline.steps` gives them.
        outputs: of the feed before; None to begin.
    """
    try:
        return (next(steps) if outputs is None else steps.send(outputs)), None
    except StopIteration as done:
        return None, done.value


def _usual(session: Session, labels: Sequence[str]) -> Postprocess | None:
    first = session.outputs[0]
    return Classify() if labels or (len(first.shape) == 2 and first.dtype.startswith("float")) else None


def _main_input(session: Session, preprocess: Input | None) -> TensorSpec:
    """The input that pictures and sounds become: the one that is neither a state nor always the same."""
    known = {*preprocess.state, *preprocess.fixed} if isinstance(preprocess, Audio) else set()
    left = [spec for spec in session.inputs if spec.name not in known]
    if preprocess is None:
        return session.inputs[0]
    if len(left) != 1:
        names = ", ".join(map(str, left)) or "none"
        raise InputError(
            f"{session.name}: one input takes the picture or sound, the others are state= or fixed=; left are {names}"
        )
    return left[0]


def _check(session: Session, preprocess: Input | None, postprocess: Postprocess | None) -> None:
    inputs, outputs = ([spec.name for spec in specs] for specs in (session.inputs, session.outputs))
    state = preprocess.state if isinstance(preprocess, Audio) else {}
    fixed = preprocess.fixed if isinstance(preprocess, Audio) else {}
    wanted = (
        [postprocess.boxes, postprocess.scores, postprocess.classes]
        if isinstance(postprocess, Detect)
        else []
    )
    wanted += [postprocess.output] if postprocess is not None and not isinstance(postprocess, Detect) else []
    for names, known, what in (
        ([*state, *fixed], inputs, "input"),
        ([*state.values(), *filter(None, wanted)], outputs, "output"),
    ):
        for name in names:
            if name not in known:
                raise InputError(f"{session.name}: has no {what} '{name}'; it has {', '.join(known)}")
    heard, seen = isinstance(preprocess, Audio), isinstance(preprocess, Preprocess)
    if (heard and not isinstance(postprocess, Classify | MultiLabel | Events | None)) or (
        seen and isinstance(postprocess, Events)
    ):
        raise InputError(
            f"{session.name}: '{postprocess.kind if postprocess else ''}' is no answer to a "
            f"{'sound' if heard else 'picture'}"
        )


def _lengths(spec: TensorSpec) -> list[int]:
    return [dim if isinstance(dim, int) else 1 for dim in spec.shape]


def _first(outputs: Outputs) -> Outputs:
    """The outputs of the first sample, where the model's own batch is larger."""
    return {name: each[:1] if each.ndim > 1 else each for name, each in outputs.items()}


def _oriented(x: Array, spec: TensorSpec) -> Array:
    """A picture, [channels, h, w], with the channels last where the model takes them so."""
    last: Any = spec.shape[-1] if len(spec.shape) == 4 else 0
    return np.ascontiguousarray(x.transpose(1, 2, 0)) if last == len(x) != spec.shape[1] else x


def _shaped(x: Array, spec: TensorSpec, mels: int) -> Array:
    """Samples, [n], or their spectrum, [frames, mels], with the axes that the model takes beside the batch."""
    shape = spec.shape[1:]
    if mels and len(shape) >= 2:
        inner = [dim for dim in shape if dim != 1] if len(shape) > 2 else list(shape)
        if len(inner) == 2 and inner[0] == mels != inner[1]:
            x = x.T
    while x.ndim < len(shape):
        x = x[..., None] if shape[-1] == 1 and x.ndim > 1 else x[None]
    return np.ascontiguousarray(x)
