from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import httpx2
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import BaseModel
from starlette.types import ASGIApp

from tasklift_platform.errors import DatabaseLostError, RateExceededError, ScopeError
from tasklift_platform.web.drain import Drain
from tasklift_platform.web.headers import csp_nonce
from tasklift_platform.web.limits import RequestLimits
from tasklift_platform.web.problems import RequestError, exception_handlers
from tasklift_platform.web.shell import Shell, ShellOptions

Serving = Callable[[ASGIApp, Drain], AbstractAsyncContextManager[str]]
RAISES = {
    "scope": ScopeError("this key lacks the scope 'predict'"),
    "rate": RateExceededError("too many", 1.2),
    "database": DatabaseLostError("database postgresql://secret-host/x: gone"),
    "request": RequestError(409, "conflict", "somebody else <script>alert(1)</script> was quicker"),
    "bug": RuntimeError("at line 7 of /home/us/secret.py"),
}


class Body(BaseModel):
    text: str
    limit: int = 1


def application() -> FastAPI:
    app = FastAPI(exception_handlers=exception_handlers(), openapi_url=None)

    @app.get("/raise/{what}")
    async def fail(what: str) -> None:
        raise RAISES[what]

    @app.post("/echo")
    async def echo(body: Body) -> Body:
        return body

    @app.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    @app.get("/page", response_class=HTMLResponse)
    async def page(request: Request) -> str:
        return f'<script nonce="{csp_nonce(request.scope)}">1</script>'

    @app.get("/broken-stream")
    async def broken() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"half"
            raise RuntimeError("half-way")

        return StreamingResponse(parts())

    @app.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(0.3)
        return "done"

    return app


@dataclass
class Running:
    client: httpx2.AsyncClient
    port: int
    drain: Drain
    seen: list[tuple[str, int]]


@pytest.fixture
async def running(serving: Serving) -> AsyncIterator[Running]:
    seen: list[tuple[str, int]] = []
    drain = Drain()
    options = ShellOptions(
        RequestLimits(body_bytes=1000, body_timeout_s=0.4),
        observe=lambda scope, status, _: seen.append((scope["path"], status)),
    )
    async with (
        serving(Shell(application(), drain, options), drain) as url,
        httpx2.AsyncClient(base_url=url, timeout=5) as client,
    ):
        yield Running(client, int(url.rpartition(":")[2]), drain, seen)


