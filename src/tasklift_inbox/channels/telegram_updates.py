"""What an update of the Telegram Bot API says. core.telegram.org/bots/api#update, as of 2026-11."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasklift_inbox.channels.base import Arrived, Changed, Item, Noticed, Part, Person
from tasklift_inbox.channels.reading import mapping, objects, seconds, text_of

_MESSAGES = ("message", "business_message", "channel_post", "guest_message")
_EDITS = ("edited_message", "edited_business_message", "edited_channel_post")
#: Field of a message -> kind here.
_MEDIA = {
    "photo": "image", "animation": "video", "video": "video", "video_note": "video", "audio": "audio",
    "voice": "voice", "document": "document", "sticker": "sticker",
}  # fmt: skip
#: Fields of a message that say nothing about its content.
_FRAME = frozenset({
    "message_id", "from", "chat", "date", "sender_chat", "business_connection_id", "message_thread_id",
    "is_topic_message", "via_bot", "reply_markup", "author_signature", "has_protected_content", "sender_boost_count",
})  # fmt: skip


def read_update(update: Mapping[str, Any], bot: str, received_at: float) -> list[Item]:
    """One update, of the bot with this id.

    Raises:
        ValueError: it holds nothing.
    """
    number = text_of(update.get("update_id"))
    names = [name for name in update if name != "update_id"]
    if not names:
        raise ValueError("the update holds nothing but its number")
    return [item for name in names for item in _read(name, mapping(update[name]), number, bot, received_at)]


def _read(name: str, body: Mapping[str, Any], number: str, bot: str, received_at: float) -> list[Item]:
    if name in _MESSAGES and body.get("chat"):
        return [_message(body, bot, received_at)]
    if name in _EDITS and body.get("chat"):
        at = seconds(body.get("edit_date") or body.get("date"), received_at)
        text = text_of(body.get("text")) or text_of(body.get("caption"))
        return [Changed("", _key(body), "edit", f"update:{number}", at, text, _person(body).id)]
    if name == "message_reaction":
        emoji = "".join(text_of(r.get("emoji")) or "*" for r in objects(body.get("new_reaction")))
        at, actor = seconds(body.get("date"), received_at), id_of(body.get("user") or body.get("actor_chat"))
        return [Changed("", _key(body), "reaction", f"update:{number}", at, emoji, actor)]
    if name == "deleted_business_messages":
        chat, ids = id_of(body.get("chat")), body.get("message_ids")
        gone = ids if isinstance(ids, list) else []
        return [
            Changed("", f"{chat}:{text_of(n)}", "delete", f"update:{number}:{text_of(n)}", received_at) for n in gone
        ]
    if name == "callback_query":
        return [_callback(body, received_at)]
    return [_other(name, body, number, received_at)]


def _message(body: Mapping[str, Any], bot: str, received_at: float) -> Arrived:
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
        is_echo=bool(mapping(body.get("from")).get("is_bot")) and id_of(body.get("from")) == bot,
        order_key=f"{number:020d}" if isinstance(number, int) and number >= 0 else "",
    )


def _callback(body: Mapping[str, Any], received_at: float) -> Arrived:
    """A button under one of our messages; Telegram gives no time for it."""
    message, user = mapping(body.get("message")), body.get("from")
    chat = message.get("chat") or user
    person = _person({"chat": chat, "from": user})
    target = f"{id_of(chat)}:{text_of(message.get('message_id'))}" if message.get("message_id") else None
    identity = f"callback:{text_of(body.get('id'))}"
    details = {"data": text_of(body.get("data")), "game": text_of(body.get("game_short_name"))}
    return Arrived("", person, identity, received_at, "button", text_of(body.get("data")), (), target, details)


def _other(name: str, body: Mapping[str, Any], number: str, received_at: float) -> Item:
    """Whatever else: beside the person where there is one in a private chat, else beside the channel."""
    at = seconds(body.get("date"), received_at)
    if name == "my_chat_member" and text_of(mapping(body.get("chat")).get("type")) == "private":
        status = text_of(mapping(body.get("new_chat_member")).get("status"))
        kind = "blocked" if status == "kicked" else "started" if status == "member" else status
        return Arrived("", _person(body), f"update:{number}", at, "system", kind, details={"membership": kind})
    return Noticed("", name, f"update:{number}", at, body)


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
    return Person(id_of(chat) or id_of(user) or "unknown", name, f"@{username}" if username else "")


def id_of(value: Any) -> str:
    """Of a chat, a user or a bot; '' where it has none."""
    return text_of(mapping(value).get("id"))


def _key(body: Mapping[str, Any]) -> str:
    """Message numbers are counted in each chat."""
    return f"{id_of(body.get('chat'))}:{text_of(body.get('message_id'))}"
