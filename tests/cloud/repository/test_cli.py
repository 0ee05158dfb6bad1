import json

import pytest

from cloud.repository.storage import blob
from edge_runtime.__main__ import main
from tests.cloud.repository.made import bundle


@pytest.fixture
def run(tmp_path, capsys):
    def run(*argv, code=0):
        given = [str(each) for each in argv]
        assert main(["repository", *given, "--home", str(tmp_path / "home")]) == code
        said = capsys.readouterr()
        return said.err if code else said.out

    return run


def test_a_repositorys_life(run, tmp_path):
    assert "ready" in run("init")
    assert "nothing is published" in run("list")
    run("publish", bundle(tmp_path / "a.bundle").path)
    assert "patch from" in run("publish", bundle(tmp_path / "b.bundle", 1).path)
    assert "kws/2/rpi4.bundle" in run("list")
    shown = json.loads(run("show", "kws/2", "--json"))
    assert (shown["version"], shown["custom"]["metrics"]["n"]) == (2, 10)
    assert [json.loads(line)["version"] for line in run("list", "--json").splitlines()] == [1, 2]
    assert json.loads(run("verify", "--json")) == {"versions": 2, "wrong": []}
    assert json.loads(run("rotate", "kws", "--json")) == {"rotated": "kws"}
    assert json.loads(run("refresh", "--json")) == {"signed": ["snapshot", "timestamp"]}
    assert json.loads(run("withdraw", "kws/1", "--json")) == {"withdrawn": ["kws/1/rpi4.bundle"]}
    assert json.loads(run("gc", "--json"))["files"] > 0
    (tmp_path / "home/repository" / blob(shown["sha256"])).unlink()
    assert "1 faults" in run("verify", code=2)


@pytest.mark.parametrize(
    ("argv", "match"),
    [
        (["list"], "has no metadata"),
        (["publish", "none.bundle"], "no such folder"),
        (["show", "kws"], "NAME/VERSION"),
        (["withdraw", "kws/x"], "NAME/VERSION"),
        (["rotate", "kws"], "no such folder"),
    ],
)
def test_bad_use_is_one_sentence(run, argv, match):
    said = run(*argv, code=2)
    assert match in said
    assert said.count("\n") == 1
