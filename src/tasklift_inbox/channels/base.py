"""What a channel is: it verifies and reads what a provider sends, and sends what we say. Its limits are data.

A channel keeps nothing: what it reads becomes `Arrived` (a message), `Changed` (something about a message),
`Seen` (a person has read up to a time), `Renamed` or `Noticed` (something about the account), and others store it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from tasklift.errors import ConfigError
from tasklift_inbox.channels.http import ApiClient
from tasklift_inbox.errors import RefusedError
from tasklift_inbox.mail.oauth import TokenKeeper
from tasklift_platform.vault import Secret

_MIME = re.compile(r"[\w.+-]+/[\w.+-]+(; ?[\w.+-]+=[\w.+-]+)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody on a channel.

    Attributes:
        id: the provider's, for this account.
        address: telephone number, @name or mail address, where it is known.
        aliases: other ids under which the same person may be known already.
    """

    id: str
    name: str = ""
    address: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """An attachment that can be fetched later.

    Attributes:
        kind: image, audio, voice, video, document, sticker.
        ref: what `Channel.fetch` needs: an id or address.
        content_id: under which a mail's text refers to it.
    """

    kind: str
    ref: str
    mime: str = ""
    name: str = ""
    size_bytes: int | None = None
    content_id: str = ""


@dataclass(frozen=True, slots=True)
class Thread:
    """How a mail says where it belongs, strongest first.

    Attributes:
        key: of the conversation that it begins where it belongs to none: the first mail of its thread, itself maybe.
        conversation_id: from a signed token of ours.
        references: message ids, nearest first.
        subject: without Re: and Fwd:, for a suggestion.
        others: who else is addressed.
    """

    key: str
    conversation_id: int | None = None
    references: tuple[str, ...] = ()
    subject: str = ""
    others: tuple[Person, ...] = ()


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message, from a person or, as an echo, to one.

    Attributes:
        account: the provider's id of our account; '' for the channel whose webhook it is.
        id: the provider's, unique on the account.
        sent_at: Unix seconds by the provider.
        kind: text, image, audio, voice, video, document, sticker, location, contacts, button, referral, order,
            share, system, unsupported ...
        is_echo: we sent it, from here or elsewhere.
        outbox_id: of the entry in our outbox whose echo it is, where the provider hands that back.
        order_key: breaks ties between equal times.
    """

    account: str
    person: Person
    id: str
    sent_at: float
    kind: str
    text: str = ""
    parts: tuple[Part, ...] = ()
    reply_to: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    is_echo: bool = False
    outbox_id: str = ""
    order_key: str = ""
    thread: Thread | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """Something about one message, which may not be here yet.

    Attributes:
        target: the message's id.
        kind: edit (value: the new text), delete, reaction (value: emoji, '' taken back), status (value: sent,
            delivered, read, failed).
        key: unique on the account: the same change comes again with the same key.
        outbox_id: see `Arrived`.
        blocks: why the person cannot be written to any more; '' where they can.
    """

    account: str
    target: str
    kind: str
    key: str
    at: float
    value: str = ""
    actor: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    outbox_id: str = ""
    blocks: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """A person got, or read, everything up to a time.

    Attributes:
        status: delivered | read.
        up_to: Unix seconds.
    """

    account: str
    person_id: str
    status: str
    up_to: float


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something about the account, or that belongs to no person.

    Attributes:
        problem: what makes the channel unhealthy; '' where nothing does.
    """

    account: str
    kind: str
    key: str
    at: float
    details: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Renamed:
    """A person has another id from now on: a new number, for instance."""

    account: str
    old: str
    new: str


Item = Arrived | Changed | Seen | Noticed | Renamed


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


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        what: in a few words.
        problem: '' where it is well.
        remedy: what to do, and where.
    """

    what: str
    problem: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """What a channel is made from.

    Attributes:
        id: its name here, also in the address of its webhook.
        kind: see `registry.KINDS`.
        external_id: the provider's id of the account.
        settings: what may be seen.
        credentials: what may not.
    """

    id: str
    kind: str
    external_id: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, Secret] = field(default_factory=dict)

    def secret(self, name: str) -> str:
        """A credential.

        Raises:
            ConfigError: it is missing.
        """
        found = self.credentials.get(name)
        if found is None or not found.reveal():
            raise ConfigError(f"channel {self.id}: the credential {name!r} is missing; add the channel again with it")
        return found.reveal()

    def secrets(self, name: str) -> list[str]:
        """A credential that may be several, separated by commas: the old one stays good while it is changed."""
        return [part.strip() for part in self.secret(name).split(",") if part.strip()]


@dataclass(frozen=True, slots=True)
class Field:
    """Something to ask for when a channel is added.

    Attributes:
        where: where the provider shows it.
        is_secret: kept in the vault.
        default: '' where it has to be given.
        unless: not needed where this other field is given.
    """

    name: str
    where: str
    is_secret: bool = False
    default: str = ""
    is_optional: bool = False
    unless: str = ""


class Channel(Protocol):
    """One account with one provider."""

    kind: ClassVar[str]
    fields: ClassVar[tuple[Field, ...]]
    abilities: Abilities
    config: ChannelConfig

    def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """Raise SignatureError unless `body` is from the provider. `headers` have lower-case names."""

    def dedupe_key(self, body: bytes) -> str:
        """The same for the same event delivered twice."""

    def parse(self, headers: Mapping[str, str], body: bytes, received_at: float) -> list[Item]:
        """Everything in it. Unknown shapes become `unsupported` messages or notices; raises ValueError for no JSON."""

    def handshake(self, query: Mapping[str, str]) -> str | None:
        """The answer to a provider that asks whether this webhook is ours; None: it is not."""

    async def send(self, outgoing: Outgoing) -> Sent:
        """Send one message.

        Raises:
            SendError: it was not taken, or this is not known.
        """

    async def lookup(self, outgoing: Outgoing) -> Sent | NotSent | None:
        """What became of a message whose outcome is unknown; None: the provider cannot be asked."""

    def fetch(self, part: Part, raw: bytes) -> AsyncIterator[bytes]:
        """The content of an attachment; `raw` is the event that it came with.

        Raises:
            MediaError: it cannot be had.
        """

    async def check(self) -> list[Check]:
        """Look at credentials and set-up."""

    def setup(self, hook_url: str) -> Sequence[str]:
        """What to paste where, line by line."""


#: What channels are made with.
@dataclass(frozen=True, slots=True)
class Tools:
    """Shared by all channels of a process: the connection pool, the key that signs mail tokens, access tokens."""

    http: ApiClient
    signing_key: bytes = b""
    tokens: TokenKeeper | None = None


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
