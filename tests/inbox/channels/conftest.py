"""A channel without a database, and one beside a fake provider."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tasklift_inbox.channels.base import Channel, ChannelConfig, Item, Tools
from tasklift_inbox.channels.http import ApiClient
from tasklift_inbox.channels.registry import make_channel
from tasklift_inbox.testing import running
from tasklift_platform.vault import Secret

SECRETS = {"app_secret": "s3cret, older", "verify_token": "v", "webhook_secret": "w"}
Make = Callable[..., AbstractAsyncContextManager[Channel]]


@contextlib.asynccontextmanager
async def _made(kind: str, external_id: str = "1", fake: Any = None, **settings: Any) -> AsyncIterator[Channel]:
    async with contextlib.AsyncExitStack() as stack:
        http = ApiClient()
        credentials = dict(SECRETS)
        if fake is not None:
            settings["base_url"] = await stack.enter_async_context(running(fake.app))
            credentials["bot_token" if kind == "telegram" else "access_token"] = fake.token
        secrets = {name: Secret(text) for name, text in credentials.items()}
        stack.push_async_callback(http.aclose)
        yield make_channel(ChannelConfig("c", kind, external_id, settings, secrets), Tools(http))


@pytest.fixture
def made() -> Make:
    """`async with made(kind, external_id, fake)` is a channel."""
    return _made


async def parsed(kind: str, event: Any) -> list[Item]:
    """What a channel reads in an event."""
    async with _made(kind) as channel:
        return channel.parse({}, json.dumps(event).encode(), 1_764_000_000.0)
