"""The `messaging[]` events that Messenger and Instagram share. developers.facebook.com/docs/messenger-platform.

`standby[]` holds the same events while another app owns the thread: they are shown, and the bot stays out of it.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator, Mapping
from typing import Any

from tasklift_inbox.channels.base import Arrived, Changed, Item, Noticed, Part, Person, Seen
from tasklift_inbox.channels.reading import json_object, mapping, objects, seconds, sha256_key, text_of

_FILES = {"image": "image", "audio": "audio", "video": "video", "file": "document", "ig_reel": "video", "reel": "video"}
_SHARES = frozenset({"share", "fallback", "story_mention", "ig_post", "post", "template"})
_REACTIONS = {"love": "❤", "smile": "😆", "angry": "😠", "sad": "😢", "wow": "😮", "like": "👍", "dislike": "👎"}


def read_page_events(body: bytes, received_at: float) -> list[Item]:
    """Every entry, every event and change in it.

    Raises:
        ValueError: the body is no JSON object.
    """
    found: list[Item] = []
    for entry in objects(json_object(body).get("entry")):
        reader = _Reader(text_of(entry.get("id")), received_at)
        for name in ("messaging", "standby"):
            for event in objects(entry.get(name)):
                found += reader.event(event, is_standby=name == "standby")
        for change in objects(entry.get("changes")):
            value = mapping(change.get("value"))
            if change.get("field") == "messages" and value.get("sender"):  # the dashboard's test button
                found += reader.event(value, is_standby=False)
            else:
                found.append(reader.notice(text_of(change.get("field")) or "unknown", change, entry.get("time")))
    return found


class _Reader:
    """Reads the events of one account."""

    def __init__(self, account: str, received_at: float) -> None:
        self._account, self._received_at = account, received_at

    def event(self, event: Mapping[str, Any], *, is_standby: bool) -> Iterator[Item]:
        """One event; what it is, is said by the name of one of its fields."""
        at = self._time(event.get("timestamp"))
        sender = _id(event.get("sender"))
        if event.get("message") and sender:
            yield self._message(event, at, is_standby=is_standby)
        elif event.get("message_edit") and sender:
            edit = mapping(event["message_edit"])
            target, number = text_of(edit.get("mid")), text_of(edit.get("num_edit"))
            key = f"{target}:edit:{number}"
            yield Changed(self._account, target, "edit", key, at, text_of(edit.get("text")), sender)
        elif event.get("reaction") and sender:
            yield self._reaction(mapping(event["reaction"]), sender, at)
        elif event.get("read") or event.get("delivery"):
            yield from self._seen(event, sender, at)
        elif (event.get("postback") or event.get("referral") or event.get("optin")) and sender:
            yield self._action(event, sender, at)
        else:
            names = [name for name in event if name not in ("sender", "recipient", "timestamp")]
            yield self.notice(names[0] if names else "unknown", event, event.get("timestamp"))

    def _message(self, event: Mapping[str, Any], at: float, *, is_standby: bool) -> Item:
        message = mapping(event["message"])
        identity = text_of(message.get("mid")) or sha256_key(json.dumps(event, sort_keys=True).encode())
        is_echo = bool(message.get("is_echo"))
        person = Person(_id(event.get("recipient") if is_echo else event.get("sender")) or "unknown")
        if message.get("is_deleted"):
            return Changed(
                self._account, identity, "delete", f"{identity}:delete", at, "", "" if is_echo else person.id
            )
        kind, parts, details = _attached(message)
        for name in ("quick_reply", "referral", "sticker_id", "app_id"):
            if message.get(name):
                details[name] = message[name]
        reply = mapping(message.get("reply_to"))
        if reply.get("story"):
            details["story"] = reply["story"]
            kind = "story_reply" if kind == "text" else kind
        if is_standby:
            details["standby"] = True
        if message.get("is_unsupported"):
            kind = "unsupported"
        return Arrived(
            self._account,
            person,
            identity,
            at,
            kind,
            text_of(message.get("text")),
            parts,
            text_of(reply.get("mid")) or None,
            details,
            is_echo,
            text_of(message.get("metadata")) if is_echo else "",
        )

    def _reaction(self, reaction: Mapping[str, Any], sender: str, at: float) -> Item:
        target, is_gone = text_of(reaction.get("mid")), reaction.get("action") == "unreact"
        emoji = text_of(reaction.get("emoji")) or _REACTIONS.get(text_of(reaction.get("reaction")), "👍")
        key = f"{target}:reaction:{sender}:{at}"
        return Changed(self._account, target, "reaction", key, at, "" if is_gone else emoji, sender)

    def _seen(self, event: Mapping[str, Any], sender: str, at: float) -> Iterator[Item]:
        status = "read" if event.get("read") else "delivered"
        body = mapping(event.get("read") or event.get("delivery"))
        mids = body.get("mids") if isinstance(body.get("mids"), list) else [body["mid"]] if body.get("mid") else []
        for mid in map(text_of, mids or []):
            yield Changed(self._account, mid, "status", f"{mid}:{status}:{sender}", at, status)
        if body.get("watermark") or not mids:
            yield Seen(self._account, sender, status, self._time(body.get("watermark"), at))

    def _action(self, event: Mapping[str, Any], sender: str, at: float) -> Item:
        """A button, a link with a reference, an opt-in."""
        name = next(one for one in ("postback", "referral", "optin") if event.get(one))
        body = mapping(event[name])
        identity = text_of(body.get("mid")) or f"{name}:{sender}:{text_of(event.get('timestamp'))}"
        text = text_of(body.get("title")) or text_of(body.get("payload")) or text_of(body.get("ref"))
        kind = "button" if name == "postback" else name
        return Arrived(self._account, Person(sender), identity, at, kind, text, details=dict(body))

    def notice(self, name: str, value: Mapping[str, Any], time: Any) -> Noticed:
        """What belongs to no person, or has no text: thread control, policy, comments."""
        body = mapping(value.get(name))
        is_blocked = name == "policy-enforcement" and body.get("action") == "block"
        problem = f"Meta blocks this page: {text_of(body.get('reason'))}" if is_blocked else ""
        key = sha256_key(json.dumps([self._account, value], sort_keys=True).encode())
        return Noticed(self._account, name, key, self._time(time), value, problem)

    def _time(self, value: Any, default: float | None = None) -> float:
        """Milliseconds; some events have seconds, some old ones ISO 8601."""
        known = self._received_at if default is None else default
        if isinstance(value, str) and "T" in value:
            try:
                return seconds(datetime.datetime.fromisoformat(value).timestamp(), known)
            except ValueError:
                return known
        return seconds(value, seconds(value, known), per_second=1000.0)


def _attached(message: Mapping[str, Any]) -> tuple[str, tuple[Part, ...], dict[str, Any]]:
    """Kind, files and the rest of a message."""
    kind, parts, details = "text", [], dict[str, Any]()
    for attachment in objects(message.get("attachments")):
        name, payload = text_of(attachment.get("type")), attachment.get("payload")
        url = text_of(mapping(payload).get("url")) or text_of(attachment.get("url"))
        if message.get("sticker_id"):
            kind = "sticker"
            parts.append(Part("sticker", url))
        elif name in _FILES and url:
            kind = _FILES[name]
            parts.append(Part(kind, url))
        elif name == "location":
            kind, details["location"] = "location", mapping(payload).get("coordinates") or payload
        elif name in _SHARES:
            kind = "share"
            details.setdefault("shared", []).append(
                {"type": name, "title": attachment.get("title"), "payload": payload}
            )
        else:
            kind = "unsupported"
            details.setdefault("content", []).append(attachment)
    if kind == "text" and not text_of(message.get("text")):
        kind = "unsupported"
        details["content"] = message
    return kind, tuple(parts), details


def _id(value: Any) -> str:
    return text_of(mapping(value).get("id")) or text_of(mapping(value).get("user_ref"))
