"""An API over a believable fleet, and clients of each role."""

import time

import pytest
from fastapi.testclient import TestClient

from cloud.api import create_app
from cloud.database import Database
from cloud.home import Home
from cloud.identity import Authority
from tests.cloud.seed import Shelf, fill


def open_cloud(root, url="", now=None):
    """An application over a new fleet, in a database of that URL, and its tokens by role."""
    root.mkdir(exist_ok=True)
    Authority.create(root / "ca")
    home, now = Home(root), now or time.time()
    database = Database(url or home.database_url)
    database.migrate()
    tokens = fill(database, now)
    app = create_app(home, database, log=False, repository=Shelf(now), url="https://cloud.test:8443")
    return app, tokens


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """The application and the tokens by role; tests of one module share it."""
    return open_cloud(tmp_path_factory.mktemp("cloud"))


@pytest.fixture
def client(cloud):
    """Call it with a role, for a client that sends that role's token; "" sends none."""
    app, tokens = cloud

    def make(role="", **options):
        headers = {"authorization": f"Bearer {tokens[role]}"} if role else {}
        # 127.0.0.1 and not "testclient": it is what a limit on wrong tokens counts
        return TestClient(app, headers=headers, client=("127.0.0.1", 5000), follow_redirects=False, **options)

    app.state.services.failures._times.clear()
    app.state.services.refused_enrolments._times.clear()
    return make
