"""Why nodes are left on the CPU, as far as the provider says: it does so in its log alone, node by node.

The graph is opened once more with every message on, in a process of its own, and what that writes is read. Qualcomm's
provider gives a reason for each group of nodes that it refuses; one that gives none has no reasons here.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from edge_runtime.accelerators.candidates import Candidate, device_of
from edge_runtime.engines import plugins
from edge_runtime.engines.onnx import load
from edge_runtime.errors import BackendError

_NODE = re.compile(r"\s+Operator type: \S+ Node name: (.*?) Node index: ")
_REASON = re.compile(r"\s+REASON : (.*)")
_REFUSED = re.compile(r"failed for node `(.+?)` of type `(\w+)` with error code (\d+)")
_KIND = re.compile(r" dataType=QNN_DATATYPE_(\w+)")


def reasons(model: bytes, candidate: Candidate, lengths: Mapping[str, int]) -> dict[str, str]:
    """A plug-in's reasons by the name of the node that it refuses.

    Args:
        model: the serialised graph.
        candidate: a plug-in.
        lengths: of the dimensions that may vary.

    Raises:
        BackendError: no process can be started to ask in.
    """
    request = {"candidate": asdict(candidate), "lengths": dict(lengths)}
    done = plugins.child(
        ["-P", "-m", "edge_runtime.accelerators.reasons"], json.dumps(request).encode() + b"\n" + model
    )
    return parse(done.stderr.decode(errors="replace").splitlines())


def parse(log: Iterable[str]) -> dict[str, str]:
    """Reasons by node, from the lines of a log."""
    found: dict[str, str] = {}
    refused: dict[str, str] = {}
    group: list[str] = []
    kinds: dict[str, list[str]] = {}
    side = ""
    for line in log:
        if "Validation FAILED" in line or "Validation PASSED" in line:
            group = []
        elif node := _NODE.match(line):
            group.append(node[1])
        elif reason := _REASON.match(line):
            said = next((refused[name] for name in group if name in refused), reason[1].strip())
            found |= dict.fromkeys(group, said)
        elif line.startswith((" node_inputs:", " node_outputs:")):
            side = line.strip(" :")
            kinds = {side: [], **({} if side == "node_inputs" else kinds)}
        elif (kind := _KIND.search(line)) and side in kinds:
            kinds[side].append(kind[1].lower())
        elif match := _REFUSED.search(line):
            name, operator, code = match.groups()
            taken, given = (
                ", ".join(dict.fromkeys(kinds.get(f"node_{s}", []))) for s in ("inputs", "outputs")
            )
            text = f"{operator} of {taken} giving {given} is refused (error {code})"
            refused |= {name: text, re.sub(r"_\d+$", "", name): text}
    return found


def main() -> None:
    """The process: opens the graph with every message on."""
    line, _, model = sys.stdin.buffer.read().partition(b"\n")
    request = json.loads(line)
    candidate = Candidate(**request["candidate"])
    load().set_default_logger_severity(0)
    chosen = plugins.options(candidate.config, 1, request["lengths"])
    chosen.log_severity_level = 0
    try:
        plugins.open_plugin(model, device_of(candidate), candidate.resolved(), chosen)
    except BackendError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
