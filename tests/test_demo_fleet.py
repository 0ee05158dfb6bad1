"""The fleet's demonstration in small: three agents, a good release in, a bad one back out; nothing is left running."""

import os
from pathlib import Path

import pytest

from examples import demo_fleet, digits, fleet_models
from examples.fleet_pictures import Camera
from examples.fleet_site import SITE, Cloud, devices, processes
from examples.fleet_story import Story, digests, publish, roll


def running(folder):
    """Processes of this machine that have the folder among their words."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words and int(each.parent.name) != os.getpid():
            found.append(words.replace(b"\0", b" ").decode())
    return found


def test_a_fleet_has_boards_in_front_and_some_of_them_behind_the_gateway(tmp_path):
    fleet = devices(tmp_path, 20, 2, 6, emulated=True)
    assert [each.name for each in fleet[:3]] == ["pi-01", "pi-02", "box-03"]
    assert [each.target for each in fleet].count("rpi4") == sum(each.emulated for each in fleet) == 2
    behind = [each.name for each in fleet if each.site == SITE]
    assert behind == ["pi-02", "box-03", "box-04", "box-05", "box-06", "box-07"]
    assert [each.site for each in devices(tmp_path, 3, 0, 1, emulated=False)] == [SITE, "", ""]


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(demo_fleet.LittoralError, match="no earlier demonstration"):
        demo_fleet.main(tmp_path)
    assert (tmp_path / "mine.txt").exists()


@pytest.mark.slow
def test_a_good_release_goes_in_and_a_bad_one_back_out(tmp_path):
    train, test = digits.load()
    with processes(tmp_path / "logs") as run:
        cloud = Cloud.up(tmp_path / "cloud", run)
        fleet = devices(tmp_path / "devices", 3, 0, 1, emulated=False)
        story = Story(tmp_path, 0.0, cloud, run, Camera(tmp_path), fleet, train, test)
        demo_fleet.gather(story)
        first = fleet_models.first(train, test, tmp_path)
        publish(story, 1, first)
        roll(story, 1, "first", phases=["100 %"], shadow={"samples": 0})
        demo_fleet.use(story)
        small = fleet_models.compressed(first, train, test, tmp_path)
        publish(story, 2, small)
        assert roll(story, 2, "good").state == "finished"
        publish(story, 3, fleet_models.wrong(small, train, tmp_path))
        demo_fleet.catch(story)
        assert {twin.model for twin in cloud.fleet.twins(each.name for each in fleet)} <= digests(story, 2)
        assert any("accuracy falls by" in value for _, value in story.rows)
    assert running(tmp_path) == []
