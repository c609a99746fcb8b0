"""WhatsApp Cloud API. Payloads: developers.facebook.com/docs/whatsapp/cloud-api/webhooks, as of 2026-11.

A person may be known by a telephone number (`wa_id`), by a business-scoped user id (`user_id`), or both; the latter
is the identity where it is there, because the number may be missing.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from tasklift_inbox.channels.base import Arrived, Changed, Check, Field, Item, Noticed, Part, Person, Renamed
from tasklift_inbox.channels.http import Answer
from tasklift_inbox.channels.meta import MetaChannel
from tasklift_inbox.channels.outgoing import ANY, Abilities, Outgoing, Sent, Upload
from tasklift_inbox.channels.reading import json_object, mapping, objects, seconds, sha256_key, text_of
from tasklift_inbox.errors import MediaError, Outcome, SendError

_MB = 1024 * 1024
_MEDIA = ("image", "audio", "video", "document", "sticker")
_STATUSES = {"sent": "sent", "delivered": "delivered", "read": "read", "played": "read", "failed": "failed"}

#: developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes, 2026-11.
_RETRY = frozenset({4, 80007, 130429, 131056, 131000, 131016, 131057, 133004})
_PER_CHAT = frozenset({131056})
_RECONNECT = frozenset({131005, 133010})
_ALARM = frozenset({368, 131031, 131042, 131045, 131048})
_RENEW = "make a new system user token with whatsapp_business_messaging and `tasklift-inbox channel add --replace`"
_LOOK = "open WhatsApp Manager > Account tools: payment, quality or a ban stops this number"
_BAD_EVENTS = frozenset(
    {"ACCOUNT_RESTRICTION", "ACCOUNT_VIOLATION", "ACCOUNT_DELETED", "DISABLED_UPDATE", "ACCOUNT_OFFBOARDED"}
)


class WhatsAppChannel(MetaChannel):
    """One telephone number of a WhatsApp Business Account."""

    kind: ClassVar[str] = "whatsapp"
    fields: ClassVar[tuple[Field, ...]] = (
        Field("external_id", "the Phone number ID, at WhatsApp > API Setup"),
        Field("access_token", "a system user's token with whatsapp_business_messaging", is_secret=True),
        Field("app_secret", "App settings > Basic > App secret", is_secret=True),
        Field("verify_token", "any text of yours; made up where it is empty", is_secret=True, default="random"),
    )
    abilities = Abilities(
        text_chars=4096,
        caption_chars=1024,
        caption_kinds=frozenset({"image", "video", "document"}),
        reactions=ANY,
        sends_locations=True,
        attachment_bytes={"image": 5 * _MB, "audio": 16 * _MB, "voice": 16 * _MB, "video": 16 * _MB}
        | {"document": 100 * _MB, "sticker": _MB // 2},
        download_bytes=100 * _MB,
        window_s=24 * 3600,
        has_templates=True,
        per_account_s=80,
        per_chat_s=1 / 6,
        burst=45,
        takes_callback=True,
    )

    def parse(self, headers: Mapping[str, str], body: bytes, received_at: float) -> list[Item]:
        """Every entry, every change, every message in it."""
        found: list[Item] = []
        for entry in objects(json_object(body).get("entry")):
            for change in objects(entry.get("changes")):
                value = mapping(change.get("value"))
                if mapping(value.get("metadata")).get("phone_number_id"):
                    found += _Reader(value, text_of(change.get("field")), received_at).items()
                else:
                    found.append(_notice(entry, change, received_at))
        return found

    async def send(self, outgoing: Outgoing) -> Sent:
        """One message; an attachment is uploaded first."""
        message: dict[str, Any] = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            **_recipient(outgoing.to),
            "biz_opaque_callback_data": outgoing.outbox_id,
        }
        if outgoing.reply_to:
            message["context"] = {"message_id": outgoing.reply_to}
        if outgoing.template is not None:
            message |= {"type": "template", "template": _template(outgoing.template)}
        elif outgoing.reaction is not None:
            reaction = {"message_id": outgoing.reaction.target, "emoji": outgoing.reaction.emoji}
            message |= {"type": "reaction", "reaction": reaction}
        elif outgoing.location is not None:
            message |= {"type": "location", "location": dict(outgoing.location)}
        elif outgoing.uploads:
            message |= await self._media(outgoing.uploads[0], outgoing.text)
        else:
            message |= {"type": "text", "text": {"body": outgoing.text, "preview_url": False}}
        answer = await self.graph_ok("POST", f"{self.config.external_id}/messages", json=message)
        ids = [text_of(item.get("id")) for item in objects(answer.get("messages"))]
        if not ids or not ids[0]:
            raise SendError("the provider's answer names no message: it may have taken it", Outcome.UNKNOWN)
        return Sent(ids[0])

    async def _media(self, upload: Upload, caption: str) -> dict[str, Any]:
        form = {
            "messaging_product": "whatsapp",
            "type": upload.mime,
            "file": (upload.name, upload.mime, upload.content),
        }
        try:
            answer = await self.graph_ok("POST", f"{self.config.external_id}/media", form=form)
        except SendError as error:
            if error.outcome is Outcome.UNKNOWN:  # an upload that nobody refers to was no message
                raise SendError(str(error), Outcome.RETRY) from error
            raise
        kind = "audio" if upload.kind == "voice" else upload.kind
        media: dict[str, Any] = {"id": text_of(answer.get("id"))}
        if caption:
            media["caption"] = caption
        if kind == "document":
            media["filename"] = upload.name
        return {"type": kind, kind: media}

    async def fetch(self, part: Part, raw: bytes) -> AsyncIterator[bytes]:
        """Ask for the address of a media id, which is good for five minutes, then for the bytes."""
        try:
            answer = await self.graph_ok("GET", part.ref, query={"phone_number_id": self.config.external_id})
        except SendError as error:
            is_final = error.outcome is Outcome.STOP
            raise MediaError(f"the media id is not good any more: {error}", is_final=is_final) from error
        async for chunk in self.download(text_of(answer.get("url")), with_token=True):
            yield chunk

    async def check(self) -> list[Check]:
        """Token, number, and whether its account sends us events."""
        checks, found = await self.check_token(self.config.external_id, "display_phone_number,quality_rating,status")
        if text_of(found.get("quality_rating")).upper() == "RED":
            checks.append(Check("quality of the number", "Meta rates it RED", "see WhatsApp Manager > Insights"))
        return checks

    def setup(self, hook_url: str) -> Sequence[str]:
        """For the app dashboard."""
        return self.setup_lines(
            hook_url, "WhatsApp", "messages, smb_message_echoes, account_update, phone_number_quality_update"
        )

    def judge(self, code: int, subcode: int, said: str, answer: Answer) -> SendError:
        """WhatsApp's own codes first."""
        known: dict[str, Any] = {"provider_code": str(code)}
        if code in _ALARM:
            return SendError(said, Outcome.CHANNEL, remedy=_LOOK, **known)
        if code in _RETRY:
            scope = "chat" if code in _PER_CHAT else "account"
            return SendError(said, Outcome.RETRY, retry_after_s=answer.retry_after_s, scope=scope, **known)
        if code in _RECONNECT:
            return SendError(said, Outcome.CHANNEL, remedy=_RENEW, **known)
        if code == 131047:
            return SendError(
                f"more than 24 hours since the person wrote, send a template: {said}", Outcome.STOP, **known
            )
        return super().judge(code, subcode, said, answer)


