from __future__ import annotations

import asyncio
import textwrap
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tasklift_platform.database import Database
from tasklift_platform.errors import SchemaError
from tasklift_platform.migrate import Migrations, check, upgrade
from tasklift_platform.tables import METADATA

STEP = """
    import sqlalchemy as sa
    from alembic import op

    revision = "{revision}"
    down_revision = {down}
    branch_labels = None
    depends_on = None

    def upgrade():
        {body}
"""


def add_step(folder: Path, revision: str, down: str | None, body: str) -> None:
    (folder / "versions").mkdir(parents=True, exist_ok=True)
    text = textwrap.dedent(STEP).format(revision=revision, down=repr(down), body=body)
    (folder / "versions" / f"{revision}.py").write_text(text)


def create(name: str) -> str:
    return f"op.create_table('{name}', sa.Column('id', sa.Integer, primary_key=True))"


@pytest.fixture
def shop(tmp_path: Path) -> Migrations:
    folder = tmp_path / "a folder: shop"
    add_step(folder, "shop_1", None, create("goods"))
    return Migrations("shop", folder)


async def tables(database: Database) -> set[str]:
    async with database.read() as connection:
        return set(await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names()))


async def test_migrations_make_exactly_the_tables_of_this_version(database: Database) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"version_table": "platform_version"})
        return list(compare_metadata(context, METADATA))

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_an_application_has_its_own_steps_and_version_table(database_url: str, shop: Migrations) -> None:
    database = await Database.open(database_url)
    assert await upgrade(database, [shop]) == ["platform_0001", "shop_1"]
    assert await upgrade(database, [shop]) == []
    assert {"goods", "shop_version", "platform_version", "api_keys"} <= await tables(database)
    add_step(shop.folder, "shop_2", "shop_1", create("orders"))
    with pytest.raises(SchemaError, match="at shop_1, not shop_2: upgrade"):
        await check(database, [shop])
    assert await upgrade(database, [shop]) == ["shop_2"]
    await check(database, [shop])
    await database.aclose()


async def test_a_step_that_fails_changes_nothing(database_url: str, shop: Migrations) -> None:
    database = await Database.open(database_url)
    add_step(shop.folder, "shop_2", "shop_1", create("orders") + "; raise RuntimeError('half-way')")
    with pytest.raises(RuntimeError, match="half-way"):
        await upgrade(database, [shop])
    assert await tables(database) == set()
    await database.aclose()


async def test_a_newer_database_is_refused(database: Database, shop: Migrations) -> None:
    add_step(shop.folder, "shop_2", "shop_1", create("orders"))
    await upgrade(database, [shop])
    (shop.folder / "versions" / "shop_2.py").unlink()
    for call in (upgrade, check):
        with pytest.raises(SchemaError, match=r"shop_2, this version knows up to shop_1.*newer version"):
            await call(database, [shop])


async def test_workers_that_start_together_upgrade_once(database_url: str, shop: Migrations) -> None:
    databases = [await Database.open(database_url) for _ in range(4)]
    applied = await asyncio.gather(*(upgrade(database, [shop]) for database in databases))
    assert sorted(len(steps) for steps in applied) == [0, 0, 0, 2]
    for database in databases:
        await database.aclose()
