from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from tasklift_platform.database import Database, now_s
from tasklift_platform.errors import LeaseLostError
from tasklift_platform.leases import release_lease, renew_lease, take_lease
from tasklift_platform.tables import leases


async def test_of_many_who_want_it_at_once_one_gets_it(database: Database) -> None:
    taken = await asyncio.gather(*(take_lease(database, "release", 5.0) for _ in range(8)))
    assert len([lease for lease in taken if lease is not None]) == 1


async def test_it_can_be_taken_again_after_release_or_time_with_a_greater_token(database: Database) -> None:
    first = await take_lease(database, "monitor", 60.0)
    assert first is not None
    await release_lease(database, first)
    second = await take_lease(database, "monitor", 0.05)
    assert second is not None
    await asyncio.sleep(0.1)
    third = await take_lease(database, "monitor", 60.0)
    assert third is not None
    assert [first.token, second.token, third.token] == [1, 2, 3]
    await release_lease(database, second)  # late, and without effect
    assert await take_lease(database, "monitor", 60.0) is None


async def test_a_renewed_lease_is_kept_and_a_lost_one_is_noticed(database: Database) -> None:
    lease = await take_lease(database, "monitor", 0.1)
    assert lease is not None
    await renew_lease(database, lease, 60.0)
    await asyncio.sleep(0.15)
    assert await take_lease(database, "monitor", 1.0) is None
    await renew_lease(database, lease, 0.0)
    await take_lease(database, "monitor", 1.0)
    with pytest.raises(LeaseLostError, match="monitor"):
        await renew_lease(database, lease, 1.0)


async def test_a_clock_that_was_set_back_does_not_lock_it_for_ever(database: Database) -> None:
    assert await take_lease(database, "monitor", 60.0) is not None
    ahead = {"taken_at": now_s() + 86400, "until": now_s() + 86460}
    await database.run(lambda connection: connection.execute(sa.update(leases).values(ahead)))
    assert await take_lease(database, "monitor", 60.0) is not None