class _Reader:
    """Reads one `value` of a change."""

    def __init__(self, value: Mapping[str, Any], name: str, received_at: float) -> None:
        self._value, self._name, self._received_at = value, name, received_at
        self._account = text_of(mapping(value.get("metadata")).get("phone_number_id"))
        self._contacts = objects(value.get("contacts"))

    def items(self) -> Iterator[Item]:
        """What is in it, one by one."""
        value = self._value
        read = 0
        for message in objects(value.get("messages")):
            yield self._message(message, is_echo=False)
            yield from self._new_number(message)
            read += 1
        for change in objects(value.get("user_id_update")):
            ids = mapping(change.get("user_id"))
            yield Renamed(self._account, text_of(ids.get("previous")), text_of(ids.get("current")))
            read += 1
        for message in objects(value.get("message_echoes")):
            yield self._message(message, is_echo=True)
            read += 1
        for status in objects(value.get("statuses")):
            yield self._status(status)
            read += 1
        if not read:
            key = sha256_key(json.dumps(value, sort_keys=True).encode())
            yield Noticed(self._account, self._name or "unknown", key, self._received_at, value)

    def _message(self, message: Mapping[str, Any], *, is_echo: bool) -> Item:
        kind, at = text_of(message.get("type")), seconds(message.get("timestamp"), self._received_at)
        identity = text_of(message.get("id")) or sha256_key(json.dumps(message, sort_keys=True).encode())
        person = self._person(message, "to" if is_echo else "from")
        actor = "" if is_echo else person.id
        if kind == "reaction":
            reaction = mapping(message.get("reaction"))
            target, emoji = text_of(reaction.get("message_id")), text_of(reaction.get("emoji"))
            return Changed(self._account, target, "reaction", identity, at, emoji, actor)
        if kind in ("edit", "revoke"):
            body = mapping(message.get(kind))
            target = text_of(body.get("original_message_id"))
            if kind == "revoke":
                return Changed(self._account, target, "delete", identity, at, "", actor)
            text = _content(mapping(body.get("message")))[1]
            return Changed(self._account, target, "edit", identity, at, text, actor, mapping(body.get("message")))
        kind, text, parts, details = _content(message)
        if message.get("referral"):
            details["referral"] = message["referral"]
        if message.get("errors"):
            details["errors"] = message["errors"]
        if message.get("group_id"):
            details["group_id"] = message["group_id"]
        context = mapping(message.get("context"))
        for name in ("forwarded", "frequently_forwarded", "referred_product"):
            if context.get(name):
                details[name] = context[name]
        return Arrived(
            self._account, person, identity, at, kind, text, parts, text_of(context.get("id")) or None, details, is_echo
        )  # fmt: skip

    def _new_number(self, message: Mapping[str, Any]) -> Iterator[Item]:
        system = mapping(message.get("system"))
        new = text_of(system.get("wa_id")) or text_of(system.get("new_wa_id"))
        if system.get("type") == "user_changed_number" and new:
            yield Renamed(self._account, text_of(message.get("from")), new)

    def _status(self, status: Mapping[str, Any]) -> Item:
        at = seconds(status.get("timestamp"), self._received_at)
        name, target = text_of(status.get("status")), text_of(status.get("id"))
        if name not in _STATUSES:
            return Noticed(self._account, f"status {name}", f"{target}:{name}:{at}", at, status)
        errors = objects(status.get("errors"))
        details = {name: status[name] for name in ("errors", "pricing", "conversation") if status.get(name)}
        code = errors[0].get("code") if errors else None
        return Changed(
            self._account,
            target,
            "status",
            f"{target}:{name}:{text_of(status.get('timestamp'))}",
            at,
            _STATUSES[name],
            details=details,
            outbox_id=text_of(status.get("biz_opaque_callback_data")),
            blocks="this number is not on WhatsApp, or has blocked us" if code == 131026 else "",
        )

    def _person(self, message: Mapping[str, Any], role: str) -> Person:
        """Business-scoped id where there is one; the contact that goes with it tells the name."""
        number, user_id = text_of(message.get(role)), text_of(message.get(f"{role}_user_id"))
        match = next(
            (one for one in self._contacts if user_id and one.get("user_id") == user_id),
            next((one for one in self._contacts if number and one.get("wa_id") == number), None),
        ) or (self._contacts[0] if len(self._contacts) == 1 else {})
        identity = user_id or number or text_of(match.get("user_id")) or text_of(match.get("wa_id")) or "unknown"
        profile = mapping(match.get("profile"))
        address = number or text_of(match.get("wa_id")) or text_of(profile.get("username"))
        aliases = tuple(dict.fromkeys(filter(None, (number, text_of(match.get("wa_id")), identity))))
        return Person(identity, text_of(profile.get("name")), address, aliases)


