"""Reads a mail from its bytes, whatever is wrong with it.

The old policy of the standard library is used on purpose: it never raises for a broken header, and headers that
nobody asks for are not parsed.
"""

from __future__ import annotations

import email
import email.header
import email.utils
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from email.message import Message

from tasklift_inbox.texts import clean

_MOST_PARTS = 300
_DEEPEST = 40
_LONGEST_TEXT = 500_000  # characters
_MOST_PEOPLE = 100
_SPACE = re.compile(r"\s+")
_ID = re.compile(r"<([^<>\s]{1,900})>")
_PREFIX = re.compile(r"(?i)^\s*(re|aw|sv|antw|antwort|fw|fwd|wg|tr|rif|res|odp|vs|enc|rv)\s*(\[\d+\]|\(\d+\))?\s*:\s*")


@dataclass(frozen=True, slots=True)
class File:
    """An attachment: its place among the parts, and what the mail says of it."""

    number: int
    mime: str
    name: str = ""
    content_id: str = ""
    is_inline: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox; `address` in lower case."""

    address: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Mail:
    """What is in a mail.

    Attributes:
        message: as the standard library has it, for rules and bounces.
        message_id: without brackets; '' where it is missing.
        references: ids, nearest first: In-Reply-To, then References from right to left.
        text: of all plain parts, or made from HTML.
        html: '' where there is none.
    """

    message: Message = field(repr=False)
    message_id: str
    references: tuple[str, ...]
    sender: Address
    reply_to: Address | None
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    subject: str
    date: float | None
    text: str = field(repr=False)
    html: str = field(repr=False)
    files: tuple[File, ...]


def read_mail(raw: bytes) -> Mail:
    """The mail in `raw`.

    Raises:
        ValueError: it is nested so deep that it cannot be a mail.
    """
    try:
        message = email.message_from_bytes(raw)
        leaves = list(parts_of(message))
    except RecursionError:
        raise ValueError("the mail is nested too deep to be read") from None
    text, html, files = _contents(leaves)
    senders = addresses(message, "from") or addresses(message, "sender") or addresses(message, "return-path")
    replies = addresses(message, "reply-to")
    return Mail(
        message,
        _first_id(header(message, "message-id")),
        _references(message),
        senders[0] if senders else Address("unknown"),
        replies[0] if replies else None,
        tuple(addresses(message, "to")),
        tuple(addresses(message, "cc")),
        header(message, "subject")[:1000],
        _date(message),
        text,
        html,
        files,
    )


def parts_of(message: Message, depth: int = 0) -> Iterator[Message]:
    """The leaves, in order; an attached mail is one of them. At most `_MOST_PARTS`: a bomb stays a small list."""
    if depth > _DEEPEST:
        raise ValueError("the mail is nested too deep to be read")
    payload = message.get_payload()
    if message.get_content_maintype() != "multipart" or not isinstance(payload, list):
        yield message
        return
    count = 0
    for part in payload:
        for leaf in parts_of(part, depth + 1) if isinstance(part, Message) else ():
            count += 1
            if count > _MOST_PARTS:
                return
            yield leaf


def part_bytes(raw: bytes, number: int) -> bytes | None:
    """The content of one part; None where the mail has no such part."""
    leaves = list(parts_of(email.message_from_bytes(raw)))
    if not 0 <= number < len(leaves):
        return None
    return content_of(leaves[number])


def content_of(part: Message) -> bytes:
    """A leaf's bytes, decoded; of an attached mail, the mail."""
    payload = part.get_payload()
    if isinstance(payload, list):
        return b"\r\n".join(one.as_bytes() for one in payload if isinstance(one, Message))
    try:
        found = part.get_payload(decode=True)
    except (ValueError, AssertionError):  # broken base64 or uuencoding: as it stands
        found = None
    if isinstance(found, bytes):
        return found
    return str(payload).encode("utf-8", "surrogateescape")


def text_of_part(part: Message) -> str:
    """A leaf as text: by its charset, else as UTF-8, else as Windows-1252, which nothing fails in."""
    content = content_of(part)
    for charset in (_charset(part), "utf-8"):
        try:
            return clean(content.decode(charset))
        except (LookupError, UnicodeDecodeError, ValueError):
            continue
    return clean(content.decode("windows-1252", "replace"))


def header(message: Message, name: str) -> str:
    """A header in Unicode, on one line; '' where it is missing. Its first value, where it stands there twice."""
    values = raw_headers(message, name)
    return _SPACE.sub(" ", clean(_decoded(values[0]))).strip() if values else ""


