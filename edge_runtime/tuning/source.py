"""What the tuner and the session read a model from: its forms, by engine, and the digest by which it is known."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_runtime.engines import FILES, engine_for, installed
from edge_runtime.files import cache_dir, sha256

if TYPE_CHECKING:
    from edge_runtime.bundle import Bundle


@dataclass(frozen=True, slots=True)
class Source:
    """A model: a bundle, the path of an .onnx or a .tflite file, or the bytes of an ONNX graph; `name` for errors."""

    model: "Bundle | str | bytes"
    name: str

    @property
    def bundle(self) -> "Bundle | None":
        """The bundle, if it is one."""
        return None if isinstance(self.model, bytes | str) else self.model

    def size(self) -> int:
        """Bytes of all its forms."""
        if isinstance(self.model, bytes):
            return len(self.model)
        return os.stat(self.model).st_size if isinstance(self.model, str) else self.model.size

    def engines(self) -> list[str]:
        """Those that have a form here: the bundle's own first, then in the order of its target."""
        if self.bundle is not None:
            from edge_runtime.target import Target

            order = (self.bundle.manifest.engine, *Target.load(self.bundle.manifest.target).engines)
            return [name for name in dict.fromkeys(order) if name in FILES and FILES[name] in self.bundle]
        return [engine_for(self.model) if isinstance(self.model, str) else "onnxruntime"]

    def preferred(self) -> str:
        """The first of them that is installed."""
        there = self.engines()
        return next((name for name in there if installed(name)), there[-1] if there else "onnxruntime")

    def providers(self) -> tuple[str, ...]:
        """The execution providers that the bundle's target names."""
        if self.bundle is None:
            return ("CPUExecutionProvider",)
        from edge_runtime.target import Target

        return Target.load(self.bundle.manifest.target).providers

    def read(self, engine: str) -> bytes | str:
        """The form that an engine reads.

        Raises:
            BundleError: there is none, or it cannot be decrypted or decoded.
        """
        if not isinstance(self.model, bytes | str):
            return self.model.read(FILES[engine])
        return self.model  # whatever engine was asked for says what it does not read

    def secret(self) -> bool:
        """Whether it is stored encrypted, so that no plain copy may be made of it."""
        from edge_runtime import sealing

        return self.bundle is not None and any(
            name.endswith(sealing.SUFFIX) for name in self.bundle.manifest.files
        )

    def tuned_before(self) -> bool:
        """Whether it is worth a look into the cache: there is one, and this is a model that stands somewhere."""
        return not isinstance(self.model, bytes) and (cache_dir() / "tuned").is_dir()

    def identity(self) -> str:
        """What is run, by SHA-256 in hexadecimal; of a bundle, as its manifest says it of each file."""
        if not isinstance(self.model, bytes | str):
            return " ".join(f"{name}={entry['sha256']}" for name, entry in self.model.manifest.files.items())
        if isinstance(self.model, str):
            return sha256(self.model)
        import hashlib

        return hashlib.sha256(self.model).hexdigest()
