"""Devices, groups, commands, alerts, runs, the audit log: what is read, what is changed, and the entry of it."""

import pytest
from cryptography import x509

from edge_runtime.messages import Desired


def audited(client, action):
    """The newest entry of the audit log with that action."""
    events = client("viewer").get("/api/v1/audit?limit=50").json()["events"]
    return next(each for each in events if each["action"] == action)


def test_the_overview_counts_every_device_once(client):
    found = client("viewer").get("/api/v1/overview").json()
    assert sum(found["health"].values()) == 300
    assert found["health"]["failed"] > 0
    assert found["open_alerts"] == {"critical": 1, "warning": 2, "info": 1}
    assert {name for name, _ in found["models"]} == {
        "keywords 2",
        "keywords 3",
        "pump-sound 2",
        "shelf-vision 3",
    }
    assert sum(n for _, n in found["models"]) == 300
    assert {each["name"] for each in found["rollouts"]} == {"keywords-3", "keywords-3-night", "pump-sound-2"}


def test_pages_of_devices_join_to_the_whole_fleet(client):
    names, after = [], ""
    while True:
        page = client("viewer").get(f"/api/v1/devices?limit=77&after={after}").json()
        names += [each["name"] for each in page["devices"]]
        after = page["next"]
        if not after:
            break
    assert len(names) == len(set(names)) == 300
    assert names == sorted(names)


@pytest.mark.parametrize(
    ("asked", "holds"),
    [
        ("selector=site=hamburg-port", lambda each: each["site"] == "hamburg-port"),
        (
            "selector=room=gate,target=rpi4",
            lambda each: each["labels"]["room"] == "gate" and each["target"] == "rpi4",
        ),
        ("selector=group=canaries", lambda each: each["labels"].get("ring") == "canary"),
        ("search=TORO", lambda each: each["site"] == "toronto-store"),
        ("health=offline", lambda each: not each["online"]),
        ("health=failed", lambda each: each["state"] in ("failed", "reverted")),
    ],
)
def test_devices_are_found(client, asked, holds):
    found = client("viewer").get(f"/api/v1/devices?limit=1000&{asked}").json()["devices"]
    whole = client("viewer").get("/api/v1/devices?limit=1000").json()["devices"]
    assert found
    assert all(holds(each) for each in found)
    assert len(found) == sum(
        1 for each in whole if holds(each) and (asked != "health=failed" or each["online"])
    )


@pytest.mark.parametrize("search", ["%", "_", "'", "\\", "a%' or 1=1 --"])
def test_a_search_is_text_and_no_pattern(client, search):
    assert client("viewer").get("/api/v1/devices", params={"search": search}).json()["devices"] == []


def test_the_map_counts_the_same_devices(client):
    for degrees in (0.05, 1, 30):
        cells = client("viewer").get(f"/api/v1/map?degrees={degrees}").json()["cells"]
        assert sum(each["total"] for each in cells) == 300
        assert all(sum(each["health"].values()) == each["total"] for each in cells)
        assert all(-90 <= each["latitude"] <= 90 for each in cells)
    fewer = client("viewer").get("/api/v1/map?selector=site=oslo-depot").json()["cells"]
    assert [each["site"] for each in fewer] == ["oslo-depot"]
    assert fewer[0]["latitude"] == pytest.approx(59.91, abs=0.05)


def test_a_device_shows_both_halves_of_its_twin(client):
    found = client("viewer").get("/api/v1/devices/hamburg-port-00").json()
    assert found["desired"]["v"] == found["desired_v"]
    assert found["models"][found["model"]].startswith("keywords")
    stats = client("viewer").get("/api/v1/devices/hamburg-port-00/stats?points=12").json()
    assert len(stats["points"]) == 12
    assert all(0.5 < each["accuracy"] <= 1 for each in stats["points"] if each["accuracy"] is not None)
    assert client("viewer").get("/api/v1/devices/nobody").json()["detail"] == "there is no device 'nobody'"


