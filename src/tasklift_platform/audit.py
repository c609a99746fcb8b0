"""The audit log: who did what, append-only, each entry's hash covering the one before.

Triggers of the database refuse to change or delete an entry. Whoever may drop triggers can still do it, and then the
chain of hashes tells; whoever cuts entries off the end is found by a head noted elsewhere (`head`, in the log or a
backup). Entries stay when a person is erased: put ids in them, never a customer's text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from tasklift_platform.database import Database, now_s
from tasklift_platform.errors import AuditError
from tasklift_platform.tables import audit_log

_FIRST = "0" * 64  # what the first entry has before it
_LOCK = 7_236_182_452  # any number: on Postgres entries are made one after the other
_PAGE = 500


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the log.

    Attributes:
        seq: 1, 2, 3, without gaps.
        at: Unix seconds by the database's clock.
        actor: who: a key's id, an account, "tasklift" itself.
        action: what, as `noun.verb`: `release.promote`.
        target: to what.
        details: JSON.
        hash: SHA-256 over all of it and over the hash before.
    """

    seq: int
    at: float
    actor: str
    action: str
    target: str
    details: Mapping[str, Any]
    previous: str
    hash: str


async def append(
    connection: AsyncConnection, actor: str, action: str, target: str, details: Mapping[str, Any] | None = None
) -> AuditEntry:
    """Add an entry in the caller's transaction, as its last step: what was done and that it was noted stand together.

    On Postgres other writers of the log wait until the transaction ends.
    """
    if connection.dialect.name != "sqlite":
        await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    last = sa.select(audit_log.c.seq, audit_log.c.hash).order_by(audit_log.c.seq.desc()).limit(1)
    before = (await connection.execute(last)).one_or_none()
    seq, previous = (1, _FIRST) if before is None else (before.seq + 1, before.hash)
    at = round(float((await connection.execute(sa.select(now_s()))).scalar_one()), 3)
    text = json.dumps(details or {}, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    values = {"seq": seq, "at": at, "actor": actor, "action": action, "target": target, "details": text}
    hashed = _hash(values, previous)
    await connection.execute(sa.insert(audit_log).values(**values, previous=previous, hash=hashed))
    return AuditEntry(seq, at, actor, action, target, json.loads(text), previous, hashed)


async def entries(database: Database, *, after: int = 0, target: str | None = None) -> AsyncIterator[AuditEntry]:
    """The log in order, from the entry behind `after` on; only what was done to `target`, where it is given."""
    while True:
        wanted = sa.select(audit_log).where(audit_log.c.seq > after)
        if target is not None:
            wanted = wanted.where(audit_log.c.target == target)
        async with database.read() as connection:
            rows = (await connection.execute(wanted.order_by(audit_log.c.seq).limit(_PAGE))).all()
        for row in rows:
            yield AuditEntry(**{**row._asdict(), "details": json.loads(row.details)})
        if len(rows) < _PAGE:
            return
        after = rows[-1].seq


async def head(database: Database) -> tuple[int, str]:
    """Number and hash of the last entry, to note elsewhere and give to `verify` later; (0, zeros) where none is."""
    last = sa.select(audit_log.c.seq, audit_log.c.hash).order_by(audit_log.c.seq.desc()).limit(1)
    async with database.read() as connection:
        row = (await connection.execute(last)).one_or_none()
    return (0, _FIRST) if row is None else (row.seq, row.hash)


async def verify(database: Database, noted: tuple[int, str] | None = None) -> int:
    """Check every hash.

    Args:
        noted: a `head` of before, which has to be in the log still.

    Returns:
        how many entries there are.

    Raises:
        AuditError: the first entry that is wrong, or the noted one that is gone.
    """
    seq, previous = 0, _FIRST
    found_noted = noted is None or noted == (0, _FIRST)
    while True:
        async with database.read() as connection:
            wanted = sa.select(audit_log).where(audit_log.c.seq > seq).order_by(audit_log.c.seq).limit(_PAGE)
            rows = [row._asdict() for row in await connection.execute(wanted)]
        for row in rows:
            seq += 1
            if row["seq"] != seq:
                raise AuditError(f"audit entry {seq} is missing: entries were removed")
            if row["previous"] != previous or row["hash"] != _hash(row, previous):
                raise AuditError(f"audit entry {seq} does not fit its hash: it or the one before was changed")
            previous = row["hash"]
            found_noted = found_noted or noted == (seq, previous)
        if len(rows) < _PAGE:
            break
    if noted is not None and not found_noted:
        raise AuditError(f"the noted audit entry {noted[0]} is gone or another one: the log ends at {seq}")
    return seq


def _hash(row: Mapping[str, Any], previous: str) -> str:
    fields = [row[name] for name in ("seq", "at", "actor", "action", "target", "details")]
    return hashlib.sha256(json.dumps([*fields, previous], ensure_ascii=False).encode()).hexdigest()
