"""Models that take minutes to train, kept in the cache under a hash of all that they depend on."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import onnx

import compress
from converter.model import load, save, to_bytes
from edge_runtime.console import say
from edge_runtime.files import cache_dir


def kept(name: str, make: Callable[[], onnx.ModelProto], *depends: onnx.ModelProto | str) -> onnx.ModelProto:
    """The model that `make` gives; made once for the same `depends`.

    Args:
        name: begins the file's name.
        make: trains it.
        depends: models, and settings as text, that the result follows from.
    """
    digest = hashlib.sha256()
    for part in depends:
        content = part.encode() if isinstance(part, str) else to_bytes(part)
        digest.update(hashlib.sha256(content).digest())
    path = cache_dir() / "examples" / f"{name}-{digest.hexdigest()[:16]}.onnx"
    if not path.exists():
        say(f"{name}: made once, then kept in {path}")
        save(make(), path)
    return load(path)


def code() -> str:
    """A hash of the package `compress`: what it makes is made anew when it has changed."""
    files = sorted(Path(compress.__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
