"""Telegram Bot API, by webhook or long polling. core.telegram.org/bots/api, as of 2026-11.

There is no send idempotency and nothing to look a message up with: after a time-out a person decides.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar

from tasklift_inbox.channels.base import (
    Arrived,
    Changed,
    ChannelConfig,
    Check,
    Field,
    Item,
    Noticed,
    Part,
    Person,
    Tools,
)
from tasklift_inbox.channels.http import Answer, Call
from tasklift_inbox.channels.outgoing import Abilities, NotSent, Outgoing, Reaction, Sent
from tasklift_inbox.channels.reading import json_object, mapping, objects, seconds, sha256_key, text_of
from tasklift_inbox.errors import MediaError, Outcome, SendError, SignatureError

_MB = 1024 * 1024
_PROOF = "x-telegram-bot-api-secret-token"
#: What is asked for; Telegram leaves out reactions unless they are named.
ALLOWED_UPDATES = (
    "message", "edited_message", "callback_query", "message_reaction", "my_chat_member",
    "business_message", "edited_business_message", "deleted_business_messages",
)  # fmt: skip
_MESSAGES = ("message", "business_message", "channel_post", "guest_message")
_EDITS = ("edited_message", "edited_business_message", "edited_channel_post")
#: Field of a message -> kind here.
_MEDIA = {
    "photo": "image", "animation": "video", "video": "video", "video_note": "video", "audio": "audio",
    "voice": "voice", "document": "document", "sticker": "sticker",
}  # fmt: skip
_METHODS = {
    "image": ("sendPhoto", "photo"), "video": ("sendVideo", "video"), "audio": ("sendAudio", "audio"),
    "voice": ("sendVoice", "voice"), "document": ("sendDocument", "document"), "sticker": ("sendSticker", "sticker"),
}  # fmt: skip
#: What a bot may react with: ReactionTypeEmoji of the Bot API.
_EMOJI = """
❤ 👍 👎 🔥 🥰 👏 😁 🤔 🤯 😱 🤬 😢 🎉 🤩 🤮 💩 🙏 👌 🕊 🤡 🥱 🥴 😍 🐳 ❤‍🔥 🌚
🌭 💯 🤣 ⚡ 🍌 🏆 💔 🤨 😐 🍓 🍾 💋 🖕 😈 😴 😭 🤓 👻 👨‍💻 👀 🎃 🙈 😇 😨 🤝 ✍
🤗 🫡 🎅 🎄 ☃ 💅 🤪 🗿 🆒 💘 🙉 🦄 😘 💊 🙊 😎 👾 🤷‍♂ 🤷 🤷‍♀ 😡
"""
#: Fields of a message that say nothing about its content.
_FRAME = frozenset({
    "message_id", "from", "chat", "date", "sender_chat", "business_connection_id", "message_thread_id",
    "is_topic_message", "via_bot", "reply_markup", "author_signature", "has_protected_content", "sender_boost_count",
})  # fmt: skip


class TelegramChannel:
    """One bot."""

    kind: ClassVar[str] = "telegram"
    fields: ClassVar[tuple[Field, ...]] = (
        Field("external_id", "the number before the colon of the bot's token", default="token"),
        Field("bot_token", "from @BotFather", is_secret=True),
        Field("webhook_secret", "any text of yours; made up where it is empty", is_secret=True, default="random"),
    )
    abilities = Abilities(
        text_chars=4096,
        caption_chars=1024,
        caption_kinds=frozenset({"image", "video", "audio", "voice", "document"}),
        reactions=tuple(_EMOJI.split()),
        sends_locations=True,
        attachment_bytes={"image": 10 * _MB, "video": 50 * _MB, "audio": 50 * _MB, "voice": 50 * _MB}
        | {"document": 50 * _MB, "sticker": _MB // 2},
        download_bytes=20 * _MB,
        per_account_s=30,
        per_chat_s=1,
    )

    def __init__(self, config: ChannelConfig, tools: Tools) -> None:
        self.config, self._http = config, tools.http
        self._base = str(config.settings.get("base_url") or "https://api.telegram.org").rstrip("/")

    def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """The secret that was given to setWebhook."""
        given = headers.get(_PROOF, "").encode("utf-8", "replace")
        good = [hmac.compare_digest(given, secret.encode()) for secret in self.config.secrets("webhook_secret")]
        if not any(good):
            raise SignatureError(f"the header {_PROOF} is missing or wrong; run `tasklift-inbox channel check`")

    def dedupe_key(self, body: bytes) -> str:
        """The update's number; the bytes where it has none."""
        try:
            number = json_object(body).get("update_id")
        except ValueError:
            number = None
        return str(number) if isinstance(number, int) else sha256_key(body)

    def handshake(self, query: Mapping[str, str]) -> str | None:
        """Telegram asks for none."""
        return None

    def parse(self, headers: Mapping[str, str], body: bytes, received_at: float) -> list[Item]:
        """One update."""
        update = json_object(body)
        number = text_of(update.get("update_id"))
        names = [name for name in update if name != "update_id"]
        if not names:
            raise ValueError("the update holds nothing but its number")
        return [item for name in names for item in self._read(name, mapping(update[name]), number, received_at)]

    def _read(self, name: str, body: Mapping[str, Any], number: str, received_at: float) -> list[Item]:
        if name in _MESSAGES and body.get("chat"):
            return [self._message(body, received_at)]
        if name in _EDITS and body.get("chat"):
            at = seconds(body.get("edit_date") or body.get("date"), received_at)
            text = text_of(body.get("text")) or text_of(body.get("caption"))
            return [Changed("", _key(body), "edit", f"update:{number}", at, text, _person(body).id)]
        if name == "message_reaction":
            emoji = "".join(text_of(r.get("emoji")) or "*" for r in objects(body.get("new_reaction")))
            at, actor = seconds(body.get("date"), received_at), _id(body.get("user") or body.get("actor_chat"))
            return [Changed("", _key(body), "reaction", f"update:{number}", at, emoji, actor)]
        if name == "deleted_business_messages":
            chat, ids = _id(body.get("chat")), body.get("message_ids")
            gone = ids if isinstance(ids, list) else []
            return [
                Changed("", f"{chat}:{text_of(n)}", "delete", f"update:{number}:{text_of(n)}", received_at)
                for n in gone
            ]
        if name == "callback_query":
            return [self._callback(body, received_at)]
        return [self._other(name, body, number, received_at)]

    def _message(self, body: Mapping[str, Any], received_at: float) -> Arrived:
        kind, text, parts, details = _content(body)
        if body.get("media_group_id"):
            details["album"] = text_of(body["media_group_id"])
        if body.get("forward_origin"):
            details["forwarded"] = body["forward_origin"]
        chat_kind = text_of(mapping(body.get("chat")).get("type"))
        if chat_kind not in ("private", ""):
            details["chat"] = {"type": chat_kind, "from": body.get("from")}
        if body.get("business_connection_id"):
            details["business_connection_id"] = text_of(body["business_connection_id"])
        reply = mapping(body.get("reply_to_message"))
        number = body.get("message_id")
        return Arrived(
            "",
            _person(body),
            _key(body),
            seconds(body.get("date"), received_at),
            kind,
            text,
            parts,
            _key({"chat": body.get("chat"), **reply}) if reply.get("message_id") else None,
            details,
            is_echo=bool(mapping(body.get("from")).get("is_bot")) and _id(body.get("from")) == self.config.external_id,
            order_key=f"{number:020d}" if isinstance(number, int) and number >= 0 else "",
        )

    def _callback(self, body: Mapping[str, Any], received_at: float) -> Arrived:
        """A button under one of our messages; Telegram gives no time for it."""
        message, user = mapping(body.get("message")), body.get("from")
        chat = message.get("chat") or user
        person = _person({"chat": chat, "from": user})
        target = f"{_id(chat)}:{text_of(message.get('message_id'))}" if message.get("message_id") else None
        identity = f"callback:{text_of(body.get('id'))}"
        details = {"data": text_of(body.get("data")), "game": text_of(body.get("game_short_name"))}
        return Arrived("", person, identity, received_at, "button", text_of(body.get("data")), (), target, details)

    def _other(self, name: str, body: Mapping[str, Any], number: str, received_at: float) -> Item:
        """Whatever else: beside the person where there is one in a private chat, else beside the channel."""
        at = seconds(body.get("date"), received_at)
        if name == "my_chat_member" and text_of(mapping(body.get("chat")).get("type")) == "private":
            status = text_of(mapping(body.get("new_chat_member")).get("status"))
            kind = "blocked" if status == "kicked" else "started" if status == "member" else status
            return Arrived("", _person(body), f"update:{number}", at, "system", kind, details={"membership": kind})
        return Noticed("", name, f"update:{number}", at, body)

    async def api(self, method: str, *, timeout_s: float = 30.0, **parts: Any) -> Any:
        """Call a method of the Bot API; returns its `result`.

        Raises:
            SendError: what the answer means.
        """
        url = f"{self._base}/bot{self.config.secret('bot_token')}/{method}"
        answer = await self._http.call(Call("POST", url, timeout_s=timeout_s, **parts))
        if answer.data.get("ok") is True:
            return answer.data.get("result")
        raise _failure(answer)

    async def send(self, outgoing: Outgoing) -> Sent:
        """One message, or a reaction."""
        if outgoing.reaction is not None:
            await self.api("setMessageReaction", json=_reaction(outgoing.to, outgoing.reaction))
            return Sent("")
        method, parts = _call(outgoing)
        found = mapping(await self.api(method, **parts))
        if not found.get("message_id"):
            raise SendError("the answer names no message: it may have been sent", Outcome.UNKNOWN)
        return Sent(f"{outgoing.to}:{text_of(found['message_id'])}")

    async def lookup(self, outgoing: Outgoing) -> Sent | NotSent | None:
        """A bot cannot read what it wrote."""
        return None

    async def fetch(self, part: Part, raw: bytes) -> AsyncIterator[bytes]:
        """getFile, then the file itself."""
        try:
            found = mapping(await self.api("getFile", json={"file_id": part.ref}))
        except SendError as error:
            raise MediaError(
                f"Telegram does not give the file: {error}", is_final=error.outcome is Outcome.STOP
            ) from error
        url = f"{self._base}/file/bot{self.config.secret('bot_token')}/{text_of(found.get('file_path'))}"
        async for chunk in self._http.download(Call("GET", url, timeout_s=120)):
            yield chunk

    async def poll(self, offset: int, timeout_s: int = 25) -> list[Mapping[str, Any]]:
        """Updates from `offset` on, waiting for the first one. Asking for `offset` gives up all before it."""
        asked = {"offset": offset, "timeout": timeout_s, "limit": 100, "allowed_updates": list(ALLOWED_UPDATES)}
        return objects(await self.api("getUpdates", json=asked, timeout_s=timeout_s + 15))

    async def set_webhook(self, url: str) -> None:
        """Have updates sent to `url`; '' for polling."""
        if not url:
            await self.api("deleteWebhook", json={"drop_pending_updates": False})
            return
        asked = {"url": url, "secret_token": self.config.secrets("webhook_secret")[0]}
        await self.api("setWebhook", json={**asked, "allowed_updates": list(ALLOWED_UPDATES)})

    async def check(self) -> list[Check]:
        """Token, and what Telegram says about the webhook."""
        try:
            me = mapping(await self.api("getMe"))
            info = mapping(await self.api("getWebhookInfo"))
        except SendError as error:
            return [Check("bot token", str(error), error.remedy or "try again in a minute")]
        if _id(me) != self.config.external_id:
            return [
                Check("bot token", f"it is of bot {_id(me)}, not {self.config.external_id}", "add the channel again")
            ]
        checks = [Check(f"bot token of @{text_of(me.get('username'))}")]
        wants_polling = self.config.settings.get("mode", "polling") == "polling"
        if wants_polling and info.get("url"):
            checks.append(
                Check("long polling", "a webhook is set, so polling gets nothing", "start the worker: it removes it")
            )
        elif not wants_polling and not info.get("url"):
            checks.append(Check("webhook", "Telegram knows no webhook", "run `tasklift-inbox channel check --fix`"))
        elif not wants_polling and info.get("last_error_message"):
            words = f"{text_of(info['last_error_message'])}; {text_of(info.get('pending_update_count'))} updates wait"
            checks.append(Check("webhook", words, "is the address reachable from outside, with a good certificate?"))
        else:
            checks.append(Check("long polling" if wants_polling else "webhook"))
        return checks

    def setup(self, hook_url: str) -> Sequence[str]:
        """Nothing has to be pasted."""
        if self.config.settings.get("mode", "polling") == "polling":
            return ["The worker asks Telegram for messages (long polling): nothing has to be set up."]
        return [f"Telegram is told to send updates to {hook_url} by `tasklift-inbox channel check --fix`."]


