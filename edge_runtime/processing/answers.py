"""From a model's outputs for one picture or one sound to its answer, as the manifest declares it."""

from collections.abc import Mapping, Sequence

import numpy as np

from edge_runtime.declared import Classify, Detect, Events, MultiLabel, Postprocess, Segment
from edge_runtime.errors import InputError
from edge_runtime.processing.detection import detect
from edge_runtime.processing.images import Frame
from edge_runtime.processing.results import (
    Box,
    Classification,
    Detection,
    Event,
    Label,
    Result,
    Segmentation,
    Sound,
)
from edge_runtime.processing.scores import activate
from edge_runtime.tensors import Array, describe

Span = tuple[float, float]


def of_picture(
    source: str,
    outputs: Mapping[str, Array],
    declared: Postprocess,
    labels: Sequence[str],
    frame: Frame,
    size: tuple[int, int],
) -> Result:
    """The answer for one picture.

    Args:
        source: what to call it.
        outputs: of the model.
        declared: what they mean.
        labels: names of the classes.
        frame: where the picture lies in the model's input.
        size: height and width of that input.

    Raises:
        InputError: the outputs have another form than is declared.
    """
    if isinstance(declared, Detect):
        boxes, scores, classes = detect(outputs, declared, size, len(labels))
        found = zip(classes, scores, frame.back(boxes).tolist(), strict=True)
        return Detection(source, tuple(Box(name(labels, k), float(s), *where) for k, s, where in found))
    if isinstance(declared, Segment):
        return _segmentation(source, _chosen(outputs, declared.output), declared, labels, frame, size)
    if isinstance(declared, Events):
        raise InputError(f"{source}: 'events' are those of a sound; the model answers with them")
    return of_scores(source, _chosen(outputs, declared.output), declared, labels)


def of_scores(
    source: str, values: Array, declared: Classify | MultiLabel, labels: Sequence[str]
) -> Classification:
    """The classes of one sample; of several rows, such as a sound's windows, on average or in any of them.

    Raises:
        InputError: there are no scores.
    """
    if not values.ndim or not values.size:
        raise InputError(f"{source}: an output of {describe(values)} holds no scores of classes")
    rows = values.reshape(-1, values.shape[-1])
    if isinstance(declared, MultiLabel):
        scores = activate(rows, declared.activation, "sigmoid").max(axis=0)
        found = [int(k) for k in np.argsort(-scores, kind="stable") if scores[k] >= declared.threshold]
    else:
        scores = activate(rows, declared.activation, "softmax").mean(axis=0)
        found = [int(k) for k in np.argsort(-scores, kind="stable")[: declared.top]]
    return Classification(source, tuple(Label(name(labels, k), float(scores[k])) for k in found))


def of_windows(
    source: str, rows: Sequence[Array], spans: Sequence[Span], declared: Events, labels: Sequence[str]
) -> Sound:
    """When which class was heard: windows that score enough, joined."""
    scores = activate(np.concatenate([row.reshape(1, -1) for row in rows]), declared.activation, "sigmoid")
    found: list[Event] = []
    for k in range(scores.shape[1]):
        last: Event | None = None
        for (start, end), score in zip(spans, scores[:, k].tolist(), strict=True):
            if score < declared.threshold:
                continue
            if last is not None and start - last.end <= declared.gap:
                last = Event(last.label, max(last.score, score), last.start, end)
                found[-1] = last
            else:
                last = Event(name(labels, k), score, start, end)
                found.append(last)
    found.sort(key=lambda event: (event.start, event.label))
    return Sound(source, spans[-1][1], tuple(found))


def name(labels: Sequence[str], index: int) -> str:
    """A class's name; ``class 7`` where it has none."""
    return labels[index] if index < len(labels) else f"class {index}"


def _chosen(outputs: Mapping[str, Array], wanted: str) -> Array:
    if wanted and wanted not in outputs:
        raise InputError(f"the model has no output '{wanted}'; it gives {', '.join(outputs)}")
    return outputs[wanted] if wanted else next(iter(outputs.values()))


def _segmentation(
    source: str,
    output: Array,
    declared: Segment,
    labels: Sequence[str],
    frame: Frame,
    size: tuple[int, int],
) -> Segmentation:
    mask, single = _regions(output, declared, len(labels))
    names = ("background", *(labels[:1] or ("object",))) if single else labels
    # Each pixel of the picture looks up its own cell; what lies outside the model's input is not known.
    rows = _places(frame.height, frame.scale[1], frame.shift[1], size[0], mask.shape[0])
    columns = _places(frame.width, frame.scale[0], frame.shift[0], size[1], mask.shape[1])
    whole = mask[np.ix_(np.maximum(rows, 0), np.maximum(columns, 0))]
    whole[rows < 0] = -1
    whole[:, columns < 0] = -1
    classes, counts = np.unique(whole[whole >= 0], return_counts=True)
    total = int(counts.sum())
    found = [Label(name(names, k), n / total) for k, n in zip(classes.tolist(), counts.tolist(), strict=True)]
    return Segmentation(source, tuple(sorted(found, key=lambda each: -each.score)), whole)


def _places(count: int, scale: float, shift: float, size: int, cells: int) -> Array:
    """The cell of each of a picture's rows or columns, int64[count]; -1 outside the input."""
    found = np.floor(((np.arange(count) + 0.5) * scale + shift) * (cells / size)).astype(np.int64)
    return np.where((found >= 0) & (found < cells), found, -1)


def _regions(output: Array, declared: Segment, classes: int) -> tuple[Array, bool]:
    """int16[h, w]: the class of each of the output's cells; and whether it is of a single class, there or not."""
    cells = output[0] if output.ndim in (3, 4) and len(output) == 1 else output
    if cells.ndim == 2 and cells.size and np.issubdtype(cells.dtype, np.integer):
        return cells.astype(np.int16), False  # the model chose the class itself
    if cells.ndim == 2:
        cells = cells[None]
    if cells.ndim != 3 or not cells.size:
        raise InputError(f"an output of {describe(output)} does not hold classes of pixels")
    if cells.shape[-1] == classes or (cells.shape[0] != classes and cells.shape[-1] < cells.shape[0]):
        cells = np.moveaxis(cells, -1, 0)
    if len(cells) > 1:
        return cells.argmax(axis=0).astype(np.int16), False
    return (activate(cells[0], "auto", "sigmoid") >= declared.threshold).astype(np.int16), True
