"""Stand-ins for language models, for tests without a network: a scripted `Model`, and a real local server.

model = ScriptedModel({"where is my parcel": "delivery"}, default="other")
async with FakeEndpoint([Behaviour.error(429, retry_after_s=2), Behaviour("delivery")]) as endpoint:
    model = OpenAICompatibleModel(endpoint.url, endpoint.model)
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from aiohttp import web

from tasklift.errors import InvalidOutputError, ModelError, TaskliftError
from tasklift.llm.counting import least_answer
from tasklift.llm.fake_batches import FakeBatches
from tasklift.llm.fake_behaviour import Behaviour
from tasklift.llm.fake_prefix import PrefixCache
from tasklift.llm.model import Reply, Request
from tasklift.prediction import Usage

__all__ = ["Behaviour", "FakeEndpoint", "ScriptedModel"]

#: What a scripted model does: say a text, give a whole reply, or fail.
Scripted = str | Reply | ModelError


class ScriptedModel:
    """A `Model` that says what it is told to, at once.

    It keeps the contract of a real one: with `Request.labels`, an answer that is none of them raises
    `InvalidOutputError`. Tokens are counted as words.

    Args:
        answers: a mapping from the last message (or a part of it: the longest that occurs) to the
            answer; a function of the request; or the answers in order.
        default: the answer where the mapping has none, and after the last in order.
        name: how reports name it.
        confidence: where given, replies to requests with labels carry log-probabilities that put this
            much on the answer and the rest evenly on the other labels.
        delay_s: seconds that each answer takes.

    Attributes:
        requests: every request so far.
    """

    remote = False
    data_leaves_machine = False

    def __init__(
        self,
        answers: Mapping[str, Scripted] | Callable[[Request], Scripted] | Sequence[Scripted] = (),
        *,
        default: Scripted | None = None,
        name: str = "scripted",
        confidence: float | None = None,
        delay_s: float = 0.0,
    ) -> None:
        if isinstance(answers, str):
            raise TypeError(f"answers must be a mapping, a function or a list; write [{answers!r}] for one answer")
        self.name = name
        # What can be compared enters the name under which replies are cached.
        script = "" if callable(answers) else repr((answers, default))
        self.snapshot = f"{name}:{hashlib.sha256(script.encode()).hexdigest()[:12]}"
        self.deterministic = callable(answers) or isinstance(answers, Mapping)
        self.requests: list[Request] = []
        self._answers = answers
        self._default = default
        self._confidence = confidence
        self._delay_s = delay_s

    def __repr__(self) -> str:
        return f"ScriptedModel({self.name!r})"

    async def complete(self, request: Request) -> Reply:
        """Answer as told.

        Raises:
            ModelError: the script says so, or it says something that is not one of the labels.
            TaskliftError: the script has no answer to this request.
        """
        self.requests.append(request)
        started = time.monotonic()
        answer = self._answer(request)
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        if isinstance(answer, ModelError):
            raise type(answer)(*answer.args)  # a new one: a raised error collects its traceback
        reply = answer if isinstance(answer, Reply) else self._reply(request, answer)
        if request.labels and reply.text not in request.labels:
            raise InvalidOutputError(f"the scripted answer {reply.text!r} is none of {list(request.labels)}")
        return replace(reply, latency_s=reply.latency_s or time.monotonic() - started)

    async def aclose(self) -> None:
        """Nothing to release."""

    def _answer(self, request: Request) -> Scripted:
        if callable(self._answers):
            return self._answers(request)
        if isinstance(self._answers, Mapping):
            found = _longest_part(self._answers, request.messages[-1].content)
        else:
            turn = len(self.requests) - 1
            found = self._answers[turn] if turn < len(self._answers) else None
        answer = self._default if found is None else found
        if answer is None:
            asked = request.messages[-1].content
            raise TaskliftError(f"the scripted model has no answer to {asked!r}; add one, or a default")
        return answer

    def _reply(self, request: Request, text: str) -> Reply:
        words = sum(len(message.content.split()) for message in request.messages)
        usage = Usage(calls=1, input_tokens=words, output_tokens=len(text.split()))
        if self._confidence is None or text not in request.labels:
            return Reply(text, usage=usage)
        others = len(request.labels) - 1
        rest = (1 - self._confidence) / max(1, others)
        scores = {label: self._confidence if label == text else rest for label in request.labels}
        return Reply(text, {label: math.log(score) if score else -math.inf for label, score in scores.items()}, usage)


def _longest_part(answers: Mapping[str, Scripted], text: str) -> Scripted | None:
    parts = [part for part in answers if part in text]
    return answers[max(parts, key=len)] if parts else None


class FakeEndpoint:
    """A server on 127.0.0.1 that follows the documented behaviour of OpenAI's chat completions.

    `/v1/chat/completions` (also streamed, with usage and `response_format`), `/v1/models`, and errors with
    their documented bodies. Use it with `async with`.

    Args:
        script: what to do with the first chat requests, in order.
        default: what to do with the others.
        answer: gives the answer to a request body; where a JSON schema with one choice of labels was
            sent, the answer is wrapped as the schema says. Default: the first label, or "ok".
        models: names that are served.
        api_key: the key that is asked for; None: any or none will do.
        takes_response_format: False: refuse `response_format`, as many servers do.
        delay_s: seconds before each response.

    Attributes:
        context_tokens: longer prompts are refused as too long; None at first: none is.
        prefixes: its prefix cache; at first there is none.
        batches: `/v1/files` and `/v1/batches`.
        model: the first model's name.
        shutdown_dates: model -> day on which `/v1/models` says that it ends; empty at first.
        received: the body of every chat request so far.
        most_at_once: the largest number of chat requests that were under way together.
    """

    def __init__(
        self,
        script: Sequence[Behaviour] = (),
        default: Behaviour | None = None,
        *,
        answer: Callable[[Mapping[str, Any]], str] | None = None,
        models: Sequence[str] = ("fake-model",),
        api_key: str | None = None,
        takes_response_format: bool = True,
        delay_s: float = 0.0,
    ) -> None:
        self.context_tokens: int | None = None
        self.prefixes = PrefixCache(0)
        self.batches = FakeBatches(self._answer_batched)
        self.models = tuple(models)
        self.shutdown_dates: dict[str, str | int] = {}
        self.model = self.models[0]
        self.received: list[dict[str, Any]] = []
        self.most_at_once = 0
        self._script: Iterator[Behaviour] = iter(script)
        self._default = default or Behaviour()
        self._answer = answer
        self._api_key = api_key
        self._takes_response_format = takes_response_format
        self._delay_s = delay_s
        self._now = self._port = 0
        self._closing = asyncio.Event()
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._list)
        self.batches.add_to(app.router)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    @property
    def url(self) -> str:
        """The base address, such as `http://127.0.0.1:40123/v1`."""
        return f"http://127.0.0.1:{self._port}/v1"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()  # lets the hanging requests go
        await self._runner.cleanup()

    async def _list(self, request: web.Request) -> web.StreamResponse:
        if (refused := self._refused_key(request)) is not None:
            return refused
        rows = [
            {"id": name, "object": "model", "created": 0, "owned_by": "tasklift"}
            | ({"shutdown_date": self.shutdown_dates[name]} if name in self.shutdown_dates else {})
            for name in self.models
        ]
        return web.json_response({"object": "list", "data": rows})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            return await self._handled(request)
        finally:
            self._now -= 1

    async def _handled(self, request: web.Request) -> web.StreamResponse:
        try:
            body = json.loads(await request.read())
        except ValueError:
            return _error(400, "We could not parse the JSON body of your request.")
        self.received.append(body)
        if (refused := self._refused_key(request)) is not None:
            return refused
        behaviour = next(self._script, self._default)
        if seconds := behaviour.delay_s or self._delay_s:
            await asyncio.sleep(seconds)
        if behaviour.kind == "error":
            return _error(behaviour.status, behaviour.text or "", code=behaviour.code, headers=behaviour.headers)
        if behaviour.kind != "answer":
            return await self._misbehave(request, behaviour)
        if (refused := self._refused_body(body)) is not None:
            return refused
        completion = self.completion(body, behaviour)
        if body.get("stream"):
            return await _stream(request, body, completion)
        return web.json_response(completion, status=behaviour.status, headers=behaviour.headers)

    def _answer_batched(self, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        return 200, self.completion(body, next(self._script, self._default))

    def completion(self, body: Mapping[str, Any], behaviour: Behaviour) -> dict[str, Any]:
        """The chat completion that answers a request body."""
        cached = behaviour.cached_tokens or self.prefixes.served(_words(body))
        text = self._own_answer(body) if behaviour.text is None else behaviour.text
        return _completion(body, text, replace(behaviour, cached_tokens=cached))

    def _refused_key(self, request: web.Request) -> web.Response | None:
        sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self._api_key is None or sent == self._api_key:
            return None
        said = f"Incorrect API key provided: {sent}." if sent else "You didn't provide an API key."
        return _error(401, said, code="invalid_api_key" if sent else None)

    def _refused_body(self, body: Mapping[str, Any]) -> web.Response | None:
        if not isinstance(body.get("model"), str):
            return _error(400, "you must provide a model parameter")
        if body["model"] not in self.models:
            said = f"The model `{body['model']}` does not exist or you do not have access to it."
            return _error(404, said, code="model_not_found")
        if not body.get("messages"):
            return _error(400, "Missing required parameter: 'messages'.", param="messages")
        if "response_format" in body and not self._takes_response_format:
            said = "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
            return _error(400, said, param="response_format")
        if self.context_tokens is not None and (count := len(_words(body))) > self.context_tokens:
            said = (
                f"This model's maximum context length is {self.context_tokens} tokens. However, your messages "
                f"resulted in {count} tokens. Please reduce the length of the messages."
            )
            return _error(400, said, code="context_length_exceeded", param="messages")
        return None

    def _own_answer(self, body: Mapping[str, Any]) -> str:
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
        labels = [(name, part["enum"]) for name, part in schema.get("properties", {}).items() if "enum" in part]
        is_one_label = list(schema.get("properties", {})) == ["label"]
        if not labels or not is_one_label:
            if self._answer:
                return self._answer(body)
            return json.dumps(least_answer(schema)) if schema else "ok"
        name, choices = labels[0]
        return json.dumps({name: self._answer(body) if self._answer else choices[0]})

    async def _misbehave(self, request: web.Request, behaviour: Behaviour) -> web.StreamResponse:
        if behaviour.kind == "hang":
            await self._closing.wait()
            return web.Response()
        if behaviour.kind == "garbage":
            return web.Response(body=b"\x00\xff\xfe\x80 garbage", status=behaviour.status)
        if behaviour.kind == "html":
            page = "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body></body></html>"
            return web.Response(text=page, status=behaviour.status, content_type="text/html")
        whole = json.dumps(_completion({}, behaviour.text or "ok", behaviour))
        half = whole[: len(whole) // 2].encode()
        if behaviour.kind == "truncated":
            return web.Response(body=half, status=behaviour.status, content_type="application/json")
        if behaviour.kind != "disconnect":
            response = web.StreamResponse(headers={"Content-Length": str(len(whole))})
            await response.prepare(request)
            await response.write(half)
            if behaviour.kind == "hang_after_headers":
                await self._closing.wait()
        if request.transport is not None:
            request.transport.close()
        return web.Response()


def _words(body: Mapping[str, Any]) -> list[str]:
    return [word for message in body.get("messages", ()) for word in str(message.get("content")).split()]


def _error(
    status: int,
    message: str,
    *,
    code: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    kind = {429: "rate_limit_exceeded"}.get(status, "server_error" if status >= 500 else "invalid_request_error")
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return web.json_response(body, status=status, headers=headers)


def _completion(body: Mapping[str, Any], text: str, behaviour: Behaviour) -> dict[str, Any]:
    """A chat completion; its tokens are words."""
    prompt = len(_words(body))
    said = len(text.split())
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": said,
        "total_tokens": prompt + said,
    }
    usage["prompt_tokens_details"] = {"cached_tokens": behaviour.cached_tokens}
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if behaviour.tool_calls:
        message |= {"content": text or None, "tool_calls": [call.to_json() for call in behaviour.tool_calls]}
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body.get("model", "fake-model"),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": behaviour.finish_reason}],
        "usage": usage,
    }


async def _stream(request: web.Request, body: Mapping[str, Any], whole: dict[str, Any]) -> web.StreamResponse:
    """The completion as server-sent events: one for each word, then usage where it was asked for."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    common = {**whole, "object": "chat.completion.chunk", "usage": None}
    choice = whole["choices"][0]
    words = choice["message"]["content"].split(" ")
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": word if at == 0 else f" {word}"}, None) for at, word in enumerate(words)]
    deltas += [({}, choice["finish_reason"])]
    chunks = [
        {**common, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]} for delta, reason in deltas
    ]
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append({**common, "choices": [], "usage": whole["usage"]})
    for chunk in chunks:
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
    await response.write(b"data: [DONE]\n\n")
    return response
