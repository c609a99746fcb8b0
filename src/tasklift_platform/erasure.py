"""Erasing a person: every store of customers' text registers here, and erasing reaches each of them.

A store that fails keeps the erasure open; it is tried again (`retry_open`, from a job) until each is done, and also
in a store that was registered since. Then the person's identifier itself is forgotten: what stays is a certificate
with a salted hash, which who knows the identifier can check, and an entry in the audit log.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as insert_postgres
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from tasklift.errors import ConfigError
from tasklift_platform import audit
from tasklift_platform.database import Database, now_s
from tasklift_platform.errors import AuditError
from tasklift_platform.tables import erasure_stores, erasures

_LOG = logging.getLogger("tasklift.erasure")
_LONGEST_ERROR = 500  # characters


class Store(Protocol):
    """Something that holds customers' text."""

    @property
    def name(self) -> str:
        """Unique, and the same after a restart."""

    async def erase(self, subject: str) -> int:
        """Remove everything of `subject`; again where it was done before. Returns how many things were removed."""

    async def export(self, subject: str) -> Sequence[Mapping[str, Any]]:
        """Everything of `subject`, as JSON objects."""


@dataclass(frozen=True, slots=True)
class StoreErasure:
    """What one store did.

    Attributes:
        attempts: how often it was asked.
        erased: things removed; None while it is not done.
        error: of the last attempt; None where that worked.
        done_at: Unix seconds by the database's clock.
    """

    store: str
    attempts: int
    erased: int | None
    error: str | None
    done_at: float | None


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was erased, and what is still open.

    Attributes:
        digest: SHA-256 of salt and identifier, in hexadecimal; see `is_about`.
        completed_at: None while a store is not done.
    """

    id: str
    salt: str
    digest: str
    requested_by: str
    requested_at: float
    completed_at: float | None
    stores: tuple[StoreErasure, ...]

    def is_about(self, subject: str) -> bool:
        """Is this the certificate of `subject`?"""
        return secrets.compare_digest(_digest(self.salt, subject), self.digest)

    def to_json(self) -> dict[str, Any]:
        """For the person who asked."""
        return {"schema_version": 1, **asdict(self)}


class ErasureRegistry:
    """The stores of one application, and the erasures that went through them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stores: dict[str, Store] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the registered stores."""
        return tuple(self._stores)

    def register(self, store: Store) -> None:
        """Include `store` in every erasure and export from now on, open ones too.

        Raises:
            ConfigError: another store has its name.
        """
        if store.name in self._stores:
            raise ConfigError(f"two stores of customers' text are called {store.name!r}; name them apart")
        self._stores[store.name] = store

    async def erase(self, subject: str, requested_by: str) -> Certificate:
        """Erase `subject` everywhere. What is open afterwards is tried again by `retry_open`.

        Args:
            subject: the identifier by which the stores know the person.
            requested_by: who asked for it, for the audit log.

        Raises:
            ConfigError: no identifier, or no store is registered.
        """
        if not subject.strip():
            raise ConfigError("whom to erase: the identifier is empty")
        if not self._stores:
            raise ConfigError("no store is registered, so nothing would be erased")
        erasure_id, salt = secrets.token_hex(8), secrets.token_hex(16)
        values = {"id": erasure_id, "subject": subject, "salt": salt, "digest": _digest(salt, subject)}
        async with self._database.write() as connection:
            request = sa.insert(erasures).values(**values, requested_by=requested_by, requested_at=now_s())
            await connection.execute(request)
            await audit.append(connection, requested_by, "erasure.request", erasure_id)
        return await self._run(erasure_id, subject)

    async def retry_open(self) -> list[Certificate]:
        """Try again what is open, oldest first; returns what became of each."""
        wanted = sa.select(erasures.c.id, erasures.c.subject).where(erasures.c.completed_at.is_(None))
        async with self._database.read() as connection:
            rows = (await connection.execute(wanted.order_by(erasures.c.requested_at))).all()
        return [await self._run(row.id, row.subject) for row in rows if row.subject is not None]

    async def certificate(self, erasure_id: str) -> Certificate | None:
        """How far an erasure is; None where there is none of that id."""
        async with self._database.read() as connection:
            found = sa.select(erasures).where(erasures.c.id == erasure_id)
            row = (await connection.execute(found)).one_or_none()
            if row is None:
                return None
            of_it = sa.select(erasure_stores).where(erasure_stores.c.erasure_id == erasure_id)
            stores = (await connection.execute(of_it.order_by(erasure_stores.c.store))).all()
        return Certificate(
            row.id,
            row.salt,
            row.digest,
            row.requested_by,
            row.requested_at,
            row.completed_at,
            tuple(StoreErasure(s.store, s.attempts, s.erased, s.error, s.done_at) for s in stores),
        )

    async def export(self, subject: str) -> dict[str, list[dict[str, Any]]]:
        """Everything that is held about `subject`: store -> objects. A store that fails makes it fail."""
        return {name: [dict(item) for item in await store.export(subject)] for name, store in self._stores.items()}

    async def _run(self, erasure_id: str, subject: str) -> Certificate:
        known = await self._noted(erasure_id)
        done = {store.store for store in known.stores if store.erased is not None}
        for name in self._stores:
            if name not in done:
                await self._ask(erasure_id, name, subject)
        for gone in {store.store for store in known.stores} - set(self._stores) - done:
            _LOG.error("erasure waits for a store that is not registered", extra={"erasure": erasure_id, "store": gone})
        return await self._complete(erasure_id)

    async def _ask(self, erasure_id: str, name: str, subject: str) -> None:
        erased, error = None, None
        try:
            erased = await self._stores[name].erase(subject)
        except Exception as failure:  # the boundary: one store's failure must not keep the others from erasing
            error = f"{type(failure).__name__}: {failure}".replace(subject, "[subject]")[:_LONGEST_ERROR]
            said = {"erasure": erasure_id, "store": name, "error": error}  # no traceback: it may hold the identifier
            _LOG.error("store could not erase, it will be tried again", extra=said)
        insert = insert_sqlite if self._database.is_sqlite else insert_postgres
        values = {"erased": erased, "error": error, "done_at": None if erased is None else now_s()}
        noted = insert(erasure_stores).values(erasure_id=erasure_id, store=name, attempts=1, **values)
        noted = noted.on_conflict_do_update(
            index_elements=["erasure_id", "store"], set_={**values, "attempts": erasure_stores.c.attempts + 1}
        )
        async with self._database.write() as connection:
            await connection.execute(noted)

    async def _complete(self, erasure_id: str) -> Certificate:
        """Close it where every store is done; the identifier is forgotten then."""
        found = await self._noted(erasure_id)
        done = {store.store for store in found.stores if store.erased is not None}
        if {store.store for store in found.stores} | set(self._stores) <= done:
            closed = sa.update(erasures).where(erasures.c.id == erasure_id, erasures.c.completed_at.is_(None))
            async with self._database.write() as connection:
                changed = await connection.execute(closed.values(subject=None, completed_at=now_s()))
                if changed.rowcount:  # and not somebody else at the same moment
                    counts = {store.store: store.erased for store in found.stores}
                    await audit.append(connection, "tasklift", "erasure.complete", erasure_id, counts)
            found = await self._noted(erasure_id)
        return found

    async def _noted(self, erasure_id: str) -> Certificate:
        """The certificate of an erasure that is under way.

        Raises:
            AuditError: somebody has removed its row.
        """
        found = await self.certificate(erasure_id)
        if found is None:
            raise AuditError(f"erasure {erasure_id} was removed while it ran; ask for it again")
        return found


def _digest(salt: str, subject: str) -> str:
    return hashlib.sha256(f"{salt}\0{subject}".encode()).hexdigest()