def raw_headers(message: Message, name: str) -> list[str]:
    """All values of a header as they stand there, bytes beyond ASCII read as UTF-8 (RFC 6532)."""
    return [
        str(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        for key, value in message.raw_items()
        if key.lower() == name
    ]


def addresses(message: Message, name: str) -> list[Address]:
    """The mailboxes in a header, each once, at most a hundred."""
    try:
        pairs = email.utils.getaddresses([_SPACE.sub(" ", one)[:20_000] for one in raw_headers(message, name)])
    except (ValueError, LookupError, IndexError, TypeError, AttributeError):
        return []
    found: dict[str, Address] = {}
    for shown, address in pairs[:_MOST_PEOPLE]:
        plain = clean(address.strip().strip("<>").lower())
        if "@" in plain and len(plain) <= 320:
            found.setdefault(plain, Address(plain, _SPACE.sub(" ", clean(_decoded(shown))).strip()[:200]))
    return list(found.values())


def base_subject(subject: str) -> str:
    """Without Re:, Fwd: and their like in other languages."""
    while (shorter := _PREFIX.sub("", subject)) != subject:
        subject = shorter
    return subject.strip()


def stable_hash(mail: Mail, raw: bytes) -> str:
    """For a mail without Message-ID: headers that no relay changes, and the body."""
    names = ("from", "to", "subject", "date")
    stable = "\0".join([*(header(mail.message, name) for name in names)]).encode()
    body = raw.partition(b"\r\n\r\n")[2] or raw.partition(b"\n\n")[2]
    return hashlib.sha256(stable + b"\0" + body.replace(b"\r\n", b"\n").strip()).hexdigest()


def _contents(leaves: Sequence[Message]) -> tuple[str, str, tuple[File, ...]]:
    texts: list[str] = []
    pages: list[str] = []
    files: list[File] = []
    for number, part in enumerate(leaves):
        mime, disposition = part.get_content_type(), str(part.get("content-disposition") or "").strip().lower()
        is_file = disposition.startswith("attachment") or bool(_file_name(part))
        if mime == "text/plain" and not is_file:
            texts.append(text_of_part(part))
        elif mime == "text/html" and not is_file:
            pages.append(text_of_part(part))
        elif mime not in ("message/delivery-status", "text/rfc822-headers"):
            content_id = str(part.get("content-id") or "").strip().strip("<>")
            files.append(File(number, mime, _file_name(part), content_id[:300], disposition.startswith("inline")))
    text = "\n".join(texts)[:_LONGEST_TEXT].replace("\r\n", "\n")
    return text, "\n".join(pages)[: 2 * _LONGEST_TEXT], tuple(files)


def _file_name(part: Message) -> str:
    try:
        name = part.get_filename("")
    except (ValueError, LookupError, IndexError, TypeError, AttributeError):
        return ""
    name = _SPACE.sub(" ", clean(_decoded(str(name or "")))).strip()
    return re.split(r"[\\/]", name)[-1][:200]


def _charset(part: Message) -> str:
    try:
        return part.get_content_charset("utf-8") or "utf-8"
    except (ValueError, LookupError, TypeError, AttributeError):
        return "utf-8"


def _decoded(value: str) -> str:
    """RFC 2047 words, also where they are broken."""
    if "=?" not in value:
        return value
    found = []
    try:
        chunks = email.header.decode_header(value)
    except (ValueError, LookupError, IndexError):
        return value
    for chunk, charset in chunks:
        if isinstance(chunk, str):
            found.append(chunk)
            continue
        try:
            found.append(chunk.decode(charset or "utf-8"))
        except (LookupError, UnicodeDecodeError, ValueError):
            found.append(chunk.decode("windows-1252", "replace"))
    return "".join(found)


def _first_id(value: str) -> str:
    match = _ID.search(value)
    plain = match[1] if match else value.strip().strip("<>").partition(" ")[0]
    return plain[:900]


def _references(message: Message) -> tuple[str, ...]:
    nearest = _ID.findall(header(message, "in-reply-to"))
    others = _ID.findall(header(message, "references"))[::-1]
    return tuple(dict.fromkeys([*nearest, *others]))[:50]


def _date(message: Message) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(header(message, "date")).timestamp()
    except (ValueError, TypeError, OverflowError, OSError, IndexError, AttributeError):
        return None
