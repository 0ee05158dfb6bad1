"""The command: what people type, what they see, and exit code 2."""

import json

import pytest

from cloud.rollouts import cli
from edge_runtime.__main__ import _perform
from edge_runtime.errors import InputError
from tests.cloud.rollouts.simulated import World, nodes


@pytest.fixture
def world(tmp_path, monkeypatch):
    made = World(f"sqlite:///{tmp_path / 'fleet.sqlite'}")
    made.add(nodes(60), running=1)
    made.add(nodes(3, "esp32"))
    monkeypatch.setattr(cli, "_open", lambda _: made.rollouts)
    return made


def littoral(capsys, *arguments):
    _perform(cli.ROLLOUT, ["rollout", *arguments])
    return capsys.readouterr()


def test_plan_start_show_and_list(world, capsys):
    seen = littoral(capsys, "plan", "kws/2", "--phases", "10%,100%").out
    assert "left out: 3 devices of target esp32" in seen
    assert seen.splitlines()[2].split()[:3] == ["1", "10", "%"]
    assert world.rollouts.list() == []
    littoral(
        capsys, "start", "kws/2", "--phases", "10%,100%", "--soak", "0", "--jitter", "5", "--shadow", "9"
    )
    found = world.rollouts.get("kws-2")
    assert (found.state, found.spec.jitter_s, [each.soak_s for each in found.spec.phases]) == (
        "running",
        5,
        [0, 0],
    )
    assert (found.spec.shadow.samples, found.spec.shadow.min_agree_ppm) == (9, 800_000)
    world.tick()
    world.deliver()
    seen = littoral(capsys, "show", "kws-2").out
    assert "kws-2: running, phase 1 of 2 (10 %)" in seen
    assert "6 of 60 done, 0 failed, 0 under way" in seen
    assert "kws/2" in littoral(capsys, "list").out
    assert json.loads(littoral(capsys, "list", "--json").out)["name"] == "kws-2"
    assert json.loads(littoral(capsys, "show", "kws-2", "--json").out)["done"] == 6


def test_a_draft_a_file_and_what_people_do(world, capsys, tmp_path):
    file = tmp_path / "r.toml"
    file.write_text('name = "x"\nrelease = "kws"\nversion = 2\n')
    littoral(capsys, "start", str(file), "--draft", "--pause-on-breach", "--window", "02:00-04:00")
    found = world.rollouts.get("x")
    assert (found.state, found.spec.automatic, found.spec.window) == ("draft", False, ("02:00", "04:00"))
    littoral(capsys, "start", "x")
    assert json.loads(littoral(capsys, "pause", "x", "--reason", "tea", "--json").out)["reason"].endswith(
        "tea"
    )
    littoral(capsys, "resume", "x")
    assert world.rollouts.get("x").state == "running"
    littoral(capsys, "abort", "x")
    world.tick()
    assert "aborted" in littoral(capsys, "watch", "x").out


def test_watch_follows_to_the_end(world, capsys, monkeypatch):
    littoral(capsys, "start", "kws/2", "--phases", "50%,100%", "--soak", "0")

    def passes(_seconds):
        world.tick()
        world.deliver()
        world.pass_(60)

    monkeypatch.setattr(cli.time, "sleep", passes)
    seen = littoral(capsys, "watch", "kws-2").out.splitlines()
    assert seen[0].startswith("─" * 28)
    assert seen[-1].startswith("━" * 28)
    assert "finished" in seen[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["start", "kws/9"], "does not give out kws version 9"),
        (["start", "nobody"], "no rollout 'nobody'"),
        (["start", "kws/2", "--phases", "9%,1%"], "wider"),
        (["show", "nobody"], "no rollout"),
        (["watch", "nobody", "--every", "0"], "--every"),
        (["plan", "none.toml"], "no such file"),
    ],
)
def test_wrong_use_is_one_sentence(world, capsys, arguments, said):
    with pytest.raises(InputError, match=said):
        littoral(capsys, *arguments)


def test_a_home_that_is_none_is_named(tmp_path):
    with pytest.raises(InputError, match="no such folder; expected a cloud's"):
        _perform(cli.ROLLOUT, ["rollout", "list", "--home", str(tmp_path / "none")])


def test_the_bar_shows_what_failed():
    assert cli.bar({"devices": 0, "returned": 5, "answered": 5}).endswith(
        "5 got back what they had, 5 of them have it"
    )
    assert cli.bar({"devices": 4, "done": 2, "failed": 1, "told": 4}).startswith("━" * 14 + "×" * 7 + "·" * 7)
