"""API keys: `tl_<id>_<secret>`. The database holds an argon2id hash of the secret; nobody can read a key again.

argon2 is slow on purpose, so a process runs it once for each key it meets, in a thread; after that the SHA-256 of
what was presented is compared. Revoking counts up a revision that every process reads within a second.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from tasklift.errors import ConfigError
from tasklift_platform.database import Database, now_s
from tasklift_platform.errors import InvalidKeyError, RateExceededError, ScopeError
from tasklift_platform.rates import Rates
from tasklift_platform.tables import api_keys
from tasklift_platform.watch import Watch, bump

REVISION = "api_keys"
KEY_PATTERN = re.compile(r"tl_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_SCOPE = re.compile(r"\*|[a-z][a-z0-9_.-]*(:[A-Za-z0-9_.*-]+)*")
_REMEMBERED = 10_000  # presented keys, and rows
_QUEUE = 64  # keys that may wait for argon2: a flood of wrong ones must not pile up
#: OWASP's parameters; a secret of 256 random bits would need none of it.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known about a key; its secret is not.

    Attributes:
        id: the part between the underscores, shown in lists and logs.
        scopes: what it may do. `predict` also allows `predict:anything`, `*` allows all.
        requests_per_minute, burst: None: no limit; the usual burst, one second's worth.
        created_at, expires_at, revoked_at: Unix seconds by the database's clock.
    """

    id: str
    name: str
    scopes: frozenset[str]
    requests_per_minute: float | None = None
    burst: int | None = None
    created_at: float = 0.0
    expires_at: float | None = None
    revoked_at: float | None = None
    hash: str = field(default="", repr=False)

    def allows(self, scope: str) -> bool:
        """May this key do `scope`?"""
        parts = scope.split(":")
        return "*" in self.scopes or any(":".join(parts[:n]) in self.scopes for n in range(1, len(parts) + 1))

    def require(self, scope: str) -> None:
        """Raise unless it may.

        Raises:
            ScopeError: it may not; the message names the scope that is missing.
        """
        if not self.allows(scope):
            held = ", ".join(sorted(self.scopes)) or "none"
            raise ScopeError(f"this key lacks the scope {scope!r} (it has: {held}); make one with it")


@dataclass(frozen=True, slots=True)
class NewKey:
    """What a key is made from; see `ApiKey`.

    Raises:
        ConfigError: a scope or a number makes no sense.
    """

    name: str
    scopes: Iterable[str]
    lifetime_s: float | None = None
    requests_per_minute: float | None = None
    burst: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "scopes", frozenset(self.scopes))
        for scope in self.scopes:
            if not _SCOPE.fullmatch(scope):
                raise ConfigError(f"{scope!r} is no scope: write 'predict', 'predict:support_triage' or '*'")
        for name in ("lifetime_s", "requests_per_minute", "burst"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} must be above 0, not {value!r}")


async def create_key(database: Database, new: NewKey) -> tuple[ApiKey, str]:
    """Make a key.

    Returns:
        what is stored, and the key itself: show it once, it cannot be had again.
    """
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    hashed = await asyncio.to_thread(_HASHER.hash, secret)
    values = {
        "id": key_id,
        "name": new.name,
        "hash": hashed,
        "scopes": " ".join(sorted(new.scopes)),
        "requests_per_minute": new.requests_per_minute,
        "burst": new.burst,
        "created_at": now_s(),
        "expires_at": None if new.lifetime_s is None else now_s() + new.lifetime_s,
    }
    async with database.write() as connection:
        row = (await connection.execute(sa.insert(api_keys).values(values).returning(api_keys))).one()
        await bump(connection, REVISION)
    return _key(row._asdict()), f"tl_{key_id}_{secret}"


async def revoke_key(database: Database, key_id: str) -> bool:
    """Revoke a key, on every process within a second.

    Returns:
        False where there is no such key, or it was revoked before.
    """
    async with database.write() as connection:
        change = sa.update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
        changed = (await connection.execute(change.values(revoked_at=now_s()))).rowcount
        if changed:
            await bump(connection, REVISION)
    return bool(changed)


async def list_keys(database: Database) -> list[ApiKey]:
    """Every key, oldest first, revoked and expired ones too."""
    async with database.read() as connection:
        rows = await connection.execute(sa.select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id))
        return [_key(row._asdict()) for row in rows]


