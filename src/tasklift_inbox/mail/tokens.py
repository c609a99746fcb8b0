"""Signed tokens that say which conversation a mail belongs to: in our Message-IDs, and behind the + of our address."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable

_IN_ID = re.compile(r"^tl\.(\d{1,18})\.[0-9a-f]{8,40}\.([0-9a-f]{20})@")
_IN_ADDRESS = re.compile(r"\+tl(\d{1,18})-([0-9a-f]{20})@")


def message_id(key: bytes, channel_id: str, conversation_id: int, outbox_id: str, domain: str) -> str:
    """A Message-ID of ours, without brackets: the same for the same entry of the outbox."""
    return f"tl.{conversation_id}.{outbox_id}.{_proof(key, channel_id, conversation_id)}@{domain}"


def plus_address(key: bytes, channel_id: str, conversation_id: int, address: str) -> str:
    """Our address, with the conversation behind a +."""
    local, _, domain = address.rpartition("@")
    return f"{local}+tl{conversation_id}-{_proof(key, channel_id, conversation_id)}@{domain}"


def conversation_of(key: bytes, channel_id: str, addresses: Iterable[str], references: Iterable[str]) -> int | None:
    """The conversation that a good token names; None where there is none, or only made-up ones."""
    found = [(pattern.search(text)) for text in addresses for pattern in (_IN_ADDRESS,)]
    found += [_IN_ID.match(text) for text in references]
    for match in found:
        if match is not None and hmac.compare_digest(_proof(key, channel_id, int(match[1])), match[2]):
            return int(match[1])
    return None


def _proof(key: bytes, channel_id: str, conversation_id: int) -> str:
    return hmac.new(key, f"mail\0{channel_id}\0{conversation_id}".encode(), hashlib.sha256).hexdigest()[:20]
