"""Tokens, sessions, and what stops those who guess."""

import re

import pytest
from sqlalchemy import select

from cloud.api.access import COOKIE, PREFIX, Failures, Sessions, Tokens, digest
from cloud.database.tables import tokens as table
from edge_runtime.errors import InputError

MARK = {"x-littoral": "console"}


def log_in(client, cloud, role="admin"):
    answer = client.post("/api/v1/session", json={"token": cloud[1][role]}, headers=MARK)
    assert answer.status_code == 200, answer.text
    return answer


def test_only_the_digest_of_a_token_is_kept(client, cloud):
    made = (
        client("admin").post("/api/v1/tokens", json={"name": "grafana", "role": "viewer", "days": 1}).json()
    )
    assert made["token"].startswith(PREFIX)
    with cloud[0].state.services.database.read() as connection:
        rows = connection.execute(select(table).where(table.c.name == "grafana")).mappings().all()
    assert rows[0]["digest"] == digest(made["token"])
    assert made["token"] not in str(rows)
    assert made["token"] not in client("admin").get("/api/v1/tokens").text
    assert made["token"] not in client("admin").get("/api/v1/audit").text
    as_new = client("")
    assert (
        as_new.get("/api/v1/me", headers={"authorization": f"bearer {made['token']}"}).json()["name"]
        == "grafana"
    )
    assert client("admin").delete("/api/v1/tokens/grafana").status_code == 204
    assert as_new.get("/api/v1/me", headers={"authorization": f"Bearer {made['token']}"}).status_code == 401


def test_a_token_ends(cloud):
    now = [1000.0]
    found = Tokens(cloud[0].state.services.database, lambda: now[0])
    with cloud[0].state.services.database.begin() as connection:
        token = found.create(connection, "short", "viewer", 1)
        with pytest.raises(InputError, match="exists"):
            found.create(connection, "short", "viewer")
        with pytest.raises(InputError, match="did you mean 'admin'"):
            found.create(connection, "other", "admim")
    assert found.find(token).name == "short"
    now[0] += 86_401
    assert found.find(token) is None
    assert found.named("short") is None


def test_a_session_is_out_of_reach_of_scripts_and_of_other_sites(client, cloud):
    browser = client("", base_url="https://testserver")
    cookie = log_in(browser, cloud).headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "secure", "path=/"))
    assert browser.get("/api/v1/me").json() == {"name": "ada", "role": "admin"}
    # a change needs the console's header, and the browser's word that the console asked
    assert browser.put("/api/v1/groups/g", json={"selector": "room=hall"}).status_code == 403
    for site in ("cross-site", "same-site"):
        headers = MARK | {"sec-fetch-site": site}
        assert (
            browser.put("/api/v1/groups/g", json={"selector": "room=hall"}, headers=headers).status_code
            == 403
        )
    headers = MARK | {"sec-fetch-site": "same-origin"}
    assert browser.put("/api/v1/groups/g", json={"selector": "room=hall"}, headers=headers).status_code == 200
    held = browser.cookies[COOKIE]
    assert browser.delete("/api/v1/session", headers=MARK).status_code == 204
    assert (
        client("").get("/api/v1/me", cookies={COOKIE: held}).status_code == 401
    )  # also a copy of the cookie is out


def test_a_session_begins_only_from_the_console(client, cloud):
    answer = client("").post("/api/v1/session", json={"token": cloud[1]["admin"]})
    assert answer.status_code == 403
    assert COOKIE not in answer.headers.get("set-cookie", "")


def test_a_forged_or_old_session_is_none(cloud):
    services = cloud[0].state.services
    now = [1_000_000.0]
    sessions = Sessions(b"k" * 32, services.tokens, lambda: now[0])
    cookie = sessions.create(services.tokens.find(cloud[1]["viewer"]))
    assert sessions.find(cookie).name == "vera"
    assert Sessions(b"o" * 32, services.tokens, lambda: now[0]).find(cookie) is None
    name, expires, nonce, signature = cookie.split(".")
    for forged in (
        f"{name}.{int(expires) + 1}.{nonce}.{signature}",
        f"YWRh.{expires}.{nonce}.{signature}",
        f"{name}.{expires}.{nonce}.{signature[:-1]}{'0' if signature[-1] != '0' else '1'}",
        f"{name}.{expires}.{nonce}.",
        "....",
        "",
        "ä.1.b.c",
        "a" * 4000,
    ):
        assert sessions.find(forged) is None
    now[0] += 13 * 3600
    assert sessions.find(cookie) is None


def test_wrong_tokens_have_to_wait_but_sessions_go_on(client, cloud):
    browser = client("")
    log_in(browser, cloud, "operator")
    guess = {"authorization": f"Bearer {PREFIX}guess"}
    codes = [client("").get("/api/v1/me", headers=guess).status_code for _ in range(12)]
    assert codes == [401] * 10 + [429] * 2
    answer = client("").post("/api/v1/session", json={"token": cloud[1]["admin"]}, headers=MARK)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert browser.get("/api/v1/me").status_code == 200


def test_failures_are_forgotten_in_time_and_bounded():
    now = [0.0]
    failures = Failures(3, 60, lambda: now[0])
    for _ in range(3):
        failures.add("a")
    assert failures.wait("a") == 60
    assert failures.wait("b") == 0
    now[0] = 61
    assert failures.wait("a") == 0
    for i in range(10_050):
        failures.add(str(i))
    assert len(failures._times) == 10_000


def test_refused_enrolments_have_to_wait_and_are_written_down(client, cloud):
    codes = [client("").post("/enrol", json={"token": "guess", "csr": "x"}).status_code for _ in range(12)]
    assert codes == [403] * 10 + [429] * 2
    events = client("viewer").get("/api/v1/audit?limit=20").json()["events"]
    assert any("refused" in each["action"] for each in events)


def test_every_answer_keeps_a_browser_safe(client):
    for path in ("/console/", "/api/v1/me", "/healthz", "/nothing", "/console/app.js"):
        headers = client("").get(path).headers
        policy = headers["content-security-policy"]
        assert "unsafe-inline" not in policy
        assert "unsafe-eval" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert re.fullmatch("[0-9a-f]{16}", headers["x-request-id"])
    assert client("").get("/api/v1/me").headers["cache-control"] == "no-store"
    assert "strict-transport-security" in client("", base_url="https://testserver").get("/healthz").headers
