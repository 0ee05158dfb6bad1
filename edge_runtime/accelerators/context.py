"""Graphs compiled ahead for one chip, kept by a digest of graph and options, and used only if they fit.

The provider writes into the graph's metadata what the binary was made for (``ep_compatibility_info``). The engine
does not enforce it everywhere (a simulator runs any chip's binary), so it is compared here, with what was asked for.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from edge_runtime.accelerators.candidates import Candidate, device_of
from edge_runtime.engines import plugins
from edge_runtime.errors import BackendError
from edge_runtime.files import atomic, cache_dir, write_text


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
    write_text(path.with_suffix(".json"), json.dumps(_about(content, candidate), indent=1) + "\n")
    return path


def compiled(home: Path, model: bytes, candidate: Candidate) -> bytes:
    """The graph compiled for this candidate's chip.

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
    return content


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
