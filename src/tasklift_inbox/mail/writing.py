"""Mails that we send: threaded, marked where no person wrote them, and free of anything that would forge a header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from tasklift_inbox.channels.outgoing import Outgoing
from tasklift_inbox.mail.reading import base_subject
from tasklift_inbox.tables import messages
from tasklift_inbox.texts import one_line

_MOST_REFERENCES = 30


async def reply_headers(connection: AsyncConnection, conversation_id: int) -> dict[str, Any]:
    """What an answer into a conversation says: In-Reply-To, References, the latest subject, Reply-To's wish."""
    query = (
        sa.select(messages.c.external_id, messages.c.direction, messages.c.details)
        .where(messages.c.conversation_id == conversation_id, messages.c.external_id.is_not(None))
        .order_by(messages.c.sent_at, messages.c.order_key, messages.c.id)
    )
    rows = (await connection.execute(query)).all()
    known = [row.external_id for row in rows if not row.external_id.startswith("hash:")]
    inbound = [row for row in rows if row.direction == "in"]
    details = _json(inbound[-1].details) if inbound else {}
    latest = next((row.external_id for row in reversed(inbound) if row.external_id in known), None)
    if len(known) > _MOST_REFERENCES:  # the first one, and the latest
        known = [known[0], *known[1 - _MOST_REFERENCES :]]
    return {
        "in_reply_to": latest or (known[-1] if known else None),
        "references": known,
        "subject": f"Re: {base_subject(str(details.get('subject') or '')) or '(no subject)'}",
        "to": details.get("reply_to") or None,
    }


def write_mail(outgoing: Outgoing, sender: str, shown: str, reply_to: str) -> EmailMessage:
    """The mail for an entry of the outbox; the same bytes' headers at every attempt.

    Args:
        sender: our address; `shown`: the name beside it.
        reply_to: '' for none.
    """
    mail = outgoing.mail
    message = EmailMessage(policy=SMTP)
    message["From"] = _address(sender, shown)
    message["To"] = _address(str(mail.get("to") or outgoing.to), "")
    message["Subject"] = one_line(str(mail.get("subject") or "(no subject)"))
    message["Message-ID"] = f"<{mail['message_id']}>"
    message["Date"] = formatdate(mail.get("date"), usegmt=True)
    if mail.get("in_reply_to"):
        message["In-Reply-To"] = f"<{one_line(str(mail['in_reply_to']))}>"
    if mail.get("references"):
        message["References"] = " ".join(f"<{one_line(str(one))}>" for one in mail["references"])
    if reply_to:
        message["Reply-To"] = _address(reply_to, shown)
    if outgoing.is_automatic:
        message["Auto-Submitted"] = "auto-replied"
        message["X-Auto-Response-Suppress"] = "All"
        message["Precedence"] = "auto_reply"
    message.set_content(outgoing.text or "\n")
    for upload in outgoing.uploads:
        kind, _, subtype = upload.mime.partition("/")
        message.add_attachment(
            upload.content,
            maintype=kind or "application",
            subtype=subtype or "octet-stream",
            filename=one_line(upload.name),
        )
    return message


def _address(address: str, shown: str) -> Address | str:
    local, _, domain = one_line(address).rpartition("@")
    try:
        return Address(one_line(shown), local, domain)
    except (ValueError, IndexError):
        return one_line(address)  # odd but real ones, as they came


def _json(text: str) -> Mapping[str, Any]:
    found = json.loads(text)
    return found if isinstance(found, dict) else {}
