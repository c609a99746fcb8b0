"""What WhatsApp, Messenger and Instagram share: handshake, signature, the Graph API and its errors."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Mapping
from typing import Any

from tasklift_inbox.channels.base import ChannelConfig, Check, Item, Part, Tools
from tasklift_inbox.channels.http import Answer, Call
from tasklift_inbox.channels.messaging import read_page_events
from tasklift_inbox.channels.outgoing import NotSent, Outgoing, Sent
from tasklift_inbox.channels.reading import mapping, sha256_key, text_of, verify_hmac
from tasklift_inbox.errors import MediaError, Outcome, SendError

#: Version of the Graph API that the payloads here are written for.
GRAPH_VERSION = "v23.0"
_RECONNECT = "make a new access token and give it with `tasklift-inbox channel add --replace`"

#: Graph API errors; the numbers that WhatsApp alone has are in whatsapp.py. As of 2026-11.
_RETRY = frozenset({1, 2, 4, 17, 32, 341, 368_001, 613, 80_006, 80_007})
_RECONNECT_CODES = frozenset({0, 3, 10, 102, 190, 463, 467})
_ACCOUNT = frozenset({368})
_OUTSIDE_WINDOW = frozenset({2018278, 2018065, 2534022})
_PERSON_GONE = frozenset({551, 2018001, 1545041})


class MetaChannel:
    """The common part; the products add what they read and how they send."""

    signature_header = "x-hub-signature-256"

    def __init__(self, config: ChannelConfig, tools: Tools) -> None:
        self.config, self._http = config, tools.http
        base = str(config.settings.get("base_url") or "https://graph.facebook.com").rstrip("/")
        self._graph = f"{base}/{config.settings.get('graph_version') or GRAPH_VERSION}"

    def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """X-Hub-Signature-256 over the raw bytes, with each configured app secret."""
        verify_hmac(headers, body, self.config.secrets("app_secret"), self.signature_header)

    def dedupe_key(self, body: bytes) -> str:
        """A delivery has no id: the bytes are it."""
        return sha256_key(body)

    def handshake(self, query: Mapping[str, str]) -> str | None:
        """The challenge, where mode and token are right."""
        given = query.get("hub.verify_token", "").encode("utf-8", "replace")
        if query.get("hub.mode") != "subscribe" or not hmac.compare_digest(
            given, self.config.secret("verify_token").encode()
        ):
            return None
        return query.get("hub.challenge", "")

    async def lookup(self, outgoing: Outgoing) -> Sent | NotSent | None:
        """Meta cannot be asked: callback data and echoes settle it."""
        return None

    async def graph(self, method: str, path: str, **parts: Any) -> Answer:
        """Call the Graph API with our token; `path` as in its documentation, without the version."""
        headers = {"Authorization": f"Bearer {self.config.secret('access_token')}"}
        return await self._http.call(Call(method, f"{self._graph}/{path}", headers=headers, **parts))

    async def graph_ok(self, method: str, path: str, **parts: Any) -> Mapping[str, Any]:
        """The same; an error answer is raised.

        Raises:
            SendError: what it means.
        """
        answer = await self.graph(method, path, **parts)
        if answer.status < 300 and "error" not in answer.data:
            return answer.data
        raise self.failure(answer)

    async def download(self, url: str, *, with_token: bool) -> AsyncIterator[bytes]:
        """A file's bytes. The token goes to Meta's own addresses only."""
        headers = {"Authorization": f"Bearer {self.config.secret('access_token')}"} if with_token else {}
        async for chunk in self._http.download(Call("GET", url, headers=headers, timeout_s=120)):
            yield chunk

    def failure(self, answer: Answer) -> SendError:
        """What an error answer of the Graph API means."""
        error = mapping(answer.data.get("error"))
        code, subcode = _number(error.get("code")), _number(error.get("error_subcode"))
        details = text_of(mapping(error.get("error_data")).get("details"))
        words = details or text_of(error.get("message")) or f"HTTP {answer.status}"
        said = f"{words} (code {code if error else answer.status}{f', subcode {subcode}' if subcode else ''})"
        known = {"provider_code": str(code) if error else f"http_{answer.status}"}
        if not error and (answer.status >= 500 or answer.status < 400):
            return SendError(f"the provider failed: {said}", Outcome.UNKNOWN, **known)  # type: ignore[arg-type]
        return self.judge(code, subcode, said, answer)

    def judge(self, code: int, subcode: int, said: str, answer: Answer) -> SendError:
        """The meaning of a code; products look at their own ones first."""
        known: dict[str, Any] = {"provider_code": str(code)}
        if {code, subcode} & _OUTSIDE_WINDOW:
            return SendError(f"outside the window in which one may write: {said}", Outcome.STOP, **known)
        if {code, subcode} & _PERSON_GONE:
            return SendError(f"this person cannot be written to: {said}", Outcome.STOP, blocks=True, **known)
        if code in _ACCOUNT:
            remedy = "look at the account's quality page at Meta: it is blocked for a time, or for good"
            return SendError(said, Outcome.CHANNEL, remedy=remedy, **known)
        if code in _RECONNECT_CODES or 200 <= code <= 299 or answer.status == 401:
            return SendError(said, Outcome.CHANNEL, remedy=_RECONNECT, **known)
        if code in _RETRY or answer.status == 429:
            return SendError(said, Outcome.RETRY, retry_after_s=answer.retry_after_s, **known)
        return SendError(said, Outcome.STOP, **known)

    async def profile(self, person_id: str, fields: str) -> str:
        """What a person is called; '' where they, or Meta, do not say.

        Raises:
            SendError: it may be said later.
        """
        answer = await self.graph("GET", person_id, query={"fields": fields})
        if answer.status >= 500 or answer.status == 429:
            raise self.failure(answer)
        found = answer.data
        return text_of(found.get("name")) or text_of(found.get("username")) or text_of(found.get("first_name"))

    async def check_token(self, path: str, fields: str) -> tuple[list[Check], Mapping[str, Any]]:
        """Is the token good for this account?"""
        what = f"access token for {self.config.external_id}"
        try:
            found = await self.graph_ok("GET", path, query={"fields": fields})
        except SendError as error:
            return [Check(what, str(error), error.remedy or "try again; if it stays, look at the id and the token")], {}
        return [Check(what)], found

    def setup_lines(self, hook_url: str, product: str, subscribed: str) -> list[str]:
        """What to paste into the app dashboard."""
        return [
            f"At developers.facebook.com, in your app under {product} > Configuration:",
            f"  Callback URL: {hook_url}",
            f"  Verify token: {self.config.secret('verify_token')}",
            f"  then subscribe to the fields: {subscribed}",
            "The app has to be live: in development mode Meta sends events of its testers only.",
        ]


def _number(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return -1


class PageChannel(MetaChannel):
    """Messenger and Instagram: events of one form, and media at addresses that stand in them."""

    def parse(self, headers: Mapping[str, str], body: bytes, received_at: float) -> list[Item]:
        """Every entry, every event."""
        return read_page_events(body, received_at)

    async def fetch(self, part: Part, raw: bytes) -> AsyncIterator[bytes]:
        """The address in the event: good for some days, and taken back when a message is unsent or a story ends."""
        if not part.ref.startswith(("https://", "http://")):
            raise MediaError(f"{part.ref[:100]!r} is no address of a file")
        async for chunk in self.download(part.ref, with_token=False):
            yield chunk
