"""Any OpenAI-compatible chat-completions endpoint as a `Model`, on aiohttp alone."""

from __future__ import annotations

import asyncio
import datetime
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

from tasklift.errors import ConfigError, ContextOverflowError, InvalidOutputError
from tasklift.llm.answer_schema import response_format, unwrapped
from tasklift.llm.endpoint import Answer, Failure
from tasklift.llm.labels import instruct, label_schema, match_label
from tasklift.llm.model import Message, Reply, Request
from tasklift.llm.transport import ClientOptions, Clock, Spent, Transport

__all__ = ["ClientOptions", "Clock", "OpenAICompatibleModel"]

_SCHEMA_TOKENS = 16  # what {"label": ""} around an answer takes, with room to spare
_LISTED = 10  # model names in an error
# How servers say that they do not take a parameter.
_NOT_TAKEN = ("support", "not permitted", "not allowed", "unknown", "unrecognized", "unexpected", "extra ")


class OpenAICompatibleModel:
    """A model behind an OpenAI-compatible endpoint: hosted, or a server on this machine.

    Connections are made inside the running event loop, at the first request; call `aclose` before that
    loop ends. A parameter that the endpoint refuses (`response_format`, `temperature`, `seed`,
    `max_tokens`) is left out from then on, for this instance.

    Args:
        base_url: address up to and including the version, such as `http://127.0.0.1:8000/v1`.
        model: the model's name there.
        key_variable: name of the environment variable that holds the key; None: no key is sent.
        options: time-outs, retries and limits.
        clock: time and chance.

    Raises:
        ConfigError: the address or the key cannot be used.
    """

    remote = True
    deterministic = False  # hosted models promise no equal answers, even at temperature 0

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        key_variable: str | None = None,
        options: ClientOptions | None = None,
        clock: Clock | None = None,
    ) -> None:
        options = options or ClientOptions()
        self._transport = Transport(base_url, key_variable, options, clock or Clock())
        self._model = model
        self.base_url = self._transport.base_url
        self.name = f"{self.base_url}#{model}"
        self.snapshot = f"{self._transport.address}#{model}"
        self.data_leaves_machine = not self._transport.is_local
        self._refused = frozenset[str]() if options.use_response_format else frozenset({"response_format"})
        self._schema_worked = False

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        key_variable: str | None = None,
        options: ClientOptions | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """The model at `http://host:port/v1#model-name`.

        Without `#model-name` the endpoint is asked, which blocks; it must then serve exactly one model.

        Raises:
            ConfigError: the address cannot be used, or the endpoint serves none or several models.
            ModelError: the endpoint did not answer the question.
        """
        base_url, _, name = url.strip().partition("#")
        if not name:
            asked = cls(base_url, "", key_variable=key_variable, options=options, clock=clock)
            with ThreadPoolExecutor(1) as thread:  # the caller may be inside a running loop
                names = thread.submit(asyncio.run, asked._list_and_close()).result()
            name = _only(names, asked.base_url)
        return cls(base_url, name, key_variable=key_variable, options=options, clock=clock)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    async def complete(self, request: Request) -> Reply:
        """Answer one request. With labels, the text is exactly one of them, after one repair at most.

        Raises:
            ModelError: the call failed; its `kind` says how.
        """
        spent = Spent()
        async with self._transport.slot():
            answer = await self._ask(request, request.messages, spent)
            if request.labels:
                text = await self._as_label(request, answer, spent)
            else:
                text = unwrapped(answer.text, request.schema) if request.schema else answer.text
        if not text.strip() and not answer.tool_calls:
            said = f"an empty answer (finish_reason: {answer.finish_reason}); a larger max_tokens may help"
            raise self._transport.error(Failure(InvalidOutputError, said), spent)
        return Reply(text=text, usage=spent.usage, latency_s=spent.seconds, tool_calls=answer.tool_calls)

    def body(self, request: Request) -> bytes:
        """The JSON body that `complete` would send for this request."""
        return self._body(request, request.messages, self._refused)

    def headers(self) -> dict[str, str]:
        """The headers that carry the key."""
        return self._transport.headers()

    def scrub(self, text: str) -> str:
        """The text without the key."""
        return self._transport.scrub(text)

    async def list_models(self) -> list[str]:
        """The names of the models that the endpoint serves.

        Raises:
            ModelError: the call failed.
        """
        return list((await self._listed()).models)

    async def shutdown_dates(self) -> dict[str, datetime.date]:
        """Model -> day on which it ends, for those of which the endpoint tells it.

        Raises:
            ModelError: the call failed.
        """
        return dict((await self._listed()).shutdowns)

    async def _listed(self) -> Answer:
        spent = Spent()
        found = await self._transport.send(None, 0, spent)
        if isinstance(found, Failure):
            raise self._transport.error(found, spent)
        return found

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        await self._transport.aclose()

    async def _list_and_close(self) -> list[str]:
        try:
            return await self.list_models()
        finally:
            await self.aclose()

    async def _as_label(self, request: Request, answer: Answer, spent: Spent) -> str:
        label = match_label(answer.text, request.labels)
        if label is None:
            said = (Message("assistant", answer.text),) if answer.text.strip() else ()
            complaint = Message("user", "That was not one of the allowed answers.")
            answer = await self._ask(request, (*request.messages, *said, complaint), spent)
            label = match_label(answer.text, request.labels)
        if label is None:
            what = (
                f"{answer.text[:80]!r} (finish_reason: {answer.finish_reason}) is none of the "
                f"{len(request.labels)} labels; name them in the prompt, raise max_tokens, "
                "or take a model that follows instructions"
            )
            raise self._transport.error(Failure(InvalidOutputError, what), spent)
        return label

    async def _ask(self, request: Request, messages: tuple[Message, ...], spent: Spent) -> Answer:
        """One answer; a parameter that the endpoint refuses is dropped, then it is asked again."""
        refused = self._refused
        while True:
            found = await self._transport.send(self._body(request, messages, refused), request.max_tokens, spent)
            if not isinstance(found, Failure):
                break
            blamed = self._blamed(found, request, refused)
            if blamed is None:
                raise self._transport.error(found, spent)
            refused |= {blamed}
        self._refused |= refused  # only now: the same request without them was accepted
        self._schema_worked |= _asks_for_form(request) and "response_format" not in refused
        return found

    def _body(self, request: Request, messages: tuple[Message, ...], refused: frozenset[str]) -> bytes:
        labels = request.labels
        with_schema = _asks_for_form(request) and "response_format" not in refused
        is_repair = messages is not request.messages
        if labels and (is_repair or not with_schema):
            messages = instruct(messages, labels)
        limit = "max_completion_tokens" if "max_tokens" in refused else "max_tokens"
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [message.to_json() for message in messages],
            limit: request.max_tokens + (_SCHEMA_TOKENS if with_schema else 0),
        }
        if request.tools:
            body["tools"] = [tool.to_json() for tool in request.tools]
        if "temperature" not in refused:
            body["temperature"] = request.temperature
        if "seed" not in refused:
            body["seed"] = request.seed
        text = json.dumps(body)
        if with_schema:
            form = label_schema(labels) if labels else response_format(request.schema)
            text = f'{text[:-1]}, "response_format": {form}}}'
        return text.encode()

    def _blamed(self, found: Failure, request: Request, refused: frozenset[str]) -> str | None:
        """The optional parameter that made the endpoint refuse a request; None: it was something else."""
        if found.status not in {400, 422, 500, 501} or found.error is ContextOverflowError:
            return None
        said = found.message.lower()
        with_schema = _asks_for_form(request) and "response_format" not in refused
        if with_schema and ("response_format" in said or "json_schema" in said):
            return "response_format"
        if found.status >= 500:
            return None
        if "max_tokens" not in refused and "max_completion_tokens" in said and "instead" in said:
            return "max_tokens"
        if any(word in said for word in _NOT_TAKEN):
            for name in ("temperature", "seed"):
                if name in said and name not in refused:
                    return name
        # Many servers do not say what they refused. Where a schema once worked, it was not that.
        return "response_format" if with_schema and not self._schema_worked else None


def _asks_for_form(request: Request) -> bool:
    return bool(request.labels or request.schema)


def _only(names: list[str], base_url: str) -> str:
    if len(names) == 1:
        return names[0]
    if not names:
        raise ConfigError(f"{base_url} serves no model; load one there, or write {base_url}#model-name")
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    shown = ", ".join(names[:_LISTED]) + more
    raise ConfigError(f"{base_url} serves {len(names)} models; add one, like #{names[0]}, to the address: {shown}")
