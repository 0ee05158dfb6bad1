"""A fleet, end to end, in real processes: a cloud, a gateway, twenty devices, two of them emulated Arm boards.

    python examples/demo_fleet.py out/demo-fleet

A compressed model goes out in phases. A wrong one, signed and as fast, is caught by the first devices and taken back by
itself. Then the devices learn together from digits that they do not show, and what they learnt goes out. The console is
watched on the way, where there is a Chromium. Everything on the page was measured in the run that wrote it.
"""

import argparse
import os
import resource
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[1]))

from cloud.database import tables
from edge_runtime import Samples, emulator
from edge_runtime.console import say
from edge_runtime.errors import LittoralError
from edge_runtime.page import Page
from examples import digits, fleet_models
from examples.fleet_learning import learn
from examples.fleet_models import labels
from examples.fleet_pictures import camera
from examples.fleet_site import SITE, Cloud, Device, devices, processes, wait
from examples.fleet_story import PATIENCE_S, Story, digests, publish, roll
from federated import partition

_APPLICATION = Path(__file__).with_name("fleet_app.py")
_PER_SECOND = 5  # digits that an application reads on a device


def main(out: Path, count: int = 20, arms: int = 2, behind: int = 6) -> list[tuple[str, str]]:
    """Play all of it, write ``out/index.html``, and return the summary.

    Args:
        out: a folder, made anew.
        count: devices.
        arms: those of them that are Arm boards, emulated where this machine can.
        behind: those of them that stand behind the gateway.

    Raises:
        LittoralError: something did not go as it should; nothing that was started is left.
    """
    out, began = out.resolve(), time.monotonic()
    if out.exists() and any(out.iterdir()) and not (out / "logs").is_dir():
        raise LittoralError(f"{out}: is there, and no earlier demonstration; give another folder")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    emulated = arms > 0 and emulator.available()
    if arms and not emulated:
        say(
            "no emulator here: Arm boards are processes of this machine; 'littoral doctor' says what to install"
        )
    train, test = digits.load()
    before = _spent()
    with processes(out / "logs") as run:
        say("0:00  the cloud comes up")
        cloud = Cloud.up(out / "cloud", run)
        with camera(out, cloud.settings.url, cloud.token) as shots:
            fleet = devices(out / "devices", count, arms, behind, emulated=emulated)
            story = Story(out, began, cloud, run, shots, fleet, train, test)
            play(story)
    story.note(
        "time",
        f"{time.monotonic() - began:.0f} s on {_cores()} cores, which worked {_spent() - before:.0f} s",
    )
    write_page(story)
    return story.rows


def play(story: Story) -> None:
    """The acts, one after the other."""
    made = story.out / "models"
    made.mkdir()
    gather(story)
    float_ = fleet_models.first(story.train, story.test, made)
    publish(story, 1, float_)
    roll(story, 1, "the first model reaches every device", phases=["100 %"], shadow={"samples": 0})
    use(story)
    small = fleet_models.compressed(float_, story.train, story.test, made)
    publish(story, 2, small)
    before, after = (len(each["x86-64"].read("infer.onnx")) / 1000 for each in (float_, small))
    story.note("the model as it answers", f"{before:.0f} KB in float, {after:.0f} KB in 8-bit integers")
    roll(story, 2, "the compressed model, in phases", watch=True)
    publish(story, 3, fleet_models.wrong(small, story.train, made))
    catch(story)
    result = learn(story, small["x86-64"])
    learnt = fleet_models.learnt(small, result, story.train, story.test, made)
    publish(story, 4, learnt)
    roll(story, 4, "what the devices learnt, to all of them")
    scores = [fleet_models.accuracy(each["x86-64"], story.test) for each in (float_, small, learnt)]
    told = "float {:.3f}, compressed {:.3f}, learnt together {:.3f}".format(*scores)
    story.note(f"accuracy on {len(story.test)} digits that nobody learnt from", told)
    hear(story)
    shots = story.camera
    shots.take("library", "library", "The library: four versions, each for two targets.")
    shots.take("phone", "overview", "The overview on a phone.", width=375, height=760)


# ------------------------------------------------------------------------------------------ the fleet
def gather(story: Story) -> None:
    """The gateway, and every device with its own digits."""
    cloud, fleet = story.cloud, story.devices
    behind, arms = (sum(each) for each in zip(*((d.site == SITE, d.emulated) for d in fleet), strict=True))
    if behind:
        cloud.open_gateway(story.out / "gateway", story.run)
    story.say(f"{len(fleet)} devices enrol")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(cloud.enrol, fleet, shares(story.train, fleet)))
    for device in fleet:
        story.run.start(device.name, [*device.command, "--store", str(device.store)])

    def here() -> bool:
        return bool(cloud.fleet.count("target=*,online=true,name!=" + SITE)["total"] >= len(fleet))

    wait(here, PATIENCE_S, "not all devices come online")
    story.note("devices", f"{len(fleet)} agents; {behind} behind a gateway, {arms} on emulated Arm boards")


