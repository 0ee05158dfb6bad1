"""The end of a run with personal models: every device that is there makes one, and says what came of it."""

from dataclasses import replace
from typing import TYPE_CHECKING

from flwr.app import ConfigRecord, Message, RecordDict

from edge_runtime import console
from federated.checkpoint import State
from federated.flower.arrays import to_record
from federated.flower.client import ARRAYS, CONFIG, PERSONALISE
from federated.flower.replies import metrics_of

if TYPE_CHECKING:
    from federated.flower.server import Coordinator

_SAID = ("before", "after", "kept")


def own_models(run: "Coordinator", state: State, *, progress: bool) -> State:
    """Ask every device for a model of its own, of the last one; the history says what came of it.

    Under privacy or secure aggregation devices keep to themselves how they fare: then it says nothing.
    """
    settings, grid = run.settings, run.parts.inner
    private = bool(settings.secure or settings.encrypt or settings.privacy)
    asked = {"personalise": settings.personalise, "method": settings.method, "quiet": private}
    arrays = to_record(state.parameters)
    messages = [
        Message(RecordDict({ARRAYS: arrays, CONFIG: ConfigRecord({**asked})}), node, PERSONALISE)
        for node in sorted(grid.get_node_ids())
    ]
    replies = list(grid.send_and_receive(messages, timeout=run.timeout))
    said = {reply.metadata.src_node_id: metrics_of(reply) for reply in replies if not reply.has_error()}
    found = {
        node: {name: float(each[name]) for name in _SAID}
        for node, each in sorted(said.items())
        if each.keys() >= set(_SAID)
    }
    if progress:
        kept = f", {sum(each['kept'] > 0 for each in found.values())} of them fine-tuned" if found else ""
        console.say(f"{len(said)} of {len(messages)} devices have a model of their own{kept}")
    return replace(state, history=replace(state.history, personal=found))
