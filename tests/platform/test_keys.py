from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from tasklift.errors import ConfigError
from tasklift_platform import keys
from tasklift_platform.database import Database, now_s
from tasklift_platform.errors import InvalidKeyError, RateExceededError, ScopeError
from tasklift_platform.keys import ApiKey, KeyRing, NewKey, create_key, list_keys, revoke_key
from tasklift_platform.rates import Rates
from tasklift_platform.tables import api_keys
from tasklift_platform.watch import Watch


@pytest.fixture
async def watch(database: Database) -> AsyncIterator[Watch]:
    watch = Watch(database)
    yield watch
    await watch.aclose()


@pytest.fixture
def ring(database: Database, watch: Watch) -> KeyRing:
    return KeyRing(database, watch)


async def use_until_refused(ring: KeyRing, presented: str) -> None:
    while True:
        await ring.check(presented)
        await asyncio.sleep(0.01)


async def test_a_key_opens_what_its_scopes_allow(database: Database, ring: KeyRing) -> None:
    made, presented = await create_key(database, NewKey("shop", ["predict", "review:read"]))
    assert (await ring.check(presented, "predict:colours")).id == made.id
    with pytest.raises(ScopeError, match=r"lacks the scope 'admin' \(it has: predict, review:read\)"):
        await ring.check(presented, "admin")


@pytest.mark.parametrize(
    ("scopes", "scope", "allowed"),
    [
        (["*"], "anything:at:all", True),
        (["predict"], "predict", True),
        (["predict"], "predict:colours", True),
        (["predict:colours"], "predict", False),
        (["predict:colours"], "predict:colours", True),
        (["predict:colour"], "predict:colours", False),
        ([], "predict", False),
    ],
)
def test_a_scope_allows_itself_and_what_is_below(scopes: list[str], scope: str, allowed: bool) -> None:
    assert ApiKey("id", "name", frozenset(scopes)).allows(scope) is allowed


async def test_the_database_and_the_repr_hold_no_secret(database: Database) -> None:
    made, presented = await create_key(database, NewKey("shop", ["*"]))
    secret = presented.split("_", 2)[2]  # may itself hold a "_"
    async with database.read() as connection:
        row = (await connection.execute(sa.select(api_keys))).one()
    assert secret not in str(tuple(row))
    assert row.hash.startswith("$argon2id$")
    assert "argon2" not in repr(made)


@pytest.mark.parametrize("presented", [None, "", "sk-abc", "tl_short_x", "tl_" + "0" * 12 + "_" + "A" * 43, "ü" * 60])
async def test_what_is_no_key_is_refused(ring: KeyRing, presented: str | None) -> None:
    with pytest.raises(InvalidKeyError):
        await ring.check(presented)


async def test_a_wrong_secret_is_refused_and_the_message_does_not_repeat_it(database: Database, ring: KeyRing) -> None:
    _, presented = await create_key(database, NewKey("shop", ["*"]))
    wrong = presented[:-43] + "A" * 43
    with pytest.raises(InvalidKeyError) as caught:
        await ring.check(wrong)
    assert "AAAA" not in str(caught.value)


