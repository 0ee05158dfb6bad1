"""One database, by its URL: the engine's settings, transactions, and the way to the newest tables.

SQLite runs with a write-ahead log (https://sqlite.org/wal.html): readers never wait, writers take turns. A
transaction that writes takes its turn when it begins (`BEGIN IMMEDIATE`), so that none fails half-way because another
wrote between its read and its write. PostgreSQL runs as it is set up.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import StaticPool

from edge_runtime.errors import BackendError, InputError

_BUSY_MS = 10_000  # how long a writer waits for its turn
_READS = "littoral_reads"
_MIGRATIONS = Path(__file__).parent / "migrations"


class Stored(str):
    """JSON text that goes into a JSON column as it is, so that a message is not written out twice."""

    __slots__ = ()


class Database:
    """The database behind `url`, such as ``sqlite:////var/lib/littoral/fleet.sqlite`` or ``postgresql://host/fleet``.

    Threads may share one; each transaction has a connection of its own.

    Raises:
        InputError: the URL is none that is understood.
        BackendError: the driver for it is missing.
    """

    def __init__(self, url: str) -> None:
        self.url = _parsed(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        memory = self.sqlite and not self.url.database
        options: dict[str, Any] = {"poolclass": StaticPool} if memory else {"pool_pre_ping": not self.sqlite}
        try:
            self.engine: Engine = sqlalchemy.create_engine(self.url, json_serializer=_written, **options)
        except NoSuchModuleError as error:
            raise InputError(
                f"database '{self.name}': expected sqlite:///PATH or postgresql://..."
            ) from error
        except ImportError as error:
            raise BackendError(
                f"database '{self.name}' needs a driver: pip install 'littoral[postgresql]'"
            ) from error
        if self.sqlite:
            event.listen(self.engine, "connect", _prepare)
            event.listen(self.engine, "begin", _begin)

    @property
    def name(self) -> str:
        """The URL without its password."""
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One transaction that may write: committed when the block ends, rolled back when it raises; never retried.

        Raises:
            BackendError: the database is away, full, or stayed locked.
        """
        with self._failing(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One transaction that only reads: it sees one state throughout, and waits for no writer.

        Raises:
            BackendError: the database is away.
        """
        with self._failing(), self.engine.connect() as connection:
            reading = connection.execution_options(**{_READS: True})
            with reading.begin():
                yield reading

    def migrate(self) -> None:
        """Bring the tables to what this version needs; data stays.

        Raises:
            BackendError: the database is away, or was made by a newer version.
        """
        from alembic import command
        from alembic.util.exc import CommandError

        if self.sqlite and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        try:
            with self.begin() as connection:
                command.upgrade(alembic_config(connection), "head")
        except CommandError as error:
            raise BackendError(f"database '{self.name}' cannot be migrated: {error}") from error

    def revision(self) -> str | None:
        """The migration that the tables are at; None before the first."""
        from alembic.migration import MigrationContext

        with self.read() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            raise BackendError(f"database '{self.name}': {_reason(error)}") from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise BackendError(f"database '{self.name}': {_reason(error)}") from error
            raise


def alembic_config(connection: Connection | None = None) -> Any:
    """Alembic's settings for the migrations of this package, on an open connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _parsed(url: str) -> URL:
    try:
        found = sqlalchemy.make_url(url)
    except ArgumentError as error:
        raise InputError(
            f"database '{url}': expected sqlite:///PATH or postgresql://USER@HOST/NAME"
        ) from error
    if found.drivername == "postgresql":
        return found.set(drivername="postgresql+psycopg")
    return found


def _reason(error: DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0] if error.orig else str(error)


def _written(value: Any) -> str:
    return value if type(value) is Stored else json.dumps(value, separators=(",", ":"))


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver's guess
    for pragma in (
        f"busy_timeout={_BUSY_MS}",  # first, for the next may have to wait
        "journal_mode=WAL",
        "synchronous=NORMAL",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    reads = connection.get_execution_options().get(_READS)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
