"""The client as a Flower ClientApp: Flower's records in and out, the work in `federated.local`."""

import os
from collections.abc import Callable, Mapping

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from edge_runtime import data as data_files
from edge_runtime.data import Samples
from edge_runtime.errors import FleetError
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer
from federated import codecs
from federated.codecs.downlink import difference, follow
from federated.flower.arrays import from_record, to_record
from federated.flower.stages import SECURE, answer_stages, masked_answer
from federated.local import Learner, client_update, own_layers, trainer_of
from federated.privacy.he import DeviceKey
from federated.privacy.local import protect
from federated.robust.submission import flatten
from federated.steps import Steps

# The keys of a message's records, as Flower's own strategies name them.
ARRAYS, CONFIG, METRICS, NUM_EXAMPLES = "arrays", "config", "metrics", "num-examples"
# And ours: how updates and models are coded, an update, its bytes.
WAY, UPDATE, MESSAGE = "way", "update", "message"
PERSONALISE = "query.personalise"
OWN = "own"  # a client's own model in its Context, after a run that ended with personal ones
_HELD, _MEMORY, _NUMBER = "held", "memory", "number"  # what a client keeps in its Context

Data = Callable[[int, int], Samples]
"""From (client, number of clients) to that client's samples."""


def client_app(
    learner: Learner,
    data: Data | str | os.PathLike[str],
    *,
    threads: int = 1,
    encryption: DeviceKey | None = None,
) -> ClientApp:
    """The ClientApp that trains and evaluates on this client's data, for any of Flower's engines.

    A Flower app module needs two lines: ``from federated import client_app`` and
    ``app = client_app("model.bundle", "mine.npz")``. The client's number and the number of clients are the
    node's `partition-id` and `num-partitions`, where given.

    Args:
        learner: a trainable bundle, or a loaded trainer; one trainer is kept for all messages of the process.
        data: a function that gives a client's samples, or the path of this client's own data.
        threads: threads within an operator; 0 lets the engine choose.
        encryption: the devices' key, for runs with homomorphic encryption.
    """
    trainer = trainer_of(learner, threads)
    samples_of: Data = data if callable(data) else lambda _client, _clients: data_files.load(data)

    def train(message: Message, context: Context) -> Message:
        client, samples = _whose(context, samples_of)
        steps = Steps.read(message.content[CONFIG])
        parameters = received(message, context.state)
        memory = from_record(context.state[_MEMORY]) if _MEMORY in context.state else {}
        learned = client_update(trainer(), parameters, samples, steps, client, memory)
        after, more = protect(parameters, learned.parameters, message.content[CONFIG])
        if memory:
            context.state[_MEMORY] = to_record(memory)
        if SECURE in message.content:
            delta = flatten(after) - flatten(parameters)
            return masked_answer(sessions, message, context, delta, learned.num_examples, float(learned.loss))
        metrics = MetricRecord({NUM_EXAMPLES: learned.num_examples, "loss": float(learned.loss), **more})
        answer = _answer(message, context.node_id, parameters, after, steps, memory)
        if memory:
            context.state[_MEMORY] = to_record(memory)
        return Message(RecordDict({**answer, METRICS: metrics}), reply_to=message)

    def evaluate(message: Message, context: Context) -> Message:
        _, samples = _whose(context, samples_of)
        trainer().load(from_record(message.content[ARRAYS]))
        found = trainer().evaluate(samples)
        metrics = MetricRecord(
            {NUM_EXAMPLES: len(samples)} | {k: float(found[k]) for k in ("accuracy", "loss")}
        )
        return Message(RecordDict({METRICS: metrics}), reply_to=message)

    app = ClientApp()
    sessions = answer_stages(app, encryption)
    app.query("personalise")(
        lambda message, context: _own_model(message, context, trainer(), _whose(context, samples_of)[1])
    )
    app.train()(train)
    app.evaluate()(evaluate)
    return app


def _own_model(message: Message, context: Context, trainer: Trainer, samples: Samples) -> Message:
    """The answer at the end of a run with personal models; the client's own stays in its Context."""
    from federated.personal import after_last_round

    memory = from_record(context.state[_MEMORY]) if _MEMORY in context.state else {}
    sent, asked = from_record(message.content[ARRAYS]), message.content[CONFIG]
    found = after_last_round(trainer, sent, samples, asked, own_layers(memory))
    context.state[OWN] = to_record(trainer.parameters)
    return Message(RecordDict({METRICS: MetricRecord(found)}), reply_to=message)


def received(message: Message, state: RecordDict) -> dict[str, Array]:
    """The model to begin with: as it came, or what the client holds and the changes since; kept if asked for."""
    way = message.content.config_records.get(WAY, {})
    if ARRAYS in message.content:
        parameters = from_record(message.content[ARRAYS])
    else:
        if _HELD not in state or state[_NUMBER][_NUMBER] != way["held"]:
            raise FleetError(f"does not hold the model of round {way['held']}; it has to be sent whole")
        parameters = follow(from_record(state[_HELD]), way["messages"], codecs.parse(way["down"]))
    if _NUMBER in way:
        state[_HELD], state[_NUMBER] = to_record(parameters), ConfigRecord({_NUMBER: way[_NUMBER]})
    return parameters


def _answer(
    message: Message,
    node: int,
    before: Mapping[str, Array],
    after: Mapping[str, Array],
    steps: Steps,
    memory: dict[str, Array],
) -> dict[str, ArrayRecord | ConfigRecord]:
    """The learned weights, or the update in the codec that was asked for."""
    way = message.content.config_records.get(WAY, {})
    if not way.get("up"):
        return {ARRAYS: to_record(after)}
    where = codecs.Context(way["seed"], steps.round_number, node, memory)
    content = codecs.encode(codecs.parse(way["up"]), difference(after, before), where)
    return {UPDATE: ConfigRecord({MESSAGE: content})}


def _whose(context: Context, samples_of: Data) -> tuple[int, Samples]:
    client = int(context.node_config.get("partition-id", 0))
    return client, samples_of(client, int(context.node_config.get("num-partitions", 1)))