def _key(row: Mapping[str, Any]) -> ApiKey:
    return ApiKey(**{**row, "scopes": frozenset(row["scopes"].split())})


class KeyRing:
    """Checks the keys that callers present, in one process.

    Args:
        database: where the keys are.
        watch: tells when they changed.
        rates: this process's part of the rate limits.
    """

    def __init__(self, database: Database, watch: Watch, rates: Rates | None = None) -> None:
        self._database, self._watch = database, watch
        self._rates = rates or Rates()
        self._revision = -1
        self._rows: OrderedDict[str, ApiKey | None] = OrderedDict()
        self._proven: OrderedDict[bytes, str] = OrderedDict()  # SHA-256 of a presented key -> the hash it matches
        self._proving: dict[bytes, asyncio.Task[bool]] = {}
        self._one_at_a_time = asyncio.Semaphore(1)

    async def check(self, presented: str | None, scope: str | None = None) -> ApiKey:
        """The key that was presented, if it is good for `scope` and within its rate.

        Args:
            presented: as it came, None where nothing came.
            scope: what the caller is about to do; None: anybody with a key may.

        Raises:
            InvalidKeyError, ScopeError, RateExceededError: it is not.
            DatabaseError: this cannot be known at the moment.
        """
        key = await self._authenticated(presented)
        if scope is not None:
            key.require(scope)
        if key.requests_per_minute is not None:
            wait_s = self._rates.take(key.id, key.requests_per_minute, key.burst)
            if wait_s > 0:
                allowed = f"{key.requests_per_minute:g} requests a minute"
                raise RateExceededError(f"key {key.id} may send {allowed}; wait {wait_s:.1f} s", wait_s)
        return key

    async def _authenticated(self, presented: str | None) -> ApiKey:
        if not presented:
            raise InvalidKeyError("no API key was sent; send one as 'Authorization: Bearer tl_...'")
        match = KEY_PATTERN.fullmatch(presented)
        if match is None:
            raise InvalidKeyError("this is not an API key of this service: they look like tl_<id>_<secret>")
        await self._watch.fresh()
        key = await self._row(match[1])
        if key is None or not await self._matches(presented, match[2], key):
            raise InvalidKeyError(f"the API key tl_{match[1]}_... is not known here; check it, or make a new one")
        if key.revoked_at is not None:
            raise InvalidKeyError(f"the API key {key.id} was revoked; make a new one")
        if key.expires_at is not None and key.expires_at <= self._watch.now_s():
            raise InvalidKeyError(f"the API key {key.id} has expired; make a new one")
        return key

    async def _row(self, key_id: str) -> ApiKey | None:
        revision = self._watch.revision(REVISION)
        if revision != self._revision:
            self._rows.clear()
            self._revision = revision
        if key_id not in self._rows:
            async with self._database.read() as connection:
                found = (await connection.execute(sa.select(api_keys).where(api_keys.c.id == key_id))).one_or_none()
            if revision != self._revision:  # it changed while we read
                return None if found is None else _key(found._asdict())
            _remember(self._rows, key_id, None if found is None else _key(found._asdict()))
        return self._rows[key_id]

    async def _matches(self, presented: str, secret: str, key: ApiKey) -> bool:
        digest = hashlib.sha256(presented.encode()).digest()
        if self._proven.get(digest) == key.hash:
            return True
        proving = self._proving.get(digest)
        if proving is None:  # many requests may bring the same key at once: one of them runs argon2
            if len(self._proving) >= _QUEUE:
                raise RateExceededError("too many unknown API keys at once; try again in a second", 1.0)
            proving = self._proving[digest] = asyncio.create_task(self._prove(secret, key.hash, digest))
            proving.add_done_callback(lambda _: self._proving.pop(digest, None))
        return await asyncio.shield(proving)

    async def _prove(self, secret: str, hashed: str, digest: bytes) -> bool:
        async with self._one_at_a_time:
            matches = await asyncio.to_thread(_verify, secret, hashed)
        if matches:  # remembered before the task ends: who comes between its end and its waiters finds it
            _remember(self._proven, digest, hashed)
        return matches


def _verify(secret: str, hashed: str) -> bool:
    try:
        return _HASHER.verify(hashed, secret)
    except (VerifyMismatchError, InvalidHashError):
        return False


def _remember(where: OrderedDict[Any, Any], key: object, value: object) -> None:
    where[key] = value
    if len(where) > _REMEMBERED:
        where.popitem(last=False)
