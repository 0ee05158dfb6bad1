"""ONNX Runtime for browsers, from its npm package: fetched once, kept in the cache."""

import shutil
import subprocess
import tarfile
from pathlib import Path

from edge_runtime.errors import BackendError
from edge_runtime.files import atomic, cache_dir

VERSION = "1.30.0"
FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


def engine_files() -> Path:
    """The folder that holds `FILES`.

    Raises:
        BackendError: npm is missing, or the package cannot be fetched.
    """
    home = cache_dir() / "web" / f"onnxruntime-web-{VERSION}"
    if home.is_dir():
        return home
    npm = shutil.which("npm")
    if npm is None:
        raise BackendError("onnxruntime-web is an npm package, and npm is missing: apt-get install npm")
    with atomic(home) as partial:
        partial.mkdir()
        done = subprocess.run(
            [npm, "pack", f"onnxruntime-web@{VERSION}", "--silent"],
            cwd=partial,
            capture_output=True,
            text=True,
            check=False,
        )
        archives = list(partial.glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            reason = (done.stderr.strip().splitlines() or ["no archive"])[-1]
            raise BackendError(f"npm could not fetch onnxruntime-web {VERSION}: {reason}")
        with tarfile.open(archives[0]) as archive:
            for name in FILES:
                found = archive.extractfile(f"package/dist/{name}")
                if found is None:
                    raise BackendError(f"onnxruntime-web {VERSION} has no {name}")
                (partial / name).write_bytes(found.read())
        archives[0].unlink()
    return home
