"""Rate limits that all workers share: the generic cell rate algorithm, one row for each account and each chat.

The row holds the theoretical arrival time of the next message (ITU-T I.371); a message goes where that is no more
than `burst - 1` intervals ahead of the clock.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as insert_postgres
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from tasklift_inbox.tables import rate_limits
from tasklift_platform.database import now_s

_ARRIVAL = rate_limits.c.arrival


async def reserve(connection: AsyncConnection, name: str, per_second: float, burst: int) -> float:
    """Take one message's place in the limit `name`.

    Returns:
        0.0 where it may go now, else the seconds to wait; then nothing was taken.
    """
    interval_s = 1.0 / per_second
    tolerance_s = (burst - 1) * interval_s
    insert = insert_sqlite if connection.dialect.name == "sqlite" else insert_postgres
    base = sa.case((now_s() < _ARRIVAL, _ARRIVAL), else_=now_s())
    taken = insert(rate_limits).values(name=name, arrival=now_s() + interval_s)
    taken = taken.on_conflict_do_update(
        index_elements=["name"], set_={"arrival": base + interval_s}, where=now_s() + tolerance_s >= _ARRIVAL
    )
    if (await connection.execute(taken.returning(_ARRIVAL))).scalar_one_or_none() is not None:
        return 0.0
    ahead = sa.select(_ARRIVAL - now_s()).where(rate_limits.c.name == name)
    return max(0.01, float((await connection.execute(ahead)).scalar_one()) - tolerance_s)


async def hold(connection: AsyncConnection, name: str, pause_s: float, per_second: float, burst: int) -> None:
    """Nothing goes under the limit `name` for `pause_s`: the provider asked for it."""
    arrival = now_s() + pause_s + (burst - 1) / per_second
    insert = insert_sqlite if connection.dialect.name == "sqlite" else insert_postgres
    held = insert(rate_limits).values(name=name, arrival=arrival)
    await connection.execute(held.on_conflict_do_update(index_elements=["name"], set_={"arrival": arrival}))