async def test_argon2_runs_once_for_a_key_however_many_requests(
    database: Database, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    verify = keys._verify
    monkeypatch.setattr(keys, "_verify", lambda *args: runs.append(1) or verify(*args))
    _, presented = await create_key(database, NewKey("shop", ["*"]))
    await asyncio.gather(*(ring.check(presented) for _ in range(30)))
    await create_key(database, NewKey("other", ["*"]))  # changes the revision: rows are read again, not proven again
    await asyncio.sleep(0.9)
    await ring.check(presented)
    assert len(runs) == 1


async def test_a_checked_key_costs_microseconds(database: Database, ring: KeyRing) -> None:
    _, presented = await create_key(database, NewKey("shop", ["*"]))
    await ring.check(presented)
    started = time.process_time()
    for _ in range(1000):
        await ring.check(presented, "predict")
    assert (time.process_time() - started) / 1000 < 200e-6


async def test_a_revoked_key_is_refused_by_another_process_within_a_second(
    database: Database, database_url: str
) -> None:
    _, presented = await create_key(database, NewKey("shop", ["*"]))
    elsewhere = await Database.open(database_url)  # shares nothing with `database`
    watch = Watch(elsewhere)
    ring = KeyRing(elsewhere, watch)
    key = await ring.check(presented)
    assert await revoke_key(database, key.id)
    revoked = time.monotonic()
    with pytest.raises(InvalidKeyError, match="was revoked"):
        await use_until_refused(ring, presented)
    assert time.monotonic() - revoked < 1.0
    assert not await revoke_key(database, key.id)
    await watch.aclose()
    await elsewhere.aclose()


async def test_after_an_idle_time_the_first_request_sees_a_revocation(database: Database, ring: KeyRing) -> None:
    key, presented = await create_key(database, NewKey("shop", ["*"]))
    await ring.check(presented)
    await revoke_key(database, key.id)
    await asyncio.sleep(0.85)
    with pytest.raises(InvalidKeyError, match="was revoked"):
        await ring.check(presented)


async def test_a_key_expires_by_the_databases_clock(database: Database, ring: KeyRing) -> None:
    _, presented = await create_key(database, NewKey("shop", ["*"], lifetime_s=0.4))
    await ring.check(presented)
    await asyncio.sleep(0.5)
    with pytest.raises(InvalidKeyError, match="has expired"):
        await ring.check(presented)


async def test_a_key_over_its_rate_is_told_how_long_to_wait(database: Database, ring: KeyRing) -> None:
    _, presented = await create_key(database, NewKey("shop", ["*"], requests_per_minute=60, burst=3))
    for _ in range(3):
        await ring.check(presented)
    with pytest.raises(RateExceededError) as caught:
        await ring.check(presented)
    assert 0.5 < caught.value.retry_after_s <= 1.0


def test_workers_share_a_rate() -> None:
    clock = [0.0]
    shares = [Rates(workers=4, clock=lambda: clock[0]) for _ in range(4)]
    allowed = 0
    for tick in range(6000):
        clock[0] = tick * 0.01
        allowed += sum(share.take("k", per_minute=120, burst=8) == 0.0 for share in shares)
    assert allowed == pytest.approx(120 + 8, abs=4)


async def test_keys_are_listed_with_what_became_of_them(database: Database) -> None:
    first, _ = await create_key(database, NewKey("first", ["predict"], lifetime_s=60))
    second, _ = await create_key(database, NewKey("second", ["*"]))
    await revoke_key(database, second.id)
    listed = await list_keys(database)
    assert [key.name for key in listed] == ["first", "second"]
    assert listed[0].expires_at == pytest.approx(first.created_at + 60, abs=0.1)
    assert listed[1].revoked_at is not None


@pytest.mark.parametrize("new", [{"scopes": ["Not A Scope"]}, {"scopes": ["a"], "burst": 0}])
def test_a_key_that_makes_no_sense_is_refused(new: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        NewKey("x", **new)  # type: ignore[arg-type]


async def test_known_keys_stay_good_while_the_database_is_away(database: Database) -> None:
    _, presented = await create_key(database, NewKey("shop", ["*"]))
    watch = Watch(database, soft_s=0.0, hard_s=0.0)
    ring = KeyRing(database, watch)
    await ring.check(presented)
    async with database.write() as connection:
        await connection.execute(sa.text("ALTER TABLE revisions RENAME TO hidden"))
    assert (await ring.check(presented)).name == "shop"
    await watch.aclose()


async def test_times_of_keys_are_the_databases(database: Database) -> None:
    key, _ = await create_key(database, NewKey("shop", ["*"]))
    async with database.read() as connection:
        now = (await connection.execute(sa.select(now_s()))).scalar_one()
    assert 0 <= now - key.created_at < 5
