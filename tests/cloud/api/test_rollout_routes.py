"""Rollouts and releases through the API."""

import asyncio
import json

import pytest

from cloud.api.gates import measured
from cloud.api.overview import Live
from cloud.repository import Repository
from edge_runtime.bundle import Manifest, pack
from edge_runtime.tensors import TensorSpec

SPEC = {
    "name": "pump-sound-2b",
    "release": "pump-sound",
    "version": 2,
    "selector": "site=pune-lab",
    "phases": ["10 %", "100 %"],
}


def test_progress_has_phases_and_measured_gates(client):
    found = client("viewer").get("/api/v1/rollouts/keywords-3").json()
    assert found["state"] == "running"
    assert found["told"] == sum(each["told"] for each in found["by_phase"])
    gates = {(each["name"], each["target"]): each for each in found["gates"]}
    assert gates["success", ""]["state"] == "holds"
    assert gates["success", ""]["value"] == pytest.approx(found["done"] / (found["done"] + found["failed"]))
    assert gates["agreement", "rpi4"]["value"] == pytest.approx(0.963)
    assert client("viewer").get("/api/v1/rollouts/none").status_code == 404


def test_a_gate_waits_holds_or_is_breached():
    gates = {
        "min_success": 0.9,
        "max_failed": 1,
        "min_agree": 0.8,
        "max_drop": 0.02,
        "max_slower": 1.5,
        "max_errors": 0.01,
        "max_drift": 0.5,
        "samples": 50,
    }
    evidence = {
        "shadow": 20,
        "agree": 0.5,
        "labelled": 90,
        "drop": 0.05,
        "slower": 1.5,
        "inferences": 500,
        "errors": None,
        "drift": 0.1,
    }
    progress = {"spec": {"gates": gates}, "done": 8, "failed": 2, "told": 10, "evidence": {"rpi4": evidence}}
    found = {each["name"]: each["state"] for each in measured(progress)}
    assert found == {
        "success": "breached",
        "failed devices": "breached",
        "agreement": "waits",
        "accuracy drop": "breached",
        "latency ratio": "holds",
        "errors": "waits",
        "drift": "holds",
    }


def test_a_rollout_from_its_plan_to_its_end(client):
    plan = client("viewer").post("/api/v1/rollouts/plan", json={"spec": SPEC}).json()
    assert [each["text"] for each in plan["phases"]] == ["10 %", "100 %"]
    operator = client("operator")
    assert operator.post("/api/v1/rollouts", json={"spec": SPEC}).status_code == 201
    assert operator.post("/api/v1/rollouts", json={"spec": SPEC}).status_code == 400
    states = [
        operator.post(f"/api/v1/rollouts/pump-sound-2b/{action}", json={"reason": "tea"}).json()["state"]
        for action in ("start", "pause", "resume", "abort")
    ]
    assert states == ["running", "paused", "running", "aborted"]
    again = operator.post("/api/v1/rollouts/pump-sound-2b/start")
    assert again.status_code == 400
    assert "aborted" in again.json()["detail"]
    events = client("viewer").get("/api/v1/audit?limit=5").json()["events"]
    assert [(each["action"], each["actor"]) for each in events] == [
        (f"rollout.{action}", "otto") for action in ("abort", "resume", "pause", "start", "create")
    ]
    assert events[0]["detail"]["reason"] == "tea"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"phases": ["none"]}, "phase"),
        ({"version": 9}, "version 9"),
        ({"colour": "red"}, "colour"),
        ({"gates": {"min_succes": 1}}, "did you mean 'min_success'"),
        ({"selector": "nonsense"}, "KEY=VALUE"),
        ({"name": "../x"}, "letters"),
    ],
)
def test_a_wrong_specification_is_one_sentence(client, change, says):
    answer = client("viewer").post("/api/v1/rollouts/plan", json={"spec": SPEC | change})
    assert 400 <= answer.status_code < 500
    assert says in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]


