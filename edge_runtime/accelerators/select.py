"""Opening a graph on the best accelerator that really runs it, with a reason for each that does not.

Candidates are tried in order: each compiled ahead for this chip, if there is such a binary, then compiled now; the
CPU comes last. One is accepted if it runs at least a share of the nodes and passes the self-test. Nothing is silent:
`Choice` says what was taken, what was not and why, and whether the device was only simulated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edge_runtime.accelerators import context, trial
from edge_runtime.accelerators.candidates import CPU, Candidate, device_of
from edge_runtime.accelerators.selftest import SelfTest
from edge_runtime.engines import plugins
from edge_runtime.errors import BackendError

MIN_SHARE, MIN_SIMILARITY = 0.5, 0.98


@dataclass(frozen=True, slots=True)
class Rejected:
    """A candidate that was not taken, and why."""

    label: str
    reason: str


@dataclass(frozen=True, slots=True)
class Choice:
    """What runs a graph: `nodes` by provider, the `share` on the accelerator, how similar its self-test was.

    `session` is None where none of the accelerators was taken and the caller opens its own; `rejected` says why.
    """

    label: str
    session: Any
    nodes: Mapping[str, int] = field(default_factory=dict)
    share: float = 0.0
    similarity: float = 1.0
    simulated: bool = False
    compiled_ahead: bool = False
    on_cpu: tuple[tuple[str, str], ...] = ()
    rejected: tuple[Rejected, ...] = ()

    def __str__(self) -> str:
        total = sum(self.nodes.values())
        how = [
            word
            for word, yes in (("compiled ahead", self.compiled_ahead), ("simulated", self.simulated))
            if yes
        ]
        text = self.label + (f" ({', '.join(how)})" if how else "")
        if total:
            text += f": {round(self.share * total)} of {total} nodes"
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


@dataclass(frozen=True, slots=True)
class Rules:
    """What a candidate has to fulfil.

    `min_share` of the nodes it runs, and its self-test has a cosine similarity of `min_similarity`. `simulations`
    count as well. `contexts` is the folder of graphs compiled ahead; None looks for none. With `trials` a plug-in is
    first tried in a process of its own, which compiles ahead; `keep` lets it write what it compiled.
    """

    min_share: float = MIN_SHARE
    min_similarity: float = MIN_SIMILARITY
    simulations: bool = True
    contexts: Path | None = None
    trials: bool = False
    keep: bool = True


def open_best(
    model: bytes,
    candidates: Sequence[Candidate],
    test: SelfTest,
    *,
    threads: int = 0,
    rules: Rules | None = None,
) -> Choice:
    """Open a graph on the first candidate that passes.

    Args:
        model: the serialised graph.
        candidates: best first; the CPU is tried last in any case.
        test: inputs, and the outputs that the graph has to give.
        threads: within an operator on the CPU.
        rules: what is asked of them.

    Raises:
        BackendError: not even the CPU runs it.
    """
    chosen = rules or Rules()
    found = open_accelerator(model, candidates, test, threads, chosen)
    if found.session is not None:
        return found
    try:
        cpu = _open(model, CPU, test, threads, chosen, ahead=False)
    except BackendError as error:
        reasons = [f"{r.label}: {r.reason}" for r in (*found.rejected, Rejected(CPU.label, str(error)))]
        raise BackendError(f"no engine runs this model: {'; '.join(reasons)}") from error
    return replace(cpu, rejected=found.rejected)


def open_accelerator(
    model: bytes, candidates: Sequence[Candidate], test: SelfTest, threads: int, rules: Rules
) -> Choice:
    """As `open_best`, without the CPU: a choice that has no session where no candidate passes."""
    rejected: list[Rejected] = []
    for candidate in candidates:
        try:
            forms = _forms(model, candidate, test, rules, rejected)
        except BackendError as error:
            rejected.append(Rejected(candidate.label, str(error)))
            continue
        for ahead in forms:
            try:
                found = _open(model, candidate, test, threads, rules, ahead)
            except BackendError as error:
                rejected.append(Rejected(_named(candidate, ahead), str(error)))
                continue
            return replace(found, rejected=tuple(rejected))
    return Choice(CPU.label, None, rejected=tuple(rejected))


def _named(candidate: Candidate, ahead: bool) -> str:
    return f"{candidate.label}, compiled ahead" if ahead else candidate.label


def _forms(
    model: bytes, candidate: Candidate, test: SelfTest, rules: Rules, rejected: list[Rejected]
) -> tuple[bool, ...]:
    """Which forms of the graph to open: compiled ahead (True), plain (False).

    Raises:
        BackendError: the candidate is not here, or may not be tried in this process.
    """
    if not candidate.plugin:
        return (False,)
    device = device_of(candidate)
    if not rules.simulations and _simulates(device, candidate):
        raise BackendError(f"offers a simulation on this machine, and no {candidate.device}")
    if not rules.trials:
        return (True, False) if rules.contexts is not None else (False,)
    verdict = trial.ensure(rules.contexts or context.folder(), model, candidate, test.lengths, rules.keep)
    if verdict.remark:
        rejected.append(Rejected(_named(candidate, True), verdict.remark))
    return (True, False) if verdict.compiled else (False,)


def _simulates(device: Any, candidate: Candidate) -> bool:
    return bool(device.device.type.name != candidate.device)


def _open(
    model: bytes, candidate: Candidate, test: SelfTest, threads: int, rules: Rules, ahead: bool
) -> Choice:
    # NPU compilers want fixed shapes; the CPU does not mind lengths that vary.
    chosen = plugins.options(candidate.config, threads, test.lengths if candidate.plugin else {})
    simulated, made_of = False, 0
    if candidate.plugin:
        device = device_of(candidate)
        simulated = _simulates(device, candidate)
        graph = model
        if ahead:
            graph, made_of = context.compiled(rules.contexts or context.folder(), model, candidate)
        session = plugins.open_plugin(graph, device, candidate.resolved(), chosen)
    else:
        session = _builtin(model, candidate, chosen)
    nodes = dict(plugins.assignment(session))
    if ahead:
        context.fits(plugins.compatibility(session), candidate)
        # The accelerator's part is one node here, and was all but what is left on the CPU.
        nodes = {name: count for name, count in nodes.items() if name == plugins.CPU}
        nodes[candidate.provider] = max(0, made_of - sum(nodes.values()))
    total = sum(nodes.values())
    share = 1.0 if candidate is CPU else 1 - nodes.get(plugins.CPU, 0) / max(total, 1)
    if share < rules.min_share:
        raise BackendError(
            f"runs {round(share * total)} of {total} nodes, below a share of {rules.min_share:g}"
        )
    similarity = test.check(plugins.run(session, test.inputs), rules.min_similarity)
    left = () if candidate is CPU else tuple(plugins.refused(session))
    return Choice(candidate.label, session, nodes, share, similarity, simulated, ahead, left)


def _builtin(model: bytes, candidate: Candidate, chosen: Any) -> Any:
    try:
        if not candidate.provider:
            raise BackendError("no engine here runs it")
        return plugins.open_builtin(model, candidate.provider, candidate.resolved(), chosen)
    except BackendError as error:
        raise BackendError(f"{error}; {candidate.install}" if candidate.install else str(error)) from error
