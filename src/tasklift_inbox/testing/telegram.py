"""A Telegram Bot API that keeps what it is told: core.telegram.org/bots/api."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tasklift_inbox.testing.forms import form_of
from tasklift_inbox.testing.scripted import Script, Trouble, answer_of

_SENDS = (
    "sendMessage", "sendPhoto", "sendVideo", "sendAudio", "sendVoice", "sendDocument", "sendSticker",
    "sendLocation", "sendVenue", "setMessageReaction",
)  # fmt: skip


@dataclass(slots=True)
class FakeTelegram:
    """One bot.

    Attributes:
        token: the only one that is good.
        sent: what was sent, as (method, fields).
        files: file_id -> content.
        updates: what getUpdates hands out; `push` adds one.
        webhook: what setWebhook was told.
        script: what goes wrong next, with calls that send.
        polling, most_polling: how many wait in getUpdates now, and at worst.
    """

    token: str = "7000001:fake-telegram-token"  # noqa: S105
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    updates: list[dict[str, Any]] = field(default_factory=list)
    webhook: dict[str, Any] = field(default_factory=dict)
    script: Script = field(default_factory=Script)
    polling: int = 0
    most_polling: int = 0
    _updates: itertools.count[int] = field(default_factory=lambda: itertools.count(1001))
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(900_001))

    @property
    def app(self) -> Starlette:
        """To be run with `running(fake.app)`."""
        return Starlette(
            routes=[
                Route("/file/bot{token}/{path:path}", self._file),
                Route("/bot{token}/{method}", self._method, methods=["GET", "POST"]),
            ]
        )

    def push(self, update: Mapping[str, Any]) -> dict[str, Any]:
        """An update for whoever polls; it gets the next number unless it has one."""
        number = update.get("update_id") or next(self._updates)
        self.updates.append({**update, "update_id": number})
        return self.updates[-1]

    def fail_next(self, code: int, description: str, *, retry_after: int | None = None, times: int = 1) -> None:
        """The next sends are refused with a documented error."""
        body: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
        if retry_after is not None:
            body["parameters"] = {"retry_after": retry_after}
        self.script.add(Trouble(code, body), times)

    def lose_answer(self) -> None:
        """The next message is taken, but its sender gets no answer that says so."""
        self.script.add(Trouble(502, takes_it=True))

    async def _method(self, request: Request) -> Response:
        if request.path_params["token"] != self.token:
            return JSONResponse({"ok": False, "error_code": 401, "description": "Unauthorized"}, 401)
        method, fields = request.path_params["method"], await _fields(request)
        if method in _SENDS:
            return await self._send(method, fields)
        if method == "getUpdates":
            return await self._get_updates(fields)
        results: dict[str, Any] = {
            "getMe": {"id": int(self.token.partition(":")[0]), "is_bot": True, "username": "fake_bot"},
            "getWebhookInfo": {"url": self.webhook.get("url", ""), "pending_update_count": len(self.updates)},
            "getFile": {"file_id": fields.get("file_id"), "file_path": f"files/{fields.get('file_id')}"},
        }
        if method in ("setWebhook", "deleteWebhook"):
            self.webhook = fields if method == "setWebhook" else {}
            results[method] = True
        if method == "getFile" and fields.get("file_id") not in self.files:
            words = "Bad Request: wrong file_id or the file is temporarily unavailable"
            return JSONResponse({"ok": False, "error_code": 400, "description": words}, 400)
        if method not in results:
            return JSONResponse({"ok": False, "error_code": 404, "description": "Not Found"}, 404)
        return JSONResponse({"ok": True, "result": results[method]})

    async def _send(self, method: str, fields: dict[str, Any]) -> Response:
        trouble = self.script.next()
        if trouble is None or trouble.takes_it:
            self.sent.append((method, fields))
        if trouble is not None:
            return await answer_of(trouble)
        if method == "setMessageReaction":
            return JSONResponse({"ok": True, "result": True})
        chat = {"id": int(fields["chat_id"]), "type": "private"}
        message = {"message_id": next(self._numbers), "date": 1_764_000_000, "chat": chat, "text": fields.get("text")}
        return JSONResponse({"ok": True, "result": message})

    async def _get_updates(self, fields: Mapping[str, Any]) -> Response:
        if self.webhook.get("url"):
            words = "Conflict: can't use getUpdates method while webhook is active"
            return JSONResponse({"ok": False, "error_code": 409, "description": words}, 409)
        offset = int(fields.get("offset") or 0)
        self.updates = [update for update in self.updates if update["update_id"] >= offset]
        until = asyncio.get_running_loop().time() + min(float(fields.get("timeout") or 0), 1.0)
        self.polling += 1
        self.most_polling = max(self.most_polling, self.polling)
        while not self.updates and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110 - as a client sees it
            await asyncio.sleep(0.02)
        self.polling -= 1
        return JSONResponse({"ok": True, "result": self.updates[:100]})

    async def _file(self, request: Request) -> Response:
        content = self.files.get(request.path_params["path"].removeprefix("files/"))
        if content is None or request.path_params["token"] != self.token:
            return Response(status_code=404)
        return Response(content, media_type="application/octet-stream")


async def _fields(request: Request) -> dict[str, Any]:
    kind = request.headers.get("content-type", "")
    if kind.startswith("application/json"):
        return dict(json.loads(await request.body() or b"{}"))
    found: dict[str, Any] = dict(request.query_params)
    if kind.startswith("multipart/form-data"):
        for name, value in (await form_of(request)).items():
            found[name] = value[1] if isinstance(value, tuple) else value
    return found
