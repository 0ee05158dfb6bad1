"""What of a bundle can be trained, stage by stage: usually the new layer first, then all, perhaps again.

A bundle made by `converter.transfer` says so in `stages.json`; any other bundle with a training step has the one
stage "all". A stage is trained by a `Trainer` on the bundle that `select` gives, and what was learnt is carried into
every graph of the whole bundle by `edge_runtime.training.export.absorb`.
"""

import dataclasses
import json
from dataclasses import dataclass
from functools import partial

from edge_runtime.bundle import Bundle
from edge_runtime.errors import BundleError, InputError
from edge_runtime.training.stored import Lazy, plain

_SHARED = ("infer.onnx", "weights.json")
_WHOLE = frozenset((*_SHARED, "backbone.onnx", "weights-backbone.json", "stages.json"))
"""Files that are no single stage's."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One training graph: its files end in `suffix`, and it learns on what `backbone` gives, or on data if None."""

    name: str
    suffix: str = ""
    backbone: str | None = None

    @property
    def parameters(self) -> str:
        """The file of its parameters."""
        return f"params{self.suffix}.npz"


def stages(bundle: Bundle) -> dict[str, Stage]:
    """The stages of a bundle by name, in the order in which they are usually trained.

    Raises:
        BundleError: the bundle has no training step, or says wrongly what it has.
    """
    if "stages.json" not in bundle:
        if _missing(bundle, ""):
            raise BundleError(
                f"{bundle.path}: cannot be trained, it has no train.onnx; make it with: "
                "littoral adapt MODEL -o m.bundle"
            )
        return {"all": Stage("all")}
    try:
        table = json.loads(bundle.read("stages.json"))
        found = {name: Stage(name, str(v["suffix"]), v["backbone"]) for name, v in table.items()}
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BundleError(f"{bundle.path}: stages.json is not complete: {error!r}; make it again") from error
    for stage in found.values():
        missing = _missing(bundle, stage.suffix)
        if stage.backbone is not None and stage.backbone not in bundle:
            missing = stage.backbone
        if missing:
            raise BundleError(f"{bundle.path}: stage '{stage.name}' needs {missing}, which is missing")
    return found


def _missing(bundle: Bundle, suffix: str) -> str:
    """The file that a training step lacks: it is one graph, or the gradients and the update in two."""
    whole = f"train{suffix}.onnx"
    parts = [f"{stem}{suffix}.onnx" for stem in ("gradient", "update")]
    return "" if whole in bundle or all(part in bundle for part in parts) else whole


def find(bundle: Bundle, name: str) -> Stage:
    """The stage of that name.

    Raises:
        InputError: the bundle has no such stage.
        BundleError: as for `stages`.
    """
    known = stages(bundle)
    if name not in known:
        raise InputError(
            f"{bundle.path}: has no stage '{name}'; what it can train was fixed when it was made: {', '.join(known)}"
        )
    return known[name]


def select(bundle: Bundle, stage: Stage) -> Bundle:
    """The bundle as a `Trainer` of that stage takes it: its training step is called train.onnx, and so on.

    Raises:
        BundleError: as for `stages`.
    """
    others = [other.suffix for other in stages(bundle).values() if len(other.suffix) > len(stage.suffix)]
    names = {name: name for name in _SHARED if name in bundle}
    for name in map(plain, bundle.manifest.files):
        stem, dot, kind = name.rpartition(".")
        if stem.endswith(stage.suffix) and not stem.endswith(tuple(others)) and name not in _WHOLE:
            names[f"{stem.removesuffix(stage.suffix)}{dot}{kind}"] = name
    files = Lazy({new: partial(bundle.read, name) for new, name in names.items()})
    manifest = dataclasses.replace(bundle.manifest, files={name: {} for name in files})
    return Bundle(bundle.path, manifest, files)
