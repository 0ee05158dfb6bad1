"""Who may do what: every route with every role, and what a caller without rights sees."""

import pytest
from fastapi.routing import APIRoute

from cloud.api.access import ROLES

# Every route of the API, and the lowest role that it takes; None: anybody.
NEEDS = {
    ("POST", "/api/v1/session"): None,
    ("DELETE", "/api/v1/session"): "viewer",
    ("GET", "/api/v1/me"): "viewer",
    ("GET", "/api/v1/tokens"): "admin",
    ("POST", "/api/v1/tokens"): "admin",
    ("DELETE", "/api/v1/tokens/{name}"): "admin",
    ("GET", "/api/v1/overview"): "viewer",
    ("GET", "/api/v1/stats"): "viewer",
    ("GET", "/api/v1/live"): "viewer",
    ("GET", "/api/v1/devices"): "viewer",
    ("GET", "/api/v1/map"): "viewer",
    ("GET", "/api/v1/devices/{name}"): "viewer",
    ("PATCH", "/api/v1/devices/{name}"): "operator",
    ("DELETE", "/api/v1/devices/{name}"): "admin",
    ("PUT", "/api/v1/devices/{name}/desired"): "operator",
    ("GET", "/api/v1/devices/{name}/stats"): "viewer",
    ("GET", "/api/v1/devices/{name}/events"): "viewer",
    ("GET", "/api/v1/devices/{name}/commands"): "viewer",
    ("POST", "/api/v1/devices/{name}/commands"): "operator",
    ("POST", "/api/v1/commands"): "operator",
    ("GET", "/api/v1/groups"): "viewer",
    ("PUT", "/api/v1/groups/{name}"): "operator",
    ("DELETE", "/api/v1/groups/{name}"): "operator",
    ("GET", "/api/v1/enrolments"): "admin",
    ("POST", "/api/v1/enrolments"): "admin",
    ("DELETE", "/api/v1/enrolments/{number}"): "admin",
    ("GET", "/api/v1/releases"): "viewer",
    ("POST", "/api/v1/releases"): "operator",
    ("GET", "/api/v1/releases/{name}/{version}/{target}/files"): "viewer",
    ("GET", "/api/v1/releases/{name}/{version}/{target}/files/{file}"): "viewer",
    ("DELETE", "/api/v1/releases/{name}/{version}"): "admin",
    ("GET", "/api/v1/rollouts"): "viewer",
    ("POST", "/api/v1/rollouts"): "operator",
    ("POST", "/api/v1/rollouts/plan"): "viewer",
    ("GET", "/api/v1/rollouts/{name}"): "viewer",
    ("GET", "/api/v1/rollouts/{name}/devices"): "viewer",
    ("POST", "/api/v1/rollouts/{name}/{action}"): "operator",
    ("GET", "/api/v1/alerts"): "viewer",
    ("POST", "/api/v1/alerts/{number}/acknowledge"): "operator",
    ("GET", "/api/v1/audit"): "viewer",
    ("GET", "/api/v1/audit/verification"): "viewer",
    ("GET", "/api/v1/runs"): "viewer",
    ("GET", "/api/v1/runs/{name}/report"): "viewer",
    ("GET", "/metrics"): "viewer",
    ("POST", "/enrol"): None,
    ("POST", "/renew"): None,
    ("GET", "/crl"): None,
    ("GET", "/healthz"): None,
}
FILLED = {
    "name": "nobody-here",
    "version": "1",
    "target": "rpi4",
    "file": "a.png",
    "number": "0" * 16,
    "action": "pause",
}
BODIES = {
    ("POST", "/api/v1/tokens"): {"name": "x", "role": "none"},  # refused as invalid, once the role is enough
    ("PATCH", "/api/v1/devices/{name}"): {"labels": {}},
    ("PUT", "/api/v1/devices/{name}/desired"): {"desired": {}},
    ("POST", "/api/v1/devices/{name}/commands"): {"op": "report"},
    ("POST", "/api/v1/commands"): {"op": "report", "selector": "nonsense"},
    ("PUT", "/api/v1/groups/{name}"): {"selector": "nonsense"},
    ("POST", "/api/v1/enrolments"): {"device": "-"},
    ("POST", "/api/v1/rollouts"): {"spec": {}},
    ("POST", "/api/v1/rollouts/plan"): {"spec": {}},
}


def routes(app):
    """Every route with its method."""
    found = {}
    for path, methods in app.openapi()["paths"].items():
        for method in methods:
            found[method.upper(), path] = path
    return found


def test_the_table_names_every_route(cloud):
    assert set(routes(cloud[0])) == set(NEEDS)
    assert any(isinstance(route, APIRoute) for route in cloud[0].routes)


@pytest.mark.parametrize(("method", "path"), sorted(key for key, role in NEEDS.items() if role))
def test_a_role_is_needed_and_those_above_it_will_do(client, method, path):
    url = path.format(**FILLED) if "alerts" not in path else path.format(number=999)
    if path.endswith("/live"):
        url += "?rollout=nobody-here"  # ends at once, with 404
    asked = {"json": BODIES.get((method, path), {})} if method in ("POST", "PUT", "PATCH") else {}
    answer = client("").request(method, url, **asked)
    assert answer.status_code == 401, answer.text
    assert answer.headers["www-authenticate"].startswith("Bearer")
    for role in ROLES:
        answer = client(role).request(method, url, **asked)
        enough = ROLES.index(role) >= ROLES.index(NEEDS[method, path])
        assert (answer.status_code not in (401, 403)) == enough, (role, answer.text)
        assert answer.status_code < 500
        if not enough:
            assert f"needs {NEEDS[method, path]}" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v2/devices", "/admin"])
def test_what_is_not_served_says_so(client, path):
    answer = client("admin").get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "nothing is served" in answer.json()["detail"]


def test_the_openapi_description_needs_no_script_from_elsewhere(client):
    assert client("").get("/docs").status_code == 404
    described = client("").get("/api/v1/openapi.json").json()
    assert set(described["components"]["securitySchemes"]) == {"HTTPBearer", "APIKeyCookie"}
    assert all(each.get("summary") for path in described["paths"].values() for each in path.values())
