"""The client's side of secure aggregation as Flower messages: stages without training are queries, the third trains."""

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from federated.privacy.he import DeviceKey
from federated.privacy.rounds import Devices
from federated.robust.submission import Vector

SECURE, TEXT = "secure", "text"


def answer_stages(app: ClientApp, encryption: DeviceKey | None = None) -> Devices:
    """Let a ClientApp answer the stages without training; gives what its training needs for the one with."""
    devices = Devices(encryption)

    def stage(message: Message, context: Context) -> Message:
        request = dict(message.content[SECURE])
        return _answer(message, devices.answer(request, int(context.node_id)))

    app.query()(stage)
    return devices


def masked_answer(
    devices: Devices, message: Message, context: Context, delta: Vector, num_examples: int, loss: float
) -> Message:
    """The answer of the stage with training: the change float64[d], coded and masked."""
    request = dict(message.content[SECURE])
    return _answer(message, devices.mask(request, int(context.node_id), delta, num_examples, loss))


def _answer(message: Message, text: bytes) -> Message:
    return Message(RecordDict({SECURE: ConfigRecord({TEXT: text})}), reply_to=message)
