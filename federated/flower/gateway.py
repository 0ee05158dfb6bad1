"""A gateway: to the cloud one client, to the devices of its site the server. Their average goes up, one for all.

An average of averages, each weighted by the examples behind it, is the average of all (`federated.update`). So a round
over gateways gives the model of a round over their devices, to the rounding of the weights' own type, and what crosses
the site's uplink does not grow with its devices.
"""

import time
from collections.abc import Callable
from typing import Any

from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from edge_runtime.errors import FleetError, LittoralError
from federated.flower.arrays import to_record
from federated.flower.averaging import Averaging
from federated.flower.choosing import Chooser
from federated.flower.client import ARRAYS, CONFIG, METRICS, NUM_EXAMPLES, WAY, received
from federated.flower.codecs import Compressed
from federated.flower.gather import Gatherer
from federated.flower.grid import identity
from federated.flower.mqtt_grid import from_wire, to_wire
from federated.flower.replies import screen
from federated.link import wire

Site = Callable[[Context], Grid]
"""From a gateway's Context to the Grid of its devices."""


def gateway_app(site: Site | Grid, *, deadline_s: float = 600, share: float = 1.0) -> ClientApp:
    """The ClientApp of a gateway, for any of Flower's engines.

    A round asks all devices of the site, and takes what came by the deadline. Where the Grid knows who is enrolled, it
    waits for half of that until as many as it needs are there; who is gone for good is waited for once. Devices answer
    in the codec that the cloud asks for; the gateway's own answer is the average as it is.

    Args:
        site: the Grid of the gateway's devices, or a function that finds it.
        deadline_s: seconds that the site's round waits; less than the cloud's own.
        share: of the devices, that is enough to end the round early.
    """
    chooser = Chooser(None, 0, deadline_s / 2)

    def train(message: Message, context: Context) -> Message:
        grid, ends = site(context) if callable(site) else site, time.monotonic() + deadline_s
        parameters = received(message, context.state)
        config = message.content[CONFIG]
        number, way = int(config["server-round"]), message.content.config_records.get(WAY, ConfigRecord())
        if enrolled := len(getattr(grid, "names", ())):
            nodes = chooser.pool(grid, number, max(round(share * enrolled), 1)).get_node_ids()
        elif not (nodes := list(grid.get_node_ids())):
            raise FleetError("no device of this site is there")
        averaging = Averaging(len(nodes), int(config["seed"]))
        strategy = Compressed(averaging, str(way.get("up", "")), seed=int(way.get("seed", 0)))
        asked = list(strategy.configure_train(number, to_record(parameters), config, grid))
        enough = max(round(share * len(asked)), 1)
        gathered = Gatherer(grid, deadline_s).gather(number, asked, enough, ends - time.monotonic())
        readable, unreadable = strategy.receive(gathered.replies)
        kept, failed = screen(asked, readable, parameters)
        if not kept:
            reasons = failed | {node: reason for node, reason in unreadable.items() if node in failed}
            first = min(reasons)
            raise FleetError(
                f"all {len(reasons)} devices of this site failed; device {first}: {reasons[first]}"
            )
        arrays, metrics = averaging.aggregate_train(number, kept)
        examples = sum(int(reply.content[METRICS][NUM_EXAMPLES]) for reply in kept)
        found = MetricRecord({NUM_EXAMPLES: examples, "loss": float(metrics["loss"])})
        return Message(RecordDict({ARRAYS: arrays, METRICS: found}), reply_to=message)

    app = ClientApp()
    app.train()(train)
    return app


class SiteWork:
    """A gateway's answers to requests that come over the device link, where to the cloud it is one more device.

    Args:
        app: of `gateway_app`.
        node: the gateway's number.
    """

    def __init__(self, app: ClientApp, node: int) -> None:
        self._app = app
        self._context = Context(0, node, {}, RecordDict(), {})

    def answer(self, request: wire.Message, work: str) -> wire.Message:
        """The reply to a request; what goes wrong is a reply too, with one sentence under "error".

        Args:
            request: as `wire.decode` gives it.
            work: the digest of the request, by which the coordinator knows the reply.
        """
        head: dict[str, Any] = dict(request.head)
        try:
            with identity():  # to its own devices the gateway is the server, in a process of its own
                message = Message(
                    from_wire(request.records),
                    self._context.node_id,
                    str(head.get("kind")),
                    group_id=str(head.get("group", "")),
                )
                reply = self._app(message, self._context)
            return wire.Message({"work": work}, to_wire(reply.content))
        except (LittoralError, ValueError, TypeError, KeyError) as error:
            return wire.Message({"work": work, "error": str(error)})
