"""`littoral export web`: a bundle as a folder of static files that any browser opens, also without a network."""

import hashlib
import json
import os
import shutil
from importlib import resources
from pathlib import Path

from edge_runtime.bundle import Bundle
from edge_runtime.files import atomic
from edge_runtime.web.engine import FILES, engine_files
from edge_runtime.web.unsigned import unsigned

_PAGE = ("index.html", "littoral.js", "worker.js")


def export_web(bundle: Bundle, out: str | os.PathLike[str]) -> Path:
    """Write the folder: the page, the engine, the graph and the manifest.

    Args:
        bundle: what is to run.
        out: the folder; it is replaced as a whole.

    Raises:
        BackendError: the engine for browsers cannot be fetched.
        InputError: `out` cannot be written.
    """
    engine = engine_files()
    with atomic(out) as partial:
        partial.mkdir()
        for name in FILES:
            shutil.copyfile(engine / name, partial / name)
        for name in _PAGE:
            text = (resources.files(__package__) / "page" / name).read_text("utf-8")
            (partial / name).write_text(text, encoding="utf-8")
        (partial / "infer.onnx").write_bytes(unsigned(bundle.read("infer.onnx")))
        manifest = json.dumps(bundle.manifest.to_json(), indent=1)
        (partial / "manifest.json").write_text(manifest + "\n", encoding="utf-8")
        _name_cache(partial)
    return Path(out)


def _name_cache(folder: Path) -> None:
    """Name the service worker's cache after its content: a browser then fetches again what has changed."""
    digest = hashlib.sha256()
    files = sorted(path.name for path in folder.iterdir() if path.name != "worker.js")
    for name in files:
        digest.update((folder / name).read_bytes())
    worker = folder / "worker.js"
    listed = json.dumps(["./", *(f"./{name}" for name in files)])
    text = worker.read_text("utf-8").replace("CACHE_NAME", f"littoral-{digest.hexdigest()[:16]}")
    worker.write_text(text.replace('["FILES"]', listed), encoding="utf-8")
