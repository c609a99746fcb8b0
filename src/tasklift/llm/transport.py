"""Requests to one endpoint: connections, time-outs, retries and rate limits, whatever is asked.

Failures are returned, and raised later outside `except` blocks: an aiohttp exception holds the request's
headers, and with them the key.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, fields

import aiohttp

from tasklift.errors import (
    AuthenticationError,
    ConfigError,
    ContextOverflowError,
    InvalidOutputError,
    ModelError,
    ModelTimeoutError,
    RateLimitError,
    ServerError,
)
from tasklift.llm.endpoint import Answer, Failure, Key, checked_url, is_loopback, proxy_arguments, read_answer
from tasklift.prediction import Usage

_MAX_BODY = 32 * 2**20  # bytes: a server that never stops sending must not fill the memory
_MIN_TIMEOUT_S = 1e-3  # 0 would mean "no limit" to aiohttp


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How to treat one endpoint.

    Attributes:
        timeout_s: seconds for one HTTP request, from connecting to the last byte.
        total_timeout_s: seconds for one `complete`, retries and pauses included, queueing excluded.
        max_retries: further requests after a failed one.
        backoff_s: the pause before retry n (from 0) is uniform in 0 to `backoff_s * 2**n`.
        max_backoff_s: upper bound of that pause.
        max_retry_after_s: longest `retry-after` that is obeyed; a longer one is cut to this.
        max_concurrency: requests in flight at once.
        requests_per_minute: rate limit; None: no limit.
        tokens_per_minute: rate limit of prompt and completion tokens together; None: no limit.
        use_response_format: send labels as a JSON schema where the endpoint takes one.

    Raises:
        ConfigError: a number is out of range.
    """

    timeout_s: float = 60.0
    total_timeout_s: float = 300.0
    max_retries: int = 4
    backoff_s: float = 0.5
    max_backoff_s: float = 30.0
    max_retry_after_s: float = 60.0
    max_concurrency: int = 64
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    use_response_format: bool = True

    def __post_init__(self) -> None:
        may_be_zero = {"max_retries", "backoff_s", "max_backoff_s", "max_retry_after_s"}
        for name in (item.name for item in fields(self) if item.name != "use_response_format"):
            value = getattr(self, name)
            if value is not None and not (value >= 0 if name in may_be_zero else value > 0):
                bound = "0 or more" if name in may_be_zero else "above 0"
                raise ConfigError(f"{name} must be {bound}, not {value!r}")


