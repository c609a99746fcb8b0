"""`/v1/chat/completions` and `/v1/models`, as OpenAI's clients speak them.

The hot path: plain ASGI, no validation models, bodies put together from text. The task's name is the model's
name, the last user message is the input, `metadata.overlay` chooses an overlay, `user` (or `safety_identifier`)
decides between stable candidate and canary, and `metadata.subject` names the person it is about where that is not
the user.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasklift.errors import TaskliftError
from tasklift.operate.answers import kept
from tasklift.operate.people import person_key
from tasklift.operate.service import Answered, Asked, Service
from tasklift.operate.traffic import best_guess
from tasklift.serve.access import Access
from tasklift.serve.http import (
    ApiError,
    Headers,
    Receive,
    Scope,
    Send,
    api_error,
    bearer,
    failure_error,
    parse_json,
    read_body,
    send_error,
    send_json,
)
from tasklift_platform.web.limits import lingering

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_SSE = (b"content-type", b"text/event-stream; charset=utf-8")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What of a chat request matters here."""

    task: str
    text: str
    caller: str
    subject: str
    overlay: str
    stream: bool
    with_usage: bool


@dataclass(frozen=True, slots=True)
class Chat:
    """The endpoint for chat completions."""

    service: Service
    access: Access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        begin = time.perf_counter()
        try:
            headers: Headers = scope["headers"]
            key = await self.access.check(bearer(headers))
            asked = parse_chat(parse_json(await read_body(headers, receive)), self.service)
            key.require(f"predict:{asked.task}")
            who = Asked(asked.caller or key.name, asked.caller, asked.overlay, begin, asked.subject)
            field = self.service.served[asked.task].task.input_fields[0]
            answered = await self.service.answer(asked.task, {field: asked.text}, who)
            if answered.prediction.error is not None:
                raise failure_error(answered.prediction.error)
        except ApiError as error:
            return await send_error(lingering(send, receive) if error.status == 413 else send, error)
        except TaskliftError as error:
            return await send_error(send, api_error(error))
        text = answer_text(answered, self.service.served[asked.task].policy.on_defer)
        if asked.stream:
            return await _stream(send, asked, answered, text)
        await send_json(send, 200, completion(asked.task, answered, text), answer_headers(answered))


def parse_chat(body: Mapping[str, Any], service: Service) -> ChatRequest:
    """The request, checked.

    Raises:
        ApiError: with the field that is wrong.
    """
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise ApiError(400, "`model` must name a task", "missing_model", "model")
    if model not in service.served:
        raise unknown_model(model, service)
    if body.get("n") not in (None, 1):
        raise ApiError(400, "`n` must be 1: one answer is all there is", "invalid_value", "n")
    stream, options = body.get("stream") or False, body.get("stream_options") or {}
    if not isinstance(stream, bool):
        raise ApiError(400, "`stream` must be true or false", "invalid_value", "stream")
    if not isinstance(options, dict):
        raise ApiError(400, "`stream_options` must be an object", "invalid_value", "stream_options")
    metadata = body.get("metadata") or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ApiError(400, "`metadata` must be an object of texts", "invalid_value", "metadata")
    caller = body.get("safety_identifier") or body.get("user")
    if caller is not None and not isinstance(caller, str):
        raise ApiError(400, "`user` must be text", "invalid_value", "user")
    text = last_user_text(body.get("messages"))
    named = person_key(caller or "")
    subject = person_key(metadata.get("subject", "")) or named
    overlay = clean(metadata.get("overlay", ""))
    return ChatRequest(model, text, named, subject, overlay, stream, bool(options.get("include_usage")))


def unknown_model(model: str, service: Service) -> ApiError:
    """404, with the names that are known."""
    known = ", ".join(service.served)
    return ApiError(
        404, f"The model `{clean(model)[:80]}` does not exist here; there are: {known}", "model_not_found", "model"
    )


