"""What one OpenAI-compatible endpoint looks like from outside: its address, its key, its errors."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import math
import os
import re
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from yarl import URL

from tasklift.errors import (
    AuthenticationError,
    ConfigError,
    ContextOverflowError,
    InvalidOutputError,
    ModelError,
    ModelTimeoutError,
    RateLimitError,
    RequestRefusedError,
    ServerError,
)
from tasklift.llm.calls import ToolCall, read_calls
from tasklift.prediction import Usage

_ERROR_BYTES = 4000  # of an error page that are read
_TOO_LONG = re.compile(r"maximum context length|exceeds the available context|context window", re.IGNORECASE)
_SHOWN_BYTES = 120  # of an unreadable answer that an error shows
_PIECE = 8  # characters of a key that would already help a thief
_PLACEHOLDER = 4  # a "key" shorter than this is none, and hiding it would garble every message


class Key:
    """The key of an endpoint, from the environment only; printing what holds it does not show it.

    Args:
        variable: name of the environment variable; None: the endpoint needs no key. An empty
            variable counts as no key, since many local servers need none.

    Raises:
        ConfigError: the variable holds something that cannot be a key.
    """

    __slots__ = ("_value", "variable")

    def __init__(self, variable: str | None) -> None:
        self.variable = variable
        self._value = os.environ.get(variable, "").strip() if variable else ""
        if not (self._value.isascii() and self._value.isprintable()):
            raise ConfigError(f"environment variable {variable} holds characters that no key has; set it again")

    def __repr__(self) -> str:
        return f"Key({self.variable!r})"

    def __bool__(self) -> bool:
        return bool(self._value)

    def headers(self) -> dict[str, str]:
        """The request header that carries the key."""
        return {"Authorization": f"Bearer {self._value}"} if self._value else {}

    def scrub(self, text: str) -> str:
        """`text` without the key and without any piece of it of 8 characters or more."""
        size = min(_PIECE, len(self._value))
        if size < _PLACEHOLDER:
            return text
        kept: list[str] = []
        hidden_until = 0
        for at, character in enumerate(text):
            if at + size <= len(text) and text[at : at + size] in self._value:
                if at >= hidden_until:
                    kept.append("***")
                hidden_until = at + size
            if at >= hidden_until:
                kept.append(character)
        return "".join(kept)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a usable response says.

    Attributes:
        text: the answer; empty where there was none.
        finish_reason: why it ended, as the server says it.
        usage: one call and its tokens.
        tool_calls: tools that the model asks for.
        models: names, where the question was which models there are.
        shutdowns: model -> day on which it ends, for those of which the server tells it.
    """

    text: str = ""
    finish_reason: str = ""
    usage: Usage = field(default_factory=Usage)
    tool_calls: tuple[ToolCall, ...] = ()
    models: tuple[str, ...] = ()
    shutdowns: Mapping[str, datetime.date] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """One HTTP request that gave no usable answer.

    Attributes:
        error: what to raise once there are no retries left.
        message: what went wrong, as the server said it; it may hold the key.
        status: the HTTP status; 0 where none came.
        retry: another try may succeed.
        retry_after_s: seconds that the server asks to wait.
        tokens, limit: of a prompt that is too long for the model; 0 where the server does not say.
    """

    error: type[ModelError]
    message: str
    status: int = 0
    retry: bool = False
    retry_after_s: float | None = None
    tokens: int = 0
    limit: int = 0

    @property
    def usage(self) -> Usage:
        """An answer that cannot be read was still made by a model."""
        return Usage(calls=int(self.status == 200))


def read_answer(status: int, headers: Mapping[str, str], raw: bytes, wall: Callable[[], float]) -> Answer | Failure:
    """What a whole response means: a chat completion, a list of models, or a failure.

    Args:
        wall: gives Unix seconds, for a `retry-after` that is a date.
    """
    if status >= 300:
        return _failure(status, headers, raw, wall())
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return _unusable(raw)
    if not isinstance(body, dict):
        return _unusable(raw)
    choices, models = body.get("choices"), body.get("data")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return _completion(choices[0], body.get("usage")) or _unusable(raw)
    if isinstance(models, list):
        named = [item for item in models if isinstance(item, dict) and "id" in item]
        ends = {str(item["id"]): _day(item.get("shutdown_date")) for item in named}
        shutdowns = {name: day for name, day in ends.items() if day is not None}
        return Answer(models=tuple(ends), shutdowns=shutdowns)
    error = body.get("error")
    if isinstance(error, dict) and isinstance(error.get("code"), int):  # some gateways hide a status in a 200
        return _failure(error["code"], headers, raw, wall())
    return _unusable(raw)


def _day(told: object) -> datetime.date | None:
    """A date as servers write it: ISO 8601, or Unix seconds; None where it is neither."""
    try:
        if isinstance(told, int | float) and not isinstance(told, bool):
            return datetime.datetime.fromtimestamp(told, datetime.UTC).date()
        return datetime.datetime.fromisoformat(str(told)).date() if told else None
    except (ValueError, OverflowError, OSError):
        return None


def _unusable(raw: bytes) -> Failure:
    shown = raw[:_SHOWN_BYTES].decode(errors="replace")
    return Failure(InvalidOutputError, f"the answer is no chat completion: {shown!r}", status=200, retry=True)


