"""SIGKILL at random moments of receiver and worker, a database that goes away, a disk that is full."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import sqlalchemy as sa
from _common import Figure, note
from _processes import free_port

from tasklift_inbox import admin, outbox
from tasklift_inbox.errors import RefusedError
from tasklift_inbox.normalise import Normaliser
from tasklift_inbox.runtime import Runtime, Settings
from tasklift_inbox.tables import conversations, identities, messages
from tasklift_inbox.tables import outbox as outbox_table
from tasklift_inbox.testing import Delivery, FakeMeta, FakeTelegram, running
from tasklift_inbox.testing.meta import whatsapp_event
from tasklift_platform.database import DatabaseOptions
from tasklift_platform.errors import DatabaseError
from tasklift_platform.scratch import ScratchPostgres, postgres_programs, scratch_postgres
from tasklift_platform.vault import new_secret_key

PEOPLE = 12
SEED = 20261124
_SETTLE_S = 90.0


@dataclass
class Tally:
    """What was acknowledged to providers, and what was asked to be sent."""

    acknowledged: set[int] = field(default_factory=set)
    asked: dict[str, str] = field(default_factory=dict)  # text -> outbox id
    kills: int = 0


@dataclass
class Killable:
    """A process that is started again after it was killed."""

    command: list[str]
    env: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.process is None or self.process.poll() is not None:
            quiet = subprocess.DEVNULL
            self.process = subprocess.Popen(self.command, env={**os.environ, **self.env}, stdout=quiet, stderr=quiet)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Kill it, at once."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(60)


def killed(asked: argparse.Namespace) -> list[Figure]:
    """Two thirds of the kills on SQLite; one third on Postgres, where the database is restarted every tenth time.

    Each run adds to those before: `segments` of the results file has them.
    """
    goals = {"SQLite": asked.kills * 2 // 3, "Postgres": asked.kills - asked.kills * 2 // 3}
    for name, goal in goals.items():
        done = sum(one["kills"] for one in asked.segments if one["database"] == name)
        todo = min(goal - done, asked.at_once)
        if todo <= 0 or asked.database not in (None, name):
            continue
        if name == "Postgres" and postgres_programs() is None:
            note("Postgres is not installed: left out")
            continue
        with scratch_postgres() if name == "Postgres" else contextlib.nullcontext() as server:
            counts = asyncio.run(_measure(server, todo, seed=SEED + done))
        asked.segments.append({"database": name, **counts})
    return [figure for name in goals for figure in _figures(name, asked.segments)]


def _figures(name: str, segments: list[dict[str, Any]]) -> list[Figure]:
    mine = [one for one in segments if one["database"] == name]
    if not mine:
        return []
    total = {key: sum(one[key] for one in mine) for key in mine[0] if key != "database"}
    how = f"{total['kills']} kills in {len(mine)} runs, {total['acknowledged']:,} acknowledged, {total['asked']:,} sent by us"
    return [
        Figure(f"acknowledged and lost, {name}", total["lost"], at_most=0, unit=" messages", note=how),
        Figure(f"stored twice, {name}", total["doubled"], at_most=0, unit=" messages"),
        Figure(f"sent twice, {name}", total["twice"], at_most=0, unit=" messages"),
        Figure(f"neither sent nor shown to a person, {name}", total["dark"], at_most=0, unit=" messages",
               note=f"{total['unknown']} unknown outcomes are shown to a person"),
    ]  # fmt: skip


async def _measure(server: ScratchPostgres | None, kills: int, seed: int) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        options = DatabaseOptions(synchronous="full")
        settings = Settings(Path(folder), server.new_database() if server else "", new_secret_key(), options=options)
        async with _world(settings, seed) as world:
            await world.run(kills, server)
            return await world.verdict()


@contextlib.asynccontextmanager
async def _world(settings: Settings, seed: int) -> AsyncIterator[World]:
    telegram, meta = FakeTelegram(), FakeMeta()
    async with running(telegram.app) as telegram_url, running(meta.app) as meta_url:
        runtime = await Runtime.open(settings)
        values = {"external_id": "555", "access_token": meta.token, "app_secret": "s", "verify_token": "v"}
        await admin.add(runtime, admin.NewChannel("whatsapp", "wa", values, {"base_url": meta_url}), "bench")
        values = {"bot_token": telegram.token, "webhook_secret": "w"}
        more = {"base_url": telegram_url, "mode": "webhook"}
        await admin.add(runtime, admin.NewChannel("telegram", "tg", values, more), "bench")
        world = World(settings, runtime, (telegram, meta), seed)
        try:
            yield world
        finally:
            for process in world.processes:
                process.kill()
            await runtime.aclose()


class World:
    """Receiver, worker, two fake providers, people who write, and colleagues who answer."""

    def __init__(self, settings: Settings, runtime: Runtime, fakes: tuple[FakeTelegram, FakeMeta], seed: int) -> None:
        self._runtime, (self._telegram, self._meta) = runtime, fakes
        self.tally, self._numbers, self._chance = Tally(), itertools.count(), random.Random(seed)
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        where = ["--state", str(settings.state)] + (["--database", settings.database] if settings.database else [])
        base, env = [sys.executable, "-m", "tasklift_inbox"], {"TASKLIFT_SECRET_KEY": settings.secret_key}
        receiver = Killable([*base, "serve", "--web-only", "--port", str(port), *where], env)
        self.processes = [receiver, Killable([*base, "worker", *where], env)]

    async def run(self, kills: int, server: ScratchPostgres | None) -> None:
        """Until there were so many kills; then until all is settled."""
        for process in self.processes:
            process.start()
        stop = asyncio.Event()
        busy = [asyncio.create_task(self._write(stop)) for _ in range(3)] + [asyncio.create_task(self._answer(stop))]
        while self.tally.kills < kills:
            await self._is_up()
            victim = self._chance.choice(self.processes)
            await asyncio.sleep(self._chance.uniform(0.05, 1.0) + (1.5 if victim is self.processes[1] else 0.0))
            await asyncio.to_thread(victim.kill)
            victim.start()
            self.tally.kills += 1
            if server is not None and self.tally.kills % 10 == 0:
                await asyncio.to_thread(server.stop)
                await asyncio.sleep(0.5)
                await asyncio.to_thread(server.start)
            if self.tally.kills % 20 == 0:
                note(
                    f"{self.tally.kills} kills, {len(self.tally.acknowledged)} acknowledged, {len(self.tally.asked)} to send"
                )
        stop.set()
        await asyncio.gather(*busy)
        await self._settle()

    async def _is_up(self) -> None:
        """Wait until the receiver answers; the worker needs as long to start."""
        async with aiohttp.ClientSession() as session:
            for _ in range(600):
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{self._url}/readyz") as response:
                        if response.status == 200:
                            return
                await asyncio.sleep(0.05)
        raise SystemExit("the receiver does not start")

    async def _write(self, stop: asyncio.Event) -> None:
        """People write; what is not acknowledged is delivered again."""
        whatsapp = Delivery(f"{self._url}/hooks/wa", "s", tries=2000)
        telegram = Delivery(f"{self._url}/hooks/tg", headers={"X-Telegram-Bot-Api-Secret-Token": "w"}, tries=2000)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            while not stop.is_set():
                n = next(self._numbers)
                person, at = n % PEOPLE, int(time.time())
                if person % 2:
                    one = {
                        "from": f"27{person:06d}",
                        "id": f"wamid.{n}",
                        "timestamp": str(at),
                        "type": "text",
                        "text": {"body": f"{n}"},
                    }
                    status = await whatsapp.post(session, whatsapp_event("555", [one]))
                else:
                    user = {"id": 1000 + person, "first_name": "A", "type": "private"}
                    message = {"message_id": n, "date": at, "chat": user, "from": user, "text": f"{n}"}
                    status = await telegram.post(session, {"update_id": n, "message": message})
                if status == 200:
                    self.tally.acknowledged.add(n)
                await asyncio.sleep(0.02)

    async def _answer(self, stop: asyncio.Event) -> None:
        """A colleague answers; WhatsApp tells what became of what it took, also where its answer was lost."""
        told: set[str] = set()
        hook = Delivery(f"{self._url}/hooks/wa", "s", tries=2000)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            while not stop.is_set():
                await asyncio.sleep(0.15)
                await self._enqueue()
                if self._chance.random() < 0.05:
                    fakes: list[FakeTelegram | FakeMeta] = [self._telegram, self._meta]
                    self._chance.choice(fakes).lose_answer()
                await self._tell(session, hook, told)
            await self._tell(session, hook, told)

    async def _enqueue(self) -> None:
        try:
            async with self._runtime.database.read() as connection:
                talks = list((await connection.execute(sa.select(conversations.c.id))).scalars())
            if talks:
                text = f"answer {len(self.tally.asked)}"
                queued = await outbox.enqueue(self._runtime, self._chance.choice(talks), outbox.Reply(text, "kim"))
                self.tally.asked[text] = queued.outbox_id
        except (DatabaseError, RefusedError, sa.exc.DBAPIError) as error:
            note(f"not asked: {error}")

    async def _tell(self, session: aiohttp.ClientSession, hook: Delivery, told: set[str]) -> None:
        for _, body in list(self._meta.sent):
            identity = body["biz_opaque_callback_data"]
            if identity not in told:
                told.add(identity)
                status = {"id": f"wamid.of.{identity}", "status": "delivered", "timestamp": str(int(time.time())),
                          "recipient_id": body.get("to"), "biz_opaque_callback_data": identity}  # fmt: skip
                await hook.post(session, whatsapp_event("555", [], statuses=[status]))

    async def _settle(self) -> None:
        """Until nothing is queued or being sent, and no event is unread."""
        for process in self.processes:
            process.start()
        until = time.monotonic() + _SETTLE_S * 3
        open_ones = sa.select(sa.func.count()).where(outbox_table.c.state.in_(("queued", "sending")))
        async with aiohttp.ClientSession() as session:
            await self._tell(session, Delivery(f"{self._url}/hooks/wa", "s", tries=2000), set())
        while time.monotonic() < until:
            await asyncio.sleep(1.0)
            async with self._runtime.database.read() as connection:
                left = (await connection.execute(open_ones)).scalar_one()
            if not left:
                break
        await asyncio.sleep(2.0)
        for process in self.processes:
            process.kill(signal.SIGTERM)
        await Normaliser(self._runtime).drain()

    async def verdict(self) -> dict[str, int]:
        """What was lost, doubled, or left in the dark."""
        query = sa.select(messages.c.text, messages.c.conversation_id).where(messages.c.direction == "in")
        query = query.join(identities, identities.c.id == messages.c.identity_id)
        async with self._runtime.database.read() as connection:
            texts = [int(row.text) for row in (await connection.execute(query)).all()]
            states = {row.id: row.state for row in (await connection.execute(sa.select(outbox_table))).all()}
        went = Counter([str(body["text"]["body"]) for _, body in self._meta.sent])
        went.update(str(fields["text"]) for _, fields in self._telegram.sent)
        dark = sum(states[one] not in ("sent", "unknown") for one in self.tally.asked.values())
        wrong = sum(states[one] == "sent" and not went[text] for text, one in self.tally.asked.items())
        return {
            "kills": self.tally.kills,
            "acknowledged": len(self.tally.acknowledged),
            "asked": len(self.tally.asked),
            "lost": len(self.tally.acknowledged - set(texts)),
            "doubled": len(texts) - len(set(texts)),
            "twice": sum(times > 1 for times in went.values()),
            "dark": dark + wrong,
            "unknown": Counter(states[one] for one in self.tally.asked.values())["unknown"],
        }


async def disk_full(asked: argparse.Namespace) -> list[Figure]:
    """A disk that is full for a while: events are refused with 503, delivered again, and none is lost."""
    with _small_disk() as folder:
        if folder is None:
            note("a small file system cannot be mounted here (root only): left out")
            return []
        settings, port = Settings(folder, "", new_secret_key()), free_port()
        runtime = await Runtime.open(settings)
        await admin.add(runtime, admin.NewChannel("simulated", "sim", {"app_secret": "s"}), "bench")
        await runtime.aclose()
        command = [sys.executable, "-m", "tasklift_inbox", "serve", "--port", str(port), "--state", str(folder)]
        process = Killable(command, {"TASKLIFT_SECRET_KEY": settings.secret_key})
        process.start()
        statuses, count = await _fill(folder, port)
        process.kill(signal.SIGTERM)
        runtime = await Runtime.open(settings)
        await Normaliser(runtime).drain()
        async with runtime.database.read() as connection:
            texts = list((await connection.execute(sa.select(messages.c.external_id))).scalars())
        await runtime.aclose()
    refused = statuses[503]
    note(f"disk full: {dict(statuses)}")
    return [
        Figure("lost or doubled over a full disk", abs(count - len(texts)) + len(texts) - len(set(texts)), at_most=0, unit=" messages",
               note=f"{count} messages, {refused} deliveries refused with 503 meanwhile"),
    ]  # fmt: skip


@contextmanager
def _small_disk() -> Iterator[Path | None]:
    with tempfile.TemporaryDirectory() as name:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", name], capture_output=True, check=False
        )
        if done.returncode:
            yield None
            return
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "-l", name], check=False)


async def _fill(folder: Path, port: int) -> tuple[Counter[int], int]:
    """Deliver events while a file fills the disk and goes again; each until it is taken."""
    statuses: Counter[int] = Counter()
    hook, count, ballast = Delivery(f"http://127.0.0.1:{port}/hooks/sim", "s", tries=1), 400, folder / "ballast"
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
        while await hook.post(session, {"messages": []}) != 200:  # noqa: ASYNC110 - it starts
            await asyncio.sleep(0.2)
        for n in range(count):
            if n == 100:
                with contextlib.suppress(OSError), ballast.open("wb") as file:
                    while True:
                        file.write(b"x" * 4096)
                        file.flush()
            body = json.dumps(
                {"messages": [{"from": f"p{n % 9}", "id": f"{n}", "text": "x" * 2000, "at": time.time()}]}
            ).encode()
            while (status := await hook.post(session, body)) != 200:
                statuses[status] += 1
                if statuses[503] > 20:
                    ballast.unlink(missing_ok=True)
                await asyncio.sleep(0.05)
            statuses[status] += 1
    return statuses, count
