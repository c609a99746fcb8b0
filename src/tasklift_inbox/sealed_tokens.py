"""Access tokens in the database, sealed: one process asks the provider, all use what it got."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from tasklift_inbox.errors import Outcome, SendError
from tasklift_platform.database import Database
from tasklift_platform.errors import SecretError
from tasklift_platform.leases import release_lease, take_lease
from tasklift_platform.vault import Secret, SecretStore

_LEASE_S = 60.0  # longer than a token endpoint may take
_PAUSE_S = 0.1


class SealedTokens:
    """A `TokenKeeper`."""

    def __init__(self, database: Database, secrets: SecretStore) -> None:
        self._database, self._secrets = database, secrets

    async def load(self, channel_id: str) -> Mapping[str, Any] | None:
        """What was saved; None also where it is sealed with a key that is gone, for a new one can be had."""
        try:
            found = await self._secrets.get(_name(channel_id))
        except SecretError:
            return None
        return None if found is None else dict(json.loads(found.reveal()))

    async def save(self, channel_id: str, tokens: Mapping[str, Any]) -> None:
        """Seal `tokens`."""
        await self._secrets.put(_name(channel_id), Secret(json.dumps(dict(tokens))))

    @contextlib.asynccontextmanager
    async def alone(self, channel_id: str) -> AsyncIterator[None]:
        """Under a lease.

        Raises:
            SendError: RETRY, somebody else is at it for too long.
        """
        until = time.monotonic() + _LEASE_S
        while (lease := await take_lease(self._database, f"inbox.token.{channel_id}", _LEASE_S)) is None:
            if time.monotonic() > until:
                raise SendError("another process asks for the access token and does not come to an end", Outcome.RETRY)
            await asyncio.sleep(_PAUSE_S)
        try:
            yield
        finally:
            await release_lease(self._database, lease)


def _name(channel_id: str) -> str:
    return f"token/{channel_id}"
