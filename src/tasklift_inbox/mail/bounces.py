"""Bounces: which mail of ours did not arrive, at whom, for good or for now. RFC 3464 and what servers write."""

from __future__ import annotations

import email
import re
from dataclasses import dataclass
from email.message import Message

from flufl.bounce import scan_message

from tasklift_inbox.mail.reading import addresses, content_of, header

_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_ID = re.compile(rb"(?im)^message-id:\s*<([^<>\s]+)>")
#: The mailbox is full, the mail too long, or our server is distrusted: the address is good all the same.
_NOT_THE_ADDRESS = re.compile(r"^5\.(2\.2|2\.3|3\.\d+|7\.\d+)$")


@dataclass(frozen=True, slots=True)
class Bounce:
    """One address that a mail did not reach.

    Attributes:
        original: Message-ID of ours; '' where the bounce does not say.
        status: such as 5.1.1.
        is_permanent: it will not be tried again.
        is_address: the address itself is what is wrong.
    """

    original: str
    address: str
    status: str
    reason: str
    is_permanent: bool
    is_address: bool


def read_bounces(message: Message) -> list[Bounce]:
    """What a report says; nothing where it is none, or only a receipt."""
    original = _original(message)
    found = [bounce for bounce in _delivery_status(message, original) if bounce is not None]
    if found or not _looks_like_bounce(message):
        return found
    return [
        Bounce(original, address.decode("ascii", "replace").lower(), "5.0.0", header(message, "subject"), True, True)
        for address in sorted(scan_message(message))
    ]


def _looks_like_bounce(message: Message) -> bool:
    senders = addresses(message, "from")
    local = senders[0].address.partition("@")[0] if senders else ""
    return header(message, "return-path") == "<>" or local in ("mailer-daemon", "postmaster")


def _delivery_status(message: Message, original: str) -> list[Bounce | None]:
    """The groups of every message/delivery-status part, the first of which is about the mail."""
    found: list[Bounce | None] = []
    for part in message.walk():
        if part.get_content_type() != "message/delivery-status":
            continue
        payload = part.get_payload()
        groups = payload if isinstance(payload, list) else [email.message_from_string(str(payload))]
        for group in groups:
            if isinstance(group, Message) and (group.get("final-recipient") or group.get("original-recipient")):
                found.append(_bounce(group, original))
    return found


def _bounce(group: Message, original: str) -> Bounce | None:
    action = header(group, "action").lower()
    if action not in ("failed", "delayed"):
        return None
    named = header(group, "final-recipient") or header(group, "original-recipient")
    address = named.rpartition(";")[2].strip().strip("<>").lower()
    reason = header(group, "diagnostic-code").partition(";")[2].strip() or header(group, "diagnostic-code")
    match = _STATUS.search(header(group, "status")) or _STATUS.search(reason)
    status = match[0] if match else ("5.0.0" if action == "failed" else "4.0.0")
    is_permanent = action == "failed"
    is_address = is_permanent and status.startswith("5") and not _NOT_THE_ADDRESS.match(status)
    return Bounce(original, address, status, (reason or header(group, "status"))[:500], is_permanent, is_address)


def _original(message: Message) -> str:
    """The Message-ID in the copy, or in its headers, that the report brings back."""
    for part in message.walk():
        if part is message:
            continue
        kind = part.get_content_type()
        if kind in ("message/rfc822", "text/rfc822-headers", "message/rfc822-headers"):
            match = _ID.search(content_of(part))
            if match:
                return match[1].decode("ascii", "replace")
    if not message.is_multipart():
        ids = _ID.findall(content_of(message))
        return ids[0].decode("ascii", "replace") if ids else ""
    return ""
