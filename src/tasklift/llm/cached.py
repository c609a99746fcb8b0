"""A model that asks the cache first."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass, replace

from tasklift.cache import ContentCache
from tasklift.errors import TaskliftError
from tasklift.llm.calls import unpacked_calls
from tasklift.llm.model import Model, Reply, Request, WrappedModel
from tasklift.prediction import Usage


@dataclass(slots=True)
class _Batch:
    """Replies that came in one turn of the event loop: written in one transaction."""

    rows: dict[str, bytes]
    written: asyncio.Future[None]


@dataclass(slots=True)
class _Shared:
    """One call that several callers wait for."""

    task: asyncio.Task[Reply]
    waiters: int = 0


class CachedModel(WrappedModel):
    """`model`, asked once for each request: later equal requests are served from `cache`.

    Equal requests at the same time share one call. Errors are not kept. `Request.repeat` makes an
    equal request a different one. The cache stays open when the model is closed: others may use it.
    """

    def __init__(self, model: Model, cache: ContentCache) -> None:
        super().__init__(model)
        self._cache = cache
        self._under_way: dict[tuple[asyncio.AbstractEventLoop, str], _Shared] = {}
        self._batches: dict[asyncio.AbstractEventLoop, _Batch] = {}

    async def complete(self, request: Request) -> Reply:
        """Answer one request, from the cache where it is there; then `cached` is True.

        Raises:
            ModelError: the call failed; its `kind` says how.
            TaskliftError: the cache cannot be read or written.
        """
        key = request.key(self.snapshot)
        if (reply := _unpacked(self._cache.get(key))) is not None:
            return reply
        place = (asyncio.get_running_loop(), key)
        shared = self._under_way.get(place)
        is_first = shared is None or shared.task.done()
        if shared is None or is_first:
            shared = self._under_way[place] = _Shared(asyncio.create_task(self._call(request, key)))
        shared.waiters += 1
        try:
            reply = await asyncio.shield(shared.task)  # one caller that gives up must not stop the others
        finally:
            shared.waiters -= 1
            if shared.waiters == 0:
                shared.task.cancel()  # nobody wants the answer any more; no effect where it is there
                if self._under_way.get(place) is shared:
                    del self._under_way[place]
        return reply if is_first else replace(reply, cached=True)

    async def _call(self, request: Request, key: str) -> Reply:
        reply = await self.inner.complete(request)
        loop = asyncio.get_running_loop()
        batch = self._batches.get(loop)
        if batch is None:
            batch = self._batches[loop] = _Batch({}, loop.create_future())
            loop.call_soon(self._write, loop)
        batch.rows[key] = packed(reply)
        await asyncio.shield(batch.written)  # nobody gets a reply that a crash could lose
        return reply

    def _write(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = self._batches.pop(loop)
        try:
            self._cache.put_many(batch.rows)
        except TaskliftError as error:
            batch.written.set_exception(error)
            batch.written.exception()  # where every caller has given up, nobody else asks for it
        else:
            batch.written.set_result(None)


def packed(reply: Reply) -> bytes:
    """A reply as it is kept."""
    row = {"text": reply.text, "usage": asdict(reply.usage), "latency_s": reply.latency_s}
    if reply.log_probs is not None:
        row["log_probs"] = dict(reply.log_probs)
    if reply.tool_calls:
        row["tool_calls"] = [asdict(call) for call in reply.tool_calls]
    return json.dumps(row, ensure_ascii=False).encode(errors="surrogatepass")


def _unpacked(value: bytes | None) -> Reply | None:
    """The reply, marked as cached; None where there is none or another version wrote it."""
    if value is None:
        return None
    try:
        row = json.loads(value.decode(errors="surrogatepass"))
        usage = Usage(**row["usage"])
        calls = unpacked_calls(row.get("tool_calls", ()))
        return Reply(row["text"], row.get("log_probs"), usage, row["latency_s"], cached=True, tool_calls=calls)
    except (ValueError, KeyError, TypeError):
        return None
