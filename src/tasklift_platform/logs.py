"""Structured logs: one JSON object a line, for our own words and those of every library, without secrets.

Code here logs with the standard `logging` (fields in `extra=`) or with structlog; both come out alike once
`configure_logs` was called. What is bound with `structlog.contextvars`, such as the request's id, is in every line.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor

from tasklift.errors import ConfigError

_HIDDEN = "[redacted]"
_SECRET_NAMES = re.compile(
    r"(^|[_-])(authorization|cookie|passwords?|passwd|secrets?|credentials?|api[_-]?key|access[_-]?token|"
    r"refresh[_-]?token|bearer|private[_-]?key|presented)$",
    re.IGNORECASE,
)
_SECRETS = [
    (re.compile(r"\b(tl_[0-9a-f]{12})_[A-Za-z0-9_-]{20,}"), rf"\1_{_HIDDEN}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {_HIDDEN}"),
    (re.compile(r"\b(sk|pk|rk|ghp|gho|xox[abp])[-_][A-Za-z0-9_-]{16,}"), rf"\1-{_HIDDEN}"),
    (re.compile(r"(://[^/\s:@]*:)[^@\s/]+@"), rf"\1{_HIDDEN}@"),
    (re.compile(r"\$argon2\w*\$[^\s'\"]+"), _HIDDEN),
]
_MAY_HOLD_SECRET = re.compile(r"tl_|sk|pk|rk|gh[po]_|xox|://|\$argon2|bearer|basic", re.IGNORECASE)
_DEEPEST = 6


def configure_logs(stream: TextIO, level: str = "info", style: Literal["json", "console"] = "json") -> None:
    """Send every log line of this process to `stream`; what was configured before is replaced.

    Args:
        stream: where to.
        level: debug, info, warning, error or critical.
        style: "console" is for people.

    Raises:
        ConfigError: no such level.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ConfigError(f"no log level is called {level!r}: debug, info, warning, error or critical")
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    after: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,  # plain text without local variables, which may be anybody's data
        redact,
        structlog.processors.JSONRenderer(ensure_ascii=False, default=repr)
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=False),
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=before, processors=after))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):  # it brings handlers of its own
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


def redact(_: Any, __: str, event: EventDict) -> EventDict:
    """A structlog processor: hide values under names like `password`, and whatever looks like a key in a text."""
    for name, value in event.items():
        event[name] = _HIDDEN if _SECRET_NAMES.search(name) else redacted(value)
    return event


def redacted(value: Any, depth: int = 0) -> Any:
    """`value` without secrets; mappings and sequences in it are copied."""
    if isinstance(value, str):
        return _redacted_text(value)
    if isinstance(value, bytes):
        return _redacted_text(value.decode("utf-8", "replace"))
    if depth >= _DEEPEST or value is None or isinstance(value, (int, float)):
        return value
    if isinstance(value, Mapping):
        return {
            name: _HIDDEN if _SECRET_NAMES.search(str(name)) else redacted(item, depth + 1)
            for name, item in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redacted(item, depth + 1) for item in value]
    return _redacted_text(repr(value))


def _redacted_text(text: str) -> str:
    if _MAY_HOLD_SECRET.search(text):
        for pattern, instead in _SECRETS:
            text = pattern.sub(instead, text)
    return text
