"""Named leases: one holder at a time over all processes and machines, by the database's clock.

For what only one may do: a monitor, a scheduler, one operator's release. A holder that dies loses it when its time
is over. Its `token` grows with every new holder, so a store can refuse what a late one still writes.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as insert_postgres
from sqlalchemy.dialects.sqlite import insert as insert_sqlite

from tasklift_platform.database import Database, now_s
from tasklift_platform.errors import LeaseLostError
from tasklift_platform.tables import leases

#: The clock was set back by more than this since a lease was taken: it counts as over, for nobody can tell.
BACKWARDS_S = 5.0


@dataclass(frozen=True, slots=True)
class Lease:
    """Held by us, until time passes or we give it back.

    Attributes:
        token: grows by one with every new holder.
    """

    name: str
    holder: str
    token: int


async def take_lease(database: Database, name: str, duration_s: float, holder: str | None = None) -> Lease | None:
    """Take the lease `name` for `duration_s` seconds.

    Args:
        holder: who we are, in messages; made up where it is None.

    Returns:
        None where somebody else holds it.
    """
    holder = holder or secrets.token_hex(8)
    insert = insert_sqlite if database.is_sqlite else insert_postgres
    taken = insert(leases).values(name=name, holder=holder, token=1, taken_at=now_s(), until=now_s() + duration_s)
    taken = taken.on_conflict_do_update(
        index_elements=["name"],
        set_={
            "holder": holder,
            "token": leases.c.token + 1,
            "taken_at": now_s(),
            "until": now_s() + duration_s,
        },
        where=sa.or_(leases.c.until <= now_s(), now_s() < leases.c.taken_at - BACKWARDS_S),
    )
    async with database.write() as connection:
        token = (await connection.execute(taken.returning(leases.c.token))).scalar_one_or_none()
    return None if token is None else Lease(name, holder, token)


async def renew_lease(database: Database, lease: Lease, duration_s: float) -> None:
    """Hold it for `duration_s` from now; also when its time was over and nobody else took it.

    Raises:
        LeaseLostError: somebody else holds it.
    """
    renewed = sa.update(leases).where(leases.c.name == lease.name, leases.c.token == lease.token)
    async with database.write() as connection:
        found = await connection.execute(renewed.values(taken_at=now_s(), until=now_s() + duration_s))
    if found.rowcount == 0:
        raise LeaseLostError(f"the lease {lease.name!r} is held by another one now; stop, and take it again")


async def release_lease(database: Database, lease: Lease) -> None:
    """Give it back; nothing happens where it was lost before."""
    async with database.write() as connection:
        held = sa.update(leases).where(leases.c.name == lease.name, leases.c.token == lease.token)
        await connection.execute(held.values(until=0.0))