def _content(message: Mapping[str, Any]) -> tuple[str, str, tuple[Part, ...], dict[str, Any]]:
    """Kind, text, attachments and the rest of one message."""
    kind = text_of(message.get("type"))
    body = mapping(message.get(kind))
    if kind == "text":
        return kind, text_of(body.get("body")), (), {}
    if kind in _MEDIA and body.get("id"):
        is_voice = kind == "audio" and bool(body.get("voice"))
        part = Part(
            "voice" if is_voice else kind,
            text_of(body.get("id")),
            text_of(body.get("mime_type")).replace("\\/", "/"),
            text_of(body.get("filename")),
        )
        return part.kind, text_of(body.get("caption")), (part,), {}
    if kind == "location":
        name = ", ".join(filter(None, (text_of(body.get("name")), text_of(body.get("address")))))
        return kind, name, (), dict(body)
    if kind == "contacts":
        cards = objects(message.get("contacts"))
        names = [text_of(mapping(card.get("name")).get("formatted_name")) for card in cards]
        return kind, ", ".join(filter(None, names)), (), {"contacts": cards}
    if kind == "button":
        return kind, text_of(body.get("text")), (), {"payload": body.get("payload")}
    if kind == "interactive":
        reply = mapping(body.get(text_of(body.get("type"))))
        return "button", text_of(reply.get("title")) or text_of(reply.get("body")), (), dict(body)
    if kind in ("order", "system"):
        return kind, text_of(body.get("body")) or text_of(body.get("text")), (), dict(body)
    return "unsupported", "", (), {"type": kind, "content": message.get(kind)}


def _notice(entry: Mapping[str, Any], change: Mapping[str, Any], received_at: float) -> Noticed:
    """About the whole business account; it concerns the channel whose webhook this is."""
    value, name = mapping(change.get("value")), text_of(change.get("field")) or "unknown"
    event = text_of(value.get("event"))
    ban = text_of(mapping(value.get("ban_info")).get("waba_ban_state"))
    is_bad = event in _BAD_EVENTS and ban != "REINSTATE"
    key = sha256_key(json.dumps([entry.get("id"), entry.get("time"), change], sort_keys=True).encode())
    at = seconds(entry.get("time"), received_at)
    return Noticed("", name, key, at, value, f"WhatsApp says {event}" if is_bad else "")


def _recipient(identity: str) -> dict[str, str]:
    """A telephone number goes into `to`, a business-scoped id into `recipient`."""
    return {"to": identity} if identity.lstrip("+").isdigit() else {"recipient": identity}


def _template(template: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"name": template["name"], "language": {"code": template.get("language") or "en"}}
    parameters = template.get("parameters") or ()
    if parameters:
        texts = [{"type": "text", "text": str(value)} for value in parameters]
        made["components"] = [{"type": "body", "parameters": texts}]
    return made
