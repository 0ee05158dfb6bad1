"""The client as a Flower ClientApp: Flower's records in and out, the work in `federated.local`."""

import os
from collections.abc import Callable, Mapping

from flwr.app import Array as FlowerArray
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from edge_runtime import data as data_files
from edge_runtime.data import Samples
from edge_runtime.tensors import Array
from federated.local import Learner, Steps, client_update, trainer_of

# The keys of a message's records, as Flower's own strategies name them.
ARRAYS, CONFIG, METRICS, NUM_EXAMPLES = "arrays", "config", "metrics", "num-examples"

Data = Callable[[int, int], Samples]
"""From (client, number of clients) to that client's samples."""


def client_app(learner: Learner, data: Data | str | os.PathLike[str], *, threads: int = 1) -> ClientApp:
    """The ClientApp that trains and evaluates on this client's data, for any of Flower's engines.

    A Flower app module needs two lines: ``from federated import client_app`` and
    ``app = client_app("model.bundle", "mine.npz")``. The client's number and the number of clients are the
    node's `partition-id` and `num-partitions`, where given.

    Args:
        learner: a trainable bundle, or a loaded trainer; one trainer is kept for all messages of the process.
        data: a function that gives a client's samples, or the path of this client's own data.
        threads: threads within an operator; 0 lets the engine choose.
    """
    trainer = trainer_of(learner, threads)
    samples_of: Data = data if callable(data) else lambda _client, _clients: data_files.load(data)

    def train(message: Message, context: Context) -> Message:
        client, samples = _whose(context, samples_of)
        parameters = from_record(message.content[ARRAYS])
        learned = client_update(trainer(), parameters, samples, _steps(message.content[CONFIG]), client)
        metrics = MetricRecord({NUM_EXAMPLES: learned.num_examples, "loss": float(learned.loss)})
        return Message(
            RecordDict({ARRAYS: to_record(learned.parameters), METRICS: metrics}), reply_to=message
        )

    def evaluate(message: Message, context: Context) -> Message:
        _, samples = _whose(context, samples_of)
        trainer().load(from_record(message.content[ARRAYS]))
        found = trainer().evaluate(samples)
        metrics = MetricRecord(
            {NUM_EXAMPLES: len(samples)} | {k: float(found[k]) for k in ("accuracy", "loss")}
        )
        return Message(RecordDict({METRICS: metrics}), reply_to=message)

    app = ClientApp()
    app.train()(train)
    app.evaluate()(evaluate)
    return app


def to_record(parameters: Mapping[str, Array]) -> ArrayRecord:
    """Weights as Flower carries them, by name."""
    return ArrayRecord({name: FlowerArray(array) for name, array in parameters.items()})


def from_record(record: ArrayRecord) -> dict[str, Array]:
    """The weights of a record, by name."""
    return {name: array.numpy() for name, array in record.items()}


def _whose(context: Context, samples_of: Data) -> tuple[int, Samples]:
    client = int(context.node_config.get("partition-id", 0))
    return client, samples_of(client, int(context.node_config.get("num-partitions", 1)))


def _steps(config: Mapping[str, int | float]) -> Steps:
    return Steps(
        round_number=int(config["server-round"]),
        epochs=int(config["epochs"]),
        batch_size=int(config["batch-size"]),
        lr=float(config["lr"]),
        seed=int(config["seed"]),
    )
