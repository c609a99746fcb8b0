"""The one seam behind which every language model stands: `Model.complete`.

A hosted endpoint, the local model and the scripted model for tests differ only here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from tasklift.llm.calls import ToolCall, ToolSpec
from tasklift.prediction import Usage

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message.

    Attributes:
        role: who says it; `tool` is the result of a call.
        content: what is said.
        tool_calls: of an assistant's message.
        tool_call_id: of a tool's message: the call that it answers.
    """

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""

    def to_json(self) -> dict[str, Any]:
        """The message in the form of chat completions; names in order."""
        row: dict[str, Any] = {"content": self.content, "role": self.role}
        if self.tool_call_id:
            row["tool_call_id"] = self.tool_call_id
        if self.tool_calls:
            row["tool_calls"] = [call.to_json() for call in self.tool_calls]
        return row


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a model.

    Attributes:
        messages: the chat so far; the model answers as the assistant.
        labels: the only allowed answers. Empty: free text.
        max_tokens: upper bound of generated tokens.
        temperature: 0 is greedy.
        seed: passed on where the model takes one.
        repeat: distinguishes deliberate repeats of an equal request in the response cache.
        schema: JSON Schema, as JSON text, that the answer must obey: a model that can decode under one does, another
            one may answer anything. Empty: no schema.
        tools: that the model may ask for instead of answering; not together with `labels`.
    """

    messages: tuple[Message, ...]
    labels: tuple[str, ...] = ()
    max_tokens: int = 64
    temperature: float = 0.0
    seed: int = 0
    repeat: int = 0
    schema: str = ""
    tools: tuple[ToolSpec, ...] = ()

    def key(self, snapshot: str) -> str:
        """Content address of this request to the model `snapshot` (hex SHA-256)."""
        # Written out: `dataclasses.asdict` would take longer than the rest of a call. Sorted by name.
        fields = {
            "labels": self.labels,
            "max_tokens": self.max_tokens,
            "messages": [message.to_json() for message in self.messages],
            "repeat": self.repeat,
            **({"schema": self.schema} if self.schema else {}),
            "seed": self.seed,
            "temperature": self.temperature,
        }
        if self.tools:
            fields["tools"] = [tool.to_json() for tool in self.tools]
        blob = json.dumps([snapshot, fields], ensure_ascii=False)
        return hashlib.sha256(blob.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a model.

    Attributes:
        text: the answer; where `Request.labels` was given, exactly one of them; may be empty beside tool calls.
        tool_calls: tools that the model asks for, in order.
        log_probs: natural log-probability of each whole label given the prompt, for models that
            can score; None where the model only generates.
        usage: tokens, calls and CPU seconds.
        latency_s: wall-clock seconds, queueing inside the client excluded.
        cached: served from the response cache; `usage` is what the first call used.
    """

    text: str
    log_probs: Mapping[str, float] | None = None
    usage: Usage = field(default_factory=Usage)
    latency_s: float = 0.0
    cached: bool = False
    tool_calls: tuple[ToolCall, ...] = ()


@runtime_checkable
class Model(Protocol):
    """A language model that answers.

    Attributes:
        name: how users name it, such as `local` or `http://127.0.0.1:8000/v1#some-model`.
        snapshot: what fingerprints and caches use: a weights hash, or host and model name.
        remote: True where text leaves this process for a network address.
        data_leaves_machine: True where that address is not this machine.
        deterministic: equal requests give equal answers.
    """

    name: str
    snapshot: str
    remote: bool
    data_leaves_machine: bool
    deterministic: bool

    async def complete(self, request: Request) -> Reply:
        """Answer one request.

        Raises:
            ModelError: the call failed; its `kind` says how.
        """
        ...

    async def aclose(self) -> None:
        """Release connections and memory."""
        ...


class WrappedModel:
    """A model around another one, which it is called like and answers for; a subclass says how it is asked."""

    def __init__(self, inner: Model) -> None:
        self.inner = inner
        self.name = inner.name
        self.snapshot = inner.snapshot
        self.remote = inner.remote
        self.data_leaves_machine = inner.data_leaves_machine
        self.deterministic = inner.deterministic

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inner!r})"

    async def aclose(self) -> None:
        """Close the inner model."""
        await self.inner.aclose()
