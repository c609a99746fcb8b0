"""The platform's tables. Migrations make them (a test compares the two); times are Unix seconds by the database."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

METADATA = sa.MetaData()

#: SQLite numbers rows only where the type is exactly INTEGER.
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

#: A counter for each thing that every process has to notice within a second.
revisions = sa.Table(
    "revisions",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
)

api_keys = sa.Table(
    "api_keys",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),  # argon2id of the secret
    sa.Column("scopes", sa.Text, nullable=False),  # separated by spaces
    sa.Column("requests_per_minute", sa.Double),
    sa.Column("burst", sa.Integer),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("expires_at", sa.Double),
    sa.Column("revoked_at", sa.Double),
)

#: Append-only by triggers; `hash` covers the row and the hash before it.
audit_log = sa.Table(
    "audit_log",
    METADATA,
    sa.Column("seq", _ID, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("details", sa.Text, nullable=False),  # canonical JSON
    sa.Column("previous", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
)

leases = sa.Table(
    "leases",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("token", sa.BigInteger, nullable=False),  # grows with every new holder
    sa.Column("taken_at", sa.Double, nullable=False),
    sa.Column("until", sa.Double, nullable=False),
)

#: state: waiting (an earlier job of its key is not finished) -> ready -> running -> done | dead
jobs = sa.Table(
    "jobs",
    METADATA,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("queue", sa.Text, nullable=False),
    sa.Column("key", sa.Text),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),  # JSON
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


def _index_where(name: str, where: str, *columns: sa.Column[Any], unique: bool = False) -> None:
    part = sa.text(where)  # queries have to say it in the same words, without parameters
    sa.Index(name, *columns, unique=unique, sqlite_where=part, postgresql_where=part)


_index_where("jobs_ready", "state = 'ready'", jobs.c.queue, jobs.c.run_at, jobs.c.id)
_index_where("jobs_running", "state = 'running'", jobs.c.queue, jobs.c.lease_until)
_index_where("jobs_waiting", "state = 'waiting'", jobs.c.queue, jobs.c.key, jobs.c.id)
_index_where("jobs_one_active_per_key", "state IN ('ready', 'running')", jobs.c.queue, jobs.c.key, unique=True)

erasures = sa.Table(
    "erasures",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text),  # gone once every store is done
    sa.Column("salt", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("requested_by", sa.Text, nullable=False),
    sa.Column("requested_at", sa.Double, nullable=False),
    sa.Column("completed_at", sa.Double),
)

erasure_stores = sa.Table(
    "erasure_stores",
    METADATA,
    sa.Column("erasure_id", sa.Text, sa.ForeignKey("erasures.id"), primary_key=True),
    sa.Column("store", sa.Text, primary_key=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("erased", sa.BigInteger),  # None: not done
    sa.Column("error", sa.Text),
    sa.Column("done_at", sa.Double),
)

secrets = sa.Table(
    "secrets",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("sealed", sa.Text, nullable=False),
    sa.Column("updated_at", sa.Double, nullable=False),
)
