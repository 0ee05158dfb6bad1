"""What the API reads is the same over PostgreSQL."""

import pytest
from fastapi.testclient import TestClient

from tests.cloud.api.conftest import open_cloud

NOW = 1_790_000_000.0
READ = (
    "devices?limit=300", "devices?selector=room=gate,site=*-port&limit=300", "devices?search=toronto&health=healthy",
    "map?degrees=1",
    "map?degrees=30", "groups", "rollouts", "rollouts/keywords-3/devices", "runs", "alerts", "releases",
    "devices/hamburg-port-00/commands", "overview", "rollouts/keywords-3", "enrolments", "audit", "audit/verification",
)  # fmt: skip


def plain(value):
    """With means rounded, for two databases add up in another order; and what has no order of its own in one."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        found = [plain(each) for each in value]
        return sorted(found, key=str) if found and isinstance(found[0], dict) else found
    return round(value, 2) if isinstance(value, float) else value


def test_every_answer_is_the_same(postgres, tmp_path):
    clients = []
    for root, url in ((tmp_path / "here", ""), (tmp_path / "there", postgres())):
        app, tokens = open_cloud(root, url, NOW)
        clients.append(TestClient(app, headers={"authorization": f"Bearer {tokens['admin']}"}))
    for path in READ:
        ours, theirs = (client.get(f"/api/v1/{path}") for client in clients)
        assert theirs.status_code == 200, (path, theirs.text)
        assert plain(theirs.json()) == plain(ours.json()), path
    for path in ("stats", "devices/hamburg-port-00/stats", "tokens"):
        assert clients[1].get(f"/api/v1/{path}").status_code == 200
    assert "littoral_devices" in clients[1].get("/metrics").text


@pytest.mark.parametrize(
    "change",
    [
        ("put", "groups/g", {"selector": "room=hall"}),
        ("patch", "devices/pune-lab-01", {"labels": {"a": "b"}}),
    ],
)
def test_changes_are_made_there_too(postgres, tmp_path, change):
    app, tokens = open_cloud(tmp_path, postgres())
    client = TestClient(app, headers={"authorization": f"Bearer {tokens['operator']}"})
    method, path, body = change
    assert client.request(method, f"/api/v1/{path}", json=body).status_code == 200
    assert client.get("/api/v1/audit/verification").json()["broken"] is None
