"""The models of a server: by name and version, loaded beside the old ones and swapped in between two requests."""

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.binding import Binding
from edge_runtime.engines import pages
from edge_runtime.errors import InputError, LittoralError
from edge_runtime.serving.batcher import Batcher, Noted
from edge_runtime.session import Session

if TYPE_CHECKING:
    from edge_runtime.agent.live import Live

_SUFFIXES = (".bundle", ".onnx")


@dataclass(frozen=True, slots=True)
class Limits:
    """What each model may take; see `Batcher`. `threads` within an operator, 0 for the engine's choice."""

    max_batch: int = 32
    max_queue: int = 256
    threads: int = 0


@dataclass(frozen=True, slots=True)
class Served:
    """One version of a model, ready: `stamp` tells whether another one has taken its place at the source since."""

    name: str
    version: str
    source: "Path | Live"
    stamp: object
    batcher: Batcher


class Models:
    """Every model of a server. A version is looked up for each request, so a swap takes no lock."""

    def __init__(self, limits: Limits, on_batch: Callable[[str, str, int], None] = lambda *_: None) -> None:
        self._limits, self._on_batch = limits, on_batch
        self._served: dict[str, dict[str, Served]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def get(self, name: str, version: str = "") -> Served:
        """That version of a model, or its newest.

        Raises:
            InputError: there is no such model or version.
        """
        versions = self._served.get(name)
        if not versions:
            raise InputError(
                f"there is no model '{name[:80]}'; this server has {', '.join(self._served) or 'none'}"
            )
        if not version:
            return versions[max(versions, key=_order)]
        if version not in versions:
            raise InputError(f"model '{name}' has no version '{version[:40]}'; it has {', '.join(versions)}")
        return versions[version]

    def __iter__(self) -> Iterator[Served]:
        return (served for versions in self._served.values() for served in versions.values())

    async def load(self, source: "Path | Live", name: str = "", version: str = "") -> Served:
        """Load a model and put it in the place of what had its name and version; that answers what it has begun.

        Args:
            source: its file, or an agent's store, whose model may change and is told how it does.
            name: its name; none takes the bundle's or the file's.
            version: its version; none is "1".

        Raises:
            LittoralError: the model cannot be loaded; nothing has changed then.
        """
        stamp = stamped(source)
        session, noted = await asyncio.to_thread(self._open, source)
        if not name:
            bundle = session.bundle
            name = bundle.manifest.name if bundle is not None else Path(session.name).stem
        version = version or "1"

        def on_batch(rows: int) -> None:
            self._on_batch(name, version, rows)

        limits = self._limits
        batcher = Batcher(
            session, max_batch=limits.max_batch, max_queue=limits.max_queue, on_batch=on_batch, noted=noted
        )
        served = Served(name, version, source, stamp, batcher)
        old = self._served.setdefault(name, {}).get(version)
        self._served[name][version] = served
        self._retire(old)
        return served

    def unload(self, name: str, version: str = "") -> None:
        """Take a version of a model, or all of them, out of service; what it has begun it answers.

        Raises:
            InputError: there is no such model or version.
        """
        self.get(name, version)
        for gone in [version] if version else list(self._served[name]):
            self._retire(self._served[name].pop(gone))
        if not self._served[name]:
            del self._served[name]

    async def refresh(self) -> list[str]:
        """Load again what has changed on disk. Returns what could not be, in words: the old one stays in service."""
        failed = []
        for served in list(self):
            try:
                if stamped(served.source) != served.stamp:
                    await self.load(served.source, served.name, served.version)
            except (LittoralError, OSError) as error:
                failed.append(f"{served.name} stays as it is: {error}")
        return failed

    def _open(self, source: "Path | Live") -> tuple[Session, Noted]:
        noted: Noted = lambda *_: None  # noqa: E731
        if isinstance(source, Path):
            # A simulator gives an NPU's answers, and takes a hundred times as long.
            session = Session(source, threads=self._limits.threads, accelerators="hardware")
        else:
            model, session = source.answering
            noted = partial(source.note, model)
        # The first run allocates, and memory is gathered; no client should wait for that.
        session.run(Binding.made(session.inputs, (), {}, {}).inputs)
        pages.gather()
        return session, noted

    def _retire(self, old: Served | None) -> None:
        if old is not None:
            task = asyncio.ensure_future(old.batcher.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


def stamped(source: "Path | Live") -> object:
    """What changes when another model stands there: a file's inode and time of change, a store's model."""
    if not isinstance(source, Path):
        return source.model
    found = source.stat()
    return found.st_ino, found.st_mtime_ns


def discover(folder: str | os.PathLike[str]) -> list[tuple[Path, str, str]]:
    """The models of a repository, ``NAME/VERSION.bundle`` or ``NAME.bundle``: path, name and version of each.

    Raises:
        InputError: there is no such folder, or nothing in it.
    """
    where = Path(folder)
    if not where.is_dir():
        raise InputError(
            f"{where}: no such folder; expected one with NAME.bundle or NAME/VERSION.bundle in it"
        )
    found = [(path, path.stem, "1") for path in sorted(where.iterdir()) if path.suffix in _SUFFIXES]
    for home in sorted(
        entry for entry in where.iterdir() if entry.is_dir() and entry.suffix not in _SUFFIXES
    ):
        found += [(path, home.name, path.stem) for path in sorted(home.iterdir()) if path.suffix in _SUFFIXES]
    if not found:
        raise InputError(f"{where}: holds no model; expected NAME.bundle or NAME/VERSION.bundle")
    return found


def _order(version: str) -> tuple[int, str]:
    return (int(version), "") if version.isdigit() else (-1, version)
