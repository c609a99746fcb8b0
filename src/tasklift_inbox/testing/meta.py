"""Meta's Graph API as far as messages go, for WhatsApp, Messenger and Instagram; and the events that it would send.

developers.facebook.com/docs: /{phone-number-id}/messages and /media, /{page-id}/messages, media ids, conversations.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tasklift_inbox.testing.forms import form_of
from tasklift_inbox.testing.scripted import Script, Trouble, answer_of


@dataclass(slots=True)
class FakeMeta:
    """One Graph API.

    Attributes:
        token: the only one that is good.
        sent: what was posted to .../messages, as (account, body).
        media: id -> (type, content); `expire` takes one away.
        people: id -> name, for those who say it.
        conversations: account -> what its Conversations API lists.
        script: what goes wrong next, with calls that send.
    """

    token: str = "fake-meta-token"  # noqa: S105
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    media: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)
    uploads: list[tuple[str, bytes]] = field(default_factory=list)
    conversations: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    script: Script = field(default_factory=Script)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def app(self) -> Starlette:
        """To be run with `running(fake.app)`."""
        return Starlette(
            routes=[
                Route("/cdn/{number}", self._download),
                Route("/{version}/{account}/messages", self._send, methods=["POST"]),
                Route("/{version}/{account}/media", self._upload, methods=["POST"]),
                Route("/{version}/{account}/message_attachments", self._upload, methods=["POST"]),
                Route("/{version}/{account}/conversations", self._conversations),
                Route("/{version}/{account}/subscribed_apps", self._subscribed),
                Route("/{version}/{node}", self._node),
            ]
        )

    def fail_next(
        self, code: int, message: str = "failed", *, status: int = 400, subcode: int = 0, times: int = 1
    ) -> None:
        """The next sends are refused with a documented error."""
        error: dict[str, Any] = {"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "fake"}
        if subcode:
            error["error_subcode"] = subcode
        self.script.add(Trouble(status, {"error": error}), times)

    def lose_answer(self) -> None:
        """The next message is taken, but its sender gets no answer that says so."""
        self.script.add(Trouble(502, takes_it=True))

    def expire(self, media_id: str) -> None:
        """A media id that is not good any more."""
        self.media.pop(media_id, None)

    def _refusal(self, request: Request) -> Response | None:
        if request.headers.get("authorization") == f"Bearer {self.token}":
            return None
        error = {"message": "Invalid OAuth access token.", "type": "OAuthException", "code": 190, "fbtrace_id": "fake"}
        return JSONResponse({"error": error}, 401)

    async def _send(self, request: Request) -> Response:
        if (refused := self._refusal(request)) is not None:
            return refused
        account, body = request.path_params["account"], await _message(request)
        trouble = self.script.next()
        if trouble is None or trouble.takes_it:
            self.sent.append((account, body))
        if trouble is not None:
            return await answer_of(trouble)
        number = next(self._numbers)
        if body.get("messaging_product") == "whatsapp":
            to = body.get("to") or body.get("recipient")
            contacts = [{"input": to, "wa_id": to}]
            return JSONResponse(
                {"messaging_product": "whatsapp", "contacts": contacts, "messages": [{"id": f"wamid.OUT{number}"}]}
            )
        if body.get("sender_action"):
            return JSONResponse({"recipient_id": body["recipient"]["id"]})
        return JSONResponse({"recipient_id": body["recipient"]["id"], "message_id": f"m_out_{number}"})

    async def _upload(self, request: Request) -> Response:
        if (refused := self._refusal(request)) is not None:
            return refused
        form = await form_of(request)
        mime, content = form.get("file") or form.get("filedata") or ("", b"")
        self.uploads.append((mime, content))
        number = str(next(self._numbers))
        key = "attachment_id" if request.url.path.endswith("message_attachments") else "id"
        return JSONResponse({key: f"upload-{number}"})

    async def _node(self, request: Request) -> Response:
        if (refused := self._refusal(request)) is not None:
            return refused
        node = request.path_params["node"]
        if node in self.media:
            mime, content = self.media[node]
            url = f"{request.base_url}cdn/{node}"
            return JSONResponse({"id": node, "url": url, "mime_type": mime, "file_size": len(content)})
        if node in self.people:
            return JSONResponse({"id": node, "name": self.people[node]})
        if not node.isdigit() and node != "me":
            words = f"Unsupported get request. Object with ID '{node}' does not exist"
            return JSONResponse({"error": {"message": words, "code": 100, "error_subcode": 33}}, 400)
        return JSONResponse(
            {"id": node, "name": "Fake account", "display_phone_number": "15550001111", "user_id": node}
        )

    async def _download(self, request: Request) -> Response:
        found = self.media.get(request.path_params["number"])
        return Response(status_code=404) if found is None else Response(found[1], media_type=found[0])

    async def _subscribed(self, request: Request) -> Response:
        return self._refusal(request) or JSONResponse({"data": [{"subscribed_fields": ["messages"]}]})

    async def _conversations(self, request: Request) -> Response:
        if (refused := self._refusal(request)) is not None:
            return refused
        return JSONResponse({"data": self.conversations.get(request.path_params["account"], [])})


async def _message(request: Request) -> dict[str, Any]:
    """JSON, or a form whose fields are JSON, with a file."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return dict(json.loads(await request.body()))
    form = await form_of(request)
    return {
        name: value[1] if isinstance(value, tuple) else json.loads(value) if value.startswith("{") else value
        for name, value in form.items()
    }


def whatsapp_event(number_id: str, messages: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """A webhook of a WhatsApp number with `messages`; `more`: contacts, statuses, message_echoes."""
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550001111", "phone_number_id": number_id},
        "messages": [dict(message) for message in messages],
        **more,
    }
    change = {"field": "messages", "value": {name: part for name, part in value.items() if part}}
    return {"object": "whatsapp_business_account", "entry": [{"id": "100200300", "changes": [change]}]}


def messaging_event(product: str, account: str, events: Sequence[Mapping[str, Any]], at_ms: int) -> dict[str, Any]:
    """A webhook of a page ("page") or an Instagram account ("instagram")."""
    return {
        "object": product,
        "entry": [{"id": account, "time": at_ms, "messaging": [dict(event) for event in events]}],
    }
