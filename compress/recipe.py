"""Recipes: an ordered list of compression steps with their parameters, in TOML, as a bundle records it.

::

    [[step]]
    name = "quantize"
    per_channel = true
"""

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

import onnx

from compress.factorization.factorize import Factorize
from compress.pruning.perforate import Perforate
from compress.pruning.prune import Prune
from compress.pruning.sparsify import Sparsify
from compress.quantization.cluster import Cluster
from compress.quantization.dynamic import Dynamic
from compress.quantization.equalize import Equalize
from compress.quantization.half import Half
from compress.quantization.quantize import Quantize
from compress.quantization.rounding import Rounding
from compress.quantization.sensitivity import MixedPrecision
from compress.quantization.split import SplitOutliers
from compress.quantization.weight_only import WeightOnly
from compress.step import Step, Work
from compress.training.aware import QuantizationAware
from compress.training.distill import Distill
from compress.training.retrain import Retrain
from converter.optimize import optimize
from edge_runtime.errors import ModelError, hint
from edge_runtime.files import existing


@dataclass(frozen=True, slots=True)
class Optimize:
    """Constant folding and fusion (`converter.optimize`): `attention` and `split` as there."""

    attention: bool = False
    split: bool = False

    def __call__(self, model: onnx.ModelProto, work: Work) -> onnx.ModelProto:
        """Apply the step."""
        return optimize(model, samples=work.samples, attention=self.attention, split=self.split)


STEPS: Mapping[str, type[Step]] = {
    "optimize": Optimize,
    "prune": Prune,
    "perforate": Perforate,
    "sparsify": Sparsify,
    "cluster": Cluster,
    "factorize": Factorize,
    "retrain": Retrain,
    "distill": Distill,
    "equalize": Equalize,
    "split_outliers": SplitOutliers,
    "quantize": Quantize,
    "round": Rounding,
    "mixed_precision": MixedPrecision,
    "qat": QuantizationAware,
    "weight_only": WeightOnly,
    "dynamic": Dynamic,
    "half": Half,
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

    def to_toml(self) -> str:
        """The form in which a file holds it, which `load` reads."""
        tables = [
            "\n".join(["[[step]]", *(f"{key} = {_toml(value)}" for key, value in step.items())])
            for step in self.to_json()
        ]
        return "\n\n".join(tables) + "\n"

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


def _toml(value: Any) -> str:
    """A value as TOML writes it, which for text, numbers, truth and lists is as JSON does."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)


def _step(table: dict[str, Any], where: str) -> Step:
    name = str(table.pop("name", ""))
    if name not in STEPS:
        raise ModelError(f"{where}: unknown step '{name}'{hint(name, STEPS)}; known: {', '.join(STEPS)}")
    kind = STEPS[name]
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for key, value in table.items():
        if key not in known:
            raise ModelError(f"{where}: '{name}' has no parameter '{key}'{hint(key, known)}")
        default = known[key].default
        if default not in (None, MISSING) and type(value) is not type(default):
            raise ModelError(
                f"{where}: {key} is {value!r}; expected {type(default).__name__}, such as {default!r}"
            )
    return kind(**table)