def _call(outgoing: Outgoing) -> tuple[str, dict[str, Any]]:
    """The method that sends a message, and its parameters."""
    reply = (outgoing.reply_to or "").rpartition(":")[2]
    if outgoing.uploads:
        upload = outgoing.uploads[0]
        method, field = _METHODS[upload.kind]
        form: dict[str, Any] = {"chat_id": outgoing.to, field: (upload.name, upload.mime, upload.content)}
        if outgoing.text:
            form["caption"] = outgoing.text
        if reply.isdigit():
            form["reply_to_message_id"] = reply
        return method, {"form": form, "timeout_s": 120}
    body: dict[str, Any] = {"chat_id": outgoing.to}
    if reply.isdigit():
        body["reply_parameters"] = {"message_id": int(reply), "allow_sending_without_reply": True}
    if outgoing.location is None:
        return "sendMessage", {"json": body | {"text": outgoing.text}}
    where = dict(outgoing.location)
    name, address = where.pop("name", ""), where.pop("address", "")
    if name or address:
        return "sendVenue", {"json": body | where | {"title": name or address, "address": address or name}}
    return "sendLocation", {"json": body | where}


def _reaction(chat: str, reaction: Reaction) -> dict[str, Any]:
    emoji = reaction.emoji.replace("\ufe0f", "")
    wanted = [{"type": "emoji", "emoji": emoji}] if emoji else []
    return {"chat_id": chat, "message_id": int(reaction.target.rpartition(":")[2]), "reaction": wanted}


