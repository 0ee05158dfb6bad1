"""Detection: from a model's outputs to boxes and scores, and of those that overlap the best.

Rows with box and scores in one output are what the YOLO family gives (version 5 with an objectness, 8 and later
without), boxes and scores apart what SSD does (Liu et al., 2016); YOLOX (Ge et al., 2021) leaves its boxes relative to
grids, BlazeFace (Bazarevsky et al., 2019) to anchors of one size.
"""

from collections.abc import Callable, Mapping

import numpy as np

from edge_runtime.declared import Detect
from edge_runtime.errors import InputError
from edge_runtime.processing.scores import activate
from edge_runtime.tensors import Array, describe

_MOST = 3000
"""Candidates that suppression looks at: the best of them."""


def detect(
    outputs: Mapping[str, Array], declared: Detect, size: tuple[int, int], classes: int = 0
) -> tuple[Array, Array, Array]:
    """The objects that a model found.

    Args:
        outputs: of the model, for one picture, by name.
        declared: what they mean.
        size: height and width of the model's input, in pixels.
        classes: how many there are; 0 if that is not known.

    Returns:
        float64[n, 4] boxes (left, top, right, bottom in the input's pixels), float[n] scores, best first, and
        int64[n] classes.

    Raises:
        InputError: the outputs have another form than is declared.
    """
    raw, best, kinds = _scored(outputs, declared, classes)
    chosen = np.flatnonzero(best >= declared.threshold)
    chosen = chosen[np.argsort(-best[chosen], kind="stable")][:_MOST]
    kind = kinds(chosen)
    cells = _cells(declared, size, len(raw))[chosen] if declared.strides else None
    boxes = _corners(raw[chosen].astype(np.float64), declared, size, cells)
    kept = suppress(boxes, kind, declared.iou, declared.top)
    return boxes[kept], best[chosen][kept], kind[kept]