async def talk(port: int, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """Send `parts` over a plain socket; everything that comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


HEAD = b"POST /raw HTTP/1.1\r\nHost: x\r\n"


async def test_every_answer_has_the_security_headers(running: Running) -> None:
    for path in ("/page", "/nowhere", "/raise/bug"):
        headers = (await running.client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-request-id"]


async def test_a_pages_scripts_run_by_a_nonce_that_is_new_each_time(running: Running) -> None:
    nonces = set()
    for _ in range(2):
        answer = await running.client.get("/page")
        nonce = re.search(r'nonce="([^"]+)"', answer.text)
        assert nonce is not None
        assert f"'nonce-{nonce[1]}'" in answer.headers["content-security-policy"]
        nonces.add(nonce[1])
    assert len(nonces) == 2


@pytest.mark.parametrize(
    ("what", "status", "code"),
    [
        ("scope", 403, "insufficient_scope"),
        ("rate", 429, "rate_limit_exceeded"),
        ("database", 503, "database_unavailable"),
        ("request", 409, "conflict"),
        ("bug", 500, "server_error"),
    ],
)
async def test_an_error_is_json_for_programs_and_says_nothing_of_the_inside(
    running: Running, what: str, status: int, code: str
) -> None:
    answer = await running.client.get(f"/raise/{what}")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert error["request_id"] == answer.headers["x-request-id"]
    assert not re.search("secret|Traceback|line 7", answer.text)
    if what == "rate":
        assert answer.headers["retry-after"] == "2"


async def test_an_error_is_a_page_for_browsers_with_everything_escaped(running: Running) -> None:
    answer = await running.client.get("/raise/request", headers={"accept": "text/html,*/*;q=0.8"})
    assert answer.headers["content-type"].startswith("text/html")
    assert "&lt;script&gt;" in answer.text
    assert "<script>" not in answer.text


async def test_an_unknown_path_and_method_are_said_the_same_way(running: Running) -> None:
    assert (await running.client.get("/nowhere")).json()["error"]["code"] == "not_found"
    assert (await running.client.get("/echo")).json()["error"]["code"] == "method_not_allowed"


async def test_a_wrong_field_is_named_and_its_value_not_repeated(running: Running) -> None:
    answer = await running.client.post("/echo", json={"text": "a", "limit": "my-private-value"})
    assert answer.status_code == 422
    assert "body.limit" in answer.json()["error"]["fields"]
    assert "my-private-value" not in answer.text
    answer = await running.client.post("/echo", content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == 422


async def test_a_request_id_is_taken_over_when_well_formed_only(running: Running) -> None:
    answer = await running.client.get("/page", headers={"x-request-id": "abc-1"})
    assert answer.headers["x-request-id"] == "abc-1"
    answer = await running.client.get("/page", headers={"x-request-id": "<script>"})
    assert "<" not in answer.headers["x-request-id"]


async def test_a_body_that_announces_too_much_is_refused_unread(running: Running) -> None:
    answer = await talk(running.port, HEAD + b"Content-Length: 1001\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_too_large"
    assert (await running.client.post("/raw", content=b"x" * 1000)).json() == 1000


async def test_a_chunked_body_is_counted_as_it_comes(running: Running) -> None:
    chunk = b"190\r\n" + b"x" * 400 + b"\r\n"
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    assert (await talk(running.port, head, chunk, chunk, chunk, pause_s=0.02)).startswith(b"HTTP/1.1 413")


async def test_a_chunked_body_that_fits_is_answered(running: Running) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"x" * 400
        yield b"x" * 400

    assert (await running.client.post("/raw", content=parts())).json() == 800


async def test_a_body_that_comes_too_slowly_is_given_up(running: Running) -> None:
    answer = await talk(running.port, HEAD + b"Content-Length: 100\r\n\r\n", b"x")
    assert answer.startswith(b"HTTP/1.1 408")


async def test_a_broken_stream_is_cut_and_not_ended_as_if_whole(running: Running) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        await running.client.get("/broken-stream")


async def test_each_request_is_observed_once_with_its_status(running: Running) -> None:
    await running.client.get("/page")
    await running.client.get("/raise/bug")
    assert running.seen == [("/page", 200), ("/raise/bug", 500)]


async def test_a_request_under_way_is_finished_while_draining(running: Running) -> None:
    request = asyncio.create_task(running.client.get("/slow"))
    await asyncio.sleep(0.1)
    running.drain.begin()
    assert not await running.drain.wait_idle(0.01)
    answer = await request
    assert answer.json() == "done"
    assert answer.headers["connection"] == "close"
    assert await running.drain.wait_idle(1.0)


@pytest.mark.parametrize(
    "parts", [[b""], [b"GET /page HTTP/1.1\r\nHo"], [b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /pa"]]
)
async def test_a_head_that_never_ends_is_hung_up_on(running: Running, parts: list[bytes]) -> None:
    started = asyncio.get_running_loop().time()
    await talk(running.port, *parts, pause_s=0.1)
    assert 0.4 < asyncio.get_running_loop().time() - started < 3


async def test_a_slow_answer_and_a_pause_between_requests_are_no_slow_head(running: Running) -> None:
    for path in ("/slow", "/slow", "/page"):
        assert (await running.client.get(path)).status_code == 200
        await asyncio.sleep(0.3)
    assert len(running.seen) == 3


async def test_many_slow_clients_keep_nobody_waiting_and_are_let_go(running: Running) -> None:
    slow = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(200)]
    for _, writer in slow:
        writer.write(b"GET /page HTTP/1.1\r\nHost")
    answers = await asyncio.gather(*(running.client.get("/page") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    left = await asyncio.wait_for(asyncio.gather(*(reader.read() for reader, _ in slow)), 5)
    assert set(left) == {b""}
    for _, writer in slow:
        writer.close()
