"""The parts of `littoral federate`: help, keys, and what bad use says."""

import json
import os

import numpy as np
import pytest

from edge_runtime.__main__ import main

PARTS = ["simulate", "serve", "join", "enrol", "broker", "up", "node", "app", "encryption"]


@pytest.fixture
def desk(linear, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("d.npz", x=digits.x[:100], y=digits.y[:100])
    (tmp_path / "m.bundle").write_bytes(linear.path.read_bytes())
    return tmp_path


@pytest.mark.parametrize("part", PARTS)
def test_help(part, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["federate", part, "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert f"littoral federate {part}" in shown
    assert "example:" in shown
    assert "--json" in shown


def test_the_command_names_its_parts(capsys):
    with pytest.raises(SystemExit):
        main(["federate", "--help"])
    shown = capsys.readouterr().out
    assert all(f"littoral federate {part} " in shown for part in PARTS)


def test_simulate_is_the_same_as_without_a_part(desk, capsys):
    rest = ["m.bundle", "--data", "d.npz", "--simulate", "3", "--rounds", "1", "--json", "--out"]
    assert main(["federate", *rest, "one"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(["federate", "simulate", *rest, "two"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert first["accuracy"] == second["accuracy"]


def test_enrolment(desk, capsys):
    assert main(["federate", "enrol", "a", "b", "--keys", "keys", "--json"]) == 0
    assert [json.loads(line)["device"] for line in capsys.readouterr().out.splitlines()] == ["a", "b"]
    assert main(["federate", "enrol", "a", "--keys", "keys"]) == 2
    assert "is enrolled" in capsys.readouterr().err


JOIN = ["join", "--bundle", "m.bundle", "--data", "d.npz", "--key", "keys/a.key", "--broker"]
UP = ["up", "m.bundle", "--test", "d.npz", "--out", "run"]
SERVE = ["serve", "m.bundle", "--test", "d.npz", "--out", "run", "--keys", "keys"]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([*JOIN, "http://h"], "expected mqtt://"),
        ([*JOIN, "mqtt://h", "--device", "b"], "is the key of 'a', not of 'b'"),
        ([*JOIN, "mqtt://h", "--key", "d.npz"], "not a device's key"),
        ([*JOIN, "mqtt://h", "--key", "none"], "no such file"),
        ([*SERVE, "--keys", "none"], "no keys"),
        ([*SERVE, "--listen", "host"], "expected HOST:PORT"),
        ([*SERVE, "--listen", "h:1", "--server-cert", "c"], "TLS needs"),
        ([*SERVE, "--broker", "mqtt://h", "--ca", "x"], "certificates are for mqtts"),
        (["enrol", "a/b", "--keys", "keys"], "expected a name"),
        (["broker", "--keys", "none"], "no keys"),
        (["join"], "required"),
        ([*UP], "no nodes"),
        ([*UP, "--here", "none.npz"], "none.npz: no such file; expected a node's data"),
        ([*UP, "--node", "../a"], "expected a name such as n1"),
        ([*UP, "--here", "d.npz", "--listen", "9092"], "expected HOST:PORT"),
        ([*UP, "--here", "d.npz", "--over", "0"], "over 0"),
        (
            ["node", "h:1", "--ca", "none", "--key", "k", "--bundle", "m.bundle", "--data", "d.npz"],
            "no such file",
        ),
        (["app", "a", "--bundle", "m.bundle", "--test", "none.npz", "--out", "run"], "no such file"),
    ],
)
def test_bad_use_is_one_sentence(desk, capsys, monkeypatch, argv, says):
    main(["federate", "enrol", "a", "--keys", "keys"])
    capsys.readouterr()
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("went on"))
    assert main(["federate", *argv]) == 2
    said = capsys.readouterr().err
    assert said.startswith("littoral: ")
    assert said.count("\n") == 1
    assert says in said


def test_a_device_says_what_is_wrong_with_its_files(desk, capsys):
    from federated.device.__main__ import main as device

    main(["federate", "enrol", "a", "--keys", "keys"])
    given = ["--broker", "mqtt://127.0.0.1:1", "--key", "keys/a.key", "--bundle"]
    capsys.readouterr()
    assert device([*given, "none.bundle", "--data", "d.npz"]) == 2
    assert "none.bundle: no such file" in capsys.readouterr().err
    np.savez("x.npz", x=np.zeros((3, 1, 28, 28), np.float32))
    assert device([*given, "m.bundle", "--data", "x.npz"]) == 2
    assert "has no labels" in capsys.readouterr().err
