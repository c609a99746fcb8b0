"""Calls of providers' APIs: one connection pool, and the difference between "not sent" and "nobody knows"."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tasklift_inbox.errors import MediaError, Outcome, SendError
from tasklift_inbox.texts import one_line

_CHUNK = 64 * 1024
_LONGEST_ANSWER = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider said.

    Attributes:
        data: the JSON object of the body; empty where it was none.
    """

    status: int
    data: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def retry_after_s(self) -> float | None:
        """What the header `Retry-After` says in seconds."""
        value = self.headers.get("retry-after", "")
        return float(value) if value.isdigit() else None


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `json` or `form` is its body; a value of `form` may be (file name, content type, bytes)."""

    method: str
    url: str
    json: Any = None
    form: Mapping[str, str | tuple[str, str, bytes]] | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = 30.0


class ApiClient:
    """Made inside a running loop, closed by `aclose`."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=True)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def call(self, call: Call) -> Answer:
        """Send `call`, whatever the answer's status.

        Raises:
            SendError: RETRY where no connection was made, so nothing was sent; UNKNOWN where it broke later.
        """
        options: dict[str, Any] = {"params": call.query, "headers": call.headers, "allow_redirects": False}
        if call.form is not None:
            options["data"] = _form(call.form)
        elif call.json is not None:
            options["json"] = call.json
        timeout = aiohttp.ClientTimeout(total=call.timeout_s, connect=10.0)
        try:
            async with self._session.request(call.method, call.url, timeout=timeout, **options) as response:
                body = await response.content.read(_LONGEST_ANSWER)
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, _object(body), headers)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            raise SendError(f"no connection to the provider ({type(error).__name__})", Outcome.RETRY) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            words = f"the provider's answer did not come ({type(error).__name__}): it may have taken the message"
            raise SendError(words, Outcome.UNKNOWN) from error

    async def download(self, call: Call) -> AsyncIterator[bytes]:
        """The body of `call`, in pieces.

        Raises:
            MediaError: an answer other than 200, or a connection that broke; `is_final` where 4xx.
        """
        timeout = aiohttp.ClientTimeout(total=call.timeout_s, connect=10.0)
        options: dict[str, Any] = {"params": call.query, "headers": call.headers, "timeout": timeout}
        try:
            async with self._session.get(call.url, **options) as response:
                if response.status != 200:
                    is_final = 400 <= response.status < 500 and response.status != 429
                    raise MediaError(f"the provider answered {response.status} for the file", is_final=is_final)
                async for chunk in response.content.iter_chunked(_CHUNK):
                    yield chunk
        except (TimeoutError, aiohttp.ClientError) as error:
            raise MediaError(f"the file did not come ({type(error).__name__})", is_final=False) from error


def _form(fields: Mapping[str, str | tuple[str, str, bytes]]) -> aiohttp.FormData:
    form = aiohttp.FormData()
    for name, value in fields.items():
        if isinstance(value, str):
            form.add_field(name, value)
        else:
            form.add_field(name, io.BytesIO(value[2]), filename=one_line(value[0]) or "file", content_type=value[1])
    return form


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
