"""What a search has made so far, on disk: nothing is computed twice, and an interrupted search goes on.

A model is named by a digest of what it was made from: the source, the data, the target, and the steps up to here.
Recipes that begin with the same steps share what these made.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from compress.recipe import Recipe
from compress.step import Work
from converter.model import save, to_bytes
from edge_runtime.data import Samples
from edge_runtime.files import write_text


class Record:
    """Models (``DIGEST.onnx``) and figures (``DIGEST.json``) in one folder."""

    def __init__(self, folder: Path, work: Work) -> None:
        self.folder, self._work = folder, work
        parts = [to_bytes(work.source), content(work.samples), json.dumps(asdict(work.target)).encode()]
        self._origin = hashlib.sha256(metadata.version("littoral").encode())
        for part in parts:
            self._origin.update(hashlib.sha256(part).digest())

    def digest(self, *parts: object) -> str:
        """Names something that follows from the origin and from `parts`, which JSON can hold."""
        named = self._origin.copy()
        named.update(json.dumps(parts, sort_keys=True).encode())
        return named.hexdigest()[:24]

    def apply(self, recipe: Recipe) -> onnx.ModelProto:
        """What the recipe makes of the source, from the longest beginning that was made before.

        Raises:
            ModelError: a step cannot be applied.
        """
        steps = recipe.to_json()
        paths = [self.folder / f"{self.digest(steps[: k + 1])}.onnx" for k in range(len(steps))]
        done = next((k + 1 for k in reversed(range(len(steps))) if paths[k].is_file()), 0)
        model = onnx.load(paths[done - 1]) if done else self._work.source
        for step, path in zip(recipe.steps[done:], paths[done:], strict=True):
            model = step(model, self._work)
            save(model, path)
        return model

    def known(self, digest: str) -> bool:
        """Whether there are figures under that name."""
        return (self.folder / f"{digest}.json").is_file()

    def remember(self, digest: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The figures under that name, computed if they are not there yet."""
        path = self.folder / f"{digest}.json"
        if path.is_file():
            known: dict[str, Any] = json.loads(path.read_text("utf-8"))
            return known
        made = compute()
        write_text(path, json.dumps(made, indent=1) + "\n")
        return made


def content(samples: Samples) -> bytes:
    """A digest of the samples and labels."""
    found = hashlib.sha256()
    for array in (samples.x, samples.y):
        if array is not None:
            found.update(f"{array.dtype}{array.shape}".encode())
            found.update(np.ascontiguousarray(array).view(np.uint8).data)
    return found.digest()