def shares(train: Samples, fleet: Sequence[Device]) -> list[Samples]:
    """Each device's own digits, with unequal shares of the classes; an emulated board, being slow, has fewer."""
    x, y = train.x[fleet_models.FIRST :], labels(train)[fleet_models.FIRST :]
    parts = partition.dirichlet(y, max(len(fleet), 10), 1.0, 0)
    kept = [part[:64] if one.emulated else part for one, part in zip(fleet, parts, strict=False)]
    return [Samples(x[part], y[part]) for part in kept]


def use(story: Story) -> None:
    """An application begins to use the model on every device."""
    half = len(story.test) // 2
    data = story.out / "live.npz"
    np.savez(data, x=story.test.x[:half], y=labels(story.test)[:half])
    stores = [str(each.store) for each in story.devices]
    story.run.start("application", [sys.executable, str(_APPLICATION), str(data), str(_PER_SECOND), *stores])
    story.say("applications read digits on every device, and learn of three in four what was right")


# ------------------------------------------------------------------------------------------ what is shown
def catch(story: Story) -> None:
    """The wrong model: it must not get past the first phase, and nobody may be left with it.

    Raises:
        LittoralError: it did, or somebody was.
    """
    names = [each.name for each in story.devices]
    had = {twin.device: twin.model for twin in story.cloud.fleet.twins(names)}
    found = roll(story, 3, "a model that is wrong, signed, and as fast as the others", ends="rolled-back")
    story.camera.take("rolled_back", f"rollout/{found.name}", "The wrong model, taken back.", height=1000)
    if found.phase:
        raise LittoralError(f"rollout {found.name} came to phase {found.phase + 1}: {found.reason}")
    head, _, last = found.reason.removeprefix("taken back: ").rpartition("; on ")
    story.note("why it was taken back", f"on {last}" if head else last)
    with story.cloud.database.read() as connection:
        told = tables.rollout_devices
        query = sa.select(sa.func.count()).select_from(told).where(told.c.rollout == found.name)
        asked = connection.scalar(query)

    def well() -> bool:
        return {twin.device: twin.model for twin in story.cloud.fleet.twins(names)} == had

    wait(well, PATIENCE_S, "some devices do not run what they ran before")
    story.note("devices that tried it", f"{asked} of {len(names)}; all run what they ran before")


def hear(story: Story) -> None:
    """What devices say of their own answers where they learnt what was right: before they learnt, and after."""

    def share(version: int) -> tuple[int, int]:
        column = tables.stats.c
        with story.cloud.database.read() as connection:
            query = sa.select(column.stats).where(column.model.in_(sorted(digests(story, version))))
            found = [row.stats for row in connection.execute(query)]
        return sum(each["correct"] for each in found), sum(each["labelled"] for each in found)

    enough = 10 * len(story.devices)
    wait(lambda: share(4)[1] >= enough, PATIENCE_S, "the devices tell nothing of the model")
    before, after = (f"{right / max(n, 1):.3f} of {n}" for right, n in (share(2), share(4)))
    story.note("right on the devices themselves", f"compressed {before}, learnt together {after}")
    if story.cloud.gateway:
        held = [each for each in (story.out / "gateway" / "cache").rglob("*") if each.is_file()]
        size = sum(each.stat().st_size for each in held) / 1e6
        story.note("kept by the gateway, fetched once for all", f"{size:.2f} MB in {len(held)} files")


def write_page(story: Story) -> None:
    """One page with all of it."""
    page = Page("A fleet, end to end", "Every figure on this page was measured in the run that wrote it.")
    page.table(["", "this run"], story.rows)
    page.heading("In the console")
    for name, caption in story.camera.taken.items():
        page.figure((story.out / f"{name}.png").read_bytes(), caption)
    if not story.camera.taken:
        page.paragraph("There is no Chromium on this machine, so there are no pictures.")
    page.write(story.out / "index.html")


def _spent() -> float:
    """Seconds of processor, of this process and of all that it had started and that have ended."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", nargs="?", default="out/demo-fleet", type=Path, help="folder, made anew")
    parser.add_argument("--devices", type=int, default=20, help="how many (default 20)")
    parser.add_argument("--arm", type=int, default=2, help="of them Arm boards, emulated (default 2)")
    parser.add_argument("--behind", type=int, default=6, help="of them behind the gateway (default 6)")
    parser.add_argument("--pictures", type=Path, help="copy the console's pictures there, as fleet_NAME.png")
    given = parser.parse_args()
    try:
        summary = main(given.out, given.devices, given.arm, given.behind)
    except LittoralError as error:
        sys.exit(f"demo-fleet: {error}\nlogs: {given.out / 'logs'}")
    except KeyboardInterrupt:
        sys.exit("demo-fleet: stopped; everything that it had started was ended")
    wide = max(len(what) for what, _ in summary)
    print("\n".join(f"{what.ljust(wide)}  {value}" for what, value in summary))
    print(f"\n{given.out / 'index.html'} shows all of it.")
    if given.pictures:
        for picture in given.out.glob("*.png"):
            shutil.copy2(picture, given.pictures / f"fleet_{picture.name}")
