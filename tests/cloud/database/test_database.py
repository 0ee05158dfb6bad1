"""The database: settings, transactions, migrations, and what it says when it cannot."""

import sqlite3
import threading

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from cloud.database import Database, Stored, tables
from cloud.database.database import alembic_config
from edge_runtime.errors import BackendError, InputError


def test_migrations_lead_to_the_tables_as_they_are(database):
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []


def test_migrating_again_changes_nothing(database):
    with database.begin() as connection:
        connection.execute(tables.groups.insert(), [{"name": "g", "selector": "a=b", "created": 1.0}])
    database.migrate()
    with database.read() as connection:
        assert connection.scalar(sa.select(tables.groups.c.selector)) == "a=b"
    assert database.revision() == ScriptDirectory.from_config(alembic_config()).get_current_head()


def test_there_is_a_way_back(database):
    with database.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
    assert database.revision() is None
    database.migrate()


def test_a_newer_database_is_not_touched(database):
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'from-the-future'"))
    with pytest.raises(BackendError, match="cannot be migrated"):
        database.migrate()


def test_a_block_that_raises_leaves_nothing(database):
    def fail():
        with database.begin() as connection:
            connection.execute(tables.groups.insert(), [{"name": "g", "selector": "a=b", "created": 1.0}])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(tables.groups)) == 0


def test_stored_text_goes_in_as_it_is(database):
    with database.begin() as connection:
        row = {"device": "d", "desired": Stored('{"v":1}'), "reported": {"v": 2}}
        connection.execute(tables.twins.insert(), [row])
    with database.read() as connection:
        found = connection.execute(sa.select(tables.twins.c.desired, tables.twins.c.reported)).one()
    assert tuple(found) == ({"v": 1}, {"v": 2})


def test_settings_of_sqlite(sqlite):
    with sqlite.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 10_000


def test_a_reader_waits_for_no_writer_and_sees_one_state(sqlite):
    with sqlite.begin() as writer:
        writer.execute(tables.groups.insert(), [{"name": "g", "selector": "a=b", "created": 1.0}])
        with sqlite.read() as reader:
            assert reader.scalar(sa.select(sa.func.count()).select_from(tables.groups)) == 0


def test_two_writers_take_turns(sqlite):
    def count_up():
        for _ in range(20):
            with sqlite.begin() as connection:
                held = connection.scalar(sa.select(tables.groups.c.created))
                connection.execute(tables.groups.update().values(created=held + 1))

    with sqlite.begin() as connection:
        connection.execute(tables.groups.insert(), [{"name": "g", "selector": "a=b", "created": 0.0}])
    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    with sqlite.read() as connection:
        assert connection.scalar(sa.select(tables.groups.c.created)) == 80


def test_a_database_that_stays_locked_is_one_sentence(sqlite):
    holder = sqlite3.connect(sqlite.url.database, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with sqlite.read() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=50")
    with pytest.raises(BackendError, match="database is locked"), sqlite.begin():
        pass
    holder.close()


def test_a_full_disk_is_one_sentence_and_loses_nothing(sqlite):
    def fill():
        with sqlite.begin() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
            rows = [{"name": f"g{i}", "selector": "x" * 2000, "created": 1.0} for i in range(500)]
            connection.execute(tables.groups.insert(), rows)

    with pytest.raises(BackendError, match="full"):
        fill()
    with sqlite.begin() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
        assert connection.scalar(sa.select(sa.func.count()).select_from(tables.groups)) == 0
        connection.execute(tables.groups.insert(), [{"name": "g", "selector": "a=b", "created": 0.0}])


@pytest.mark.parametrize("url", ["", "nonsense", "oracle9://x/y", "sqlite"])
def test_a_wrong_url_is_refused(url):
    with pytest.raises(InputError, match="expected sqlite"):
        Database(url)


def test_a_server_that_is_away_is_one_sentence(tmp_path):
    database = Database(f"postgresql://somebody:secret@/fleet?host={tmp_path}")
    assert "secret" not in database.name
    with pytest.raises(BackendError, match="database 'postgresql"), database.read():
        pass