@dataclass(frozen=True, slots=True)
class Clock:
    """Time and chance, injectable so that tests need not wait.

    Attributes:
        monotonic: seconds, for durations.
        wall: Unix seconds, only to read an HTTP date.
        sleep: waits that many seconds.
        chance: uniform in 0 to 1.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random


@dataclass(slots=True)
class Spent:
    """What one `complete` used so far.

    Attributes:
        seconds: in requests and pauses; waiting for a free slot or the rate limit is not counted.
        requests: HTTP requests sent.
        usage: what the answered ones used.
    """

    seconds: float = 0.0
    requests: int = 0
    usage: Usage = field(default_factory=Usage)


class _Bucket:
    """A token bucket in debt: each caller waits until what was taken before it is paid off, in turn.

    It saves nothing up while idle, so that no burst exceeds the limit of a provider that counts seconds.
    """

    def __init__(self, per_minute: float, now: float) -> None:
        self._per_second = per_minute / 60
        self._debt = 0.0
        self._then = now

    def take(self, amount: float, now: float) -> float:
        """Take `amount` (negative: give back); returns the seconds to wait before using it."""
        debt = max(0.0, self._debt - (now - self._then) * self._per_second)
        self._debt = max(0.0, debt + amount)
        self._then = now
        return debt / self._per_second


@dataclass(frozen=True, slots=True)
class _Pool:
    """What belongs to one event loop."""

    session: aiohttp.ClientSession
    slots: asyncio.Semaphore


class Transport:
    """Sends requests to the endpoint at `base_url`.

    Raises:
        ConfigError: the address or the key cannot be used.
    """

    def __init__(self, base_url: str, key_variable: str | None, options: ClientOptions, clock: Clock) -> None:
        parts = checked_url(base_url)
        path = parts.path.rstrip("/").removesuffix("/chat/completions")
        self.address = f"{parts.netloc}{path}"
        self.base_url = f"{parts.scheme}://{self.address}"
        self.is_local = is_loopback(parts.hostname or "")
        self._options = options
        self._clock = clock
        self._key = Key(key_variable)
        self._proxy = proxy_arguments(parts)
        self._chat_url = f"{self.base_url}/chat/completions"
        self._timeout = aiohttp.ClientTimeout(total=options.timeout_s)
        self._pools: dict[asyncio.AbstractEventLoop, _Pool] = {}
        now = clock.monotonic()
        limits = (options.requests_per_minute, options.tokens_per_minute)
        self._requests, self._tokens = (_Bucket(limit, now) if limit else None for limit in limits)

    def headers(self) -> dict[str, str]:
        """The headers that carry the key."""
        return self._key.headers()

    def scrub(self, text: str) -> str:
        """The text without the key."""
        return self._key.scrub(text)

    def slot(self) -> asyncio.Semaphore:
        """Enter this around one `complete`: it bounds how many are under way."""
        return self._pool().slots

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        pool = self._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.session.close()

    async def send(self, body: bytes | None, max_tokens: int, spent: Spent) -> Answer | Failure:
        """One question (without `body`: the list of models) with its retries; `spent` is added to."""
        clock, options = self._clock, self._options
        tokens = len(body or b"") / 4 + max_tokens  # about 4 bytes to a token, until the answer tells
        for attempt in range(options.max_retries + 1):
            await self._pace(tokens)
            started = clock.monotonic()
            left_s = max(_MIN_TIMEOUT_S, options.total_timeout_s - spent.seconds)
            found = await self._attempt(body, min(options.timeout_s, left_s))
            now = clock.monotonic()
            spent.seconds += now - started
            spent.requests += 1
            spent.usage += found.usage
            if not isinstance(found, Failure):
                if self._tokens:
                    self._tokens.take(found.usage.input_tokens + found.usage.output_tokens - tokens, now)
                break
            pause_s = self._pause_s(attempt, found)
            out_of_time = spent.seconds + pause_s >= options.total_timeout_s
            if not found.retry or attempt == options.max_retries or out_of_time:
                break
            await clock.sleep(pause_s)
            spent.seconds += pause_s
        return found

    def error(self, found: Failure, spent: Spent) -> ModelError:
        """What to raise: what is wrong, where, and what to do; never the key."""
        tries = f" ({spent.requests} requests)" if spent.requests > 1 else ""
        said = " ".join(found.message.split())
        made = found.error(self._key.scrub(f"{self.base_url}: {said}{self._hint(found)}{tries}"))
        if isinstance(made, ContextOverflowError):
            made.tokens, made.limit = found.tokens, found.limit
        return made

    def _pool(self) -> _Pool:
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            for other in [other for other in self._pools if other.is_closed()]:
                self._pools.pop(other).session.detach()  # its sockets died with its loop
            connector = aiohttp.TCPConnector(limit=self._options.max_concurrency, ttl_dns_cache=300)
            headers = {"Content-Type": "application/json", "User-Agent": "tasklift", **self._key.headers()}
            jar = aiohttp.DummyCookieJar()
            session = aiohttp.ClientSession(connector=connector, headers=headers, cookie_jar=jar)
            pool = self._pools[loop] = _Pool(session, asyncio.Semaphore(self._options.max_concurrency))
        return pool

    def _pause_s(self, attempt: int, found: Failure) -> float:
        options = self._options
        jitter_s: float = self._clock.chance() * min(options.max_backoff_s, options.backoff_s * 2**attempt)
        asked_s: float = min(found.retry_after_s or 0.0, options.max_retry_after_s)
        return asked_s + jitter_s

    async def _pace(self, tokens: float) -> None:
        if self._requests is None and self._tokens is None:
            return
        now = self._clock.monotonic()
        wait_s = self._requests.take(1, now) if self._requests else 0.0
        wait_s = max(wait_s, self._tokens.take(tokens, now) if self._tokens else 0.0)
        if wait_s > 0:
            await self._clock.sleep(wait_s)

    async def _attempt(self, body: bytes | None, timeout_s: float) -> Answer | Failure:
        method, url = ("POST", self._chat_url) if body is not None else ("GET", f"{self.base_url}/models")
        timeout = self._timeout
        if timeout_s != timeout.total:
            timeout = aiohttp.ClientTimeout(total=timeout_s)
        session = self._pool().session
        try:
            async with session.request(
                method, url, data=body, timeout=timeout, allow_redirects=False, **self._proxy
            ) as response:
                raw = await _read(response)
        except TimeoutError:
            return Failure(ModelTimeoutError, f"no answer within {timeout_s:g} s", retry=True)
        except aiohttp.ClientPayloadError:
            return Failure(InvalidOutputError, "the answer broke off", status=200, retry=True)
        except (aiohttp.ClientError, OSError) as error:
            is_transient = not isinstance(error, aiohttp.ClientSSLError)
            return Failure(ServerError, f"no connection: {error or type(error).__name__}", retry=is_transient)
        return read_answer(response.status, response.headers, raw, self._clock.wall)

    def _hint(self, found: Failure) -> str:
        variable = self._key.variable
        if found.error is AuthenticationError and variable is None:
            return "; no key was sent: name the environment variable that holds it"
        if found.error is AuthenticationError:
            return f"; check the key in {variable}" if self._key else f"; the variable {variable} is not set"
        if found.error is RateLimitError:
            return "; set requests_per_minute or tokens_per_minute, or lower max_concurrency"
        if found.error is ModelTimeoutError:
            return "; raise timeout_s, or lower max_concurrency"
        if found.status == 404:
            return "; check the address, which often ends in /v1, and the model's name"
        return "; is the server running?" if found.status == 0 and found.error is ServerError else ""


async def _read(response: aiohttp.ClientResponse) -> bytes:
    if response.content_length is not None and response.content_length <= _MAX_BODY:
        return await response.read()
    raw = bytearray()
    async for chunk in response.content.iter_any():
        raw += chunk
        if len(raw) > _MAX_BODY:
            raise aiohttp.ClientPayloadError
    return bytes(raw)
