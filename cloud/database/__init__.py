"""The fleet's database: SQLite by default, PostgreSQL by URL, through SQLAlchemy Core."""