def _completion(choice: dict[str, Any], usage: object) -> Answer | None:
    message = choice.get("message")
    if not isinstance(message, dict):
        return None
    content = message.get("content")
    if isinstance(content, list):  # content in parts
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    text = content if isinstance(content, str) else ""
    calls = read_calls(message.get("tool_calls"))
    return Answer(text, str(choice.get("finish_reason")), _usage(usage), calls)


def _usage(usage: object) -> Usage:
    if not isinstance(usage, dict):
        return Usage(calls=1)
    cached = usage.get("prompt_cache_hit_tokens")
    if isinstance(details := usage.get("prompt_tokens_details"), dict):
        cached = details.get("cached_tokens")
    counts = (usage.get("prompt_tokens"), cached, usage.get("completion_tokens"))
    prompt, cached, completion = (count if isinstance(count, int) and count > 0 else 0 for count in counts)
    return Usage(calls=1, input_tokens=prompt, cached_tokens=cached, output_tokens=completion)


def _failure(status: int, headers: Mapping[str, str], raw: bytes, wall_s: float) -> Failure:
    said, code = _server_message(raw)
    if 300 <= status < 400:
        said = f"it redirects to {headers.get('location', 'nowhere')}; write that address instead"
    too_long = status in {400, 413, 422} and ("context_length" in code or _TOO_LONG.search(said) is not None)
    tokens, limit = _token_counts(said) if too_long else (0, 0)
    return Failure(
        error=ContextOverflowError if too_long else _error_class(status),
        tokens=tokens,
        limit=limit,
        message=f"{status}: {said}",
        status=status,
        # A quota that is used up does not come back within a retry.
        retry=(status in {408, 409, 429} or status >= 500) and "insufficient_quota" not in code,
        retry_after_s=retry_after(headers, wall_s),
    )


def _token_counts(said: str) -> tuple[int, int]:
    """Tokens of a prompt that is too long, and the limit, as servers word it; 0 where they do not say."""
    numbers = [int(found.replace(",", "")) for found in re.findall(r"\d[\d,]*", said)]
    named = re.search(r"(?:context length|context size|context window)[^\d]{0,20}(\d+)", said)
    limit = int(named[1]) if named else 0
    tokens = next((number for number in numbers if number > limit), 0) if limit else 0
    return (tokens, limit) if tokens else (0, 0)


def retry_after(headers: Mapping[str, str], wall_s: float) -> float | None:
    """Seconds that the server asks to wait; None where it does not say, or not in a readable way."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if not math.isnan(seconds):
            return max(0.0, seconds)
    until = _unix_seconds(headers.get("retry-after"))
    if until is None:
        return None
    now = _unix_seconds(headers.get("date"))  # the server's own clock, where it tells: ours may be wrong
    return max(0.0, until - (wall_s if now is None else now))


def _unix_seconds(http_date: str | None) -> float | None:
    try:
        return parsedate_to_datetime(http_date or "").timestamp()
    except (ValueError, OverflowError):
        return None


def _server_message(raw: bytes) -> tuple[str, str]:
    """What an error body says, and its code and type; in each of the forms that servers use."""
    text = raw[:_ERROR_BYTES].decode(errors="replace")
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        is_page = text.lstrip()[:15].lower().startswith(("<!doctype", "<html"))
        return ("an HTML page, so this may not be an API address" if is_page else text), ""
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return str(error)[:_ERROR_BYTES], ""
    said = error.get("message") or error.get("detail") or error
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    return text[:_ERROR_BYTES], f"{error.get('code')} {error.get('type')}"


def _error_class(status: int) -> type[ModelError]:
    known: dict[int, type[ModelError]] = {
        401: AuthenticationError,
        403: AuthenticationError,
        408: ModelTimeoutError,
        429: RateLimitError,
    }
    return known.get(status, ServerError if status >= 500 else RequestRefusedError)


def checked_url(url: str) -> SplitResult:
    """The parts of an endpoint's address.

    Raises:
        ConfigError: it is no http address, or carries a password or a query.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port  # a port that is no number raises here
    except ValueError:
        raise ConfigError("the address of the endpoint cannot be read; its host or port is malformed") from None
    if parts.username is not None or parts.query:
        raise ConfigError(f"the address of {parts.hostname} holds a login or a query; put the key in a variable")
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise ConfigError(f"{url!r} is not an endpoint; write it like http://127.0.0.1:8000/v1#model-name")
    return parts


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine for certain; an unknown name is not."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def proxy_arguments(parts: SplitResult) -> dict[str, Any]:
    """The proxy that the environment names, as arguments of an aiohttp request.

    Read once: aiohttp's own `trust_env` asks for it in a thread at each request.
    """
    host = parts.hostname or ""
    address = urllib.request.getproxies().get(parts.scheme)
    if not address or is_loopback(host) or urllib.request.proxy_bypass(host):
        return {}
    proxy = URL(address)
    if proxy.user is None:
        return {"proxy": proxy}
    login = base64.b64encode(f"{unquote(proxy.user)}:{unquote(proxy.password or '')}".encode()).decode()
    return {"proxy": proxy.with_user(None), "proxy_headers": {"Proxy-Authorization": f"Basic {login}"}}
