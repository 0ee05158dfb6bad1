"""Federated runs as the console shows them."""

import pytest
import sqlalchemy as sa

from cloud import runs
from cloud.database import Database, tables
from edge_runtime.errors import InputError
from federated import checkpoint
from federated.checkpoint import State
from federated.history import History, Round


def history(rounds):
    entries = tuple(Round(k + 1, 0.5 + k / 10, 1.0, 1.0, (0, 1), {}, 1.0, 10, 10) for k in range(rounds))
    return History({"rounds": 3}, {}, 100, {"accuracy": 0.4, "loss": 2.0}, rounds=entries)


@pytest.fixture
def database(tmp_path):
    made = Database(f"sqlite:///{tmp_path / 'fleet.sqlite'}")
    made.migrate()
    yield made
    made.close()


def row(database):
    with database.read() as connection:
        (found,) = connection.execute(sa.select(tables.runs)).mappings()
    return found


def test_a_run_is_kept_current_from_its_folder(database, tmp_path):
    assert runs.record(database, "winter", "digits", tmp_path) == 0
    assert row(database)["history"] == {}
    began = row(database)["created"]
    checkpoint.save(tmp_path / "checkpoint.npz", State({}, history(2)))
    assert runs.record(database, "winter", "digits", tmp_path) == 2
    (tmp_path / "report.html").write_text("<p>so far</p>")
    assert runs.record(database, "winter", "digits", tmp_path) == 2
    assert row(database)["report"] is None
    assert runs.record(database, "winter", "digits", tmp_path, "finished") == 2
    found = row(database)
    assert (found["state"], found["model"], found["created"]) == ("finished", "digits", began)
    assert found["history"]["rounds"][1]["accuracy"] == 0.6
    assert found["report"] == b"<p>so far</p>"


def test_a_state_that_there_is_not_is_refused(database, tmp_path):
    with pytest.raises(InputError, match="'done'; expected one of running"):
        runs.record(database, "winter", "digits", tmp_path, "done")
