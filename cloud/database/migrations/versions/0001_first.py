"""The tables of the first version, as they were then; `cloud.database.tables` may have moved on."""

from alembic import op
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)
_SERIAL = BigInteger().with_variant(Integer, "sqlite")

Table(
    "devices",
    _TABLES,
    Column("name", String(64), primary_key=True),
    Column("site", String(64), nullable=False, server_default=""),
    Column("target", String(64), nullable=False, server_default=""),
    Column("labels", JSON, nullable=False),
    Column("status", String(16), nullable=False, server_default="enrolled"),
    Column("certificate", String(64), nullable=False, server_default=""),
    Column("expires", Float, nullable=False, server_default="0"),
    Column("enrolled", Float, nullable=False),
    Column("seen", Float, nullable=False, server_default="0"),
    Column("online", Boolean, nullable=False, server_default="0"),
    Column("beat", JSON),
    Column("latitude", Float),
    Column("longitude", Float),
    Index("ix_devices_site", "site"),
)

_TWIN_DUE = text("desired_at > sent_at")
_COMMAND_DUE = text("status = 'pending' AND sent_at = 0")

Table(
    "twins",
    _TABLES,
    Column("device", String(64), primary_key=True),
    Column("desired", JSON),
    Column("desired_v", BigInteger, nullable=False, server_default="0"),
    Column("desired_at", Float, nullable=False, server_default="0"),
    Column("sent_at", Float, nullable=False, server_default="0"),
    Column("reported", JSON),
    Column("reported_v", BigInteger, nullable=False, server_default="0"),
    Column("reported_at", Float, nullable=False, server_default="0"),
    Column("state", String(16), nullable=False, server_default=""),
    Column("model", String(64), nullable=False, server_default=""),
    Column("rollout", String(64), nullable=False, server_default=""),
    Column("phase", Integer, nullable=False, server_default="0"),
    Index("ix_twins_rollout", "rollout", "state"),
    Index("ix_twins_model", "model"),
    Index("ix_twins_due", "device", sqlite_where=_TWIN_DUE, postgresql_where=_TWIN_DUE),
)

Table(
    "groups",
    _TABLES,
    Column("name", String(64), primary_key=True),
    Column("selector", Text, nullable=False),
    Column("created", Float, nullable=False),
)

Table(
    "enrolments",
    _TABLES,
    Column("digest", String(64), primary_key=True),
    Column("device", String(64), nullable=False),
    Column("site", String(64), nullable=False, server_default=""),
    Column("labels", JSON, nullable=False),
    Column("hosts", JSON, nullable=False),
    Column("key", String(64), nullable=False, server_default=""),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("used", Float),
)

Table(
    "certificates",
    _TABLES,
    Column("serial", String(40), primary_key=True),
    Column("device", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("key", Text, nullable=False),
    Column("issued", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("revoked", Float),
    Index("ix_certificates_device", "device"),
)

Table(
    "commands",
    _TABLES,
    Column("id", String(64), primary_key=True),
    Column("device", String(64), nullable=False),
    Column("command", JSON, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("sent_at", Float, nullable=False, server_default="0"),
    Column("status", String(16), nullable=False, server_default="pending"),
    Column("text", Text, nullable=False, server_default=""),
    Column("ended", Float),
    Index("ix_commands_device", "device"),
    Index("ix_commands_status", "status", "expires"),
    Index("ix_commands_due", "id", sqlite_where=_COMMAND_DUE, postgresql_where=_COMMAND_DUE),
)

Table(
    "stats",
    _TABLES,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("device", String(64), nullable=False),
    Column("model", String(64), nullable=False),
    Column("at", Float, nullable=False),
    Column("stats", JSON, nullable=False),
    Index("ix_stats_device", "device", "at"),
    Index("ix_stats_model", "model", "at"),
)

Table(
    "rollouts",
    _TABLES,
    Column("name", String(64), primary_key=True),
    Column("spec", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("phase", Integer, nullable=False, server_default="0"),
    Column("phase_began", Float, nullable=False, server_default="0"),
    Column("settled", Float),
    Column("reason", Text, nullable=False, server_default=""),
    Column("created", Float, nullable=False),
    Column("ended", Float),
)

Table(
    "rollout_devices",
    _TABLES,
    Column("rollout", String(64), primary_key=True),
    Column("device", String(64), primary_key=True),
    Column("phase", Integer, nullable=False),
    Column("desired_v", BigInteger, nullable=False),
    Column("before", JSON),
    Column("told", Float, nullable=False),
    Index("ix_rollout_devices_phase", "rollout", "phase"),
)

Table(
    "events",
    _TABLES,
    Column("sequence", _SERIAL, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(128), nullable=False, server_default=""),
    Column("detail", JSON, nullable=False),
    Column("hash", String(64), nullable=False),
    Index("ix_events_subject", "subject"),
)

Table(
    "alerts",
    _TABLES,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("severity", String(16), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("text", Text, nullable=False),
    Column("ended", Float),
    Column("acknowledged", String(128), nullable=False, server_default=""),
    Index("ix_alerts_ended", "ended"),
)

Table(
    "tokens",
    _TABLES,
    Column("digest", String(64), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float),
)

Table(
    "runs",
    _TABLES,
    Column("name", String(64), primary_key=True),
    Column("model", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("created", Float, nullable=False),
    Column("history", JSON, nullable=False),
    Column("report", LargeBinary),
)


def upgrade() -> None:
    """To this revision."""
    _TABLES.create_all(op.get_bind(), checkfirst=False)


def downgrade() -> None:
    """Back to an empty database."""
    _TABLES.drop_all(op.get_bind(), checkfirst=False)
