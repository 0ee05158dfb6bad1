"""What `littoral run` does with pictures, sounds and arrays: answers them all, draws them, and writes it in words."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from edge_runtime import console
from edge_runtime.data import PICTURES
from edge_runtime.declared import Input, Postprocess
from edge_runtime.errors import InputError
from edge_runtime.files import existing
from edge_runtime.processing.draw import draw as draw_picture
from edge_runtime.processing.pipeline import ARRAYS, SOUNDS, Pipeline, advance
from edge_runtime.processing.results import Detection, Result
from edge_runtime.session import Session
from edge_runtime.tensors import Array


def answer(
    session: Session,
    inputs: Sequence[str],
    *,
    preprocess: Input | None = None,
    postprocess: Postprocess | None = None,
    labels: Sequence[str] = (),
    draw: str | None = None,
    save: Callable[[dict[str, Array]], None] | None = None,
) -> list[Result]:
    """Answer files and folders of files.

    Args:
        session: the model.
        inputs: paths of pictures, .wav, .npy or .npz files, or of folders of them.
        preprocess: as for a `Pipeline`.
        postprocess: likewise.
        labels: likewise.
        draw: where to write the picture with its answer; of several pictures, the folder.
        save: takes the outputs of all inferences, stacked, by name.

    Raises:
        InputError: one cannot be read or does not fit, or the outputs cannot be stacked.
    """
    pipeline = Pipeline(session, preprocess=preprocess, postprocess=postprocess, labels=labels)
    files = list(expand(inputs))
    pictures = [file for file in files if file.suffix.lower() not in (*ARRAYS, *SOUNDS)]
    if draw and not pictures:
        raise InputError(f"--draw {draw}: there is no picture to draw in")
    found: list[Result] = []
    drawn: list[tuple[Path, Result]] = []
    kept: dict[str, list[Array]] = {spec.name: [] for spec in session.outputs}
    for file in console.progress(files, "run"):
        for steps in pipeline.steps(file):
            feed, result = advance(steps)
            while feed is not None:
                outputs = session.run(feed)
                if save:
                    for name, each in outputs.items():
                        kept[name].append(each)
                feed, result = advance(steps, outputs)
            assert result is not None  # noqa: S101 - a generator ends with its result
            found.append(result)
            if draw and file in pictures:
                drawn.append((file, result))
    if save:
        save(_stacked(kept))
    for file, result in drawn:
        draw_picture(
            file, result, Path(str(draw)) if len(drawn) == 1 else Path(str(draw), f"{file.stem}.png")
        )
    return found


def expand(inputs: Sequence[str]) -> Iterator[Path]:
    """The files that are meant: of a folder, the pictures, sounds and arrays in it and in its folders.

    Raises:
        InputError: there is nothing at a path, or nothing of use in a folder.
    """
    for text in inputs:
        path = existing(text, "a picture, a .wav, .npy or .npz file, or a folder of them")
        if not path.is_dir():
            yield path
            continue
        known = (*PICTURES, *ARRAYS, *SOUNDS)
        held = [file for file in sorted(path.rglob("*")) if file.suffix.lower() in known]
        if not held:
            raise InputError(f"{path}: holds nothing to run on ({', '.join(known)})")
        yield from held


def text(results: Sequence[Result]) -> str:
    """Words: of each a line, and of detections a table."""
    detections = [each for each in results if isinstance(each, Detection)]
    lines = [f"{each.source}: {each.words()}" for each in results if not isinstance(each, Detection)]
    rows = [
        (each.source, box.label, f"{box.score:.2f}", *(f"{side:.0f}" for side in _sides(box)))
        for each in detections
        for box in each.boxes
    ]
    if rows:
        header = ["picture", "object", "score", "left", "top", "right", "bottom"]
        lines.append(console.table(header, rows))
    lines += [f"{each.source}: nothing" for each in detections if not each.boxes]
    return "\n".join(lines)


def _sides(box: object) -> tuple[float, ...]:
    return tuple(getattr(box, side) for side in ("left", "top", "right", "bottom"))


def _stacked(kept: dict[str, list[Array]]) -> dict[str, Array]:
    try:
        return {name: np.concatenate(each) for name, each in kept.items()}
    except ValueError as error:
        raise InputError(f"--output: the outputs have different shapes ({error})") from error
