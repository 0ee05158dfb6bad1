"""What the acts of the fleet's demonstration share: who is in it, what was seen so far, and how a release goes out."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from cloud.rollouts import Rollout, Spec
from edge_runtime import Bundle, Samples
from edge_runtime.console import say
from edge_runtime.errors import LittoralError
from examples.fleet_models import NAME
from examples.fleet_pictures import Camera
from examples.fleet_site import LABEL, Cloud, Device, Processes

PATIENCE_S = 1800  # on a machine that does other work too; idle, no step takes two minutes
# How long an answer takes says nothing here, where a whole fleet shares two cores: nothing rests on it.
_GATES = {"min_agree": 0.5, "max_drop": 0.1, "min_success": 0.9, "max_slower": 1e6, "samples": 30}
_SHADOW = {
    "samples": 60,
    "seconds": 120,
    "min_agree_ppm": 400_000,
    "max_drop_ppm": 100_000,
    "max_slower_ppm": 1_000_000_000,
}
_PACE = {"soak_s": 2, "jitter_s": 1, "probation_s": 4, "probes": 2, "patience_s": PATIENCE_S}
_PHASES = ["10 %", "50 %", "100 %"]


@dataclass(slots=True)
class Story:
    """The demonstration as far as it has come: who is in it, and what was seen."""

    out: Path
    began: float
    cloud: Cloud
    run: Processes
    camera: Camera
    devices: Sequence[Device]
    train: Samples
    test: Samples
    rows: list[tuple[str, str]] = field(default_factory=list)

    def say(self, text: str) -> None:
        """A line, with the time since the beginning."""
        seconds = int(time.monotonic() - self.began)
        say(f"{seconds // 60}:{seconds % 60:02}  {text}")

    def note(self, what: str, value: str) -> None:
        """A row of the summary, said as it is known."""
        self.rows.append((what, value))
        self.say(f"{what}: {value}")


def publish(story: Story, number: int, made: Mapping[str, Bundle]) -> None:
    """Publish a version for every target, signed."""
    for target, bundle in made.items():
        story.cloud.repository.publish(bundle.path, NAME, number, target)


def digests(story: Story, number: int) -> set[str]:
    """SHA-256 of a version's bundles."""
    return {each.sha256 for each in story.cloud.repository.releases(NAME) if each.version == number}


def roll(
    story: Story, version: int, title: str, *, ends: str = "finished", watch: bool = False, **more: Any
) -> Rollout:
    """A rollout from its beginning to its end.

    Args:
        story: so far.
        version: of the model.
        title: what it is, in words.
        ends: the state in which it shall end.
        watch: take pictures of it in its second phase.
        more: what its spec says beside the demonstration's own.

    Raises:
        LittoralError: it ends otherwise, or not at all.
    """
    cloud, name, began = story.cloud, f"{NAME}-{version}", time.monotonic()
    spec = {
        "name": name,
        "release": NAME,
        "version": version,
        "selector": f"{LABEL[0]}={LABEL[1]}",
        "phases": _PHASES,
    }
    story.say(f"rollout {name}: {title}")
    cloud.rollouts.create(
        Spec.read({**spec, "gates": _GATES, "shadow": _SHADOW, **_PACE, **more}), "demonstration"
    )
    cloud.rollouts.start(name, "demonstration")
    said = 0
    while (found := cloud.rollouts.get(name)).ended is None:
        if found.phase > said:
            said = found.phase
            story.say(f"  phase {said + 1} begins")
        if watch and found.phase == 1:
            story.camera.take("rollout", f"rollout/{name}", "A rollout under way.", height=1000)
            story.camera.take("overview", "overview", "The overview while a release spreads.")
            watch = False
        if time.monotonic() > began + PATIENCE_S:
            raise LittoralError(f"rollout {name} is still {found.state}: {found.reason}")
        time.sleep(0.5)
    if found.state != ends:
        raise LittoralError(f"rollout {name} is {found.state}, not {ends}: {found.reason}")
    done = cloud.rollouts.progress(name).to_json()["done"]
    moved = [each.reported.fetched_bytes for each in cloud.fleet.twins(rollout=name) if each.reported]
    text = f"{found.state} in {time.monotonic() - began:.0f} s"
    if moved:
        text += f"; {done} devices, of which the median fetched {np.median(moved) / 1000:.0f} KB"
    story.note(f"rollout {name}", text)
    return found
