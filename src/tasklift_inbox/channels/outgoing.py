"""What is sent, and what a channel can do: what its provider would refuse is refused here, before it is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tasklift_inbox.errors import RefusedError

_MIME = re.compile(r"[\w.+-]+/[\w.+-]+(; ?[\w.+-]+=[\w.+-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a channel can do, and how much; see docs/inbox/limits.md for sources and dates.

    Attributes:
        text_chars, caption_chars: longest text, and longest text with an attachment.
        caption_kinds: kinds of attachments that take a text beside them.
        attachment_bytes: kind -> largest; a kind that is not there cannot be sent.
        attachments_per_message: how many go in one message; more go as several, in order.
        total_bytes: all attachments of a message together; None: no limit of its own.
        reactions: emoji that we may react with; `ANY` for all, nothing where it cannot be done.
        sends_locations: points on a map can be sent.
        download_bytes: largest that is fetched.
        window_s: after the last message of a person, for how long one may write freely; None: for ever.
        human_window_s: the same for people who answer by hand, where it is longer.
        has_templates: outside the window templates can be sent.
        per_account_s, per_chat_s: messages a second; `burst` of them at once.
        takes_callback: the provider hands our outbox id back, so that an unknown outcome is settled.
        is_asked: an unknown outcome can be looked up.
        has_profiles: names do not come with messages and have to be asked for.
        is_mail: messages have subjects and threads, and a Message-ID that is made before they are sent.
    """

    text_chars: int
    caption_chars: int
    attachment_bytes: Mapping[str, int]
    download_bytes: int
    window_s: float | None = None
    human_window_s: float | None = None
    has_templates: bool = False
    per_account_s: float = 30.0
    per_chat_s: float = 1.0
    burst: int = 3
    takes_callback: bool = False
    is_asked: bool = False
    is_mail: bool = False
    has_profiles: bool = False
    caption_kinds: frozenset[str] = frozenset()
    attachments_per_message: int = 1
    total_bytes: int | None = None
    reactions: tuple[str, ...] = ()
    sends_locations: bool = False


#: Every emoji.
ANY = ("*",)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to send. `url` is a public address of it, for providers that fetch it themselves; good for an hour."""

    kind: str
    mime: str
    name: str
    content: bytes = field(repr=False)
    url: str = ""


@dataclass(frozen=True, slots=True)
class Reaction:
    """To the message `target` (the provider's id) with `emoji`; '' takes it back."""

    target: str
    emoji: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to send.

    Attributes:
        outbox_id: handed to the provider where it takes it.
        to: the person's id on the channel.
        reply_to: the provider's id of the message that is answered.
        template: `name`, `language` and `parameters`, instead of a text.
        location: `latitude`, `longitude`, and maybe `name` and `address`, instead of a text.
        reaction: instead of a message. Sent twice it is the same.
        is_automatic: no person has seen it.
        beyond_window: a person answers by hand after the window is shut (HUMAN_AGENT).
        mail: headers, for e-mail.
    """

    outbox_id: str
    to: str
    text: str = ""
    uploads: tuple[Upload, ...] = ()
    reply_to: str | None = None
    template: Mapping[str, Any] | None = None
    is_automatic: bool = False
    beyond_window: bool = False
    mail: Mapping[str, Any] = field(default_factory=dict)
    location: Mapping[str, Any] | None = None
    reaction: Reaction | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider took it; the id is '' for a reaction, which some give none."""

    external_id: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """The provider knows nothing of it: it may be sent again."""


def check_able(abilities: Abilities, outgoing: Outgoing) -> None:
    """Refuse what the provider would refuse, before anything is sent.

    Raises:
        RefusedError: text or attachment too long, or something that this channel does not take.
    """
    if outgoing.location is not None and not abilities.sends_locations:
        raise RefusedError("this channel takes no locations: send the address, or a link to a map, as a text")
    if outgoing.reaction is not None:
        _check_reaction(abilities, outgoing.reaction)
        return
    longest = abilities.caption_chars if outgoing.uploads else abilities.text_chars
    if len(outgoing.text) > longest:
        raise RefusedError(f"the text has {len(outgoing.text)} characters, this channel takes {longest}: shorten it")
    for upload in outgoing.uploads:
        if not _MIME.fullmatch(upload.mime):
            raise RefusedError(f"{upload.mime!r} is no media type of {upload.name!r}, such as image/png")
        limit = abilities.attachment_bytes.get(upload.kind)
        if limit is None:
            takes = ", ".join(sorted(abilities.attachment_bytes)) or "none"
            raise RefusedError(f"{upload.name}: this channel takes no attachments of kind {upload.kind}, but {takes}")
        if len(upload.content) > limit:
            raise RefusedError(f"{upload.name} has {len(upload.content)} bytes, this channel takes {limit}")
    total = sum(len(upload.content) for upload in outgoing.uploads)
    if abilities.total_bytes is not None and total > abilities.total_bytes:
        raise RefusedError(f"the attachments have {total} bytes, this channel takes {abilities.total_bytes} together")


def takes_caption(abilities: Abilities, upload: Upload, text: str) -> bool:
    """May `text` go beside this attachment?"""
    return not text or (upload.kind in abilities.caption_kinds and len(text) <= abilities.caption_chars)


def _check_reaction(abilities: Abilities, reaction: Reaction) -> None:
    if not abilities.reactions:
        raise RefusedError("this channel has no reactions: send a text")
    plain = reaction.emoji.replace("\ufe0f", "")  # says only "draw it in colour"
    if plain and abilities.reactions != ANY and plain not in abilities.reactions:
        raise RefusedError(f"this channel takes no {reaction.emoji} as a reaction, but {' '.join(abilities.reactions)}")
