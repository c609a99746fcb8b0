"""Instagram direct messages, both ways to reach them. developers.facebook.com/docs/instagram-platform, as of 2026-11.

`login` instagram: graph.instagram.com with a token of the Instagram account. `login` facebook: graph.facebook.com with
the token of the page that the account is linked to. The events look alike; the app secret is that of the product.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tasklift.errors import ConfigError
from tasklift_inbox.channels.base import ChannelConfig, Check, Field, Tools
from tasklift_inbox.channels.messenger import kind_of, reaction_of, sent_of
from tasklift_inbox.channels.meta import GRAPH_VERSION, PageChannel
from tasklift_inbox.channels.outgoing import Abilities, Outgoing, Sent
from tasklift_inbox.channels.reading import mapping, objects, text_of

_MB = 1024 * 1024
_TYPES = {"image": "image", "audio": "audio", "voice": "audio", "video": "video"}
_HOSTS = {"instagram": "https://graph.instagram.com", "facebook": "https://graph.facebook.com"}
_FIELDS = "messages, message_reactions, messaging_seen, messaging_postbacks, messaging_referral, message_edit"


class InstagramChannel(PageChannel):
    """One professional account."""

    kind: ClassVar[str] = "instagram"
    fields: ClassVar[tuple[Field, ...]] = (
        Field("external_id", "the Instagram account's id, as it stands in `entry[].id` of its events"),
        Field("login", "instagram (a token of the account) or facebook (a token of its page)", default="instagram"),
        Field("page_id", "with login facebook: the id of the linked page", is_optional=True),
        Field("access_token", "with instagram_business_manage_messages, or instagram_manage_messages", is_secret=True),
        Field("app_secret", "the Instagram app secret, or the app's, whichever signs its events", is_secret=True),
        Field("verify_token", "any text of yours; made up where it is empty", is_secret=True, default="random"),
    )
    abilities = Abilities(
        text_chars=1000,
        caption_chars=0,
        reactions=("❤",),
        attachment_bytes={"image": 8 * _MB, "audio": 25 * _MB, "voice": 25 * _MB, "video": 25 * _MB},
        download_bytes=25 * _MB,
        window_s=24 * 3600,
        human_window_s=7 * 24 * 3600,
        per_account_s=10,
        per_chat_s=1,
        burst=5,
        takes_callback=True,
        has_profiles=True,
    )

    def __init__(self, config: ChannelConfig, tools: Tools) -> None:
        super().__init__(config, tools)
        login = str(config.settings.get("login") or "instagram")
        if login not in _HOSTS:
            raise ConfigError(f"channel {config.id}: login is instagram or facebook, not {login!r}")
        self._node = str(config.settings.get("page_id") or "") if login == "facebook" else config.external_id
        if not self._node:
            raise ConfigError(f"channel {config.id}: with login facebook the page's id is needed as page_id")
        base = str(config.settings.get("base_url") or _HOSTS[login]).rstrip("/")
        self._graph = f"{base}/{config.settings.get('graph_version') or GRAPH_VERSION}"

    async def send(self, outgoing: Outgoing) -> Sent:
        """One message; a file is named by an address of ours that is good for an hour."""
        if outgoing.reaction is not None:
            body = reaction_of(outgoing.to, outgoing.reaction, "love")
            await self.graph_ok("POST", f"{self._node}/messages", json=body)
            return Sent("")
        message: dict[str, Any] = {"metadata": outgoing.outbox_id}
        if outgoing.uploads:
            upload = outgoing.uploads[0]
            message["attachment"] = {"type": _TYPES[upload.kind], "payload": {"url": upload.url}}
        else:
            message["text"] = outgoing.text
        body = {"recipient": {"id": outgoing.to}, "message": message, **kind_of(outgoing)}
        if outgoing.reply_to:
            body["reply_to"] = {"mid": outgoing.reply_to}
        return sent_of(await self.graph_ok("POST", f"{self._node}/messages", json=body))

    async def name_of(self, person_id: str) -> str:
        """What a person is called."""
        return await self.profile(person_id, "name,username")

    async def sweep(self) -> bytes | None:
        """The latest messages by the Conversations API, as an event would bring them: webhooks go missing.

        Returns:
            None where there are none.

        Raises:
            SendError: the API does not answer.
        """
        fields = "messages.limit(20){id,created_time,from,to,message,attachments}"
        found = await self.graph_ok(
            "GET", f"{self._node}/conversations", query={"platform": "instagram", "fields": fields, "limit": "20"}
        )
        events = [
            _event(message, self.config.external_id)
            for conversation in objects(found.get("data"))
            for message in objects(mapping(conversation.get("messages")).get("data"))
        ]
        if not events:
            return None
        entry = {"id": self.config.external_id, "messaging": events}
        return json.dumps({"object": "instagram", "swept": True, "entry": [entry]}).encode()

    async def check(self) -> list[Check]:
        """Is the token good for the account?"""
        checks, _ = await self.check_token(self._node, "id,name")
        return checks

    def setup(self, hook_url: str) -> Sequence[str]:
        """For the app dashboard."""
        return [
            *self.setup_lines(hook_url, "Instagram", _FIELDS),
            "In the Instagram app: Settings > Messages > Connected tools > Allow access to messages.",
        ]


def _event(message: Mapping[str, Any], account: str) -> dict[str, Any]:
    """A message of the Conversations API as a webhook has it."""
    sender = text_of(mapping(message.get("from")).get("id"))
    receivers = [text_of(one.get("id")) for one in objects(mapping(message.get("to")).get("data"))]
    body: dict[str, Any] = {"mid": text_of(message.get("id"))}
    if message.get("message"):
        body["text"] = message["message"]
    if sender == account:
        body["is_echo"] = True
    files = objects(mapping(message.get("attachments")).get("data"))
    body["attachments"] = [_attachment(file) for file in files]
    other = next((one for one in receivers if one != account), "")
    return {
        "sender": {"id": sender},
        "recipient": {"id": other if sender == account else account},
        "timestamp": message.get("created_time"),
        "message": body,
    }


def _attachment(file: Mapping[str, Any]) -> dict[str, Any]:
    for field, kind in (("image_data", "image"), ("video_data", "video")):
        if mapping(file.get(field)).get("url"):
            return {"type": kind, "payload": {"url": mapping(file[field])["url"]}}
    return {"type": "file", "payload": {"url": file.get("file_url")}}
