"""What a channel is: it verifies and reads what a provider sends, and sends what we say (`outgoing`).

A channel keeps nothing: what it reads becomes `Arrived` (a message), `Changed` (something about a message),
`Seen` (a person has read up to a time), `Renamed` or `Noticed` (something about the account), and others store it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from tasklift.errors import ConfigError
from tasklift_inbox.channels.http import ApiClient
from tasklift_inbox.channels.outgoing import Abilities, NotSent, Outgoing, Sent
from tasklift_inbox.mail.oauth import TokenKeeper
from tasklift_platform.vault import Secret


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
