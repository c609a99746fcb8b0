"""The inbox's tables. Migrations make them (a test compares the two); times are Unix seconds.

A channel is one account with one provider: a WhatsApp number, a page, a bot, a mailbox. What is true once and for
all is said by constraints: a raw event, a message and a change are stored once, a person has one identity on a
channel, and an identity has one open conversation (by e-mail: one for each thread).
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

METADATA = sa.MetaData()

#: SQLite numbers rows only where the type is exactly INTEGER.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _id() -> sa.Column[int]:
    return sa.Column("id", ID, primary_key=True)


def _ref(name: str, target: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, ID, sa.ForeignKey(target), nullable=nullable)


def _channel() -> sa.Column[str]:
    return sa.Column("channel_id", sa.Text, sa.ForeignKey("channels.id"), nullable=False)


def _text(name: str, default: str | None = "") -> sa.Column[str]:
    """A text; `default` None: it may be missing."""
    return sa.Column(name, sa.Text, nullable=default is None, server_default=default)


def _time(name: str, *, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=nullable)


#: health: unchecked | ok | unhealthy, with the problem and what to do. `cursor` is how far polling came (JSON).
channels = sa.Table(
    "channels",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("external_id", sa.Text, nullable=False),
    sa.Column("settings", sa.Text, nullable=False),  # JSON; credentials are in the platform's `secrets`
    sa.Column("is_active", sa.Boolean, nullable=False),
    _text("health", "unchecked"),
    _text("problem"),
    _text("remedy"),
    _time("health_at", nullable=True),
    _text("cursor", "{}"),
    _time("created_at"),
    sa.UniqueConstraint("kind", "external_id"),
)

#: What a provider sent, byte by byte. state: new -> done | poison (could not be read; `error` says why)
raw_events = sa.Table(
    "raw_events",
    METADATA,
    _id(),
    _channel(),
    sa.Column("dedupe_key", sa.Text, nullable=False),
    sa.Column("headers", sa.Text, nullable=False),  # JSON: those that reading needs
    sa.Column("body", sa.LargeBinary, nullable=False),
    _text("state", "new"),
    _text("error"),
    _time("received_at"),
    sa.UniqueConstraint("channel_id", "dedupe_key"),
    sqlite_autoincrement=True,
)

contacts = sa.Table(
    "contacts",
    METADATA,
    _id(),
    _text("name"),
    _ref("merged_into", "contacts.id", nullable=True),
    sa.Column("do_not_train", sa.Boolean, nullable=False, server_default=sa.false()),
    _time("created_at"),
    sqlite_autoincrement=True,
)

#: A person on a channel, by the provider's id. `blocked` says why nothing is sent there any more.
identities = sa.Table(
    "identities",
    METADATA,
    _id(),
    _channel(),
    sa.Column("external_id", sa.Text, nullable=False),
    _ref("contact_id", "contacts.id"),
    _text("name"),
    _text("address"),  # telephone number, @name or mail address, as far as known
    _time("last_inbound_at", nullable=True),
    _text("blocked"),
    _time("created_at"),
    sa.UniqueConstraint("channel_id", "external_id"),
    sa.Index("identities_of_contact", "contact_id"),
    sqlite_autoincrement=True,
)

contact_merges = sa.Table(
    "contact_merges",
    METADATA,
    _id(),
    _ref("kept_id", "contacts.id"),
    _ref("merged_id", "contacts.id"),
    sa.Column("identity_ids", sa.Text, nullable=False),  # JSON: which moved
    sa.Column("by", sa.Text, nullable=False),
    _time("at"),
    _time("undone_at", nullable=True),
)

#: status: open | closed. handler: bot | human. `version` grows with every message but
#: those of automation, and with every change of hands.
conversations = sa.Table(
    "conversations",
    METADATA,
    _id(),
    _channel(),
    _ref("identity_id", "identities.id"),
    _text("thread"),  # '' but for e-mail: the first message's id
    _text("subject"),
    _text("status", "open"),
    _text("handler", "bot"),
    sa.Column("version", sa.Integer, nullable=False, server_default="0"),
    _text("assignee", None),
    _text("suggestion", None),  # JSON: "may belong to conversation n", for a person to decide
    _time("last_message_at"),
    _time("created_at"),
    sa.Index("conversations_of_identity", "identity_id", "thread"),
    sa.Index("conversations_latest", "status", "last_message_at"),
    sqlite_autoincrement=True,
)

#: Others who are in a conversation: Cc of a mail.
participants = sa.Table(
    "participants",
    METADATA,
    sa.Column("conversation_id", ID, sa.ForeignKey("conversations.id"), primary_key=True),
    sa.Column("identity_id", ID, sa.ForeignKey("identities.id"), primary_key=True),
)

#: Read in the order (sent_at, order_key, id). status, of what we send: queued sending sent delivered read failed
#: unknown cancelled. What became of a message later (edits, deletion, reactions) is in `changes`, and here in sum.
messages = sa.Table(
    "messages",
    METADATA,
    _id(),
    _channel(),
    _ref("conversation_id", "conversations.id"),
    _ref("identity_id", "identities.id", nullable=True),  # None: ours
    sa.Column("external_id", sa.Text),  # None until the provider gave one
    sa.Column("direction", sa.Text, nullable=False),  # in | out
    sa.Column("kind", sa.Text, nullable=False),
    _text("text"),
    _text("details", "{}"),  # JSON
    _text("reply_to", None),
    _text("author"),  # of what we send: a person, "bot", or "elsewhere"
    _text("status"),
    _text("error"),
    _text("reactions", "{}"),  # JSON: actor -> emoji
    sa.Column("revision", sa.Integer, nullable=False, server_default="0"),
    _time("deleted_at", nullable=True),
    _time("sent_at"),
    _text("order_key"),
    _time("received_at"),
    _ref("raw_event_id", "raw_events.id", nullable=True),
    sa.UniqueConstraint("channel_id", "external_id"),
    sa.Index("messages_in_order", "conversation_id", "sent_at", "order_key", "id"),
    sa.Index("messages_of_event", "raw_event_id"),
    sqlite_autoincrement=True,
)

#: kind: edit | delete | reaction | status. May be here before its message.
changes = sa.Table(
    "changes",
    METADATA,
    _id(),
    _channel(),
    sa.Column("target", sa.Text, nullable=False),  # external id of the message
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("dedupe_key", sa.Text, nullable=False),
    _text("actor"),
    _text("value"),
    _text("details", "{}"),
    _time("at"),
    _ref("raw_event_id", "raw_events.id", nullable=True),
    sa.UniqueConstraint("channel_id", "dedupe_key"),
    sa.Index("changes_of_message", "channel_id", "target"),
    sqlite_autoincrement=True,
)

#: state: pending -> stored | refused | failed. The file is named by its SHA-256.
attachments = sa.Table(
    "attachments",
    METADATA,
    _id(),
    _ref("message_id", "messages.id"),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    _text("ref"),  # the provider's id or address of it
    _text("mime"),
    _text("name"),
    _text("content_id"),  # for pictures inside a mail
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("sha256", sa.Text),
    _text("state", "pending"),
    _text("error"),
    sa.UniqueConstraint("message_id", "position"),
    sa.Index("attachments_of_file", "sha256"),
    sqlite_autoincrement=True,
)

#: state: queued -> sending -> sent | failed | unknown; cancelled. `expected_version`: of the conversation, for what
#: automation sends.
outbox = sa.Table(
    "outbox",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    _channel(),
    _ref("conversation_id", "conversations.id"),
    _ref("message_id", "messages.id"),
    sa.Column("request", sa.Text, nullable=False),  # JSON: attachments, template, tag, mail headers
    _text("state", "queued"),
    sa.Column("is_automatic", sa.Boolean, nullable=False),
    sa.Column("expected_version", sa.Integer),
    sa.Column("by", sa.Text, nullable=False),
    _text("error"),
    _text("code"),
    _time("created_at"),
    _time("changed_at"),
    sa.Index("outbox_of_message", "message_id"),
    sa.Index("outbox_by_state", "state", "changed_at"),
    sa.Index("outbox_of_conversation", "conversation_id", "is_automatic", "created_at"),
)

labels = sa.Table(
    "labels",
    METADATA,
    sa.Column("conversation_id", ID, sa.ForeignKey("conversations.id"), primary_key=True),
    sa.Column("label", sa.Text, primary_key=True),
)

notes = sa.Table(
    "notes",
    METADATA,
    _id(),
    _ref("conversation_id", "conversations.id"),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    _time("at"),
    sqlite_autoincrement=True,
)

#: What a provider says about the account, and whatever belongs to no person: shown beside the channel.
notices = sa.Table(
    "notices",
    METADATA,
    _id(),
    _channel(),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("dedupe_key", sa.Text, nullable=False),
    _text("details", "{}"),
    _time("at"),
    _ref("raw_event_id", "raw_events.id", nullable=True),
    sa.UniqueConstraint("channel_id", "dedupe_key"),
    sqlite_autoincrement=True,
)

#: Theoretical arrival time of the generic cell rate algorithm, shared by all workers.
rate_limits = sa.Table(
    "rate_limits",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    _time("arrival"),
)


def _index_where(name: str, where: str, *columns: sa.Column[Any], unique: bool = False) -> None:
    part = sa.text(where)  # queries have to say it in the same words, without parameters
    sa.Index(name, *columns, unique=unique, sqlite_where=part, postgresql_where=part)


_index_where("raw_events_new", "state = 'new'", raw_events.c.channel_id, raw_events.c.id)
_index_where("raw_events_poison", "state = 'poison'", raw_events.c.id)
_index_where(
    "conversations_one_open", "status = 'open'", conversations.c.identity_id, conversations.c.thread, unique=True
)
