"""Many requests at the price of a batch: an OpenAI-compatible `/v1/batches` fills the response cache.

A batch is named by the requests that it holds. What was sent is noted on disk at once, so that a run that is stopped
goes on waiting for the same batch, and nothing is paid for twice. What a batch does not answer is asked in the plain
way afterwards, by whoever finds it missing in the cache.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tasklift.cache import ContentCache
from tasklift.errors import BudgetError, RequestRefusedError, ServerError
from tasklift.llm.cached import packed
from tasklift.llm.client import OpenAICompatibleModel
from tasklift.llm.endpoint import Answer, read_answer
from tasklift.llm.labels import match_label
from tasklift.llm.model import Reply, Request
from tasklift.llm.spending import Meter, most_usd, tokens_usd
from tasklift.whole import write_whole

#: Requests in one batch, as the providers limit them.
MOST_REQUESTS = 50_000
#: Seconds between two questions for the state of a batch: it may take hours.
POLL_S = 30.0
#: Price of a batched token over that of a plain one, for the cap in money.
PRICE_FACTOR = 0.5
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_TIMEOUT = aiohttp.ClientTimeout(total=300)
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Filled:
    """What batches brought.

    Attributes:
        asked: requests that were not in the cache.
        answered: of those, how many are there now.
    """

    asked: int
    answered: int


@dataclass
class Batches:
    """Fills a response cache by batches.

    Attributes:
        model: the endpoint.
        cache: of responses.
        folder: where batches under way are noted.
        meter: cap in money; None: none.
        tell: told of every step.
        poll_s: seconds between two questions.
    """

    model: OpenAICompatibleModel
    cache: ContentCache
    folder: Path
    meter: Meter | None
    tell: Tell
    poll_s: float = POLL_S

    async def fill(self, requests: Iterable[Request]) -> Filled:
        """Have every request answered that is not in the cache.

        Raises:
            BudgetError: it could cost more than the cap allows; nothing was sent.
            ServerError, RequestRefusedError: the endpoint has no batches, or failed; what was sent is noted.
        """
        wanted = {request.key(self.model.snapshot): request for request in requests}
        known = self.cache.get_many(wanted)
        missing = {key: request for key, request in wanted.items() if key not in known}
        answered = 0
        keys = sorted(missing)
        for start in range(0, len(keys), MOST_REQUESTS):
            part = {key: missing[key] for key in keys[start : start + MOST_REQUESTS]}
            answered += await self._one(part)
        return Filled(len(missing), answered)

    async def _one(self, part: Mapping[str, Request]) -> int:
        place = self.folder / f"{hashlib.sha256(' '.join(part).encode()).hexdigest()[:16]}.json"
        async with aiohttp.ClientSession(headers=self.model.headers(), timeout=_TIMEOUT) as session:
            identity = _noted(place)
            if identity is None:
                self._refuse_beyond(part.values())
                identity = await self._send(session, part)
                _note(place, identity, len(part))
                self.tell(f"batch {identity}: {len(part)} requests sent")
            else:
                self.tell(f"batch {identity}: was sent before, waiting for it")
            state = await self._ended(session, identity)
            answers = await self._read(session, state, part)
        self.cache.put_many({key: packed(reply) for key, reply in answers.items()})
        place.unlink(missing_ok=True)
        if self.meter is not None:
            price = self.meter.price(self.model.name)
            spent = sum(tokens_usd(reply.usage, price) for reply in answers.values()) * PRICE_FACTOR
            self.meter.add(spent, len(answers))
        why = "".join(f"; {one.get('message')}" for one in (state.get("errors") or {}).get("data", ())[:1])
        self.tell(f"batch {identity}: {state['status']}, {len(answers)} of {len(part)} answered{why}")
        return len(answers)

    def _refuse_beyond(self, requests: Iterable[Request]) -> None:
        if self.meter is None or self.meter.cap_usd is None:
            return
        price = self.meter.price(self.model.name)
        most = sum(most_usd(request, price) for request in requests) * PRICE_FACTOR
        if self.meter.spent_usd + most > self.meter.cap_usd:
            raise BudgetError(
                f"a batch of these requests could cost {most:.4f} USD, more than is left of the cap of "
                f"{self.meter.cap_usd:g}: raise --max-usd, or leave --batch out to be stopped within it"
            )

    async def _send(self, session: aiohttp.ClientSession, part: Mapping[str, Request]) -> str:
        url = "/v1/chat/completions"
        lines = [
            json.dumps({"custom_id": key, "method": "POST", "url": url, "body": json.loads(self.model.body(request))})
            for key, request in part.items()
        ]
        form = aiohttp.FormData()
        form.add_field("purpose", "batch")
        form.add_field("file", "\n".join(lines).encode(), filename="requests.jsonl", content_type="application/jsonl")
        file = await self._json(session.post(f"{self.model.base_url}/files", data=form))
        wanted = {"input_file_id": file["id"], "endpoint": url, "completion_window": "24h"}
        made = await self._json(session.post(f"{self.model.base_url}/batches", json=wanted))
        return str(made["id"])

    async def _ended(self, session: aiohttp.ClientSession, identity: str) -> dict[str, Any]:
        while True:
            state = await self._json(session.get(f"{self.model.base_url}/batches/{identity}"))
            if state.get("status") in _ENDED:
                return state
            counts = state.get("request_counts") or {}
            done = f", {counts.get('completed', 0)} of {counts.get('total', 0)}" if counts else ""
            self.tell(f"batch {identity}: {state.get('status')}{done}")
            await asyncio.sleep(self.poll_s)

    async def _read(
        self, session: aiohttp.ClientSession, state: Mapping[str, Any], part: Mapping[str, Request]
    ) -> dict[str, Reply]:
        """Key -> reply, of what was answered as it was asked for."""
        if not state.get("output_file_id"):
            return {}
        address = f"{self.model.base_url}/files/{state['output_file_id']}/content"
        async with session.get(address) as response:
            text = (await response.read()).decode(errors="replace")
        if response.status != 200:
            raise self._failed(response.status, text)
        found: dict[str, Reply] = {}
        for line in text.splitlines():
            row = json.loads(line)
            request = part.get(str(row.get("custom_id")))
            reply = _reply(row.get("response") or {}, request) if request is not None else None
            if reply is not None:
                found[row["custom_id"]] = reply
        return found

    async def _json(self, asking: Any) -> dict[str, Any]:
        try:
            async with asking as response:
                text = await response.text()
                if response.status >= 300:
                    raise self._failed(response.status, text)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ServerError(
                f"{self.model.base_url}: {error or type(error).__name__}; the same command goes on with the batch"
            ) from error
        row: dict[str, Any] = json.loads(text)
        return row

    def _failed(self, status: int, text: str) -> ServerError | RequestRefusedError:
        said = self.model.scrub(" ".join(text.split())[:300])
        if status in (404, 405):
            return RequestRefusedError(
                f"{self.model.base_url}: {status}: it has no batches; leave --batch out ({said})"
            )
        kind = ServerError if status >= 500 else RequestRefusedError
        return kind(f"{self.model.base_url}: {status}: {said}")


def _reply(response: Mapping[str, Any], request: Request) -> Reply | None:
    """The answer, where it is one that was allowed."""
    raw = json.dumps(response.get("body")).encode()
    answer = read_answer(int(response.get("status_code", 0)), {}, raw, lambda: 0.0)
    if not isinstance(answer, Answer) or not answer.text.strip():
        return None
    text = match_label(answer.text, request.labels) if request.labels else answer.text
    return None if text is None else Reply(text, usage=answer.usage)


def _noted(place: Path) -> str | None:
    try:
        return str(json.loads(place.read_text(encoding="utf-8"))["id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _note(place: Path, identity: str, requests: int) -> None:
    row = {"schema_version": 1, "id": identity, "requests": requests}
    write_whole(place, json.dumps(row), hint=f"the batch {identity} is under way")
