"""Identities (somebody on a channel) and contacts (a person): found, made, merged, split."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from tasklift.errors import ConfigError
from tasklift_inbox.channels.base import Person
from tasklift_inbox.errors import UnknownItemError
from tasklift_inbox.tables import contact_merges, contacts, identities
from tasklift_inbox.texts import clean
from tasklift_platform import audit
from tasklift_platform.bulk import given, insert_rows
from tasklift_platform.database import Database, now_s

#: (channel, the provider's id) -> identity.
Known = dict[tuple[str, str], int]


async def find_or_make(connection: AsyncConnection, wanted: Mapping[tuple[str, str], Person]) -> Known:
    """The identities of `wanted` (by channel and id), made where they are missing, each with a contact of its own.

    A person that is known by an alias is the same identity; it takes over the new id.
    """
    found = await _by_id(connection, wanted)
    missing = {key: person for key, person in wanted.items() if key not in found}
    if any(person.aliases for person in missing.values()):
        found |= await _by_alias(connection, missing)
        missing = {key: person for key, person in missing.items() if key not in found}
    if missing:
        await _make(connection, missing)
        found |= await _by_id(connection, missing)
    return found


async def _by_id(connection: AsyncConnection, keys: Iterable[tuple[str, str]]) -> Known:
    table = identities.c
    rows = [{"channel_id": channel, "external_id": external} for channel, external in keys]
    asked = given(connection, [table.channel_id, table.external_id], rows)
    same = sa.and_(table.channel_id == asked.c.channel_id, table.external_id == asked.c.external_id)
    query = sa.select(table.channel_id, table.external_id, table.id).select_from(sa.join(identities, asked, same))
    return {(row.channel_id, row.external_id): row.id for row in await connection.execute(query)}


async def _by_alias(connection: AsyncConnection, missing: Mapping[tuple[str, str], Person]) -> Known:
    """By number, where the id is new: the row gets the id that came now, if that says more."""
    found: Known = {}
    table = identities.c
    for (channel, external), person in missing.items():
        names = [name for name in person.aliases if name]
        match = sa.or_(table.external_id.in_(names), table.address.in_(names))
        query = sa.select(table.id, table.external_id).where(table.channel_id == channel, match).limit(1)
        row = (await connection.execute(query)).one_or_none()
        if row is None:
            continue
        found[channel, external] = row.id
        if row.external_id.isdigit() and not external.isdigit():  # a number may change, the scoped id stays
            renamed = sa.update(identities).where(table.id == row.id)
            await connection.execute(renamed.values(external_id=external, address=person.address))
    return found


async def _make(connection: AsyncConnection, missing: Mapping[tuple[str, str], Person]) -> None:
    now = float((await connection.execute(sa.select(now_s()))).scalar_one())
    people = list(missing.items())
    rows = [{"name": clean(person.name), "created_at": now} for _, person in people]
    by_name: dict[str, list[int]] = {}
    for row in await insert_rows(connection, contacts, rows, returning=[contacts.c.id, contacts.c.name]):
        by_name.setdefault(row.name, []).append(row.id)
    new = [
        {
            "channel_id": channel,
            "external_id": external,
            "contact_id": by_name[clean(person.name)].pop(),
            "name": clean(person.name),
            "address": clean(person.address),
            "created_at": now,
        }
        for (channel, external), person in people
    ]
    await insert_rows(connection, identities, new, unless_there=True)


async def rename(connection: AsyncConnection, channel_id: str, old: str, new: str) -> None:
    """Somebody has another id from now on; nothing happens where the new one is here already, or the old one not."""
    table = identities.c
    there = sa.select(table.id).where(table.channel_id == channel_id, table.external_id == new)
    if not old or not new or (await connection.execute(there)).scalar_one_or_none() is not None:
        return
    values = {"external_id": new} | ({"address": new} if new.isdigit() else {})
    moved = sa.update(identities).where(table.channel_id == channel_id, table.external_id == old)
    await connection.execute(moved.values(values))


async def name(database: Database, identity_id: int, found: str) -> None:
    """An identity, and its contact where that has none, are called `found`."""
    text = clean(found)[:200]
    async with database.write() as connection:
        named = sa.update(identities).where(identities.c.id == identity_id).values(name=text)
        contact_id = (await connection.execute(named.returning(identities.c.contact_id))).scalar_one_or_none()
        nobody = sa.update(contacts).where(contacts.c.id == contact_id, contacts.c.name == "")
        await connection.execute(nobody.values(name=text))


@dataclass(frozen=True, slots=True)
class Merge:
    """Two contacts that are one person: `undo` takes them apart again."""

    id: int
    kept_id: int
    merged_id: int


async def merge(database: Database, kept_id: int, merged_id: int, by: str) -> Merge:
    """Everything of `merged_id` belongs to `kept_id` from now on.

    Raises:
        ConfigError: they are the same, or one was merged away.
        UnknownItemError: there is no such contact.
    """
    if kept_id == merged_id:
        raise ConfigError("a contact cannot be merged with itself")
    async with database.write() as connection:
        for contact_id in (kept_id, merged_id):
            await _standing(connection, contact_id)
        moved = sa.update(identities).where(identities.c.contact_id == merged_id).values(contact_id=kept_id)
        ids = sorted((await connection.execute(moved.returning(identities.c.id))).scalars())
        gone = sa.update(contacts).where(contacts.c.id == merged_id).values(merged_into=kept_id)
        await connection.execute(gone)
        noted = sa.insert(contact_merges).values(
            kept_id=kept_id, merged_id=merged_id, identity_ids=json.dumps(ids), by=by, at=now_s()
        )
        merge_id = int((await connection.execute(noted.returning(contact_merges.c.id))).scalar_one())
        await audit.append(connection, by, "contact.merge", str(kept_id), {"merged": merged_id, "identities": ids})
    return Merge(merge_id, kept_id, merged_id)


async def undo_merge(database: Database, merge_id: int, by: str) -> None:
    """The merged contact stands by itself again, with the identities that it had.

    Raises:
        UnknownItemError: there is no such merge, or it was undone.
    """
    async with database.write() as connection:
        open_one = sa.update(contact_merges).where(
            contact_merges.c.id == merge_id, contact_merges.c.undone_at.is_(None)
        )
        row = (await connection.execute(open_one.values(undone_at=now_s()).returning(contact_merges))).one_or_none()
        if row is None:
            raise UnknownItemError(f"no merge {merge_id} is in force")
        back = sa.update(identities).where(
            identities.c.id.in_(json.loads(row.identity_ids)), identities.c.contact_id == row.kept_id
        )
        await connection.execute(back.values(contact_id=row.merged_id))
        await connection.execute(sa.update(contacts).where(contacts.c.id == row.merged_id).values(merged_into=None))
        await audit.append(connection, by, "contact.unmerge", str(row.kept_id), {"merge": merge_id})


async def split(database: Database, identity_id: int, by: str) -> int:
    """An identity gets a contact of its own; `merge` puts it back.

    Returns:
        the new contact.

    Raises:
        UnknownItemError: there is no such identity.
    """
    async with database.write() as connection:
        query = sa.select(identities.c.contact_id, identities.c.name).where(identities.c.id == identity_id)
        row = (await connection.execute(query)).one_or_none()
        if row is None:
            raise UnknownItemError(f"no identity has the id {identity_id}")
        made = sa.insert(contacts).values(name=row.name, created_at=now_s()).returning(contacts.c.id)
        contact_id = int((await connection.execute(made)).scalar_one())
        moved = sa.update(identities).where(identities.c.id == identity_id).values(contact_id=contact_id)
        await connection.execute(moved)
        await audit.append(connection, by, "contact.split", str(row.contact_id), {"identity": identity_id})
    return contact_id


async def _standing(connection: AsyncConnection, contact_id: int) -> None:
    query = sa.select(contacts.c.id, contacts.c.merged_into).where(contacts.c.id == contact_id)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise UnknownItemError(f"no contact has the id {contact_id}")
    if row.merged_into is not None:
        raise ConfigError(f"contact {contact_id} was merged into {row.merged_into}: name that one")
