"""What a fake endpoint does with one request: answer, fail as the protocol documents, or break off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

from tasklift.llm.calls import ToolCall


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the endpoint does with one request.

    Attributes:
        text: the answer, sent as it is; None: what the endpoint answers by itself.
        kind: `answer` in the normal way; `hang`: send nothing; `hang_after_headers`; `disconnect`
            without a response; `truncated`: JSON that stops in the middle; `broken_off`: the connection
            closes in the middle of the body; `garbage`: bytes that are no text; `html`: an error page;
            `error`: an error body with `status` and `text` as its message.
        status, headers: HTTP status and further response headers.
        code: the error's code.
        cached_tokens: prompt tokens reported as served from a prefix cache.
        finish_reason: reported with the answer.
        tool_calls: tools that the answer asks for.
        delay_s: seconds before anything is sent.
    """

    text: str | None = None
    kind: Literal[
        "answer",
        "error",
        "hang",
        "hang_after_headers",
        "disconnect",
        "truncated",
        "broken_off",
        "garbage",
        "html",
    ] = "answer"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    code: str | None = None
    cached_tokens: int = 0
    finish_reason: str = "stop"
    tool_calls: tuple[ToolCall, ...] = ()
    delay_s: float = 0.0

    @classmethod
    def error(
        cls,
        status: int,
        text: str = "scripted error",
        *,
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> Self:
        """An error with the documented body, and a `retry-after` header where one is given."""
        headers = {} if retry_after_s is None else {"retry-after": f"{retry_after_s:g}"}
        return cls(text, "error", status, headers, code)
