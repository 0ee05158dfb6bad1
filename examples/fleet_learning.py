"""The fleet learns together: federated averaging over agents, those of a site through their gateway."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[1]))

from cloud.database import tables
from edge_runtime import Bundle
from edge_runtime.errors import LittoralError
from examples.fleet_models import NAME, labels
from examples.fleet_site import LABEL, LITTORAL, free_port
from examples.fleet_story import PATIENCE_S, Story

_ROUNDS = 4
_RUN, _COORDINATOR = f"{NAME}-together", "coordinator"


def learn(story: Story, made: Bundle) -> Bundle:
    """Have every device train the model on its own digits, a few rounds; the model that came of it.

    Args:
        story: so far.
        made: the model that the devices run, for any target.
    """
    story.say(f"{len(story.devices)} devices learn together, {_ROUNDS} rounds")
    held = story.out / "held_out.npz"
    with held.open("wb") as stream:
        np.savez(stream, x=story.test.x, y=labels(story.test))
    home = story.cloud.home.root
    options = {
        "test": held, "name": _RUN, "selector": "=".join(LABEL), "home": home, "port": free_port(), "rounds": _ROUNDS,
        "epochs": 2, "lr": 0.05, "deadline": PATIENCE_S,
    }  # fmt: skip
    words = [*LITTORAL, "fleet", "federate", str(made.path), "--json", *_words(options)]
    story.run.start(_COORDINATOR, words)
    _follow(story)
    return Bundle.open(home / "federated" / _RUN / "run" / "model.bundle")


def _words(options: Mapping[str, object]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def _follow(story: Story) -> None:
    """Until the run has ended, say how far it is.

    Raises:
        LittoralError: it failed, or does not end.
    """
    began, said = time.monotonic(), 0
    history = sa.select(tables.runs.c.history).where(tables.runs.c.name == _RUN)
    while (status := story.run.state(_COORDINATOR)) is None:
        if time.monotonic() > began + PATIENCE_S:
            raise LittoralError("the federated run does not end")
        with story.cloud.database.read() as connection:
            done = len((connection.scalar(history) or {}).get("rounds", ()))
        if done > said:
            story.say(f"  round {done} of {_ROUNDS}")
        said = done
        time.sleep(1)
    if status:
        raise LittoralError(f"the federated run failed: {story.run.last(_COORDINATOR)}")
    took = time.monotonic() - began
    story.note("federated run", f"{_ROUNDS} rounds over {len(story.devices)} devices in {took:.0f} s")
    story.camera.take("runs", "runs", "The federated run, round by round.", height=700)