def test_a_change_is_carried_out_and_written_down_with_its_actor(client):
    operator = client("operator")
    answer = operator.patch(
        "/api/v1/devices/pune-lab-01", json={"labels": {"room": "roof", "line": None}, "latitude": 1.5}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["labels"] == {"room": "roof"}
    assert answer.json()["latitude"] == 1.5
    assert audited(client, "label")["actor"] == "otto"
    assert audited(client, "place")["detail"] == {"latitude": 1.5}


def test_a_command_is_kept_until_the_device_answers(client):
    made = client("operator").post(
        "/api/v1/devices/pune-lab-02/commands", json={"op": "probe", "seconds": 60}
    )
    assert made.status_code == 201, made.text
    found = client("viewer").get("/api/v1/devices/pune-lab-02/commands").json()["commands"]
    assert [(each["id"], each["status"]) for each in found] == [(made.json()["id"], "pending")]
    assert audited(client, "command")["actor"] == "otto"
    assert (
        client("operator").post("/api/v1/devices/pune-lab-02/commands", json={"op": "format"}).status_code
        == 422
    )


def test_a_command_reaches_everyone_whom_a_selector_means(client):
    made = client("operator").post("/api/v1/commands", json={"op": "report", "selector": "site=oslo-depot"})
    assert made.json() == {"devices": 14}
    assert audited(client, "command")["subject"] == "14 devices"
    assert (
        client("operator").post("/api/v1/commands", json={"op": "report", "selector": ""}).status_code == 422
    )
    none = client("operator").post("/api/v1/commands", json={"op": "report", "selector": "site=nowhere"})
    assert none.json() == {"devices": 0}


def test_a_wish_gets_the_next_version(client):
    path = "/api/v1/devices/pune-lab-03"
    before = client("viewer").get(path).json()
    wish = {"model": before["desired"]["model"], "max_kbps": 256}
    answer = client("operator").put(f"{path}/desired", json={"desired": wish})
    assert answer.json() == {"v": before["desired_v"] + 1}
    after = client("viewer").get(path).json()
    assert Desired.read(after["desired"]).max_kbps == 256
    assert after["health"] == ("updating" if after["online"] else "offline")
    assert audited(client, "desire")["detail"]["v"] == before["desired_v"] + 1
    bad = client("operator").put(f"{path}/desired", json={"desired": {"max_kbps": "fast"}})
    assert bad.status_code == 422
    assert "max_kbps" in bad.json()["detail"]


def test_a_retired_device_is_out_of_sight_but_not_forgotten(client):
    assert client("admin").delete("/api/v1/devices/pune-lab-04").status_code == 204
    assert client("viewer").get("/api/v1/devices/pune-lab-04").json()["health"] == "retired"
    names = [
        each["name"] for each in client("viewer").get("/api/v1/devices?search=pune-lab-04").json()["devices"]
    ]
    assert names == []
    assert (
        client("viewer").get("/api/v1/devices?health=retired").json()["devices"][0]["name"] == "pune-lab-04"
    )
    assert audited(client, "retire")["actor"] == "ada"


def test_groups_come_and_go(client):
    assert client("operator").put("/api/v1/groups/halls", json={"selector": "room=hall"}).status_code == 200
    found = {
        each["name"]: each["devices"] for each in client("viewer").get("/api/v1/groups").json()["groups"]
    }
    assert found["halls"] > 40
    assert client("operator").put("/api/v1/groups/bad", json={"selector": "room"}).status_code == 400
    assert client("operator").delete("/api/v1/groups/halls").status_code == 204
    assert client("operator").delete("/api/v1/groups/halls").status_code == 404


def test_an_alert_is_seen_once(client):
    open_ = client("viewer").get("/api/v1/alerts").json()["alerts"]
    assert len(open_) == 4
    assert len(client("viewer").get("/api/v1/alerts?everything=true").json()["alerts"]) == 5
    number = open_[0]["id"]
    assert client("operator").post(f"/api/v1/alerts/{number}/acknowledge").json()["acknowledged"] == "otto"
    assert client("operator").post("/api/v1/alerts/9999/acknowledge").status_code == 404
    assert audited(client, "alert.acknowledge")["subject"] == f"alert/{number}"


def test_an_enrolment_string_is_shown_once_and_can_be_taken_back(client):
    body = {"device": "new-1", "site": "oslo-depot", "labels": {"room": "gate"}, "hours": 2}
    made = client("admin").post("/api/v1/enrolments", json=body).json()
    address, token, pin = made["string"].split("#")
    assert address == "https://cloud.test:8443/"
    assert len(pin) == 64
    listed = client("admin").get("/api/v1/enrolments")
    assert token not in listed.text
    mine = next(each for each in listed.json()["enrolments"] if each["device"] == "new-1")
    assert client("admin").delete(f"/api/v1/enrolments/{mine['id']}").status_code == 204
    refused = client("").post("/enrol", json={"token": token, "csr": "x"})
    assert refused.status_code == 403
    assert audited(client, "enrolment")["actor"] == "ada"


def test_the_revocation_list_is_there_for_whoever_asks(client):
    found = x509.load_pem_x509_crl(client("").get("/crl").content)
    assert found.issuer.rfc4514_string().startswith("CN=Littoral ")


def test_runs_have_their_rounds_and_a_report_that_may_do_nothing(client):
    found = {each["name"]: each for each in client("viewer").get("/api/v1/runs").json()["runs"]}
    assert len(found["pump-sound-winter"]["rounds"]) == 30
    assert found["pump-sound-winter"]["rounds"][0]["clients"] == 40
    report = client("viewer").get("/api/v1/runs/pump-sound-winter/report")
    policy = report.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "'sha256-" in policy
    assert "unsafe" not in policy
    assert client("viewer").get("/api/v1/runs/keywords-accents/report").status_code == 404


def test_the_audit_log_is_verified(client):
    found = client("viewer").get("/api/v1/audit/verification").json()
    assert found["broken"] is None
    assert found["entries"] > 12
    page = client("viewer").get("/api/v1/audit?limit=5").json()["events"]
    older = client("viewer").get(f"/api/v1/audit?limit=5&before={page[-1]['sequence']}").json()["events"]
    assert [each["sequence"] for each in page + older] == list(
        range(page[0]["sequence"], page[0]["sequence"] - 10, -1)
    )


def test_figures_over_time_are_means_weighted_by_inferences(client):
    points = client("viewer").get("/api/v1/stats?hours=24&points=4").json()["points"]
    assert len(points) == 4
    assert all(each["n"] > 1000 and 0 <= each["drift"] <= 1 for each in points)


def test_metrics_are_prometheus_text(client):
    text = client("viewer").get("/metrics").text
    assert 'littoral_devices{health="healthy"} ' in text
    assert 'littoral_http_seconds_count{route="/api/v1/devices"}' in text
    values = [line.rsplit(" ", 1)[1] for line in text.splitlines() if line and not line.startswith("#")]
    assert all(float(value) >= 0 for value in values)
