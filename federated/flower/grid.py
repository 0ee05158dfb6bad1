"""Clients in this process: a Flower Grid that calls the ClientApp directly, and the run of both apps over it.

Flower's Grid is a public abstract class that any transport may implement, and its strategies drive this one
unchanged. Two things are not public in Flower and live in this module alone: `TaskIdentity`, without which no
message can be made, and the name of Flower's logger, whose lines would break the progress lines.
tests/federated/test_flower_contract.py holds Flower to them.
"""

import logging
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.supercore.task_identity import TaskIdentity

from edge_runtime.errors import LittoralError
from federated import seeds

_SERVER = 1 << 40  # the server's node id; clients are 0, 1, 2 ...
RAISED = 2  # Flower's code for "the ClientApp raised an exception"
_LOGGER = "flwr"


class OwnGrid(Grid):  # type: ignore[misc]
    """What our Grids have in common: Flower's description of the run is kept, and a message is what it says."""

    _run: Any = None

    def set_run(self, run: Any) -> None:
        """Keep Flower's description of the run; nothing here depends on it."""
        self._run = run

    @property
    def run(self) -> Any:
        """What `set_run` was given."""
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """A message to a node."""
        return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl)


class InProcessGrid(OwnGrid):
    """A Grid whose nodes 0 to `clients` - 1 are answered by `app`, one after the other, in this process.

    A node keeps its Context from message to message. What a client raises becomes that node's error reply.
    """

    def __init__(self, app: ClientApp, clients: int) -> None:
        self._app = app
        self._contexts = {
            node: Context(
                run_id=1,
                node_id=node,
                node_config={"partition-id": node, "num-partitions": clients},
                state=RecordDict(),
                run_config={},
            )
            for node in range(clients)
        }
        self._replies: dict[str, Message] = {}

    def get_node_ids(self) -> list[int]:
        """The clients' numbers."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Have the messages answered; the ids that are returned are the keys of `pull_messages`."""
        answered = {uuid.uuid4().hex: self._answer(message) for message in messages}
        self._replies.update(answered)
        return list(answered)

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """The replies, each given out once."""
        return [self._replies.pop(key) for key in message_ids if key in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """The replies of the clients that were reached within `timeout` seconds (none is cut off)."""
        ends = None if timeout is None else time.monotonic() + timeout
        replies: list[Message] = []
        for message in messages:
            if ends is not None and time.monotonic() > ends:
                break
            replies.append(self._answer(message))
        return replies

    def _answer(self, message: Message) -> Message:
        try:
            return self._app(message, self._contexts[message.metadata.dst_node_id])
        except Exception as error:  # noqa: BLE001  (whatever a client raises is that client's failure, not the run's)
            return Message(Error(RAISED, _sentence(error)), reply_to=message)


class LaggingGrid(InProcessGrid):
    """Clients in this process that take their time: for asynchronous runs.

    How long one takes is half normal, as Nguyen et al. 2022 have it, and follows from the request's number alone. Time
    is counted in requests: while `together` clients are out, about as many are sent until one of them answers.
    """

    def __init__(self, app: ClientApp, clients: int, together: int, seed: int) -> None:
        super().__init__(app, clients)
        self._together, self._seed = together, seed
        self._due: dict[str, tuple[float, Message]] = {}

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Take the messages; each is answered when it is its turn."""
        keys = []
        for message in messages:
            number = int(message.content["config"]["server-round"])
            lag = abs(seeds.generator(self._seed, "delay", number).standard_normal())
            keys.append(uuid.uuid4().hex)
            self._due[keys[-1]] = number + self._together * lag, message
        return keys

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """The reply that comes first."""
        waiting = [key for key in message_ids if key in self._due]
        if not waiting:
            return []
        _, message = self._due.pop(min(waiting, key=lambda key: self._due[key][0]))
        return [self._answer(message)]


def run_in_process(server: ServerApp, client: ClientApp, clients: int) -> None:
    """Run a ServerApp against `clients` copies of a ClientApp, in this thread, until the server is done.

    Raises:
        LittoralError: what the server raises.
    """
    run_over(server, InProcessGrid(client, clients))


def run_over(server: ServerApp, grid: Grid) -> None:
    """Run a ServerApp over the grid, in this thread, until the server is done.

    Raises:
        LittoralError: what the server raises.
    """
    context = Context(run_id=1, node_id=_SERVER, node_config={}, state=RecordDict(), run_config={})
    with identity(), _silence():
        server(grid, context)


@contextmanager
def identity() -> Iterator[None]:
    """Let this process make messages, as the run's server, while the block runs."""
    with _identity({"run_id": 1, "node_id": _SERVER, "task_id": 1}):
        yield


@contextmanager
def _identity(values: Mapping[str, int]) -> Iterator[None]:
    """Give this process the identity that Flower stamps on a message, and what was there before back."""
    before = {name: getattr(TaskIdentity, f"_{name}") for name in values}
    for name, value in values.items():
        setattr(TaskIdentity, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(TaskIdentity, name, value)


@contextmanager
def _silence() -> Iterator[None]:
    logger = logging.getLogger(_LOGGER)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _sentence(error: Exception) -> str:
    text = (str(error).splitlines() or [""])[0]
    return text if isinstance(error, LittoralError) and text else f"{type(error).__name__}: {text}"
