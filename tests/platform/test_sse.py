from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import httpx2
import pytest
from fastapi import FastAPI, Request
from starlette.types import ASGIApp

from tasklift_platform.web.drain import Drain
from tasklift_platform.web.shell import Shell
from tasklift_platform.web.sse import RESET, Channel, Event, EventStream, last_event_id

Serving = Callable[[ASGIApp, Drain], AbstractAsyncContextManager[str]]


async def take(events: AsyncIterator[Event], count: int) -> list[Event]:
    found = [await asyncio.wait_for(anext(events), 2) for _ in range(count)]
    await events.aclose()  # type: ignore[attr-defined]
    return found


def test_an_event_cannot_be_broken_out_of() -> None:
    encoded = Event("a\rb\r\nc\nevent: evil", event="x\nid: 9", id="1\n2").encode()
    assert encoded == b"id: 1 2\nevent: x id: 9\ndata: a\ndata: b\ndata: c\ndata: event: evil\n\n"


async def test_a_reader_that_comes_back_gets_what_it_missed() -> None:
    channel = Channel()
    ids = [channel.publish(str(n)) for n in range(5)]
    missed = await take(channel.subscribe(ids[1]), 3)
    assert [event.data for event in missed] == ["2", "3", "4"]


@pytest.mark.parametrize("last_id", ["otherproc-3", "nonsense", "-", "ffffffff-99999999999999999999999"])
async def test_a_reader_from_elsewhere_is_told_to_begin_again(last_id: str) -> None:
    channel = Channel()
    channel.publish("a")
    assert [event.event for event in await take(channel.subscribe(last_id), 1)] == [RESET]


async def test_a_reader_that_missed_more_than_is_kept_is_told_to_begin_again() -> None:
    channel = Channel(kept=3)
    ids = [channel.publish(str(n)) for n in range(6)]
    assert (await take(channel.subscribe(ids[1]), 1))[0].event == RESET
    assert [event.data for event in await take(channel.subscribe(ids[2]), 3)] == ["3", "4", "5"]


async def test_a_reader_that_does_not_keep_up_is_sent_away() -> None:
    channel = Channel(behind=4)
    events = channel.subscribe()
    reading = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    for n in range(20):
        channel.publish(str(n))
    seen = [await reading] + [event async for event in events]
    assert len(seen) <= 5


def application(channel: Channel, drain: Drain) -> ASGIApp:
    app = FastAPI(openapi_url=None)

    @app.get("/", response_model=None)
    async def events(request: Request) -> EventStream:
        return EventStream(channel.subscribe(last_event_id(request.scope)), drain, heartbeat_s=0.05)

    @app.get("/broken", response_model=None)
    async def broken() -> EventStream:
        async def source() -> AsyncIterator[Event]:
            yield Event("one")
            raise RuntimeError("the source broke")

        return EventStream(source(), drain)

    return Shell(app, drain)


async def lines(coming: AsyncIterator[str], until: str) -> list[str]:
    found = []
    async for line in coming:
        found.append(line)
        if line == until:
            break
    return found


async def test_events_heartbeats_and_resumption_over_a_real_connection(serving: Serving) -> None:
    channel, drain = Channel(), Drain()
    async with serving(application(channel, drain), drain) as url, httpx2.AsyncClient(timeout=5) as client:
        async with client.stream("GET", url) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            coming = response.aiter_lines()
            await lines(coming, ": still here")
            first = channel.publish("one", event="note")
            assert f"id: {first}" in await lines(coming, "data: one")
        channel.publish("two")
        async with client.stream("GET", url, headers={"last-event-id": first}) as response:
            assert "data: one" not in await lines(response.aiter_lines(), "data: two")
        for _ in range(100):
            if not channel._readers:
                break
            await asyncio.sleep(0.01)
        assert not channel._readers  # a reader that left costs nothing


async def test_streams_end_when_the_process_goes_down(serving: Serving) -> None:
    channel, drain = Channel(), Drain()
    async with (
        serving(application(channel, drain), drain) as url,
        httpx2.AsyncClient(timeout=5) as client,
        client.stream("GET", url) as response,
    ):
        drain.begin()
        async for _ in response.aiter_lines():
            pass
        assert await drain.wait_idle(1.0)


async def test_a_source_that_breaks_cuts_the_stream(serving: Serving) -> None:
    drain = Drain()
    async with serving(application(Channel(), drain), drain) as url, httpx2.AsyncClient(timeout=5) as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get(f"{url}/broken")


def test_sigterm_finishes_requests_and_ends_streams() -> None:
    script = textwrap.dedent("""
        import asyncio, sys
        import uvicorn
        from tasklift_platform.web.drain import Drain, DrainingServer
        from tasklift_platform.web.shell import Shell
        from tasklift_platform.web.sse import Channel, EventStream

        drain = Drain()

        async def app(scope, receive, send):
            if scope["path"] == "/events":
                await EventStream(Channel().subscribe(), drain)(scope, receive, send)
                return
            await asyncio.sleep(0.4)
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
            await send({"type": "http.response.body", "body": b"done"})

        config = uvicorn.Config(Shell(app, drain), fd=int(sys.argv[1]), log_config=None, lifespan="off")
        DrainingServer(config, drain, notice_s=0.1).run()
    """)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        command = [sys.executable, "-c", script, str(listening.fileno())]
        process = subprocess.Popen(command, pass_fds=[listening.fileno()])
    with socket.create_connection(("127.0.0.1", port)) as stream, socket.create_connection(("127.0.0.1", port)) as slow:
        stream.settimeout(10)
        slow.settimeout(10)
        stream.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        assert stream.recv(4096).startswith(b"HTTP/1.1 200")
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        answer = b""
        while not answer.endswith(b"done"):
            answer += slow.recv(4096)
        assert b"200 OK" in answer
        while stream.recv(4096):
            pass
    assert process.wait(5) in (0, -signal.SIGTERM)