def test_live_tells_what_changes_and_only_that(cloud, client):
    async def first(n, change=None):
        found, live = [], Live(cloud[0].state.services)
        async for text in live.events("keywords-3"):
            found.append(text)
            if len(found) == 4 and change:
                await asyncio.to_thread(change)
            if len(found) == n:
                return found, live.watching
        return found, live.watching

    def seen():
        number = client("viewer").get("/api/v1/alerts").json()["alerts"][-1]["id"]
        with cloud[0].state.services.database.begin() as connection:
            from cloud import alerts

            alerts.raise_(connection, "critical", "test/live", f"new beside {number}")

    found, watching = asyncio.run(first(5, seen))
    names = [text.split("\n")[0] for text in found]
    assert names == ["retry: 2000", "event: overview", "event: rollouts", "event: rollout", "event: overview"]
    before, after = (json.loads(found[i].split("data: ")[1]) for i in (1, 4))
    assert after["open_alerts"]["critical"] == before["open_alerts"]["critical"] + 1
    assert json.loads(found[3].split("data: ")[1])["gates"]
    assert watching == 1


def test_a_bundle_is_published_read_and_withdrawn(client, cloud, tmp_path):
    parts = cloud[0].state.services
    shelf = parts.__dict__.pop("repository", None)
    parts.given = dict(parts.given) | {
        "repository": Repository.create(tmp_path / "repository", tmp_path / "keys")
    }
    parts.forget_releases()
    try:
        page = b"<html><style>p{color:red}</style><p>report</p></html>"
        files = {"infer.onnx": b"graph", "frontier.png": b"\x89PNG", "report.html": page, "secret.txt": b"no"}
        spec = (TensorSpec("x", "float32", ("n", 4)),)
        path = tmp_path / "m.bundle"
        pack(path, Manifest("tiny", "rpi4", spec, spec, recipe=({"name": "quantize"},)), files)
        made = client("operator").post("/api/v1/releases?name=tiny", content=path.read_bytes())
        assert made.status_code == 201, made.text
        assert made.json()["path"].startswith("tiny/1/")
        again = client("operator").post("/api/v1/releases?name=tiny&version=1", content=path.read_bytes())
        assert again.json()["sha256"] == made.json()["sha256"]
        target = made.json()["target"]
        files = client("viewer").get(f"/api/v1/releases/tiny/1/{target}/files").json()
        assert files == {
            "files": ["frontier.png", "report.html"],
            "recipe": [{"name": "quantize"}],
            "sealed": False,
        }
        where = f"/api/v1/releases/tiny/1/{target}/files"
        assert client("viewer").get(f"{where}/frontier.png").headers["content-type"] == "image/png"
        shown = client("viewer").get(f"{where}/report.html")
        assert shown.content == page
        assert shown.headers["content-security-policy"].startswith("sandbox;")
        for other in ("secret.txt", "infer.onnx", "manifest.json", "%2e%2e%2fsecret.txt", "..%5csecret.txt"):
            assert client("viewer").get(f"{where}/{other}").status_code in (404, 422)
        root = client("").get("/repository/metadata/1.root.json")
        assert root.status_code == 200
        assert root.json()["signed"]["_type"] == "root"
        for other in (
            "/repository/../session.key",
            "/repository/%2e%2e/session.key",
            "/repository/keys/timestamp",
        ):
            assert client("").get(other).status_code == 404
        damaged = client("operator").post("/api/v1/releases", content=path.read_bytes()[:-40])
        assert damaged.status_code == 400
        assert client("operator").post("/api/v1/releases", content=b"").status_code == 400
        assert client("admin").delete("/api/v1/releases/tiny/1").status_code == 204
        assert client("admin").delete("/api/v1/releases/tiny/1").status_code == 404
        assert client("viewer").get("/api/v1/releases").json() == {"releases": []}
        events = client("viewer").get("/api/v1/audit?limit=3").json()["events"]
        assert [each["action"] for each in events][:1] == ["release.withdraw"]
    finally:
        parts.__dict__.pop("repository", None)
        parts.given = dict(parts.given) | ({"repository": shelf} if shelf else {})
        parts.forget_releases()
