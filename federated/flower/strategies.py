"""Flower's strategies by name and parameters, behind our round loop: ``fedadam:eta=0.01``.

The aggregation is Flower's, unchanged. Who takes part is ours: the same clients for the same seed and round, so that
an interrupted run goes on with them. A strategy with a state (moments, a clipping norm) gives it to the checkpoint.
Those for differential privacy stand around another: ``dp-server-fixed:noise_multiplier=1,clipping_norm=0.5(fedadam)``.
"""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid, strategy
from flwr.serverapp.strategy import Strategy

from edge_runtime.errors import InputError, hint
from edge_runtime.tensors import Array
from federated import spec
from federated.aggregate import sample_clients
from federated.flower.around import Around
from federated.flower.arrays import from_record, to_record

STRATEGIES: dict[str, type[Strategy]] = {
    "bulyan": strategy.Bulyan,
    "fedadagrad": strategy.FedAdagrad,
    "fedadam": strategy.FedAdam,
    "fedavg": strategy.FedAvg,
    "fedavgm": strategy.FedAvgM,
    "fedmedian": strategy.FedMedian,
    "fedprox": strategy.FedProx,
    "fedtrimmedavg": strategy.FedTrimmedAvg,
    "fedxgbbagging": strategy.FedXgbBagging,
    "fedxgbcyclic": strategy.FedXgbCyclic,
    "fedyogi": strategy.FedYogi,
    "krum": strategy.Krum,
    "multikrum": strategy.MultiKrum,
    "qfedavg": strategy.QFedAvg,
}
AROUND: dict[str, type[Strategy]] = {
    "dp-client-adaptive": strategy.DifferentialPrivacyClientSideAdaptiveClipping,
    "dp-client-fixed": strategy.DifferentialPrivacyClientSideFixedClipping,
    "dp-server-adaptive": strategy.DifferentialPrivacyServerSideAdaptiveClipping,
    "dp-server-fixed": strategy.DifferentialPrivacyServerSideFixedClipping,
}
# Who takes part is decided here, the server evaluates, and what records are called is known.
_OURS = (
    *("fraction_train", "fraction_evaluate", "min_train_nodes", "min_evaluate_nodes", "min_available_nodes"),
    *("weighted_by_key", "arrayrecord_key", "configrecord_key", "train_loss_key", "num_sampled_clients"),
)
# What a strategy carries from round to round, by attribute: arrays by name, lists of arrays, numbers, bytes.
_STATE = ("m_t", "v_t", "momentum_vector", "clipping_norm", "current_bst", "registered_nodes")


class _Chosen:
    """A grid that has the round's clients only, so that a strategy that samples takes all of them."""

    def __init__(self, nodes: list[int]) -> None:
        self._nodes = nodes

    def get_node_ids(self) -> list[int]:
        return self._nodes


