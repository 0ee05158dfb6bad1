"""The tables. Times are seconds since 1970 in UTC; JSON columns hold the messages of `edge_runtime.messages`.

`devices` and `twins` are one row a device; `events` is the audit log, a chain of hashes (`cloud.audit`); everything
else hangs on a device, a rollout or a model by its name. Migrations: `cloud/database/migrations`.
"""

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

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)
_SERIAL = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only in an INTEGER PRIMARY KEY

# status: "enrolled" (may connect), "retired" (may not). `labels` are {"room": "kitchen"}; `site` "" is flat.
devices = Table(
    "devices",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("site", String(64), nullable=False, server_default=""),
    Column("target", String(64), nullable=False, server_default=""),
    Column("labels", JSON, nullable=False),
    Column("status", String(16), nullable=False, server_default="enrolled"),
    Column("certificate", String(64), nullable=False, server_default=""),  # SHA-256 of the credential
    Column("expires", Float, nullable=False, server_default="0"),  # of the credential
    Column("enrolled", Float, nullable=False),
    Column("seen", Float, nullable=False, server_default="0"),
    Column("online", Boolean, nullable=False, server_default="0"),
    Column("beat", JSON),  # the last `Beat`
    Column("latitude", Float),
    Column("longitude", Float),
    Index("ix_devices_site", "site"),
)

_TWIN_DUE = text("desired_at > sent_at")
_COMMAND_DUE = text("status = 'pending' AND sent_at = 0")

# `desired_v` and `reported_v` stand beside the messages so that a fleet can be counted without reading JSON.
twins = Table(
    "twins",
    metadata,
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
    # What the controller has still to take on. `sent_at` is 0 from the wish until then.
    Index("ix_twins_due", "device", sqlite_where=_TWIN_DUE, postgresql_where=_TWIN_DUE),
)

groups = Table(
    "groups",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("selector", Text, nullable=False),  # "target=rpi4,room=kitchen"
    Column("created", Float, nullable=False),
)

# A one-time enrolment token, kept only as its SHA-256. `hosts`: by what names devices reach a gateway; `key`: SHA-256
# of the public key that it was used for, so that who lost the answer may ask again.
enrolments = Table(
    "enrolments",
    metadata,
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

# Every certificate that was given out, so that all of a device's can be revoked; `serial` in hexadecimal.
certificates = Table(
    "certificates",
    metadata,
    Column("serial", String(40), primary_key=True),
    Column("device", String(64), nullable=False),
    Column("digest", String(64), nullable=False),  # SHA-256 of the certificate
    Column("key", Text, nullable=False),  # the public key, PEM: content keys are wrapped for it
    Column("issued", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("revoked", Float),
    Index("ix_certificates_device", "device"),
)

# status: "pending" until it is answered ("done", "failed", "unknown") or "expired".
commands = Table(
    "commands",
    metadata,
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

# What `Stats` said, a row each; old rows are deleted after the time that the settings say.
stats = Table(
    "stats",
    metadata,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("device", String(64), nullable=False),
    Column("model", String(64), nullable=False),
    Column("at", Float, nullable=False),
    Column("stats", JSON, nullable=False),
    Index("ix_stats_device", "device", "at"),
    Index("ix_stats_model", "model", "at"),
)

# state: "draft", "running", "paused", "finished", "aborted", "rolled-back"; spec: `cloud.rollouts.spec.Spec`.
rollouts = Table(
    "rollouts",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("spec", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("phase", Integer, nullable=False, server_default="0"),
    Column("phase_began", Float, nullable=False, server_default="0"),
    Column("settled", Float),  # since when the phase's devices are done, while its soak lasts
    Column("reason", Text, nullable=False, server_default=""),
    Column("created", Float, nullable=False),
    Column("ended", Float),
)

# Which devices a rollout has reached, in which phase, and what they would go back to.
rollout_devices = Table(
    "rollout_devices",
    metadata,
    Column("rollout", String(64), primary_key=True),
    Column("device", String(64), primary_key=True),
    Column("phase", Integer, nullable=False),
    Column("desired_v", BigInteger, nullable=False),
    Column("before", JSON),  # the `Desired` that it had
    Column("told", Float, nullable=False),
    Index("ix_rollout_devices_phase", "rollout", "phase"),
)

# The audit log: `hash` is SHA-256 over the row and the hash before it.
events = Table(
    "events",
    metadata,
    Column("sequence", _SERIAL, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(128), nullable=False, server_default=""),
    Column("detail", JSON, nullable=False),
    Column("hash", String(64), nullable=False),
    Index("ix_events_subject", "subject"),
)

# severity: "info", "warning", "critical". One row for what lasts; `ended` when it is over.
alerts = Table(
    "alerts",
    metadata,
    Column("id", _SERIAL, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("severity", String(16), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("text", Text, nullable=False),
    Column("ended", Float),
    Column("acknowledged", String(128), nullable=False, server_default=""),
    Index("ix_alerts_ended", "ended"),
)

# People and programs; role: "viewer", "operator", "admin". Only the token's SHA-256 is kept.
tokens = Table(
    "tokens",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float),
)

# A federated run as the console shows it; `history` is `federated.history`'s JSON.
runs = Table(
    "runs",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("model", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("created", Float, nullable=False),
    Column("history", JSON, nullable=False),
    Column("report", LargeBinary),  # report.html, when it is over
)
