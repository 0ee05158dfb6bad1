"""Rockchip: real networks in our int8 form are converted for the RK3588 and run in the toolkit's simulator."""

import json

import pytest

from edge_runtime import Session
from edge_runtime.__main__ import main
from edge_runtime.accelerators import rknn
from tests.npu import models
from tests.npu.environments import python

pytestmark = [pytest.mark.npu, pytest.mark.slow]


@pytest.fixture(autouse=True)
def toolkit(monkeypatch):
    monkeypatch.setenv(rknn.VARIABLE, str(python("rknn")))


@pytest.mark.parametrize("name", models.NETWORKS)
def test_the_simulator_gives_what_the_cpu_gives(name):
    graph, _, pictures = models.int8(name, "int8")
    made = rknn.convert(graph, "rk3588", {"x": pictures})
    similarity, same = models.alike(Session(graph).run_batches(pictures)[0], made.outputs[0])
    assert similarity > 0.98
    assert same >= 0.85
    assert len(made.content) < 1.5 * len(graph)


def test_the_command_converts_and_simulates_the_self_test(tmp_path, capsys):
    graph, _, _ = models.int8("mobilenetv2", "int8")
    models.bundle(graph, tmp_path / "m.bundle", "rk3588-npu")
    out = tmp_path / "infer.rknn"
    assert main(["accelerate", str(tmp_path / "m.bundle"), "--compile", "-o", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    (report,) = said["compiled"]
    assert report["simulated"]
    assert report["similarity"] > 0.95
    assert report["bytes"] == out.stat().st_size
    assert said["label"] == "cpu"
    assert "RknpuExecutionProvider is not built into" in said["rejected"][0]["reason"]
