"""The fleet's database: SQLite by default, PostgreSQL by URL, through SQLAlchemy Core."""

from cloud.database.database import Database, Stored

__all__ = ["Database", "Stored"]