def suppress(boxes: Array, classes: Array, iou: float, top: int = _MOST) -> Array:
    """Which boxes to keep: those that overlap no better one of their class by more than `iou`.

    Args:
        boxes: float[n, 4] corners, best first.
        classes: int[n].
        iou: intersection over union, 0 to 1.
        top: boxes that are kept at most.

    Returns:
        int64[m] indices, ascending.
    """
    area = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    left = np.arange(len(boxes))
    kept: list[int] = []
    while len(left) and len(kept) < top:
        first, rest = left[0], left[1:]
        kept.append(first)
        low = np.maximum(boxes[first, :2], boxes[rest, :2])
        high = np.minimum(boxes[first, 2:], boxes[rest, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        together = area[first] + area[rest] - shared
        left = rest[(shared <= iou * together) | (classes[rest] != classes[first])]
    return np.array(kept, np.int64)


def _scored(
    outputs: Mapping[str, Array], declared: Detect, classes: int
) -> tuple[Array, Array, Callable[[Array], Array]]:
    """Boxes as the model gives them, the best score of each, and the classes of those that are asked for."""
    if declared.classes or declared.indexed:
        raw, best, chosen = _chosen(outputs, declared)
        return (
            raw,
            activate(best, declared.activation, "sigmoid"),
            lambda which: chosen[which].astype(np.int64),
        )
    raw, scores = _apart(outputs, declared, classes)
    scores = scores[:, 1:] if declared.background else scores
    if not scores.shape[1]:
        raise InputError(f"outputs {_listed(outputs)}: no class is left beside the background")
    return raw, scores.max(axis=1), lambda which: scores[which].argmax(axis=1)


def _chosen(outputs: Mapping[str, Array], declared: Detect) -> tuple[Array, Array, Array]:
    """Boxes, scores and class numbers of a model that has chosen the classes itself."""
    names = (
        [declared.boxes, declared.scores, declared.classes] if declared.classes else [next(iter(outputs), "")]
    )
    if any(name not in outputs for name in names):
        raise InputError(f"expected outputs {', '.join(names)}; the model gives {_listed(outputs) or 'none'}")
    parts = [outputs[name] for name in names]
    if declared.indexed and parts[0].shape[-1:] == (6,):
        rows = parts[0].reshape(-1, 6)
        return rows[:, :4], rows[:, 4], rows[:, 5]
    known = declared.classes and parts[0].shape[-1:] == (4,)
    found = [parts[0].reshape(-1, 4), *(part.reshape(-1) for part in parts[1:])] if known else []
    if len({len(each) for each in found}) != 1:
        raise InputError(
            f"outputs {_listed(outputs)}: expected a box, a score and a class for each candidate"
        )
    return found[0], found[1], found[2]


def _apart(outputs: Mapping[str, Array], declared: Detect, classes: int) -> tuple[Array, Array]:
    """Boxes as the model gives them, [n, 4 or more], and scores of classes, float[n, classes], 0 to 1."""
    flat = {name: _candidates(name, each) for name, each in outputs.items() if each.ndim in (2, 3)}
    boxes = declared.boxes or _named(flat, lambda a: a.shape[1] == 4)
    scores = declared.scores or _named(
        flat, lambda a: boxes in flat and len(a) == len(flat[boxes]) and a is not flat[boxes]
    )
    for name in (boxes, scores):
        if name and name not in flat:
            raise InputError(
                f"the model has no output '{name}' of candidates; it gives {_listed(outputs) or 'none'}"
            )
    if boxes and scores:
        if len(flat[boxes]) != len(flat[scores]) or flat[boxes].shape[1] < 4:
            raise InputError(f"outputs {_listed(outputs)}: expected a box and scores for each candidate")
        return flat[boxes], activate(flat[scores], declared.activation, "sigmoid")
    if len(flat) != 1:
        raise InputError(
            f"outputs {_listed(outputs)}: expected rows of boxes and scores, or boxes= and scores="
        )
    skip = 5 if declared.objectness else 4
    rows = next(iter(flat.values()))
    if _features_first(len(rows), rows.shape[1], skip, classes + skip if classes else 0):
        rows = rows.T
    if rows.shape[1] <= skip:
        raise InputError(f"outputs {_listed(outputs)}: expected at least {skip + 1} numbers a candidate")
    found = activate(rows[:, 4:], declared.activation, "sigmoid")
    return rows[:, :4], found[:, 1:] * found[:, :1] if declared.objectness else found


def _features_first(first: int, second: int, skip: int, wanted: int) -> bool:
    """Whether the first of two axes is that of a candidate's numbers: the known count, else the smaller that can be."""
    if wanted in (first, second):
        return second != wanted
    return first > skip and (second <= skip or first < second)


def _candidates(name: str, output: Array) -> Array:
    if output.ndim == 3 and len(output) != 1:
        raise InputError(f"output '{name}' is {describe(output)}; expected that of one picture")
    return output.reshape(output.shape[-2:])


def _named(outputs: Mapping[str, Array], fits: Callable[[Array], bool]) -> str:
    return next((name for name, each in outputs.items() if len(outputs) > 1 and fits(each)), "")


def _listed(outputs: Mapping[str, Array]) -> str:
    return ", ".join(f"{name}: {describe(each)}" for name, each in outputs.items())


def _cells(declared: Detect, size: tuple[int, int], count: int) -> Array:
    """Column, row and stride of each candidate's cell, float64[n, 3], grid by grid and row by row."""
    found = []
    each = declared.per_cell * len(declared.strides) if len(declared.per_cell) == 1 else declared.per_cell
    for stride, several in zip(declared.strides, each, strict=True):
        rows, columns = -(-size[0] // stride), -(-size[1] // stride)
        grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2)
        found.append(np.repeat(np.column_stack([grid, np.full(len(grid), stride)]), several, axis=0))
    cells = np.concatenate(found).astype(np.float64)
    if len(cells) != count:
        raise InputError(
            f"the strides and per_cell that are declared make {len(cells)} candidates; the model gives {count}"
        )
    return cells


def _corners(raw: Array, declared: Detect, size: tuple[int, int], cells: Array | None) -> Array:
    """Left, top, right and bottom in the input's pixels."""
    boxes = raw[:, [1, 0, 3, 2]] if declared.box == "yxyx" else raw[:, :4].copy()
    if declared.relative:
        boxes = boxes * np.array([size[1], size[0], size[1], size[0]], np.float64)
    if cells is not None:
        stride = cells[:, 2:]
        if declared.coding == "offset":
            boxes[:, :2] += (cells[:, :2] + 0.5) * stride
        else:
            boxes = np.hstack([(boxes[:, :2] + cells[:, :2]) * stride, np.exp(boxes[:, 2:]) * stride])
    if declared.box != "xywh":
        return boxes
    half = boxes[:, 2:] / 2
    return np.hstack([boxes[:, :2] - half, boxes[:, :2] + half])
