"""Recipes: an ordered list of compression steps with their parameters, in TOML, as a bundle records it.

::

    [[step]]
    name = "quantize"
    per_channel = true
"""

import difflib
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

import onnx

from compress.pruning.prune import Prune
from compress.pruning.sparsify import Sparsify
from compress.quantization.cluster import Cluster
from compress.quantization.quantize import Quantize
from compress.step import Step, Work
from converter.optimize import optimize
from edge_runtime.errors import ModelError
from edge_runtime.files import existing


@dataclass(frozen=True, slots=True)
class Optimize:
    """Constant folding and vertical fusion (`converter.optimize`); it has no parameters."""

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """Apply the step."""
        return optimize(model)


STEPS: Mapping[str, type[Step]] = {
    "optimize": Optimize,
    "prune": Prune,
    "sparsify": Sparsify,
    "cluster": Cluster,
    "quantize": Quantize,
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """Steps in the order in which they are applied."""

    steps: tuple[Step, ...] = (Optimize(), Quantize())

    def to_json(self) -> tuple[dict[str, Any], ...]:
        """The form in which a manifest holds it; parameters left open are left out."""
        names = {kind: name for name, kind in STEPS.items()}
        return tuple(
            {"name": names[type(step)]}
            | {key: value for key, value in asdict(step).items() if value is not None}  # type: ignore[call-overload]
            for step in self.steps
        )

    @classmethod
    def from_json(cls, steps: Sequence[Mapping[str, Any]], where: str) -> "Recipe":
        """Read the form that `to_json` gives.

        Raises:
            ModelError: a step or one of its parameters is unknown, or of a wrong type.
        """
        return cls(tuple(_step(dict(step), f"{where}, step {k + 1}") for k, step in enumerate(steps)))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Recipe":
        """Read a TOML file.

        Raises:
            InputError: there is no such file.
            ModelError: it is not a recipe.
        """
        file = existing(path, "a recipe (TOML)")
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ModelError(f"{file}: not valid TOML: {error}") from error
        steps = table.get("step")
        if not isinstance(steps, list) or set(table) != {"step"}:
            raise ModelError(f"{file}: a recipe is a list of [[step]] tables, each with a name")
        return cls.from_json(steps, str(file))


def _step(table: dict[str, Any], where: str) -> Step:
    name = str(table.pop("name", ""))
    if name not in STEPS:
        raise ModelError(f"{where}: unknown step '{name}'{_near(name, STEPS)}; known: {', '.join(STEPS)}")
    kind = STEPS[name]
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for key, value in table.items():
        if key not in known:
            raise ModelError(f"{where}: '{name}' has no parameter '{key}'{_near(key, known)}")
        default = known[key].default
        if default not in (None, MISSING) and type(value) is not type(default):
            raise ModelError(
                f"{where}: {key} is {value!r}; expected {type(default).__name__}, such as {default!r}"
            )
    return kind(**table)


def _near(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""