def _content(body: Mapping[str, Any]) -> tuple[str, str, tuple[Part, ...], dict[str, Any]]:
    """Kind, text, attachments and the rest of one message."""
    if body.get("text") is not None:
        return "text", text_of(body.get("text")), (), {}
    for field, kind in _MEDIA.items():
        if body.get(field):
            return (
                kind,
                text_of(body.get("caption")) or text_of(mapping(body[field]).get("emoji")),
                (_part(field, kind, body[field]),),
                {},
            )
    if body.get("venue"):
        venue = mapping(body["venue"])
        return (
            "location",
            ", ".join(filter(None, (text_of(venue.get("title")), text_of(venue.get("address"))))),
            (),
            dict(venue),
        )
    if body.get("location"):
        return "location", "", (), dict(mapping(body["location"]))
    if body.get("contact"):
        card = mapping(body["contact"])
        name = " ".join(filter(None, (text_of(card.get("first_name")), text_of(card.get("last_name")))))
        return "contacts", name, (), {"contacts": [card]}
    rest = {name: value for name, value in body.items() if name not in _FRAME}
    if body.get("new_chat_members") or body.get("left_chat_member") or body.get("pinned_message"):
        return "system", next(iter(rest), ""), (), rest
    return "unsupported", "", (), {"type": next(iter(rest), ""), "content": rest}