def last_user_text(messages: object) -> str:
    """The text of the last user message.

    Raises:
        ApiError: there is none, or a message is malformed.
    """
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, "`messages` must be a list with at least one message", "invalid_value", "messages")
    found: object = None
    for at, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if not isinstance(role, str) or role not in _ROLES:
            raise ApiError(400, f"`messages[{at}]` must have a known role", "invalid_value", f"messages[{at}].role")
        if role == "user":
            found = message.get("content")
    if isinstance(found, list):
        parts = [part.get("text") if isinstance(part, dict) else None for part in found]
        if not all(isinstance(part, str) for part in parts):
            raise ApiError(400, "only parts of type `text` are understood", "invalid_value", "messages")
        found = "\n".join(str(part) for part in parts)
    if not isinstance(found, str):
        raise ApiError(400, "`messages` holds no user message with text", "invalid_value", "messages")
    return found


def clean(text: str) -> str:
    """Text that every database and header takes: no NUL, no half surrogate pair, at most 200 characters."""
    return text[:200].replace("\x00", "").encode(errors="replace").decode()


def answer_text(answered: Answered, on_defer: str | None) -> str:
    """What the chat says: the answer; where a person has to answer, the task's own words or the best guess."""
    if answered.prediction.deferred and on_defer is not None:
        return on_defer
    best = best_guess(answered.prediction)
    return "" if best is None or best.output is None else kept(best.output)


def answer_headers(answered: Answered) -> Headers:
    """Release, stage, confidence, cost, overhead, trace."""
    confidence = answered.prediction.confidence
    found: Headers = [
        (b"x-tasklift-release", b"%d" % answered.arm.arm.version),
        (b"x-tasklift-stage", (answered.stage or answered.arm.arm.name).encode()),
        (b"x-tasklift-confidence", b"" if confidence is None else b"%.6f" % confidence),
        (b"x-tasklift-cost-usd", b"%.9f" % answered.cost_usd),
        (b"x-tasklift-overhead-ms", b"%.3f" % (answered.overhead_s * 1000)),
        (b"x-tasklift-trace-id", answered.trace.encode()),
    ]
    if answered.prediction.deferred:
        found.append((b"x-tasklift-needs-review", (answered.review or "").encode()))
    return found


def completion(task: str, answered: Answered, text: str) -> bytes:
    """The body of a completion."""
    return (
        f'{{"id":"{answered.trace}","object":"chat.completion","created":{int(time.time())},"model":"{task}",'
        f'"choices":[{{"index":0,"message":{{"role":"assistant","content":{json.dumps(text)},"refusal":null}},'
        f'"logprobs":null,"finish_reason":"stop"}}],"usage":{_usage(answered)}{_extra(answered)}}}'
    ).encode()


def _usage(answered: Answered) -> str:
    used = answered.prediction.usage
    return (
        f'{{"prompt_tokens":{used.input_tokens},"completion_tokens":{used.output_tokens},'
        f'"total_tokens":{used.input_tokens + used.output_tokens},'
        f'"prompt_tokens_details":{{"cached_tokens":{used.cached_tokens}}}}}'
    )


def _extra(answered: Answered) -> str:
    """Beside OpenAI's fields: a client that does not know it does not see it."""
    if not answered.prediction.deferred:
        return ""
    return f',"tasklift":{{"needs_review":true,"review":{json.dumps(answered.review)}}}'


async def _stream(send: Send, asked: ChatRequest, answered: Answered, text: str) -> None:
    """The answer as server-sent events. It is known whole before the first one is sent, because it has to be one
    of the allowed answers."""
    head = (
        f'"id":"{answered.trace}","object":"chat.completion.chunk","created":{int(time.time())},"model":"{asked.task}"'
    )
    usage = ',"usage":null' if asked.with_usage else ""

    def chunk(delta: str, reason: str) -> str:
        return f'data: {{{head},"choices":[{{"index":0,"delta":{delta},"finish_reason":{reason}}}]{usage}}}\n\n'

    events = [
        chunk('{"role":"assistant","content":""}', "null"),
        chunk(f'{{"content":{json.dumps(text)}}}', "null"),
        chunk("{}", '"stop"'),
    ]
    if asked.with_usage:
        events.append(f'data: {{{head},"choices":[],"usage":{_usage(answered)}{_extra(answered)}}}\n\n')
    events.append("data: [DONE]\n\n")
    headers = [_SSE, (b"cache-control", b"no-cache"), *answer_headers(answered)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for event in events[:-1]:
        await send({"type": "http.response.body", "body": event.encode(), "more_body": True})
    await send({"type": "http.response.body", "body": events[-1].encode()})
