"""Of several workers one polls, and another one goes on where it stopped."""

from __future__ import annotations

import asyncio
import time

import pytest
from inbox.support import add, texts

from tasklift_inbox import polling
from tasklift_inbox.normalise import Normaliser
from tasklift_inbox.polling import Pollers
from tasklift_inbox.runtime import Runtime
from tasklift_inbox.testing import FakeTelegram, running


async def test_one_of_two_workers_polls_and_the_other_one_takes_over(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "_PAUSE_S", 0.1)
    fake, second = FakeTelegram(), await Runtime.open(runtime.settings)

    def push(number: int) -> None:
        user = {"id": 42, "first_name": "A", "type": "private"}
        date = 1_764_000_000 + number
        fake.push({"message": {"message_id": number, "date": date, "chat": user, "from": user, "text": f"{number}"}})

    async def told(count: int) -> None:
        until = time.monotonic() + 10
        while sum(map(len, (await texts(runtime)).values())) < count:
            assert time.monotonic() < until
            await Normaliser(runtime).drain()
            await asyncio.sleep(0.05)

    async with running(fake.app) as url:
        await add(runtime, "telegram", base_url=url)
        await second.load()
        workers = [Pollers(runtime, None), Pollers(second, None)]
        for worker in workers:
            await worker.keep()
        for number in range(1, 4):
            push(number)
        await told(3)
        await asyncio.sleep(0.3)
        await workers[0].aclose()
        push(4)
        await told(4)
        await workers[1].aclose()
    assert fake.most_polling == 1
    assert await texts(runtime) == {"42": ["1", "2", "3", "4"]}
    await second.aclose()
