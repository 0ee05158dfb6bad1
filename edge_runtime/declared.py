"""What a manifest declares of a model's two ends: how a picture or a sound becomes its input, and its output words.

In manifest.json each is a table with its `kind`, on the command line ``kind=detect,threshold=0.3,iou=0.5``. These are
the declarations alone; `edge_runtime.processing` does the work.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from edge_runtime.errors import BundleError, InputError, hint
from edge_runtime.files import existing
from edge_runtime.reading import default, read, split

_EXAMPLE = "expected resize=256,crop=224,mean=127,std=128"


class Declared:
    """What all declarations have: a `kind`, and the form in which a manifest holds them."""

    __slots__ = ()
    kind: ClassVar[str]
    always: ClassVar[tuple[str, ...]] = ()

    def to_json(self) -> dict[str, Any]:
        """The table of a manifest: the kind, and what differs from the defaults."""
        kept = {}
        for each in fields(self):  # type: ignore[arg-type]
            value = getattr(self, each.name)
            if each.name in self.always or value != default(each):
                kept[each.name] = list(value) if isinstance(value, tuple) else value
        return kept if self.always else {"kind": self.kind, **kept}


@dataclass(frozen=True, slots=True)
class Preprocess(Declared):
    """From a picture (0 to 255) to the model's input: ``(fit(picture) - mean) / std``, NCHW float32.

    `fit` says how a picture of any size becomes `crop` pixels high and `width` wide (0: as wide as high): "crop" makes
    its shorter side `resize` and takes the middle; "letterbox" makes it fit whole and fills the rest with `pad`;
    "stretch" changes its proportions. `mean` and `std` have one value, or one a channel; `channels` is their order.
    """

    kind: ClassVar[str] = "image"
    always: ClassVar[tuple[str, ...]] = (
        "resize",
        "crop",
        "mean",
        "std",
    )  # a manifest has them without a kind
    resize: int
    crop: int
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (255.0,)
    fit: str = "crop"
    width: int = 0
    pad: float = 114.0
    channels: str = "rgb"

    def __post_init__(self) -> None:
        _one_of("fit", self.fit, ("crop", "letterbox", "stretch"))
        _one_of("channels", self.channels, ("rgb", "bgr", "grey"))
        count = 1 if self.channels == "grey" else 3
        _need(self.resize >= 1 and self.crop >= 1 and self.width >= 0, "resize and crop are at least 1 pixel")
        _need(len(self.mean) in (1, count), f"mean has {len(self.mean)} values for {count} channels")
        _need(len(self.std) in (1, count), f"std has {len(self.std)} values for {count} channels")
        _need(all(self.std), "std may not be 0")


@dataclass(frozen=True, slots=True)
class Audio(Declared):
    """From a sound to the model's input: windows of samples between -1 and 1, or of their log-mel spectrum.

    `rate` is in Hz (a sound of another is resampled); `window`, `hop`, `context`, `frame` and `step` count samples.
    A call takes a `window` (0: the whole sound), begun every `hop` (0: a window), with `context` samples of what came
    before in front. With `mels` it takes float32[frames, mels], the logarithm of the energy, at least `floor`, in
    bands from `low` to `high` Hz (0: half the rate), of a transform over `fft` samples of `frame`, every `step`.
    `state` maps an input to the output that gives it for the next window; it begins as zeros. `fixed` gives inputs
    that are always the same number.
    """

    kind: ClassVar[str] = "audio"
    rate: int = 16_000
    window: int = 0
    hop: int = 0
    context: int = 0
    mels: int = 0
    frame: int = 400
    step: int = 160
    fft: int = 512
    low: float = 20.0
    high: float = 0.0
    floor: float = 1e-6
    state: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = (self.window, self.hop, self.context, self.mels)
        _need(self.rate >= 1 and min(lengths) >= 0, "rate is at least 1, and no length is negative")
        _need(0 < self.frame <= self.fft and self.step >= 1, "frame is between 1 and fft, step at least 1")
        high = self.high or self.rate / 2
        _need(not self.mels or 0 <= self.low < high <= self.rate / 2, "0 <= low < high <= half the rate")
        _need(self.floor > 0, "floor is above 0")


@dataclass(frozen=True, slots=True)
class Classify(Declared):
    """The `top` classes of one. `activation` is "softmax", "sigmoid", "none", or "auto": softmax unless it was done."""

    kind: ClassVar[str] = "classify"
    top: int = 5
    activation: str = "auto"
    output: str = ""

    def __post_init__(self) -> None:
        _need(self.top >= 1, "top is at least 1")
        _activation(self.activation)


@dataclass(frozen=True, slots=True)
class MultiLabel(Declared):
    """Every class whose score is at least `threshold`. "auto" is a sigmoid unless all scores are in 0 to 1."""

    kind: ClassVar[str] = "multilabel"
    threshold: float = 0.5
    activation: str = "auto"
    output: str = ""

    def __post_init__(self) -> None:
        _share("threshold", self.threshold)
        _activation(self.activation)


@dataclass(frozen=True, slots=True)
class Detect(Declared):
    """Objects and where they are: candidates of score `threshold`, without those that overlap a better one.

    Two of a class overlap if the area that they share is more than `iou` of what they cover together. The model gives
    one output with a row a candidate (its box, with `objectness` one number more, then a score a class), or two,
    `boxes` and `scores`, by name or by shape. `box` says what the four numbers of a box are: centre and size "xywh",
    or corners "xyxy" or "yxyx"; in pixels of the input, or with `relative` in shares of it. `background` leaves the
    first class out. Where the model has chosen each class itself, `classes` is the output with their numbers, or with
    `indexed` each row is box, score and class. Where boxes are relative to the cells of grids, `strides` are those of
    the grids in pixels, `per_cell` the candidates of a cell, and `coding` is "offset" (pixels from the cell's centre,
    as SSD's with anchors of size 1) or "exp" (strides from the cell's corner, and the logarithm of the size, as
    YOLOX's).
    """

    kind: ClassVar[str] = "detect"
    threshold: float = 0.25
    iou: float = 0.45
    top: int = 100
    box: str = "xywh"
    relative: bool = False
    objectness: bool = False
    background: bool = False
    activation: str = "auto"
    boxes: str = ""
    scores: str = ""
    classes: str = ""
    indexed: bool = False
    coding: str = "plain"
    strides: tuple[int, ...] = ()
    per_cell: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        _share("threshold", self.threshold)
        _share("iou", self.iou)
        _need(self.top >= 1, "top is at least 1")
        _one_of("box", self.box, ("xywh", "xyxy", "yxyx"))
        _one_of("coding", self.coding, ("plain", "offset", "exp"))
        _activation(self.activation)
        _need(not self.classes or bool(self.boxes and self.scores), "classes= needs boxes= and scores= too")
        _need(
            (self.coding == "plain") == (not self.strides), "strides are given with coding offset or exp only"
        )
        _need(
            len(self.per_cell) in (1, len(self.strides) or 1),
            "per_cell has one number, or one for each stride",
        )


@dataclass(frozen=True, slots=True)
class Segment(Declared):
    """The class of each pixel: the largest of several, or whether a single one is at least `threshold`."""

    kind: ClassVar[str] = "segment"
    threshold: float = 0.5
    output: str = ""

    def __post_init__(self) -> None:
        _share("threshold", self.threshold)


@dataclass(frozen=True, slots=True)
class Events(Declared):
    """When a sound's windows score at least `threshold`; those less than `gap` seconds apart are one event."""

    kind: ClassVar[str] = "events"
    threshold: float = 0.5
    gap: float = 0.1
    activation: str = "auto"
    output: str = ""

    def __post_init__(self) -> None:
        _share("threshold", self.threshold)
        _need(self.gap >= 0, "gap is not negative")
        _activation(self.activation)


Input = Preprocess | Audio
Postprocess = Classify | MultiLabel | Detect | Segment | Events
_INPUTS: Mapping[str, type[Any]] = {each.kind: each for each in (Preprocess, Audio)}
_ANSWERS: Mapping[str, type[Any]] = {
    each.kind: each for each in (Classify, MultiLabel, Detect, Segment, Events)
}


def parse_preprocess(text: str) -> Preprocess:
    """Read ``resize=256,crop=224,mean=127,std=128``, for pictures; a value per channel is ``mean=124/117/104``.

    Raises:
        InputError: a key is unknown or a value is not a number.
    """
    found = parse_input(text)
    if isinstance(found, Preprocess):
        return found
    raise InputError(f"--preprocess '{text}': pictures are needed here; {_EXAMPLE}")


def parse_input(text: str) -> Input:
    """Read the same, or for sounds ``kind=audio,rate=16000,window=512``.

    Raises:
        InputError: as above.
    """
    try:
        return _input(split(text))
    except InputError as error:
        raise InputError(f"--preprocess '{text}': {error}; {_EXAMPLE}") from error


def parse_postprocess(text: str) -> Postprocess:
    """Read ``kind=detect,threshold=0.3,iou=0.5``.

    Raises:
        InputError: the kind or a key is unknown, or a value is not of its type or range.
    """
    try:
        found: Postprocess = read(split(text), _ANSWERS, "")
    except InputError as error:
        raise InputError(f"--postprocess '{text}': {error}") from error
    return found


def from_manifest(manifest: Mapping[str, Any], where: str) -> tuple[Input | None, Postprocess | None]:
    """What a manifest holds as `preprocess` and `postprocess`; either may be absent or null.

    Raises:
        BundleError: it is not one of the kinds, or a value is wrong.
    """
    name = "preprocess"
    try:
        first = None if manifest.get(name) is None else _input(manifest[name])
        name = "postprocess"
        second: Postprocess | None = (
            None if manifest.get(name) is None else read(manifest[name], _ANSWERS, "")
        )
    except InputError as error:
        raise BundleError(f"{where}: manifest.json: {name}: {error}") from error
    return first, second


def _input(table: object) -> Input:
    """A picture's or a sound's; a picture that is not cropped needs no `resize`."""
    if isinstance(table, Mapping) and table.get("fit", "crop") != "crop" and "crop" in table:
        table = {"resize": table["crop"], **table}
    found: Input = read(table, _INPUTS, "image")
    return found


def labels_in(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The names of the classes in a text file, one a line; empty lines are left out.

    Raises:
        InputError: there is no such file, or it is not text.
    """
    try:
        lines = (
            existing(path, "a text file with the name of one class a line").read_text("utf-8").splitlines()
        )
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a text file that can be read ({error})") from error
    return tuple(line.strip() for line in lines if line.strip())


def _need(condition: bool, sentence: str) -> None:
    if not condition:
        raise InputError(sentence)


def _one_of(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise InputError(f"{name} is '{value}'{hint(value, known)}; expected one of {', '.join(known)}")


def _activation(value: str) -> None:
    _one_of("activation", value, ("auto", "softmax", "sigmoid", "none"))


def _share(name: str, value: float) -> None:
    _need(0 <= value <= 1, f"{name} is {value:g}; expected between 0 and 1")
