"""The console sees a log whose end was cut off, by what was written down outside the database."""

from fastapi.testclient import TestClient
from sqlalchemy import delete

from cloud.audit import Anchor, Audit
from cloud.database import Database
from cloud.database.tables import events
from cloud.home import Home
from tests.cloud.api.conftest import open_cloud


def test_a_log_that_was_cut_is_seen(tmp_path):
    app, tokens = open_cloud(tmp_path / "cloud")
    home = Home(tmp_path / "cloud")
    database = Database(home.database_url)
    audit = Audit(database)
    rows = Anchor.with_key(home.anchor, home.keys / "anchor.key").write(audit)
    client = TestClient(app, headers={"authorization": f"Bearer {tokens['viewer']}"}, client=("127.0.0.1", 1))
    assert client.get("/api/v1/audit/verification").json() == {"entries": rows, "broken": None}
    with database.begin() as connection:
        connection.execute(delete(events).where(events.c.sequence == rows))
    assert client.get("/api/v1/audit/verification").json() == {"entries": rows - 1, "broken": rows}
