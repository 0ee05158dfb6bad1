"""The command, and what a bundle is given for the agent when it is made."""

import json
import subprocess
import sys

import numpy as np
import pytest

from edge_runtime.__main__ import main
from edge_runtime.accelerators import selftest
from edge_runtime.agent import drift, vectors
from edge_runtime.agent.agent import Agent
from edge_runtime.bundle import Bundle
from edge_runtime.errors import InputError
from edge_runtime.session import Session
from tests.edge_runtime.agent.conftest import bundle, enrolled
from tests.edge_runtime.agent.test_live import put
from tests.models import LINEAR, build


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["agent", "--store"], "expected one argument"),
        (["agent"], "not enrolled"),
        (["agent", "enrol", "hello"], "not whole"),
        (["agent", "status"], "not enrolled"),
        (["agent", "--broker", "http://x"], "expected mqtts"),
    ],
)
def test_bad_use_is_one_sentence(tmp_path, capsys, argv, why):
    given = argv if argv[-1] == "--store" else [*argv, "--store", str(tmp_path)]
    assert main(given) == 2
    said = capsys.readouterr()
    assert why in said.err
    assert said.err.count("\n") == 1


def test_status_and_unit(tmp_path, capsys):
    enrolled(tmp_path, "pi-1", ["mqtt://127.0.0.1:1"], None)
    sha256 = put(tmp_path, "a", bundle(tmp_path / "one.bundle"))
    assert main(["agent", "status", "--store", str(tmp_path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["device"], said["slot"], said["a"]) == ("pi-1", "a", f"kws 1 ({sha256[:12]})")
    assert main(["agent", "status", "--store", str(tmp_path)]) == 0
    assert main(["agent", "--print-unit"]) == 0
    assert f"ExecStart={sys.executable} -m edge_runtime agent" in capsys.readouterr().out


def test_two_agents_do_not_share_a_folder(tmp_path):
    enrolled(tmp_path, "pi-1", ["mqtt://127.0.0.1:1"], None)
    first = Agent(tmp_path)
    with pytest.raises(InputError, match="another agent is at work"):
        Agent(tmp_path)
    first._lock.close()
    Agent(tmp_path)._lock.close()


def test_the_agent_imports_neither_arrays_nor_engines():
    code = """if True:
        import sys
        import edge_runtime.agent.agent, edge_runtime.agent.cli, paho.mqtt.client
        print(*({"numpy", "onnxruntime", "tuf", "cryptography"} & set(sys.modules)))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_bundle_is_packed_with_what_the_agent_needs(tmp_path):
    graph = tmp_path / "m.onnx"
    graph.write_bytes(build(LINEAR).SerializeToString())
    assert main(["pack", str(graph), "-o", str(tmp_path / "m.bundle"), "--target", "x86-64"]) == 0
    made = Bundle.open(tmp_path / "m.bundle")
    session = Session(made)
    test = selftest.stored(session.inputs, made.read(selftest.FILE))
    assert test.check(session.run(test.inputs), 0.9999) > 0.9999


def test_a_reference_is_made_of_the_calibration_data():
    session = Session(build(LINEAR).SerializeToString())
    x = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
    found = vectors.files(session, x)
    assert set(found) == {selftest.FILE, drift.FILE}
    known = json.loads(found[drift.FILE])
    assert set(known) == {"mean x", "std x", "class", "score"}
    assert all(sum(each["counts"]) == 128 for each in known.values())
    assert set(vectors.files(session)) == {selftest.FILE}


def test_large_outputs_are_not_packed_unless_needed(monkeypatch):
    session = Session(build(LINEAR).SerializeToString())
    monkeypatch.setattr(vectors, "_MOST_BYTES", 4)
    assert vectors.files(session) == {}
    assert set(vectors.files(session, needed=True)) == {selftest.FILE}
