"""Facebook Messenger of one page. developers.facebook.com/docs/messenger-platform, as of 2026-11."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tasklift_inbox.channels.base import Check, Field
from tasklift_inbox.channels.meta import PageChannel
from tasklift_inbox.channels.outgoing import ANY, Abilities, Outgoing, Reaction, Sent
from tasklift_inbox.channels.reading import text_of
from tasklift_inbox.errors import Outcome, SendError

_MB = 1024 * 1024
_TYPES = {"image": "image", "audio": "audio", "voice": "audio", "video": "video", "document": "file"}
_FIELDS = "messages, message_echoes, message_edits, message_reactions, message_deliveries, message_reads, "
_FIELDS += (
    "messaging_postbacks, messaging_referrals, messaging_optins, messaging_handovers, messaging_policy_enforcement"
)


class MessengerChannel(PageChannel):
    """One page."""

    kind: ClassVar[str] = "messenger"
    fields: ClassVar[tuple[Field, ...]] = (
        Field("external_id", "the page's id, at the page > About > Page transparency"),
        Field("access_token", "a page access token with pages_messaging", is_secret=True),
        Field("app_secret", "App settings > Basic > App secret", is_secret=True),
        Field("verify_token", "any text of yours; made up where it is empty", is_secret=True, default="random"),
    )
    abilities = Abilities(
        text_chars=2000,
        caption_chars=0,
        reactions=ANY,
        attachment_bytes=dict.fromkeys(_TYPES, 25 * _MB),
        download_bytes=25 * _MB,
        window_s=24 * 3600,
        human_window_s=7 * 24 * 3600,
        per_account_s=40,
        per_chat_s=1,
        burst=5,
        takes_callback=True,
        has_profiles=True,
    )

    async def send(self, outgoing: Outgoing) -> Sent:
        """One message, a file in the same request; or a reaction."""
        if outgoing.reaction is not None:
            body = reaction_of(outgoing.to, outgoing.reaction)
            await self.graph_ok("POST", f"{self.config.external_id}/messages", json=body)
            return Sent("")
        message: dict[str, Any] = {"metadata": outgoing.outbox_id}
        wish = {"recipient": {"id": outgoing.to}, **kind_of(outgoing)}
        if outgoing.reply_to:
            wish["reply_to"] = {"mid": outgoing.reply_to}
        if outgoing.uploads:
            upload = outgoing.uploads[0]
            message["attachment"] = {"type": _TYPES[upload.kind], "payload": {"is_reusable": False}}
            form: dict[str, Any] = {name: _plain(value) for name, value in {**wish, "message": message}.items()}
            form["filedata"] = (upload.name, upload.mime, upload.content)
            answer = await self.graph_ok("POST", f"{self.config.external_id}/messages", form=form, timeout_s=120)
        else:
            message["text"] = outgoing.text
            body = {**wish, "message": message}
            answer = await self.graph_ok("POST", f"{self.config.external_id}/messages", json=body)
        return sent_of(answer)

    async def name_of(self, person_id: str) -> str:
        """What a person is called."""
        return await self.profile(person_id, "name,first_name")

    async def check(self) -> list[Check]:
        """Token, and whether the app gets the page's events."""
        checks, _ = await self.check_token(self.config.external_id, "id,name")
        if checks[0].problem:
            return checks
        try:
            found = await self.graph_ok("GET", f"{self.config.external_id}/subscribed_apps")
        except SendError as error:
            return [*checks, Check("subscription of the page", str(error), error.remedy)]
        if not found.get("data"):
            remedy = (
                f"POST /{self.config.external_id}/subscribed_apps?subscribed_fields=messages,... or in the dashboard"
            )
            return [*checks, Check("subscription of the page", "no app is subscribed to this page", remedy)]
        return [*checks, Check("subscription of the page")]

    def setup(self, hook_url: str) -> Sequence[str]:
        """For the app dashboard."""
        return [*self.setup_lines(hook_url, "Messenger", _FIELDS), "Then add the page under Access tokens."]


def kind_of(outgoing: Outgoing) -> dict[str, str]:
    """An answer, or one by hand after the window is shut."""
    if outgoing.beyond_window:
        return {"messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}
    return {"messaging_type": "RESPONSE"}


def reaction_of(to: str, reaction: Reaction, name: str = "") -> dict[str, Any]:
    """The sender action that reacts, or takes it back; `name` in place of the emoji."""
    payload = {"message_id": reaction.target}
    if not reaction.emoji:
        return {"recipient": {"id": to}, "sender_action": "unreact", "payload": payload}
    return {
        "recipient": {"id": to},
        "sender_action": "react",
        "payload": {**payload, "reaction": name or reaction.emoji},
    }


def sent_of(answer: Mapping[str, Any]) -> Sent:
    """The id that an answer names.

    Raises:
        SendError: it names none.
    """
    identity = text_of(answer.get("message_id"))
    if not identity:
        raise SendError("the provider's answer names no message: it may have taken it", Outcome.UNKNOWN)
    return Sent(identity)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
