"""The way down: how the model changed since a device last had it, instead of the model.

After a round the server encodes the change once, for everybody, and goes on from what the devices will decode, not
from what it had averaged: then nothing is lost that would have to be sent later, and server and devices hold the same
model bit for bit. A device that has missed rounds gets their messages too, or the whole model where that is smaller.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edge_runtime.tensors import Array
from federated.codecs.codec import Codec, Context
from federated.codecs.message import decode, encode
from federated.update import check_fit

_SERVER = -1  # in a `Context`: no client


@dataclass(frozen=True, slots=True)
class Published:
    """The model's number, which is that of the round it came from, and the messages of the last rounds.

    The last of `messages` leads from model `number` - 1 to `number`. `size` is that of the whole model in bytes;
    messages are kept as long as together they are smaller.
    """

    number: int
    size: int
    messages: tuple[bytes, ...] = ()

    def add(self, message: bytes) -> "Published":
        """With the message of one more round."""
        messages = [*self.messages, message]
        while sum(map(len, messages)) >= self.size:
            del messages[0]
        return Published(self.number + 1, self.size, tuple(messages))

    def since(self, held: int | None) -> tuple[bytes, ...] | None:
        """What leads from model `held` to this one; None: the whole model has to be sent."""
        if held is None or not 0 <= self.number - held <= len(self.messages):
            return None
        return self.messages[len(self.messages) - (self.number - held) :]


def difference(after: Mapping[str, Array], before: Mapping[str, Array]) -> dict[str, Array]:
    """What changed, tensor by tensor.

    Raises:
        FleetError: the two are of different models.
    """
    check_fit(after, before)
    return {name: array - before[name] for name, array in after.items()}


def apply(parameters: Mapping[str, Array], update: Mapping[str, Array]) -> dict[str, Array]:
    """The parameters after the update, each in its own dtype.

    Raises:
        FleetError: the update is of another model.
    """
    check_fit(update, parameters)
    return {name: array + update[name] for name, array in parameters.items()}


def publish(
    codec: Codec, before: Mapping[str, Array], after: Mapping[str, Array], seed: int, number: int
) -> tuple[bytes, dict[str, Array]]:
    """The message that leads devices from `before` to nearly `after`, and where it leads them.

    Raises:
        FleetError: the two are of different models, or not finite.
    """
    message = encode(codec, difference(after, before), Context(seed, number, _SERVER))
    return message, follow(before, [message], codec)


def follow(parameters: Mapping[str, Array], messages: Iterable[bytes], codec: Codec) -> dict[str, Array]:
    """The parameters after each of the messages, on the server and on every device alike.

    Raises:
        TransferError: a message is damaged.
        FleetError: a message is of another codec or model.
    """
    found = dict(parameters)
    for message in messages:
        found = apply(found, decode(message, found, codec))
    return found
