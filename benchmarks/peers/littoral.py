"""Littoral itself, in a process like the peers': a session on onnxruntime, or on LiteRT."""

from collections.abc import Callable
from pathlib import Path

from edge_runtime.engines import engine_for, open_engine
from edge_runtime.session import Session
from edge_runtime.tensors import Array

PACKAGES: tuple[str, ...] = ()
PACKAGE = "littoral"
FORMS = ("onnx", "tflite", "tuned")
"""By the suffix of what is loaded: a bundle may carry both; "tuned" as the cache says that it is fastest."""


def load(model: Path, form: str, _folder: Path) -> Callable[[Array], Callable[[], Array]]:
    """Open the model on one thread."""
    session = (
        Session(model, threads=1, tune="auto" if form == "tuned" else False)
        if form in ("onnx", "tuned")
        else open_engine(engine_for(model), model, where=model.name, threads=1)
    )
    name, out = session.inputs[0].name, session.outputs[0].name
    return lambda x: lambda: session.run({name: x})[out]
