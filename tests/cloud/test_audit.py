"""The audit log: whoever rewrites it is seen."""

import json
import threading
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from cloud import alerts
from cloud.audit import FIRST, Anchor, Audit, digest
from cloud.database import Database, tables
from edge_runtime.errors import InputError

events = tables.events


@pytest.fixture
def database(tmp_path):
    made = Database(f"sqlite:///{tmp_path / 'a.sqlite'}")
    tables.metadata.create_all(made.engine)
    return made


def write(database, count, actor="ada"):
    audit = Audit(database)
    for number in range(count):
        with database.begin() as connection:
            audit.add(
                connection, actor, "test", f"s{number}", {"n": number, "x": 0.1 * number, "é": ["ü", None]}
            )
    return audit


def change(database, statement):
    with database.begin() as connection:
        connection.execute(statement)


def test_a_chain_that_nobody_touched_is_whole(database):
    audit = write(database, 25)
    assert audit.verify() == (25, None)
    assert [event.sequence for event in audit.page(after=20)] == [21, 22, 23, 24, 25]
    assert [event.sequence for event in audit.latest(2)] == [25, 24]
    assert [event.sequence for event in audit.page(subject="s3")] == [4]
    assert audit.head()[0] == 25


def test_an_empty_log_is_whole(database):
    assert Audit(database).verify() == (0, None)
    assert Audit(database).head() == (0, FIRST)


@pytest.mark.parametrize("column", ["at", "actor", "action", "subject", "detail", "hash", "sequence"])
def test_any_changed_field_is_seen(database, column):
    audit = write(database, 9)
    values = {"at": 5.0, "detail": {"n": 5}, "hash": FIRST, "sequence": 50}
    change(database, update(events).where(events.c.sequence == 5).values({column: values.get(column, "eve")}))
    assert audit.verify()[1] in (5, 6)


@pytest.mark.parametrize("number", [1, 4, 8])
def test_a_row_that_was_taken_out_is_seen(database, number):
    audit = write(database, 9)
    change(database, delete(events).where(events.c.sequence == number))
    assert audit.verify() == (8, number)


def test_a_row_that_was_put_in_is_seen(database):
    audit = write(database, 3)
    row = {"sequence": -7, "at": 1.0, "actor": "eve", "action": "x", "subject": "", "detail": {}}
    change(database, insert(events).values(**row, hash=digest(FIRST, row)))
    assert audit.verify() == (4, 1)


def rebuilt(database, rows):
    """What who may write the table can do: compute the chain anew."""
    before = FIRST
    with database.begin() as connection:
        connection.execute(delete(events))
        for number, row in enumerate(rows, 1):
            row = dict(row) | {"sequence": number}
            row["hash"] = before = digest(before, row)
            connection.execute(insert(events).values(**row))


def test_only_the_anchor_sees_a_chain_that_was_cut_or_computed_anew(database, tmp_path):
    audit = write(database, 6)
    anchor = Anchor.with_key(tmp_path / "anchor", tmp_path / "anchor.key")
    assert anchor.write(audit) == 6
    assert anchor.write(audit) == 6  # nothing new
    write(database, 4)
    anchor.write(audit)
    assert audit.verify(anchor) == (10, None)
    with database.read() as connection:
        rows = [dict(row) for row in connection.execute(select(events)).mappings()]
    rebuilt(database, rows[:8])
    assert audit.verify() == (8, None)
    assert audit.verify(anchor) == (8, 9)
    rows[2]["actor"] = "nobody"
    rebuilt(database, rows)
    assert audit.verify() == (10, None)
    assert audit.verify(anchor) == (10, 6)


def test_an_anchor_that_was_touched_is_refused(database, tmp_path):
    path = tmp_path / "anchor"
    audit = write(database, 2)
    anchor = Anchor.with_key(path, tmp_path / "key")
    for _ in range(3):
        anchor.write(audit)
        write(database, 1)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for bad in (
        lines[0] + lines[2],
        lines[1] + lines[2],
        whole.replace(b'"sequence":2', b'"sequence":1'),
        whole[3:],
    ):
        path.write_bytes(bad)
        with pytest.raises(InputError, match="is damaged, or was not written with this key"):
            audit.verify(anchor)
    path.write_bytes(whole)
    with pytest.raises(InputError, match="line 1"):
        Anchor.with_key(path, tmp_path / "another").heads()
    path.write_bytes(whole + b'{"half a li')  # the power failed
    assert audit.verify(anchor) == (5, None)
    assert anchor.write(audit) == 5
    assert len(anchor.heads()) == 4
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0


def test_an_event_is_there_if_the_deed_is(database):
    audit = Audit(database)
    with suppress(ZeroDivisionError), database.begin() as connection:
        audit.add(connection, "ada", "divide")
        raise ZeroDivisionError
    assert audit.verify() == (0, None)


def test_what_is_no_json_is_refused(database):
    with pytest.raises(InputError, match="no JSON"), database.begin() as connection:
        Audit(database).add(connection, "ada", "x", "", {"bad": float("nan")})


def test_many_writers_make_one_chain(database):
    threads = [threading.Thread(target=write, args=(database, 20, f"w{i}")) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Audit(database).verify() == (80, None)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MEMORY = Database("sqlite://")
tables.metadata.create_all(MEMORY.engine)


@given(st.dictionaries(st.text(), PLAIN, max_size=4), st.text(max_size=9), st.floats(0, 4e9))
def test_whatever_was_written_verifies(detail, subject, at):
    with MEMORY.begin() as connection:
        connection.execute(delete(events))
        Audit(MEMORY).add(connection, "a", "b", subject, detail, at=at)
    assert Audit(MEMORY).verify() == (1, None)
    assert json.loads(json.dumps(Audit(MEMORY).page()[0].to_json()))["subject"] == subject


def test_an_alert_lasts_and_ends(database):
    with database.begin() as connection:
        first = alerts.raise_(connection, "warning", "rollout/a", "slow", at=1.0)
        assert alerts.raise_(connection, "warning", "rollout/a", "slow", at=2.0) == first
        alerts.acknowledge(connection, first, "ada")
        alerts.raise_(connection, "info", "device/b", "late", at=3.0)
    assert [each.subject for each in alerts.open_alerts(database)] == ["device/b", "rollout/a"]
    assert alerts.open_alerts(database)[1].acknowledged == "ada"
    with database.begin() as connection:
        assert alerts.raise_(connection, "critical", "rollout/a", "broken", at=4.0) == first
        assert alerts.end(connection, "rollout/a", at=5.0)
        assert not alerts.end(connection, "rollout/a")
    assert [each.subject for each in alerts.open_alerts(database)] == ["device/b"]
    assert [(each.severity, each.ended) for each in alerts.page(database)] == [
        ("info", None),
        ("critical", 5.0),
    ]
    with (
        pytest.raises(InputError, match="expected one of info, warning, critical"),
        database.begin() as connection,
    ):
        alerts.raise_(connection, "bad", "x", "y")
