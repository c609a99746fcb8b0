"""The first tables: revisions, keys, audit, leases, jobs, erasures, secrets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "platform_0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_APPEND_ONLY_SQLITE = [
    f"CREATE TRIGGER audit_log_no_{verb.lower()} BEFORE {verb} ON audit_log {when} "
    "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
    for verb, when in (
        ("UPDATE", ""),
        ("DELETE", ""),
        # INSERT OR REPLACE deletes without asking the trigger above.
        ("INSERT", "WHEN EXISTS (SELECT 1 FROM audit_log WHERE seq = NEW.seq)"),
    )
]
_APPEND_ONLY_POSTGRES = [
    "CREATE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$",
    "CREATE TRIGGER audit_log_no_change BEFORE UPDATE OR DELETE ON audit_log "
    "FOR EACH ROW EXECUTE FUNCTION audit_log_refuse()",
    "CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log "
    "FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse()",
]


def upgrade() -> None:
    """Make the tables."""
    _access_and_audit()
    _jobs()
    _erasure_and_secrets()


def _access_and_audit() -> None:
    op.create_table(
        "revisions",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("requests_per_minute", sa.Double),
        sa.Column("burst", sa.Integer),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("revoked_at", sa.Double),
    )
    op.create_table(
        "audit_log",
        sa.Column("seq", _ID, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Double, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("actor", "action", "target", "details")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("previous", "hash")),
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _APPEND_ONLY_SQLITE if is_sqlite else _APPEND_ONLY_POSTGRES:
        op.execute(statement)


def _jobs() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("taken_at", sa.Double, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
    )
    op.create_table(
        "jobs",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("key", sa.Text),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("run_at", sa.Double, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("max_attempts", sa.Integer, nullable=False),
        sa.Column("worker", sa.Text),
        sa.Column("beat_at", sa.Double),
        sa.Column("lease_until", sa.Double),
        sa.Column("error", sa.Text),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("finished_at", sa.Double),
        sqlite_autoincrement=True,
    )
    for name, columns, where in (
        ("jobs_ready", ["queue", "run_at", "id"], "state = 'ready'"),
        ("jobs_running", ["queue", "lease_until"], "state = 'running'"),
        ("jobs_waiting", ["queue", "key", "id"], "state = 'waiting'"),
        ("jobs_one_active_per_key", ["queue", "key"], "state IN ('ready', 'running')"),
    ):
        part = sa.text(where)
        unique = name == "jobs_one_active_per_key"
        op.create_index(name, "jobs", columns, unique=unique, sqlite_where=part, postgresql_where=part)


def _erasure_and_secrets() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("salt", "digest", "requested_by")),
        sa.Column("requested_at", sa.Double, nullable=False),
        sa.Column("completed_at", sa.Double),
    )
    op.create_table(
        "erasure_stores",
        sa.Column("erasure_id", sa.Text, sa.ForeignKey("erasures.id"), primary_key=True),
        sa.Column("store", sa.Text, primary_key=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("erased", sa.BigInteger),
        sa.Column("error", sa.Text),
        sa.Column("done_at", sa.Double),
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
    )
