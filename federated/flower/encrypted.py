"""Homomorphic encryption over any of Flower's grids: a Grid that adds what it cannot read and gives back one sum.

Devices train and answer with encrypted changes (`federated.privacy.he`); the server adds them, and asks one device,
then another if it does not answer, what the sum is. A device opens one sum a round.
"""

import time
from collections.abc import Callable, Mapping

from flwr.app import Error, Message
from flwr.serverapp import Grid

from edge_runtime.errors import FleetError, InputError
from edge_runtime.tensors import Array
from federated.flower.secure import VANISHED, SecureGrid, replies_of
from federated.privacy import he
from federated.privacy.he import ServerKey
from federated.privacy.masked import Sum
from federated.privacy.rounds import ENCRYPT, OPEN, Plan

MOST = 200_000  # weights: 3 MB a device and round
LEAST = 3  # devices: a sum of fewer hides nobody


class EncryptedGrid(SecureGrid):
    """`inner`, with training messages answered by one sum."""

    def __init__(self, inner: Grid, key: ServerKey, before: Callable[[], Mapping[str, Array]]) -> None:
        """Stand around a grid.

        Args:
            inner: what carries the messages.
            key: adds, and reads nothing.
            before: gives the model that the round's clients start from.
        """
        super().__init__(inner, Plan(), before, seed=0)
        self._key = key

    def _round(self, asked: Mapping[int, Message], ends: float) -> list[Message]:
        before, errors = self._before(), dict[int, str]()
        size = sum(array.size for array in before.values())
        if size > MOST:
            raise InputError(
                f"homomorphic encryption of {size} weights: an update grows eightfold, so {MOST} are the most; adapt "
                "the model and federate its head, or take secure aggregation, which makes updates smaller"
            )
        number = int(asked[min(asked)].content["config"]["server-round"])
        request = {"stage": ENCRYPT, "round": number}
        texts = self._stage(dict.fromkeys(asked, request), asked, ends, errors, train=True)
        alive, total = self._sum(texts, errors)
        found: dict[int, Message] = {}
        reason = "no answer in time"
        if len(alive) >= LEAST:
            opened = self._open(total, alive, asked, {"number": number, "size": size}, ends, errors)
            if opened is not None:
                found = replies_of(asked, alive, opened, before, 0)
            reason = "nobody opened the round's sum"
        elif alive:
            reason = f"{len(alive)} devices answered; a sum of less than {LEAST} hides nobody"
        return [
            found.get(node)
            or Message(
                Error(VANISHED, errors.get(node, reason if node in alive else "no answer in time")),
                reply_to=asked[node],
            )
            for node in asked
        ]

    def _sum(self, texts: Mapping[int, bytes], errors: dict[int, str]) -> tuple[tuple[int, ...], bytes]:
        """Whose changes are in the sum, and the sum; what cannot be added is left out, with the reason."""
        updates = {}
        for node, text in sorted(texts.items()):
            try:
                updates[node] = he.unpack(text)
                self._key.add([updates[node]])
            except FleetError as error:
                updates.pop(node, None)
                errors[node] = str(error)
        sizes = [len(each) for each in updates.values()]
        for node in [node for node, each in updates.items() if len(each) != max(set(sizes), key=sizes.count)]:
            errors[node] = "homomorphic encryption: its change is of another size"
            del updates[node]
        return tuple(updates), he.pack(self._key.add(list(updates.values()))) if updates else b""

    def _open(
        self,
        total: bytes,
        alive: tuple[int, ...],
        asked: Mapping[int, Message],
        what: Mapping[str, int],
        ends: float,
        errors: dict[int, str],
    ) -> Sum | None:
        for node in alive:
            request = {"stage": OPEN, "round": what["number"], "size": what["size"], "text": total}
            answer = self._stage({node: request}, asked, ends, dict(errors)).get(node)
            if answer is not None:
                try:
                    return he.read_sum(answer, what["size"], len(alive))
                except FleetError as error:
                    errors[node] = str(error)
            if time.monotonic() > ends:
                break
        return None
