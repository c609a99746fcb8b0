from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa

from tasklift.errors import ConfigError
from tasklift_platform import audit
from tasklift_platform.database import Database
from tasklift_platform.erasure import ErasureRegistry
from tasklift_platform.tables import METADATA

ANNA = "anna@example.org"


@dataclass
class Notes:
    """A store in memory; `broken` lets it fail as a full disk would."""

    name: str
    notes: list[tuple[str, str]] = field(default_factory=lambda: [(ANNA, "hello"), (ANNA, "again"), ("bob", "hi")])
    broken: bool = False

    async def erase(self, subject: str) -> int:
        if self.broken:
            raise OSError(f"cannot write the file of {subject}")
        kept = [note for note in self.notes if note[0] != subject]
        erased, self.notes = len(self.notes) - len(kept), kept
        return erased

    async def export(self, subject: str) -> Sequence[Mapping[str, Any]]:
        return [{"text": text} for who, text in self.notes if who == subject]


@pytest.fixture
def stores() -> list[Notes]:
    return [Notes("traces"), Notes("cache"), Notes("index")]


@pytest.fixture
def registry(database: Database, stores: list[Notes]) -> ErasureRegistry:
    registry = ErasureRegistry(database)
    for store in stores:
        registry.register(store)
    return registry


async def everything(database: Database) -> str:
    async with database.read() as connection:
        return str([(await connection.execute(sa.select(table))).all() for table in METADATA.sorted_tables])


async def test_erasing_reaches_every_registered_store_and_nobody_else(
    registry: ErasureRegistry, stores: list[Notes]
) -> None:
    certificate = await registry.erase(ANNA, "key:1")
    assert {store.store: store.erased for store in certificate.stores} == dict.fromkeys(registry.names, 2)
    assert certificate.completed_at is not None
    assert all(store.notes == [("bob", "hi")] for store in stores)


async def test_the_certificate_proves_whom_without_saying_it_and_nothing_keeps_the_name(
    database: Database, registry: ErasureRegistry
) -> None:
    certificate = await registry.erase(ANNA, "key:1")
    assert certificate.is_about(ANNA)
    assert not certificate.is_about("bob")
    assert ANNA not in json.dumps(certificate.to_json())
    assert ANNA not in await everything(database)
    actions = [entry.action async for entry in audit.entries(database)]
    assert actions == ["erasure.request", "erasure.complete"]
    assert await registry.certificate(certificate.id) == certificate


async def test_a_failing_store_is_reported_and_retried_and_does_not_keep_the_others(
    database: Database, registry: ErasureRegistry, stores: list[Notes], caplog: pytest.LogCaptureFixture
) -> None:
    stores[1].broken = True
    certificate = await registry.erase(ANNA, "key:1")
    assert certificate.completed_at is None
    [failed] = [store for store in certificate.stores if store.erased is None]
    assert (failed.store, failed.error) == ("cache", "OSError: cannot write the file of [subject]")
    assert ANNA not in caplog.text
    assert stores[2].notes == [("bob", "hi")]

    [still_open] = await registry.retry_open()
    assert [store.attempts for store in still_open.stores] == [2, 1, 1]
    stores[1].broken = False
    [closed] = await registry.retry_open()
    assert closed.completed_at is not None
    assert await registry.retry_open() == []
    assert stores[1].notes == [("bob", "hi")]
    assert ANNA not in await everything(database)


async def test_a_store_that_is_registered_later_is_reached_by_an_open_erasure(
    registry: ErasureRegistry, stores: list[Notes]
) -> None:
    stores[0].broken = True
    await registry.erase(ANNA, "key:1")
    late = Notes("reports")
    registry.register(late)
    stores[0].broken = False
    [certificate] = await registry.retry_open()
    assert certificate.completed_at is not None
    assert late.notes == [("bob", "hi")]


async def test_a_store_that_is_gone_keeps_the_erasure_open(
    database: Database, registry: ErasureRegistry, stores: list[Notes]
) -> None:
    stores[1].broken = True
    await registry.erase(ANNA, "key:1")
    after_restart = ErasureRegistry(database)
    after_restart.register(stores[0])
    [certificate] = await after_restart.retry_open()
    assert certificate.completed_at is None


async def test_an_export_holds_what_each_store_has(registry: ErasureRegistry) -> None:
    exported = await registry.export(ANNA)
    assert exported == {name: [{"text": "hello"}, {"text": "again"}] for name in registry.names}


async def test_what_cannot_be_meant_is_refused(database: Database, registry: ErasureRegistry) -> None:
    with pytest.raises(ConfigError, match="empty"):
        await registry.erase("  ", "key:1")
    with pytest.raises(ConfigError, match="no store"):
        await ErasureRegistry(database).erase(ANNA, "key:1")
    with pytest.raises(ConfigError, match="'traces'"):
        registry.register(Notes("traces"))
