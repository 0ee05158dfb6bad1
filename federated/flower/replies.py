"""What clients answer: which answers can be used, why the others cannot, and what they say in numbers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flwr.app import Message

from edge_runtime.data import Samples
from edge_runtime.errors import FleetError
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer
from federated.flower.arrays import from_record
from federated.flower.client import ARRAYS, NUM_EXAMPLES
from federated.update import Update, check_count, check_finite, check_fit

SILENT = "no answer in time"


def screen(
    messages: Sequence[Message], replies: Iterable[Message], like: Mapping[str, Array]
) -> tuple[list[Message], dict[int, str]]:
    """Divide what came back into usable replies, and the clients that failed with the reason.

    A client fails that raised, did not answer in time, or sent weights that are not finite or do not fit
    `like`, the weights that it was sent.
    """
    failed = {message.metadata.dst_node_id: SILENT for message in messages}
    kept: dict[int, Message] = {}
    for reply in replies:
        node = reply.metadata.src_node_id
        if node not in failed:  # nobody asked, or a second answer
            continue
        reason = fault(reply, like)
        if reason is None:
            kept[node] = reply
            del failed[node]
        else:
            failed[node] = reason
    return list(kept.values()), failed


def fault(reply: Message, like: Mapping[str, Array]) -> str | None:
    """Why an answer cannot be used by whoever was sent `like`; None if it can."""
    if reply.has_error():
        return str(reply.error.reason or f"error {reply.error.code}")
    try:
        weights = from_record(reply.content[ARRAYS])
        check_fit(weights, like)
        check_finite(weights)
        check_count(metrics_of(reply)[NUM_EXAMPLES])
        float(metrics_of(reply)["loss"])
    except FleetError as error:
        return str(error)
    except (KeyError, TypeError, ValueError, OSError, EOFError, AttributeError) as error:
        return f"its answer cannot be read: {error!r}"
    return None


def update_of(reply: Message) -> Update:
    """An answer that can be used, as an update."""
    return Update.of(from_record(reply.content[ARRAYS]), metrics_of(reply)[NUM_EXAMPLES])


def metrics_of(reply: Message) -> Mapping[str, Any]:
    """What an answer says in numbers."""
    found: Mapping[str, Any] = next(iter(reply.content.metric_records.values()), {})
    return found


def evaluate(trainer: Trainer, parameters: Mapping[str, Array], test: Samples) -> dict[str, float]:
    """Accuracy and loss of these weights on the held-out samples."""
    trainer.load(parameters)
    found = trainer.evaluate(test)
    return {"accuracy": float(found["accuracy"]), "loss": float(found["loss"])}
