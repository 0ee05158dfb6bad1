"""What a device does with a request: the work of the ClientApp, on records as they came over the link."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_runtime.data import Samples
from edge_runtime.errors import FleetError, LittoralError
from edge_runtime.tensors import Array
from edge_runtime.trainer import Trainer
from federated import codecs
from federated.codecs.downlink import difference, follow
from federated.link.wire import Message, Record
from federated.local import client_update, own_layers
from federated.steps import Steps

# The names of records and keys, as Flower's strategies and the ServerApp use them.
ARRAYS, CONFIG, METRICS, NUM_EXAMPLES = "arrays", "config", "metrics", "num-examples"
WAY, UPDATE, MESSAGE = "way", "update", "message"
SECURE, TEXT = "secure", "text"
TRAIN, EVALUATE, QUERY, PERSONALISE = "train", "evaluate", "query", "query.personalise"
_KNOWN = {ARRAYS, CONFIG, WAY, SECURE}
_PROTECTION = {"clip", "sigma", "clipping_norm"}

Records = Mapping[str, Record]


@dataclass(slots=True)
class Memory:
    """What a device keeps between rounds: the model it holds and its number, and what its codec and method remember.

    `before` is what the codec remembered when round `round` began: a round that a coordinator asks for once more, in
    other words than the first time, begins from there and counts once.
    """

    held: dict[str, Array] = field(default_factory=dict)
    number: int | None = None
    codec: dict[str, Array] = field(default_factory=dict)
    before: dict[str, Array] = field(default_factory=dict)
    round: int = 0
    run: str = ""
    sessions: Any = (
        None  # of secure aggregation; they do not outlive the process, for their secrets are for one use
    )
    encryption: Any = None  # the devices' key of homomorphic encryption; given by who starts the process

    def begin(self, run: str, number: int) -> None:
        """Be as it was before round `number` of the run; another run knows nothing of the one before."""
        if run != self.run:
            self.held, self.number, self.codec, self.before, self.round = {}, None, {}, {}, 0
        source = self.before if number == self.round else self.codec
        self.before = {name: array.copy() for name, array in source.items()}
        self.codec = {name: array.copy() for name, array in source.items()}
        self.run, self.round = run, number


def answer(request: Message, work: str, memory: Memory, trainer: Trainer, samples: Samples) -> Message:
    """The reply to a request; what goes wrong is a reply too, with one sentence under "error".

    Args:
        request: "kind" in its head is "train", "evaluate", "query" or "query.personalise".
        work: the request's id, by which the reply is known.
        memory: what the device keeps; changed by training.
        trainer: what learns; its weights are replaced.
        samples: the device's own.
    """
    try:
        kind, client = request.head.get("kind"), int(request.head.get("client", 0))
        if kind == TRAIN:
            memory.begin(
                str(request.head.get("run", "")), Steps.read(_items(request.records, CONFIG)).round_number
            )
            return Message({"work": work}, train(request.records, memory, trainer, samples, client))
        if kind == EVALUATE:
            return Message({"work": work}, evaluate(request.records, trainer, samples))
        if kind == PERSONALISE:
            return Message({"work": work}, own_model(request, memory, trainer, samples))
        if kind == QUERY and SECURE in request.records:
            text = _sessions(memory).answer(dict(request.records[SECURE].items), client)
            return Message({"work": work}, {SECURE: Record("config", {TEXT: text})})
        raise FleetError(f"asked for '{kind}', which this device does not do")
    except LittoralError as error:
        return Message({"work": work, "error": str(error)})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Message({"work": work, "error": f"the request cannot be read: {error!r}"})


def train(records: Records, memory: Memory, trainer: Trainer, samples: Samples, client: int) -> Records:
    """Train from the request's weights on the samples; the reply's records.

    Raises:
        FleetError: the device does not hold the model that the changes are of.
        InputError: the weights or the samples do not fit the model.
        ModelError: training diverged.
    """
    way = _items(records, WAY)
    for name in records.keys() - _KNOWN:  # rather than train without what it may ask to be kept secret
        raise FleetError(f"asked for '{name}', which this device does not do")
    steps = Steps.read(_items(records, CONFIG))
    parameters = _parameters(records, way, memory)
    learned = client_update(trainer, parameters, samples, steps, client, memory.codec)
    count, loss = learned.num_examples, float(learned.loss)
    after, more = _protected(parameters, learned.parameters, _items(records, CONFIG))
    if SECURE in records:
        from federated.robust.submission import flatten

        delta = flatten(after) - flatten(parameters)
        text = _sessions(memory).mask(dict(records[SECURE].items), client, delta, count, loss)
        return {SECURE: Record("config", {TEXT: text})}
    metrics = Record("metrics", {NUM_EXAMPLES: count, "loss": loss, **more})
    if not way.get("up"):
        return {ARRAYS: Record("arrays", after), METRICS: metrics}
    where = codecs.Context(way["seed"], steps.round_number, client, memory.codec)
    update = difference(after, parameters)
    content = codecs.encode(codecs.parse(way["up"]), update, where)
    return {UPDATE: Record("config", {MESSAGE: content}), METRICS: metrics}


def evaluate(records: Records, trainer: Trainer, samples: Samples) -> Records:
    """Measure the request's weights on the samples; the reply's records.

    Raises:
        InputError: the weights or the samples do not fit the model.
    """
    trainer.load(_items(records, ARRAYS))
    found = trainer.evaluate(samples)
    metrics = {NUM_EXAMPLES: len(samples)} | {name: float(found[name]) for name in ("accuracy", "loss")}
    return {METRICS: Record("metrics", metrics)}


def own_model(request: Message, memory: Memory, trainer: Trainer, samples: Samples) -> Records:
    """Make the device's own model of the last round's, in the trainer; the reply's records.

    Raises:
        InputError: the weights or the samples do not fit the model.
        ModelError: training diverged.
    """
    from federated.personal import after_last_round  # once in a run: it need not stay in the device's memory

    asked = _items(request.records, CONFIG)
    mine = own_layers(memory.codec) if memory.run == request.head.get("run") else {}
    found = after_last_round(trainer, _items(request.records, ARRAYS), samples, asked, mine)
    return {METRICS: Record("metrics", found)}


def _protected(
    before: Mapping[str, Array], after: Mapping[str, Array], config: Mapping[str, Any]
) -> tuple[Mapping[str, Array], Mapping[str, int]]:
    if not config.keys() & _PROTECTION:
        return after, {}
    from federated.privacy.local import protect  # only where it is asked for: it stays in the device's memory

    return protect(before, after, config)


def _sessions(memory: Memory) -> Any:
    if memory.sessions is None:
        from federated.privacy.rounds import Devices

        memory.sessions = Devices(memory.encryption)
    return memory.sessions


def _parameters(records: Records, way: Mapping[str, Any], memory: Memory) -> Mapping[str, Array]:
    """The model to begin with: as it came, or what the device holds and the changes since; kept if asked for."""
    if ARRAYS in records:
        parameters = dict(_items(records, ARRAYS))
    else:
        if not memory.held or memory.number != way["held"]:
            raise FleetError(f"does not hold the model of round {way['held']}; it has to be sent whole")
        parameters = follow(memory.held, way["messages"], codecs.parse(way["down"]))
    if "number" in way:
        memory.held, memory.number = parameters, int(way["number"])
    return parameters


def _items(records: Records, name: str) -> Mapping[str, Any]:
    return records[name].items if name in records else {}