class Named(Around):
    """One of Flower's strategies with `count` clients a round, chosen by seed and round."""

    def __init__(self, inner: Strategy, count: int, seed: int) -> None:
        self.inner, self._count, self._seed = inner, count, seed
        self.before: dict[str, Array] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """The inner strategy's messages to the round's clients, each with records of its own."""
        self.before = from_record(arrays)
        here = list(grid.get_node_ids())
        nodes = sample_clients(here, min(self._count, len(here)), self._seed, server_round)
        found = self.inner.configure_train(server_round, arrays, ConfigRecord({**config}), _Chosen(nodes))
        return [
            Message(_copy(each.content), each.metadata.dst_node_id, MessageType.TRAIN)
            for each in sorted(found, key=lambda message: message.metadata.dst_node_id)
        ]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The inner strategy's aggregate, in the dtypes of the model."""
        ordered = sorted(replies, key=lambda reply: reply.metadata.src_node_id)
        arrays, metrics = self.inner.aggregate_train(server_round, ordered)
        if arrays is None:
            return None, metrics
        return to_record(
            {name: _cast(each, self.before.get(name)) for name, each in from_record(arrays).items()}
        ), metrics

    def state(self) -> dict[str, Array]:
        """What the next round depends on besides the model: arrays by name, for the checkpoint."""
        found: dict[str, Array] = {}
        for depth, each in enumerate(_nested(self.inner)):
            for name in _STATE:
                for key, value in _parts(getattr(each, name, None)).items():
                    found[f"{depth}/{name}/{key}"] = value
        return found

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from what `state` gave."""
        for depth, each in enumerate(_nested(self.inner)):
            for name in _STATE:
                mine = {
                    key.split("/", 2)[2]: array
                    for key, array in state.items()
                    if key.startswith(f"{depth}/{name}/")
                }
                if mine:
                    setattr(each, name, _whole(mine))


def named(text: str, count: int, seed: int, lr: float) -> Named:
    """The strategy that a text asks for.

    Args:
        text: ``name:key=value,key=value``; the keys are those of Flower's class.
        count: clients a round.
        seed: of the run.
        lr: the clients' learning rate, which QFedAvg has to know.

    Raises:
        InputError: there is no such strategy or parameter, or Flower does not accept a value.
    """
    return Named(_build(text.strip(), count, lr), count, seed)


def _build(text: str, count: int, lr: float) -> Strategy:
    head, bracket, rest = text.partition("(")
    if bracket and not rest.endswith(")"):
        raise InputError(f"strategy '{text}': a bracket is not closed")
    name, given = spec.split(head, [*STRATEGIES, *AROUND], "strategy")
    if bracket and name in STRATEGIES:
        raise InputError(f"strategy '{name}' stands around no other; {', '.join(AROUND)} do")
    kind = STRATEGIES.get(name) or AROUND[name]
    fixed: dict[str, Any] = {}
    if name in AROUND:
        fixed = {
            "strategy": _build(rest[:-1] if bracket else "fedavg", count, lr),
            "num_sampled_clients": count,
        }
    elif name == "qfedavg":
        fixed = {"client_learning_rate": lr, "train_loss_key": "loss"}
    elif name == "fedprox":
        fixed = {"proximal_mu": 0.01}  # Flower's own default, 0, is federated averaging
    if name in STRATEGIES:
        wanted = {
            "fraction_train": 1.0,
            "fraction_evaluate": 0.0,
            "min_train_nodes": 1,
            "min_available_nodes": 1,
        }
        takes = _parameters(kind)
        fixed |= {key: value for key, value in wanted.items() if key in takes}
    values = {**fixed, **_values(name, kind, given)}
    missing = [key for key, each in inspect.signature(kind).parameters.items() if each.default is each.empty]
    if not values.keys() >= set(missing):
        needed = "=..., ".join(key for key in missing if key not in values)
        raise InputError(f"strategy '{name}' needs {needed}=...")
    try:
        return kind(**values)
    except (ValueError, TypeError) as error:
        raise InputError(f"strategy '{head}': {error}") from error


def _values(name: str, kind: type[Strategy], given: Mapping[str, str]) -> dict[str, Any]:
    takes = {
        key: each for key, each in _parameters(kind).items() if each in (int, float, str) and key not in _OURS
    }
    for key in given:
        if key not in takes:
            known = f"it takes {', '.join(takes)}" if takes else "it takes none"
            raise InputError(f"strategy '{name}' has no parameter '{key}'{hint(key, takes)}; {known}")
    return {key: spec.read(value, takes[key], f"strategy '{name}': {key}") for key, value in given.items()}


def _parameters(kind: type[Strategy]) -> dict[str, Any]:
    """The parameters of Flower's class by name, with their types."""
    found = inspect.signature(kind).parameters
    return {key: each.annotation for key, each in found.items()}


def _copy(content: RecordDict) -> RecordDict:
    """The same arrays in records of their own: what one client changes must not reach the next."""
    copied = {
        name: ConfigRecord({**record}) if isinstance(record, ConfigRecord) else record
        for name, record in content.items()
    }
    return RecordDict(copied)


def _cast(array: Array, like: Array | None) -> Array:
    if like is None or array.dtype == like.dtype:
        return array
    return (np.rint(array) if np.issubdtype(like.dtype, np.integer) else array).astype(like.dtype)


def _nested(outer: Strategy) -> list[Strategy]:
    """The strategy, the one within it, and so on."""
    found = [outer]
    while isinstance(getattr(found[-1], "strategy", None), Strategy):
        found.append(found[-1].strategy)
    return found


def _parts(value: Any) -> dict[str, Array]:
    """A strategy's attribute as arrays; the first letter of a key says what it was."""
    if isinstance(value, Mapping):
        if all(isinstance(key, int) for key in value):
            return {f"i{key}": np.asarray(each) for key, each in value.items()}
        return {f"d{key}": np.asarray(each) for key, each in value.items()}
    if isinstance(value, list):
        return {f"l{i:06d}": np.asarray(each) for i, each in enumerate(value)}
    if isinstance(value, bytes):
        return {"b": np.frombuffer(value, np.uint8)}
    return {} if value is None else {"n": np.asarray(value)}


def _whole(parts: Mapping[str, Array]) -> Any:
    """The attribute that `_parts` took apart."""
    kind = next(iter(parts))[0]
    if kind == "i":
        return {int(key[1:]): int(each) for key, each in parts.items()}
    if kind == "d":
        return {key[1:]: each for key, each in parts.items()}
    if kind == "l":
        return [parts[key] for key in sorted(parts)]
    return parts["b"].tobytes() if kind == "b" else parts["n"].item()
