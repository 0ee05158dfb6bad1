"""The fleet learns together: federated averaging over agents, those of a site through their gateway."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from cloud import runs
from cloud.federation import Way, invite
from edge_runtime import Bundle
from edge_runtime.errors import LittoralError
from examples.fleet_models import NAME, labels
from examples.fleet_site import LITTORAL, SITE, free_port
from examples.fleet_story import PATIENCE_S, Story
from federated.link import keys

_ROUNDS = 4
_COORDINATOR, _GATEWAY = "coordinator", "gateway-federate"


def learn(story: Story, made: Bundle) -> Bundle:
    """Have every device train the model on its own digits, a few rounds; the model that came of it.

    Args:
        story: so far.
        made: the model that the devices run, for any target.
    """
    story.say(f"{len(story.devices)} devices learn together, {_ROUNDS} rounds")
    folder = story.out / "federated"
    folder.mkdir()
    near = [each.name for each in story.devices if not each.site]
    far = [each.name for each in story.devices if each.site]
    for name in (*near, *([SITE] if far else [])):
        keys.enrol(name, folder / "keys")
    for name in far:
        keys.enrol(name, folder / "site-keys")
    broker = _coordinator(story, made, folder)
    brokers = dict.fromkeys(near, (broker, folder / "keys"))
    if far:
        brokers |= dict.fromkeys(far, (_gateway(story, broker, folder), folder / "site-keys"))
    _invite(story, brokers)
    _follow(story, folder / "run")
    _invite(story, dict.fromkeys(brokers))
    if far:
        story.run.end(_GATEWAY)
    return Bundle.open(folder / "run" / "model.bundle")


def _coordinator(story: Story, made: Bundle, folder: Path) -> str:
    """`littoral federate serve`, with the cloud's certificate; its broker's URL."""
    with (folder / "test.npz").open("wb") as stream:
        np.savez(stream, x=story.test.x, y=labels(story.test))
    where, ca = f"127.0.0.1:{free_port()}", story.cloud.home.ca
    options = {
        "test": folder / "test.npz", "keys": folder / "keys", "out": folder / "run", "listen": where,
        "server-cert": ca / "server.pem", "server-key": ca / "server.key", "ca": ca / "ca.pem",
        "rounds": _ROUNDS, "epochs": 2, "lr": 0.05, "deadline": PATIENCE_S,
    }  # fmt: skip
    story.run.start(
        _COORDINATOR, [*LITTORAL, "federate", "serve", str(made.path), "--json", *_words(options)]
    )
    return f"mqtts://{where}"


def _gateway(story: Story, broker: str, folder: Path) -> str:
    """`littoral gateway federate`: to the coordinator one device; the URL of its broker, for the site's devices."""
    where = f"127.0.0.1:{free_port()}"
    options = {
        "broker": broker, "ca": story.cloud.home.ca / "ca.pem", "key": folder / "keys" / f"{SITE}.key",
        "keys": folder / "site-keys", "home": story.out / "gateway", "listen": where, "deadline": PATIENCE_S,
    }  # fmt: skip
    story.run.start(_GATEWAY, [*LITTORAL, "gateway", "federate", "--json", *_words(options)], told=True)
    return f"mqtts://{where}"


def _words(options: Mapping[str, object]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def _invite(story: Story, ways: Mapping[str, Way | None]) -> None:
    with story.cloud.database.begin() as connection:
        invite(connection, story.cloud.fleet, ways)


def _follow(story: Story, folder: Path) -> None:
    """Until the run has ended, keep the console's row of it current.

    Raises:
        LittoralError: it failed, or does not end.
    """
    began, rounds, database, name = time.monotonic(), 0, story.cloud.database, f"{NAME}-together"
    while (status := story.run.state(_COORDINATOR)) is None:
        if time.monotonic() > began + PATIENCE_S:
            raise LittoralError("the federated run does not end")
        done = runs.record(database, name, NAME, folder)
        if done > rounds:
            story.say(f"  round {done} of {_ROUNDS}")
        rounds = done
        time.sleep(1)
    runs.record(database, name, NAME, folder, "failed" if status else "finished")
    if status:
        raise LittoralError(f"the federated run failed: {story.run.last(_COORDINATOR)}")
    took = time.monotonic() - began
    story.note("federated run", f"{_ROUNDS} rounds over {len(story.devices)} devices in {took:.0f} s")
    story.camera.take("runs", "runs", "The federated run, round by round.", height=700)
