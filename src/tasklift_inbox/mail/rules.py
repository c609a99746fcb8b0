"""Which mails no machine may answer: RFC 3834, lists, daemons, ourselves. And what one's own server found out."""

from __future__ import annotations

import re
from collections.abc import Collection
from email.message import Message

from tasklift_inbox.mail.reading import Mail, header

_NOBODY = re.compile(
    r"^(mailer-daemon|postmaster|no-?reply|do-?not-?reply|bounces?|listserv|majordomo|owner-.*|.*-request|daemon|"
    r"notifications?|alerts?|nobody|root)([+.-].*)?@",
    re.IGNORECASE,
)
#: Headers that lists, newsletters and autoresponders have.
_MARKS = ("list-id", "list-unsubscribe", "list-post", "x-autoreply", "x-autorespond", "x-autoresponder", "feedback-id")
_BULK = frozenset({"bulk", "junk", "list", "auto_reply", "auto-reply"})
_RESULT = re.compile(r"\b(spf|dkim|dmarc)\s*=\s*([a-z]+)", re.IGNORECASE)


def automatic_reason(mail: Mail, own: Collection[str]) -> str:
    """Why nothing automatic may answer this mail; '' where it may.

    Args:
        own: our addresses, in lower case.
    """
    message = mail.message
    submitted = header(message, "auto-submitted").partition(";")[0].strip().lower()
    precedence = header(message, "precedence").lower()
    suppress = header(message, "x-auto-response-suppress").lower()
    named = next((name for name in _MARKS if message.get(name)), "")
    reasons = {
        f"Auto-Submitted: {submitted}": submitted not in ("", "no"),
        "its Return-Path is empty: it is a bounce, or a machine's reply": header(message, "return-path") == "<>",
        f"Precedence: {precedence}": precedence in _BULK,
        f"it has a {named} header": bool(named),
        "X-Auto-Response-Suppress": "all" in suppress or "oof" in suppress,
        "we sent it ourselves": mail.sender.address in own,
        f"nobody reads {mail.sender.address}": _NOBODY.match(mail.sender.address) is not None,
        "it is a report of a mail server": is_report(message),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def is_report(message: Message) -> bool:
    """A multipart/report: a bounce, or a receipt."""
    return bool(message.get_content_type() == "multipart/report")


def authentication(message: Message, server: str) -> dict[str, str]:
    """SPF, DKIM and DMARC as our own server found them: facts to weigh, never a reason to drop a mail.

    Args:
        server: the name that our server writes at the beginning of Authentication-Results; anybody may write such a
            header, so without a name, or under another one, nothing is believed.
    """
    if not server:
        return {}
    found: dict[str, str] = {}
    for value in message.get_all("authentication-results", []):
        who, _, results = " ".join(str(value).split()).partition(";")
        if who.split(" ")[0].strip().lower() == server.lower():
            for kind, result in _RESULT.findall(results):
                found.setdefault(kind.lower(), result.lower())
    return found