def _part(field: str, kind: str, value: Any) -> Part:
    """A photo is a list of sizes, of which the last is the largest."""
    sizes = objects(value)
    found = mapping(sizes[-1] if sizes else value)
    size = found.get("file_size")
    mime = text_of(found.get("mime_type")) or {
        "photo": "image/jpeg",
        "voice": "audio/ogg",
        "video_note": "video/mp4",
    }.get(field, "")
    return Part(
        kind,
        text_of(found.get("file_id")),
        mime,
        text_of(found.get("file_name")),
        size if isinstance(size, int) else None,
    )


def _person(body: Mapping[str, Any]) -> Person:
    """The chat is whom we answer; in a private chat it is the person."""
    chat, user = mapping(body.get("chat")), mapping(body.get("from"))
    shown = chat if chat.get("first_name") or chat.get("title") else user
    name = text_of(shown.get("title")) or " ".join(
        filter(None, (text_of(shown.get("first_name")), text_of(shown.get("last_name"))))
    )
    username = text_of(shown.get("username"))
    return Person(_id(chat) or _id(user) or "unknown", name, f"@{username}" if username else "")


def _id(value: Any) -> str:
    return text_of(mapping(value).get("id"))


def _key(body: Mapping[str, Any]) -> str:
    """Message numbers are counted in each chat."""
    return f"{_id(body.get('chat'))}:{text_of(body.get('message_id'))}"


def _failure(answer: Answer) -> SendError:
    code = answer.data.get("error_code") or answer.status
    said = text_of(answer.data.get("description")) or f"HTTP {answer.status}"
    known: dict[str, Any] = {"provider_code": str(code)}
    if code == 429:
        wait = mapping(answer.data.get("parameters")).get("retry_after")
        after_s = float(wait) if isinstance(wait, (int, float)) else answer.retry_after_s
        return SendError(said, Outcome.RETRY, retry_after_s=after_s, scope="chat", **known)
    if code in (401, 404):
        remedy = "the token was revoked: make a new one at @BotFather and give it with `channel add --replace`"
        return SendError(said, Outcome.CHANNEL, remedy=remedy, **known)
    if code == 409:
        return SendError(
            said, Outcome.CHANNEL, remedy="another program polls, or a webhook is set, for this bot", **known
        )
    if code == 403:
        return SendError(f"this person cannot be written to: {said}", Outcome.STOP, blocks=True, **known)
    if isinstance(code, int) and 400 <= code < 500:
        return SendError(said, Outcome.STOP, **known)
    return SendError(f"the provider failed: {said}", Outcome.UNKNOWN, **known)
