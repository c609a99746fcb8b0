"""A lean load generator in its own process: `python _load.py '{"port": ..., "path": ..., ...}'`, one JSON object out.

Closed loop (`rate` 0): every connection asks again as soon as it was answered. Open loop: requests begin at fixed
moments whatever the answers do, and their latency counts from that moment.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import cast

try:
    from uvloop import run
except ModuleNotFoundError:
    from asyncio import run  # type: ignore[assignment]


@dataclass
class Job:
    """What to send, where, how often."""

    port: int
    path: str
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    connections: int = 50
    seconds: float = 5.0
    rate: float = 0.0

    def request(self) -> bytes:
        """The bytes of one request."""
        raw = self.body.encode()
        known = {
            "host": "127.0.0.1",
            "content-type": "application/json",
            "content-length": str(len(raw)),
            **self.headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in known.items())
        return f"POST {self.path} HTTP/1.1\r\n{head}\r\n".encode() + raw


class Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self._seen = b""
        self._answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        """A request under way has failed."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(0)

    def ask(self, request: bytes) -> asyncio.Future[int]:
        """Send; the status comes as a future."""
        self._answer = asyncio.get_running_loop().create_future()
        if self.transport.is_closing():
            self._answer.set_result(0)
        else:
            self.transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        """Done once head and body are whole."""
        self._seen += data
        end = self._seen.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._seen[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._seen) >= end + 4 + length and self._answer is not None and not self._answer.done():
            self._seen = self._seen[end + 4 + length :]
            self._answer.set_result(int(head[9:12]))


async def open_one(port: int) -> Connection:
    """A connection."""
    _, made = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return made


async def closed(job: Job, latencies: list[float], statuses: Counter[int]) -> None:
    """Every connection keeps asking."""
    request, until = job.request(), time.perf_counter() + job.seconds

    async def one() -> None:
        connection = await open_one(job.port)
        while (begin := time.perf_counter()) < until:
            statuses[await connection.ask(request)] += 1
            latencies.append(time.perf_counter() - begin)

    await asyncio.gather(*(one() for _ in range(job.connections)))


async def opened(job: Job, latencies: list[float], statuses: Counter[int]) -> None:
    """Requests begin on time."""
    request, start = job.request(), time.perf_counter()
    free = [await open_one(job.port) for _ in range(job.connections)]

    async def one(at: float) -> None:
        connection = free.pop() if free else await open_one(job.port)
        statuses[await connection.ask(request)] += 1
        latencies.append(time.perf_counter() - at)
        free.append(connection)

    tasks = []
    for n in range(int(job.seconds * job.rate)):
        at = start + n / job.rate
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        tasks.append(asyncio.create_task(one(at)))
    await asyncio.gather(*tasks)


async def main() -> None:
    """Run the job and print what came of it."""
    job = Job(**json.loads(sys.argv[1]))
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    begin = time.perf_counter()
    await (opened if job.rate else closed)(job, latencies, statuses)
    took, ranked = time.perf_counter() - begin, sorted(latencies)
    quantiles = {f"p{q}_ms": 1000 * ranked[min(len(ranked) - 1, len(ranked) * q // 100)] for q in (50, 95, 99)}
    print(json.dumps({"requests_per_s": len(ranked) / took, **quantiles, "statuses": dict(statuses)}))


if __name__ == "__main__":
    run(main())
