"""Channels: added, listed, checked, disabled."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as insert_postgres
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from tasklift.errors import ConfigError
from tasklift_inbox.channels.base import Channel, ChannelConfig, Check, Field
from tasklift_inbox.channels.registry import channel_class, make_channel
from tasklift_inbox.channels.telegram import TelegramChannel
from tasklift_inbox.errors import UnknownChannelError
from tasklift_inbox.runtime import REVISION, Runtime, credentials_name
from tasklift_inbox.sending import note_health
from tasklift_inbox.tables import channels
from tasklift_inbox.texts import compact
from tasklift_platform import audit
from tasklift_platform.database import now_s
from tasklift_platform.errors import SecretError
from tasklift_platform.vault import Secret
from tasklift_platform.watch import bump

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class NewChannel:
    """What a channel is made from.

    Attributes:
        name: in its webhook's address: small letters, digits, hyphens.
        values: every field of its kind by name, credentials and `external_id` among them.
        settings: further ones, such as `base_url` of a fake server, or `mode` of Telegram.
        is_replacement: change a channel that is there; what is not given stays as it is.
    """

    kind: str
    name: str
    values: Mapping[str, str] = field(repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_replacement: bool = False


async def add(runtime: Runtime, new: NewChannel, by: str) -> Channel:
    """Store a channel, its credentials sealed.

    Raises:
        ConfigError: a value is missing or makes no sense, or the name or account is taken.
    """
    if not _NAME.fullmatch(new.name):
        raise ConfigError(f"{new.name!r} is no name for a channel: small letters, digits and hyphens, up to 63")
    fields = channel_class(new.kind).fields
    if new.is_replacement:
        new = await _completed(runtime, new, fields)
    values = _values(new, fields)
    credentials = {part.name: values[part.name] for part in fields if part.is_secret}
    shown = {part.name: values[part.name] for part in fields if not part.is_secret and part.name != "external_id"}
    shown |= dict(new.settings)
    config = ChannelConfig(
        new.name, new.kind, values["external_id"], shown, {name: Secret(text) for name, text in credentials.items()}
    )
    made = make_channel(config, runtime.tools)  # says what is wrong before anything is stored
    await _refuse_taken(runtime, new, config)
    await runtime.secrets.put(credentials_name(new.name), Secret(json.dumps(credentials)))
    insert = insert_sqlite if runtime.database.is_sqlite else insert_postgres
    row = {"kind": new.kind, "external_id": config.external_id, "settings": compact(shown), "is_active": True}
    row |= {"health": "unchecked", "problem": "", "remedy": ""}
    stored = insert(channels).values(id=new.name, created_at=now_s(), **row)
    async with runtime.database.write() as connection:
        await connection.execute(stored.on_conflict_do_update(index_elements=["id"], set_=row))
        await bump(connection, REVISION)
        await audit.append(connection, by, "channel.add", new.name, {"kind": new.kind})
    await runtime.load()
    return made


async def known(runtime: Runtime, kind: str, name: str) -> dict[str, Any]:
    """Fields and settings of a channel that is there; nothing where it is not.

    Raises:
        ConfigError: it is of another kind.
    """
    async with runtime.database.read() as connection:
        row = (await connection.execute(sa.select(channels).where(channels.c.id == name))).one_or_none()
    if row is None:
        return {}
    if row.kind != kind:
        raise ConfigError(f"the channel {name!r} is of the kind {row.kind}: give this one another name")
    found: dict[str, Any] = json.loads(row.settings) | {"external_id": row.external_id}
    with contextlib.suppress(SecretError):  # sealed with a key that is gone: then every credential has to be given
        sealed = await runtime.secrets.get(credentials_name(name))
        found |= {} if sealed is None else json.loads(sealed.reveal())
    return found


async def _completed(runtime: Runtime, new: NewChannel, fields: tuple[Field, ...]) -> NewChannel:
    """What the channel has already, under what is given: renewing a token has to break no webhook."""
    found, names = await known(runtime, new.kind, new.name), {part.name for part in fields}
    values = {name: str(value) for name, value in found.items() if name in names} | dict(new.values)
    settings = {name: value for name, value in found.items() if name not in names} | dict(new.settings)
    return replace(new, values=values, settings=settings)


def _values(new: NewChannel, fields: tuple[Field, ...]) -> dict[str, str]:
    unknown = set(new.values) - {part.name for part in fields}
    if unknown:
        names = ", ".join(part.name for part in fields)
        raise ConfigError(f"a {new.kind} channel has no {sorted(unknown)[0]!r}: it has {names}")
    found: dict[str, str] = {}
    for part in fields:
        value = new.values.get(part.name, "").strip()
        if not value and part.default == "random":
            value = secrets.token_urlsafe(24)
        elif not value and part.default == "token":
            value = new.values.get("bot_token", "").partition(":")[0]
        value = value or part.default
        if not value and not part.is_optional and not (part.unless and new.values.get(part.unless)):
            raise ConfigError(f"{part.name} is missing: {part.where}")
        found[part.name] = value
    return found


async def _refuse_taken(runtime: Runtime, new: NewChannel, config: ChannelConfig) -> None:
    async with runtime.database.read() as connection:
        rows = (await connection.execute(sa.select(channels.c.id, channels.c.kind, channels.c.external_id))).all()
    for row in rows:
        if row.id == new.name and not new.is_replacement:
            raise ConfigError(f"there is a channel {new.name!r} already; to change it, add it with --replace")
        if row.id != new.name and (row.kind, row.external_id) == (config.kind, config.external_id):
            raise ConfigError(f"the channel {row.id!r} is this account already ({config.kind} {config.external_id})")


async def disable(runtime: Runtime, name: str, by: str) -> None:
    """Take nothing in and send nothing; what is stored stays, and `add --replace` brings it back.

    Raises:
        UnknownChannelError: there is none of this name.
    """
    async with runtime.database.write() as connection:
        off = sa.update(channels).where(channels.c.id == name).values(is_active=False)
        if not (await connection.execute(off)).rowcount:
            raise UnknownChannelError(f"no channel is called {name!r}; `tasklift-inbox channel list` shows them")
        await bump(connection, REVISION)
        await audit.append(connection, by, "channel.disable", name)
    await runtime.load()


async def listed(runtime: Runtime) -> list[dict[str, Any]]:
    """Every channel, without its credentials."""
    columns = [channels.c[name] for name in ("id", "kind", "external_id", "is_active", "health", "problem", "remedy")]
    async with runtime.database.read() as connection:
        rows = await connection.execute(sa.select(*columns, channels.c.health_at).order_by(channels.c.id))
        return [dict(row._mapping) for row in rows]


async def check(runtime: Runtime, name: str, *, fix: bool = False) -> list[Check]:
    """Look at a channel and note its health.

    Args:
        fix: set what can be set from here, such as Telegram's webhook.

    Raises:
        UnknownChannelError: no active channel has this name.
        SendError: the provider refuses what `fix` asks for.
    """
    channel = runtime.channel(name)
    if fix and isinstance(channel, TelegramChannel):
        is_polling = channel.config.settings.get("mode", "polling") == "polling"
        await channel.set_webhook("" if is_polling else hook_url(runtime, name))
    checks = await channel.check()
    bad = [check for check in checks if check.problem]
    problem = f"{bad[0].what}: {bad[0].problem}" if bad else ""
    await note_health(runtime, name, problem, bad[0].remedy if bad else "")
    return checks


def hook_url(runtime: Runtime, name: str) -> str:
    """The address that a provider calls."""
    return f"{runtime.settings.public_url.rstrip('/')}/hooks/{name}"
