"""A backup gives back what was there, and a damaged one gives nothing."""

import os
import sqlite3
import tarfile

import pytest

from cloud.database import Database
from cloud.home import Home
from cloud.operations import backup, restore
from edge_runtime.errors import InputError


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path / "cloud")
    database = Database(made.database_url)
    database.migrate()
    with database.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO groups (name, selector, created) VALUES ('kitchens', 'room=kitchen', 1.0)"
        )
    (made.repository / "metadata").mkdir(parents=True)
    (made.repository / "metadata/timestamp.json").write_text("{}")
    (made.repository / "blobs").mkdir()
    (made.repository / "blobs/a").write_bytes(os.urandom(3000))
    made.ca.mkdir()
    (made.ca / "ca.key").write_text("secret")
    (made.root / "cloud.json").write_text("{}")
    made.run.mkdir()
    (made.run / "pid").write_text("1")
    return made


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("fleet.sqlite")
    }


def groups(home):
    with sqlite3.connect(home.root / "fleet.sqlite") as connection:
        return connection.execute("SELECT name, selector FROM groups").fetchall()


def test_what_was_there_comes_back(home, tmp_path):
    said = backup(home, tmp_path / "b.tar")
    again = Home(tmp_path / "again")
    restore(tmp_path / "b.tar", again)
    before = files(home.root)
    before.pop("run/pid")
    assert files(again.root) == before
    assert groups(again) == [("kitchens", "room=kitchen")]
    assert said.secrets
    assert said.files == 5
    assert (tmp_path / "b.tar").stat().st_mode & 0o077 == 0


def test_secrets_stay_where_they_are_if_told(home, tmp_path):
    backup(home, tmp_path / "b.tar", secrets=False)
    with tarfile.open(tmp_path / "b.tar") as archive:
        assert not [name for name in archive.getnames() if name.startswith(("ca", "keys"))]


def test_it_is_taken_while_somebody_writes(home, tmp_path):
    with sqlite3.connect(home.root / "fleet.sqlite") as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO groups (name, selector, created) VALUES ('late', 'a=b', 2.0)")
        backup(home, tmp_path / "b.tar")
    restore(tmp_path / "b.tar", again := Home(tmp_path / "again"))
    assert groups(again) == [("kitchens", "room=kitchen")]


@pytest.mark.parametrize("where", [600, 5000, 60_000, -2000])
def test_a_damaged_one_gives_nothing(home, tmp_path, where):
    backup(home, tmp_path / "b.tar")
    content = bytearray((tmp_path / "b.tar").read_bytes())
    content[where] ^= 0xFF
    content[where + 1] ^= 0xFF
    (tmp_path / "b.tar").write_bytes(content)
    again = Home(tmp_path / "again")
    try:
        restore(tmp_path / "b.tar", again)
    except InputError:
        assert not again.root.exists()
    else:  # it was a byte between two files, which nobody reads
        assert groups(again) == groups(home)


@pytest.mark.parametrize("keep", [0, 700, 0.5, 0.95])
def test_one_that_is_cut_short_gives_nothing(home, tmp_path, keep):
    backup(home, tmp_path / "b.tar")
    content = (tmp_path / "b.tar").read_bytes()
    whole = len(content.rstrip(b"\0"))  # a tar ends in zeros that nobody reads
    (tmp_path / "b.tar").write_bytes(content[: int(keep * whole) if keep < 1 else keep])
    with pytest.raises(InputError):
        restore(tmp_path / "b.tar", Home(tmp_path / "again"))
    assert not (tmp_path / "again").exists()


def test_an_entry_that_leads_outside_is_refused(home, tmp_path):
    backup(home, tmp_path / "b.tar")
    (tmp_path / "evil").write_text("x")
    with tarfile.open(tmp_path / "b.tar", "a") as archive:
        archive.add(tmp_path / "evil", "../outside")
    with pytest.raises(InputError):
        restore(tmp_path / "b.tar", Home(tmp_path / "again"))
    assert not (tmp_path / "outside").exists()


def test_nothing_is_replaced(home, tmp_path):
    backup(home, tmp_path / "b.tar")
    with pytest.raises(InputError, match="exists already"):
        backup(home, tmp_path / "b.tar")
    with pytest.raises(InputError, match="is not empty"):
        restore(tmp_path / "b.tar", home)
    with pytest.raises(InputError, match="the folder of a cloud"):
        backup(Home(tmp_path / "none"), tmp_path / "c.tar")
