"""Telegram Bot API, by webhook or long polling. core.telegram.org/bots/api, as of 2026-11.

There is no send idempotency and nothing to look a message up with: after a time-out a person decides.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar

from tasklift_inbox.channels.base import ChannelConfig, Check, Field, Item, Part, Tools
from tasklift_inbox.channels.http import Answer, Call
from tasklift_inbox.channels.outgoing import Abilities, NotSent, Outgoing, Reaction, Sent
from tasklift_inbox.channels.reading import json_object, mapping, objects, sha256_key, text_of
from tasklift_inbox.channels.telegram_updates import id_of, read_update
from tasklift_inbox.errors import MediaError, Outcome, SendError, SignatureError

_MB = 1024 * 1024
_PROOF = "x-telegram-bot-api-secret-token"
#: What is asked for; Telegram leaves out reactions unless they are named.
ALLOWED_UPDATES = (
    "message", "edited_message", "callback_query", "message_reaction", "my_chat_member",
    "business_message", "edited_business_message", "deleted_business_messages",
)  # fmt: skip
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
        return read_update(json_object(body), self.config.external_id, received_at)

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
        if id_of(me) != self.config.external_id:
            return [
                Check("bot token", f"it is of bot {id_of(me)}, not {self.config.external_id}", "add the channel again")
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
    """What is in the conversation without being a message, a pressed button for instance, has an id of another form."""
    of_chat, _, number = reaction.target.rpartition(":")
    if of_chat != chat or not number.isdecimal():
        raise SendError("Telegram takes reactions to messages only: this was a button, or a change", Outcome.STOP)
    emoji = reaction.emoji.replace("\ufe0f", "")
    wanted = [{"type": "emoji", "emoji": emoji}] if emoji else []
    return {"chat_id": chat, "message_id": int(number), "reaction": wanted}


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
