"""Graphs compiled ahead for one chip, kept by a digest of graph and options, and used only if they fit.

The provider writes into the graph's metadata what the binary was made for (``ep_compatibility_info``). The engine
does not enforce it everywhere (a simulator runs any chip's binary), so it is compared here, with what was asked for.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from edge_runtime.accelerators.candidates import Candidate, device_of
from edge_runtime.bundle import Bundle
from edge_runtime.engines import plugins
from edge_runtime.errors import BackendError
from edge_runtime.files import atomic, cache_dir, write_text

_IN_BUNDLE = "context."


def folder() -> Path:
    """Where compiled graphs are kept unless told otherwise."""
    return cache_dir() / "accelerators" / "contexts"


def place(home: Path, model: bytes, candidate: Candidate) -> Path:
    """Where the compiled graph lies: named after the graph, the provider and the options that choose the chip."""
    options = {name: value for name, value in candidate.options.items() if ":" not in value}
    about = json.dumps([candidate.provider, options, dict(candidate.config)], sort_keys=True)
    digest = hashlib.sha256(hashlib.sha256(model).digest() + about.encode()).hexdigest()[:24]
    return home / f"{digest}.onnx"


def compile_context(
    home: Path, model: bytes, candidate: Candidate, lengths: Mapping[str, int] | None = None
) -> Path:
    """Compile a graph for the chip that a candidate's options name, and keep it with what it was made for.

    `lengths` are given to dimensions that may vary.

    Raises:
        BackendError: the plug-in is missing or cannot compile it.
    """
    path = place(home, model, candidate)
    found = device_of(candidate)
    with atomic(path) as partial:
        plugins.compile_ahead(
            model, plugins.options(candidate.config, 1, lengths or {}), found, candidate.resolved(), partial
        )
        content = partial.read_bytes()
    about = _about(content, candidate) | {"nodes": plugins.count_nodes(model)}
    write_text(path.with_suffix(".json"), json.dumps(about, indent=1) + "\n")
    return path


def compiled(home: Path, model: bytes, candidate: Candidate) -> tuple[bytes, int]:
    """The graph compiled for this candidate's chip, and how many nodes it had before.

    Raises:
        BackendError: there is none, it was altered, or it was made for another chip.
    """
    path = place(home, model, candidate)
    beside = path.with_suffix(".json")
    if not path.is_file() or not beside.is_file():
        raise BackendError("none for this graph and chip")
    content = path.read_bytes()
    try:
        about = json.loads(beside.read_text("utf-8"))
    except ValueError as error:
        raise BackendError(f"{beside.name} is damaged; compile again") from error
    if about.get("sha256") != hashlib.sha256(content).hexdigest():
        raise BackendError(f"{path.name} was altered or cut short; compile again")
    wanted = _about(content, candidate)
    if about.get("chip") != wanted["chip"]:
        raise BackendError(f"compiled for {about.get('chip')}, and this is {wanted['chip']}")
    if not isinstance(about.get("nodes"), int):
        raise BackendError(f"{beside.name} does not say of how many nodes it was made; compile again")
    return content, about["nodes"]


def shipped(home: Path, model: bytes, candidate: Candidate) -> dict[str, bytes]:
    """A compiled graph and what is noted of it, as files of a bundle; empty if there is none."""
    path = place(home, model, candidate)
    found = {f"{_IN_BUNDLE}{each.name}": each for each in (path, path.with_suffix(".json"))}
    whole = all(each.is_file() for each in found.values())
    return {name: each.read_bytes() for name, each in found.items()} if whole else {}


def unpack(home: Path, bundle: Bundle, model: bytes, candidate: Candidate) -> None:
    """Put the compiled graph that a bundle carries for a candidate's chip, if it does, where others are kept.

    Raises:
        BundleError: it cannot be read.
    """
    path = place(home, model, candidate)
    names = [path.name, path.with_suffix(".json").name]
    if path.is_file() or not all(f"{_IN_BUNDLE}{name}" in bundle for name in names):
        return
    for name in names:
        with atomic(home / name) as partial:
            partial.write_bytes(bundle.read(f"{_IN_BUNDLE}{name}"))


def fits(compatibility: str, candidate: Candidate) -> None:
    """Do nothing if a binary was compiled for the chip that a candidate's options name.

    Args:
        compatibility: fields with colons between them, such as Qualcomm's
            ``v2:6:2.51.0:5.51.0:<htp_arch>:<soc_model>:0:0``; empty where the provider says nothing.
        candidate: its `htp_arch` and `soc_model` are looked for.

    Raises:
        BackendError: it was compiled for another chip.
    """
    fields = compatibility.split(":")[4:6]
    for k, option in enumerate(("htp_arch", "soc_model")):
        wanted = candidate.options.get(option)
        if wanted is not None and len(fields) == 2 and fields[k] != wanted:
            raise BackendError(f"compiled for {option} {fields[k]}, and this is {wanted}")


def _about(content: bytes, candidate: Candidate) -> dict[str, object]:
    chip = {name: value for name, value in sorted(candidate.options.items()) if ":" not in value}
    return {"sha256": hashlib.sha256(content).hexdigest(), "provider": candidate.provider, "chip": chip}
