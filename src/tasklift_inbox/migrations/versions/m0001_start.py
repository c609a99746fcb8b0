"""The first tables: channels, raw events, people, conversations, messages, changes, attachments, outbox, the rest."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "inbox_0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    _channels()
    _raw_events()
    _notices()
    _rate_limits()
    _contacts()
    _identities()
    _contact_merges()
    _conversations()
    _participants()
    _labels()
    _notes()
    _messages()
    _changes()
    _attachments()
    _outbox()


def _channels() -> None:
    op.create_table(
        "channels",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("external_id", sa.Text, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("health", sa.Text, nullable=False, server_default="unchecked"),
        sa.Column("problem", sa.Text, nullable=False, server_default=""),
        sa.Column("remedy", sa.Text, nullable=False, server_default=""),
        sa.Column("health_at", sa.Double),
        sa.Column("cursor", sa.Text, nullable=False, server_default="{}"),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.UniqueConstraint("kind", "external_id"),
    )


def _raw_events() -> None:
    op.create_table(
        "raw_events",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("channel_id", sa.Text, sa.ForeignKey("channels.id"), nullable=False),
        sa.Column("dedupe_key", sa.Text, nullable=False),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="new"),
        sa.Column("error", sa.Text, nullable=False, server_default=""),
        sa.Column("received_at", sa.Double, nullable=False),
        sa.UniqueConstraint("channel_id", "dedupe_key"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "raw_events_new",
        "raw_events",
        ["channel_id", "id"],
        sqlite_where=sa.text("state = 'new'"),
        postgresql_where=sa.text("state = 'new'"),
    )
    op.create_index(
        "raw_events_poison",
        "raw_events",
        ["id"],
        sqlite_where=sa.text("state = 'poison'"),
        postgresql_where=sa.text("state = 'poison'"),
    )


def _notices() -> None:
    op.create_table(
        "notices",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("channel_id", sa.Text, sa.ForeignKey("channels.id"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("dedupe_key", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False, server_default="{}"),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("raw_event_id", _ID, sa.ForeignKey("raw_events.id")),
        sa.UniqueConstraint("channel_id", "dedupe_key"),
        sqlite_autoincrement=True,
    )


def _rate_limits() -> None:
    op.create_table(
        "rate_limits",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("arrival", sa.Double, nullable=False),
    )


def _contacts() -> None:
    op.create_table(
        "contacts",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, server_default=""),
        sa.Column("merged_into", _ID, sa.ForeignKey("contacts.id")),
        sa.Column("do_not_train", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("created_at", sa.Double, nullable=False),
        sqlite_autoincrement=True,
    )


def _identities() -> None:
    op.create_table(
        "identities",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("channel_id", sa.Text, sa.ForeignKey("channels.id"), nullable=False),
        sa.Column("external_id", sa.Text, nullable=False),
        sa.Column("contact_id", _ID, sa.ForeignKey("contacts.id"), nullable=False),
        sa.Column("name", sa.Text, nullable=False, server_default=""),
        sa.Column("address", sa.Text, nullable=False, server_default=""),
        sa.Column("last_inbound_at", sa.Double),
        sa.Column("blocked", sa.Text, nullable=False, server_default=""),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.UniqueConstraint("channel_id", "external_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("identities_of_contact", "identities", ["contact_id"])


def _contact_merges() -> None:
    op.create_table(
        "contact_merges",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("kept_id", _ID, sa.ForeignKey("contacts.id"), nullable=False),
        sa.Column("merged_id", _ID, sa.ForeignKey("contacts.id"), nullable=False),
        sa.Column("identity_ids", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("undone_at", sa.Double),
    )


def _conversations() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("channel_id", sa.Text, sa.ForeignKey("channels.id"), nullable=False),
        sa.Column("identity_id", _ID, sa.ForeignKey("identities.id"), nullable=False),
        sa.Column("thread", sa.Text, nullable=False, server_default=""),
        sa.Column("subject", sa.Text, nullable=False, server_default=""),
        sa.Column("status", sa.Text, nullable=False, server_default="open"),
        sa.Column("handler", sa.Text, nullable=False, server_default="bot"),
        sa.Column("version", sa.Integer, nullable=False, server_default="0"),
        sa.Column("assignee", sa.Text),
        sa.Column("suggestion", sa.Text),
        sa.Column("last_message_at", sa.Double, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("conversations_latest", "conversations", ["status", "last_message_at"])
    op.create_index("conversations_of_identity", "conversations", ["identity_id", "thread"])
    op.create_index(
        "conversations_one_open",
        "conversations",
        ["identity_id", "thread"],
        unique=True,
        sqlite_where=sa.text("status = 'open'"),
        postgresql_where=sa.text("status = 'open'"),
    )


def _participants() -> None:
    op.create_table(
        "participants",
        sa.Column("conversation_id", _ID, sa.ForeignKey("conversations.id"), primary_key=True),
        sa.Column("identity_id", _ID, sa.ForeignKey("identities.id"), primary_key=True),
    )


def _labels() -> None:
    op.create_table(
        "labels",
        sa.Column("conversation_id", _ID, sa.ForeignKey("conversations.id"), primary_key=True),
        sa.Column("label", sa.Text, primary_key=True),
    )


def _notes() -> None:
    op.create_table(
        "notes",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("conversation_id", _ID, sa.ForeignKey("conversations.id"), nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sqlite_autoincrement=True,
    )


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("channel_id", sa.Text, sa.ForeignKey("channels.id"), nullable=False),
        sa.Column("conversation_id", _ID, sa.ForeignKey("conversations.id"), nullable=False),
        sa.Column("identity_id", _ID, sa.ForeignKey("identities.id")),
        sa.Column("external_id", sa.Text),
        sa.Column("direction", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False, server_default=""),
        sa.Column("details", sa.Text, nullable=False, server_default="{}"),
        sa.Column("reply_to", sa.Text),
        sa.Column("author", sa.Text, nullable=False, server_default=""),
        sa.Column("status", sa.Text, nullable=False, server_default=""),
        sa.Column("error", sa.Text, nullable=False, server_default=""),
        sa.Column("reactions", sa.Text, nullable=False, server_default="{}"),
        sa.Column("revision", sa.Integer, nullable=False, server_default="0"),
        sa.Column("deleted_at", sa.Double),
        sa.Column("sent_at", sa.Double, nullable=False),
        sa.Column("order_key", sa.Text, nullable=False, server_default=""),
        sa.Column("received_at", sa.Double, nullable=False),
        sa.Column("raw_event_id", _ID, sa.ForeignKey("raw_events.id")),
        sa.UniqueConstraint("channel_id", "external_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("messages_in_order", "messages", ["conversation_id", "sent_at", "order_key", "id"])
    op.create_index("messages_of_event", "messages", ["raw_event_id"])


def _changes() -> None:
    op.create_table(
        "changes",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("channel_id", sa.Text, sa.ForeignKey("channels.id"), nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("dedupe_key", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False, server_default=""),
        sa.Column("value", sa.Text, nullable=False, server_default=""),
        sa.Column("details", sa.Text, nullable=False, server_default="{}"),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("raw_event_id", _ID, sa.ForeignKey("raw_events.id")),
        sa.UniqueConstraint("channel_id", "dedupe_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("changes_of_message", "changes", ["channel_id", "target"])


def _attachments() -> None:
    op.create_table(
        "attachments",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("message_id", _ID, sa.ForeignKey("messages.id"), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("ref", sa.Text, nullable=False, server_default=""),
        sa.Column("mime", sa.Text, nullable=False, server_default=""),
        sa.Column("name", sa.Text, nullable=False, server_default=""),
        sa.Column("content_id", sa.Text, nullable=False, server_default=""),
        sa.Column("size_bytes", sa.BigInteger),
        sa.Column("sha256", sa.Text),
        sa.Column("state", sa.Text, nullable=False, server_default="pending"),
        sa.Column("error", sa.Text, nullable=False, server_default=""),
        sa.UniqueConstraint("message_id", "position"),
        sqlite_autoincrement=True,
    )
    op.create_index("attachments_of_file", "attachments", ["sha256"])


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("channel_id", sa.Text, sa.ForeignKey("channels.id"), nullable=False),
        sa.Column("conversation_id", _ID, sa.ForeignKey("conversations.id"), nullable=False),
        sa.Column("message_id", _ID, sa.ForeignKey("messages.id"), nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="queued"),
        sa.Column("is_automatic", sa.Boolean, nullable=False),
        sa.Column("expected_version", sa.Integer),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False, server_default=""),
        sa.Column("code", sa.Text, nullable=False, server_default=""),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("changed_at", sa.Double, nullable=False),
    )
    op.create_index("outbox_by_state", "outbox", ["state", "changed_at"])
    op.create_index("outbox_of_conversation", "outbox", ["conversation_id", "is_automatic", "created_at"])
    op.create_index("outbox_of_message", "outbox", ["message_id"])
