"""An IMAP mailbox: what is new since a UID, whole and unread, and a doorbell (IDLE) that rings when something comes.

State is (UIDVALIDITY, UID). Neither UNSEEN nor dates are: another program, or a wrong clock, would lose mails.
Blocking; called in a thread.
"""

from __future__ import annotations

import imaplib
import re
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from imap_tools import BaseMailBox, MailBox, MailBoxUnencrypted
from imap_tools.errors import ImapToolsError, MailboxLoginError

from tasklift_inbox.mail.oauth import chosen_mechanism, sasl_answer

_UID = re.compile(rb"UID (\d+)")
_SIZE = re.compile(rb"RFC822\.SIZE (\d+)")
_TIMEOUT_S = 30.0
_CHUNK = 50
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: Servers may drop an IDLE after 30 minutes (RFC 2177).
_RENEW_IDLE_S = 25 * 60.0
#: What this module raises where the server does not do what it should.
MAILBOX_ERRORS = (OSError, ImapToolsError, imaplib.IMAP4.error, ssl.SSLError)


class LoginRefusedError(ImapToolsError):
    """The server does not take this password, or this token."""


@dataclass(frozen=True, slots=True)
class Login:
    """How to reach a mailbox. `security`: ssl, or none (for a server on this machine). `token`: OAuth, no password."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    security: str = "ssl"
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Position:
    """How far a folder was read.

    Attributes:
        validity: 0: not at all.
        since: Unix seconds; where everything is read (again), mails that arrived a day or more before are left alone.
    """

    validity: int = 0
    uid: int = 0
    since: float = 0.0


class Mailbox:
    """One connection, one folder."""

    def __init__(self, login: Login, folder: str = "INBOX") -> None:
        kind = MailBox if login.security == "ssl" else MailBoxUnencrypted
        self._box: BaseMailBox = kind(login.host, login.port, timeout=_TIMEOUT_S)
        try:
            self._log_in(login)
            self._select(folder)
        except BaseException:
            self._box.client.shutdown()
            raise
        self._folder, self._idle_since = folder, 0.0

    def _log_in(self, login: Login) -> None:
        try:
            if login.token:
                self._bearer(login)
            else:
                self._box.login(login.user, login.password, initial_folder=None)
        except imaplib.IMAP4.abort:
            raise  # the connection broke
        except (MailboxLoginError, imaplib.IMAP4.error) as error:
            raise LoginRefusedError(str(error)) from error

    def _bearer(self, login: Login) -> None:
        """A server that refuses says why in a second challenge, which has to be answered."""
        client = self._box.client
        offered = {str(name).upper().removeprefix("AUTH=") for name in client.capabilities}
        mechanism = chosen_mechanism(offered)
        if not mechanism:
            raise LoginRefusedError(f"{login.host} takes no log-in by OAuth (neither XOAUTH2 nor OAUTHBEARER)")
        answers = [sasl_answer(mechanism, login.user, login.token, login.host, login.port)]
        reasons: list[str] = []

        def answer(challenge: bytes) -> bytes:
            if answers:
                return answers.pop()
            reasons.append(challenge.decode("utf-8", "replace"))
            return b"" if mechanism == "XOAUTH2" else b"\1"

        try:
            client.authenticate(mechanism, answer)
        except imaplib.IMAP4.error as error:
            raise type(error)(" ".join([str(error), *reasons])) from error

    def _select(self, folder: str) -> None:
        self._box.folder.set(folder)

    @property
    def validity(self) -> int:
        """UIDVALIDITY: while it is the same, a UID is one mail for ever."""
        status = self._box.folder.status(self._folder, ["UIDVALIDITY"])
        return int(status["UIDVALIDITY"])

    def new_since(self, position: Position, longest_bytes: int) -> Iterator[tuple[Position, bytes]]:
        """Every mail behind `position`, with the position after it; all of them where UIDVALIDITY has changed.

        A mail that is longer than `longest_bytes`, or that the server cannot hand over, comes as its headers.
        """
        validity = self.validity
        after = position.uid if position.validity == validity else 0
        if not after and position.since:
            after = self._last_before(position.since)
        sizes = self._sizes(after)
        for first in range(0, len(sizes), _CHUNK):
            for uid, size in sizes[first : first + _CHUNK]:
                yield Position(validity, uid, position.since), self._fetch(uid, size, longest_bytes)

    def _last_before(self, since: float) -> int:
        """The UID before the first mail that arrived since then; of the last mail where none did."""
        day = time.gmtime(since - 86400)
        date = f"{day.tm_mday}-{_MONTHS[day.tm_mon - 1]}-{day.tm_year}"
        _, answer = self._box.client.uid("SEARCH", "SINCE", date)
        found = [int(number) for line in answer or [] if line for number in bytes(line).split()]
        if found:
            return min(found) - 1
        status = self._box.folder.status(self._folder, ["UIDNEXT"])
        return int(status["UIDNEXT"]) - 1

    def _sizes(self, after: int) -> list[tuple[int, int]]:
        """UIDs and sizes; `n:*` always names the last mail, so what is not behind `after` is left out."""
        _, answer = self._box.client.uid("FETCH", f"{after + 1}:*", "(UID RFC822.SIZE)")
        found = []
        for line in answer or []:
            raw = line[0] if isinstance(line, tuple) else line
            uid, size = (_UID.search(raw), _SIZE.search(raw)) if raw else (None, None)
            if uid and int(uid[1]) > after:
                found.append((int(uid[1]), int(size[1]) if size else 0))
        return sorted(found)

    def _fetch(self, uid: int, size: int, longest_bytes: int) -> bytes:
        if size <= longest_bytes:
            found = self._body(uid, "(BODY.PEEK[])")
            if found is not None:
                return found
        head = self._body(uid, "(BODY.PEEK[HEADER])") or f"Message-ID: <uid-{uid}@unreadable>\r\n\r\n".encode()
        return head + f"[this mail has {size} bytes and was not fetched; it is in the mailbox]\r\n".encode()

    def _body(self, uid: int, what: str) -> bytes | None:
        _, answer = self._box.client.uid("FETCH", str(uid), what)
        return next((bytes(part[1]) for part in answer or [] if isinstance(part, tuple)), None)

    def has(self, message_id: str, folders: list[str]) -> bool:
        """Is a mail with this Message-ID in one of `folders`? The folder that was chosen is chosen again."""
        try:
            for folder in folders:
                self._select(folder)
                _, answer = self._box.client.uid("SEARCH", "HEADER", "Message-ID", f'"<{message_id}>"')
                if any(line for line in answer or []):
                    return True
        finally:
            self._select(self._folder)
        return False

    def wait(self, longest_s: float) -> bool:
        """Until something happens in the folder, at most `longest_s`; True where something did."""
        if not self._idle_since:
            self._box.idle.start()  # type: ignore[no-untyped-call]
            self._idle_since = time.monotonic()
        rung = bool(self._box.idle.poll(timeout=longest_s))
        if rung or time.monotonic() - self._idle_since > _RENEW_IDLE_S:
            self.stop_waiting()
        return rung

    def stop_waiting(self) -> None:
        """Leave IDLE: before anything else is asked."""
        if self._idle_since:
            self._idle_since = 0.0
            self._box.idle.stop()  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        try:
            self._box.client.shutdown()
        except OSError:
            pass
