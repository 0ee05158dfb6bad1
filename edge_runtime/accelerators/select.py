"""Opening a graph on the best accelerator that really runs it, with a reason for each that does not.

Candidates are tried in order: each compiled ahead for this chip, if there is such a binary, then compiled now; the
CPU comes last. One is accepted if it runs at least a share of the nodes and passes the self-test. Nothing is silent:
`Choice` says what was taken, what was not and why, and whether the device was only simulated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.accelerators import context
from edge_runtime.accelerators.candidates import CPU, Candidate, device_of
from edge_runtime.accelerators.selftest import SelfTest
from edge_runtime.engines import plugins
from edge_runtime.errors import BackendError
from edge_runtime.tensors import Array

MIN_SHARE, MIN_SIMILARITY = 0.5, 0.98


@dataclass(frozen=True, slots=True)
class Rejected:
    """A candidate that was not taken, and why."""

    label: str
    reason: str


@dataclass(frozen=True, slots=True)
class Choice:
    """What a session runs on: `nodes` by provider, the `share` on the accelerator, how similar its self-test was."""

    label: str
    session: Any
    nodes: Mapping[str, int]
    share: float
    similarity: float
    simulated: bool
    compiled_ahead: bool
    on_cpu: tuple[tuple[str, str], ...]
    rejected: tuple[Rejected, ...]

    def __str__(self) -> str:
        total = sum(self.nodes.values())
        how = " (simulated)" if self.simulated else ""
        text = f"{self.label}{how}: {round(self.share * total)} of {total} nodes"
        return "; ".join([text, *(f"not {other.label}: {other.reason}" for other in self.rejected)])

    def to_json(self) -> dict[str, Any]:
        """As a plain table, without the session."""
        return {
            "label": self.label,
            "nodes": dict(self.nodes),
            "share": self.share,
            "similarity": self.similarity,
            "simulated": self.simulated,
            "compiled_ahead": self.compiled_ahead,
            "on_cpu": [list(node) for node in self.on_cpu],
            "rejected": [{"label": other.label, "reason": other.reason} for other in self.rejected],
        }


def open_best(
    model: bytes,
    candidates: Sequence[Candidate],
    test: SelfTest,
    *,
    threads: int = 0,
    min_share: float = MIN_SHARE,
    min_similarity: float = MIN_SIMILARITY,
    contexts: Path | None = None,
) -> Choice:
    """Open a graph on the first candidate that passes.

    Args:
        model: the serialised graph.
        candidates: best first; the CPU is tried last in any case.
        test: inputs, and the outputs that the graph has to give.
        threads: within an operator on the CPU.
        min_share: of the nodes that an accelerator has to run.
        min_similarity: cosine similarity that the self-test asks for.
        contexts: the folder of graphs compiled ahead; None looks for none.

    Raises:
        BackendError: not even the CPU runs it.
    """
    rejected: list[Rejected] = []
    for candidate in (*candidates, CPU):
        for ahead in (True, False) if contexts is not None and candidate.plugin else (False,):
            label = f"{candidate.label}, compiled ahead" if ahead else candidate.label
            try:
                choice = _open(
                    model, candidate, test, threads, min_share, min_similarity, contexts if ahead else None
                )
            except BackendError as error:
                rejected.append(Rejected(label, str(error)))
                continue
            session, nodes, share, similarity, simulated = choice
            on_cpu = () if candidate is CPU else tuple(plugins.refused(session))
            return Choice(label, session, nodes, share, similarity, simulated, ahead, on_cpu, tuple(rejected))
    raise BackendError(f"no engine runs this model: {'; '.join(f'{r.label}: {r.reason}' for r in rejected)}")


def _open(
    model: bytes,
    candidate: Candidate,
    test: SelfTest,
    threads: int,
    min_share: float,
    min_similarity: float,
    contexts: Path | None,
) -> tuple[Any, Mapping[str, int], float, float, bool]:
    """Session, nodes by provider, share on the accelerator, similarity, whether simulated."""
    # NPU compilers want fixed shapes; the CPU does not mind lengths that vary.
    chosen = plugins.options(candidate.config, threads, test.lengths if candidate.plugin else {})
    simulated = False
    if candidate.plugin:
        found = device_of(candidate)
        simulated = found.device.type.name != candidate.device
        graph = model if contexts is None else context.compiled(contexts, model, candidate)
        session = plugins.open_plugin(graph, found, candidate.resolved(), chosen)
    else:
        try:
            session = plugins.open_builtin(model, candidate.provider, candidate.resolved(), chosen)
        except BackendError as error:
            raise BackendError(
                f"{error}; {candidate.install}" if candidate.install else str(error)
            ) from error
    nodes = plugins.assignment(session)
    total = sum(nodes.values())
    share = 1.0 if candidate is CPU else 1 - nodes.get(plugins.CPU, 0) / max(total, 1)
    # A context holds the accelerator's part as one node, so its share is that of the graph it was made of.
    if share < min_share and contexts is None:
        raise BackendError(f"runs {round(share * total)} of {total} nodes, below a share of {min_share:g}")
    if contexts is not None:
        context.fits(plugins.compatibility(session), candidate)
        if share == 0:
            raise BackendError("the compiled graph runs nothing on the accelerator")
    similarity = test.check(run(session, test.inputs), min_similarity)
    return session, dict(nodes), share, similarity, simulated


def run(session: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs by name.

    Raises:
        BackendError: the provider fails while running.
    """
    names = [output.name for output in session.get_outputs()]
    try:
        return dict(zip(names, session.run(None, dict(inputs)), strict=True))
    except Exception as error:
        raise BackendError(f"failed while running: {str(error).splitlines()[0][:200]}") from error
