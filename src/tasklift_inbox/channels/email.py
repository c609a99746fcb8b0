"""E-mail of one mailbox: IMAP in, SMTP out. RFC 5322, 3501, 2177, 3834, 3464."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar

import aiosmtplib

from tasklift.errors import ConfigError
from tasklift_inbox.channels.base import (
    Abilities,
    Arrived,
    Changed,
    ChannelConfig,
    Check,
    Field,
    Item,
    Noticed,
    NotSent,
    Outgoing,
    Part,
    Person,
    Sent,
    Thread,
    Tools,
)
from tasklift_inbox.channels.reading import sha256_key
from tasklift_inbox.errors import MediaError, Outcome, SendError, SignatureError
from tasklift_inbox.mail import tokens
from tasklift_inbox.mail.bounces import Bounce, read_bounces
from tasklift_inbox.mail.html import text_of_html
from tasklift_inbox.mail.mailbox import MAILBOX_ERRORS, Login, Mailbox
from tasklift_inbox.mail.reading import Address, File, Mail, base_subject, part_bytes, read_mail, stable_hash
from tasklift_inbox.mail.rules import authentication, automatic_reason, is_report
from tasklift_inbox.mail.trimming import trim_reply
from tasklift_inbox.mail.writing import write_mail

_MB = 1024 * 1024
_CHUNK = 64 * 1024
_KINDS = ("image", "audio", "video")
_TIMEOUT_S = 30.0


class EmailChannel:
    """One mailbox."""

    kind: ClassVar[str] = "email"
    fields: ClassVar[tuple[Field, ...]] = (
        Field("external_id", "the mailbox's address"),
        Field("display_name", "the name beside it in what you send", is_optional=True),
        Field("imap_host", "your provider's IMAP server"),
        Field("imap_port", "993", default="993"),
        Field("smtp_host", "your provider's SMTP server"),
        Field("smtp_port", "465 with ssl, 587 with starttls", default="465"),
        Field("security", "ssl, starttls (SMTP) or none (a server on this machine)", default="ssl"),
        Field("user", "user name at both servers; the address where it is empty", is_optional=True),
        Field("password", "an app password, where your provider has them", is_secret=True),
        Field("sent_folder", "where your provider keeps what it sent, such as Sent", is_optional=True),
        Field("history_days", "how far back the mailbox is read at first", default="3"),
        Field("plus_addressing", "yes where mail to name+anything@ arrives", default="no"),
        Field("own_server", "the name your server writes into Authentication-Results", is_optional=True),
    )
    abilities = Abilities(
        text_chars=200_000,
        caption_chars=200_000,
        attachment_bytes=dict.fromkeys(("image", "audio", "voice", "video", "document"), 20 * _MB),
        download_bytes=50 * _MB,
        per_account_s=2,
        per_chat_s=0.2,
        burst=10,
        is_asked=True,
        is_mail=True,
    )

    def __init__(self, config: ChannelConfig, tools: Tools) -> None:
        self.config, self._key = config, tools.signing_key
        self._address = config.external_id.strip().lower()
        self._own = {self._address, *str(config.settings.get("aliases") or "").lower().split()}
        if "@" not in self._address:
            raise ConfigError(f"channel {config.id}: external_id is the mailbox's address, not {config.external_id!r}")
        if self._setting("security", "ssl") not in ("ssl", "starttls", "none"):
            raise ConfigError(f"channel {config.id}: security is ssl, starttls or none")
        try:
            float(self._setting("history_days", "3"))
        except ValueError:
            raise ConfigError(f"channel {config.id}: history_days is a number of days") from None

    def _setting(self, name: str, default: str = "") -> str:
        return str(self.config.settings.get(name) or default)

    @property
    def history_days(self) -> float:
        """How far back the mailbox is read at first."""
        return float(self._setting("history_days", "3"))

    @property
    def login(self) -> Login:
        """Of the IMAP server."""
        user = self._setting("user", self.config.external_id)
        security = "none" if self._setting("security") == "none" else "ssl"
        port = int(self._setting("imap_port", "993"))
        return Login(self._setting("imap_host"), port, user, self.config.secret("password"), security)

    def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """Mail is fetched, never brought by HTTP."""
        raise SignatureError("a mailbox has no webhook")

    def dedupe_key(self, body: bytes) -> str:
        """The bytes: a rescan of the mailbox finds the same ones."""
        return sha256_key(body)

    def handshake(self, query: Mapping[str, str]) -> str | None:
        """None."""
        return None

    def parse(self, headers: Mapping[str, str], body: bytes, received_at: float) -> list[Item]:
        """One mail: a message, or a bounce of ours."""
        mail = read_mail(body)
        identity = mail.message_id or f"hash:{stable_hash(mail, body)}"
        at = received_at if mail.date is None else min(max(mail.date, 946_684_800.0), received_at + 86400)
        bounces = read_bounces(mail.message)
        if bounces:
            return [_bounced(bounce, identity, at) for bounce in bounces]
        if is_report(mail.message):
            return [Noticed("", "report", identity, at, {"subject": mail.subject, "from": mail.sender.address})]
        return [self._message(mail, identity, at)]

    def _message(self, mail: Mail, identity: str, at: float) -> Arrived:
        is_echo = mail.sender.address in self._own
        others = [one for one in (*mail.to, *mail.cc) if one.address not in self._own]
        other = others[0] if is_echo and others else mail.sender
        full = (mail.text.strip() or text_of_html(mail.html)).strip()
        text = trim_reply(full)
        details = self._details(mail)
        if text != full:
            details["full"] = full
        mine = [one.address for one in (*mail.to, *mail.cc)]
        root = mail.references[-1] if mail.references else identity  # an answer may be here before its question
        thread = Thread(
            root,
            tokens.conversation_of(self._key, self.config.id, mine, mail.references),
            mail.references,
            base_subject(mail.subject),
            tuple(_person(one) for one in others if one.address != other.address),
        )
        parts = tuple(_part(file) for file in mail.files)
        kind = "text" if full else (parts[0].kind if parts else "text")
        reply_to = mail.references[0] if mail.references else None
        return Arrived("", _person(other), identity, at, kind, text, parts, reply_to, details, is_echo, thread=thread)

    def _details(self, mail: Mail) -> dict[str, Any]:
        found: dict[str, Any] = {
            "subject": mail.subject,
            "from": mail.sender.address,
            "to": [one.address for one in mail.to],
            "cc": [one.address for one in mail.cc],
            "has_html": bool(mail.html),
        }
        if mail.reply_to is not None and mail.reply_to.address != mail.sender.address:
            found["reply_to"] = mail.reply_to.address
        automatic = automatic_reason(mail, self._own)
        if automatic:
            found["automatic"] = automatic
        checked = authentication(mail.message, self._setting("own_server"))
        if checked:
            found["authentication"] = checked
        return found

    async def send(self, outgoing: Outgoing) -> Sent:
        """By SMTP. What goes wrong before the content is sent is certain; during it, not."""
        reply_to = ""
        if self._setting("plus_addressing") == "yes" and outgoing.mail.get("conversation_id"):
            number = int(outgoing.mail["conversation_id"])
            reply_to = tokens.plus_address(self._key, self.config.id, number, self._address)
        message = write_mail(outgoing, self._address, self._setting("display_name"), reply_to)
        sender = "" if outgoing.is_automatic else self._address
        server = self._server()
        try:
            await self._connect(server)
            await server.mail(sender, encoding="utf-8" if server.supports_extension("smtputf8") else "ascii")
            await server.rcpt(str(outgoing.mail.get("to") or outgoing.to))
            await self._data(server, bytes(message))
        except aiosmtplib.SMTPException as error:
            raise _failure(error) from error
        except OSError as error:
            raise SendError(f"no connection to the SMTP server: {error}", Outcome.RETRY) from error
        finally:
            server.close()
        return Sent(str(outgoing.mail["message_id"]))

    def _server(self) -> aiosmtplib.SMTP:
        security = self._setting("security", "ssl")
        return aiosmtplib.SMTP(
            hostname=self._setting("smtp_host"),
            port=int(self._setting("smtp_port", "465")),
            timeout=_TIMEOUT_S,
            use_tls=security == "ssl",
            start_tls=security == "starttls",
        )

    async def _connect(self, server: aiosmtplib.SMTP) -> None:
        await server.connect()
        if self._setting("security", "ssl") != "none" or server.supports_extension("auth"):
            await server.login(self.login.user, self.login.password)

    async def _data(self, server: aiosmtplib.SMTP, content: bytes) -> None:
        try:
            await server.data(content)
        except aiosmtplib.SMTPResponseException:
            raise
        except (aiosmtplib.SMTPException, OSError) as error:
            words = f"the connection broke while the mail was sent ({type(error).__name__}): it may have been taken"
            raise SendError(words, Outcome.UNKNOWN) from error

    async def lookup(self, outgoing: Outgoing) -> Sent | NotSent | None:
        """Providers that keep what they sent can be asked for its Message-ID; that it is not there proves nothing."""
        folder = self._setting("sent_folder")
        if not folder:
            return None
        identity = str(outgoing.mail["message_id"])

        def look() -> bool:
            with Mailbox(self.login) as box:
                return box.has(identity, [folder])

        try:
            return Sent(identity) if await asyncio.to_thread(look) else None
        except MAILBOX_ERRORS as error:
            raise SendError(f"the mailbox cannot be asked: {error}", Outcome.RETRY) from error

    async def fetch(self, part: Part, raw: bytes) -> AsyncIterator[bytes]:
        """A part of the raw mail, which is kept."""
        number = int(part.ref.removeprefix("part:"))
        content = await asyncio.to_thread(part_bytes, raw, number) if raw else None
        if content is None:
            raise MediaError(f"the mail has no part {number}, or its raw event was erased")
        for first in range(0, len(content), _CHUNK):
            yield content[first : first + _CHUNK]

    async def check(self) -> list[Check]:
        """Log in to both servers."""
        checks = [await asyncio.to_thread(self._check_imap)]
        server = self._server()
        what = f"SMTP at {self._setting('smtp_host')}:{self._setting('smtp_port', '465')}"
        try:
            await self._connect(server)
            checks.append(Check(what))
        except (aiosmtplib.SMTPException, OSError) as error:
            checks.append(Check(what, str(error)[:300], "host, port, security, user and password; an app password?"))
        finally:
            server.close()
        return checks

    def _check_imap(self) -> Check:
        what = f"IMAP at {self.login.host}:{self.login.port}"
        try:
            Mailbox(self.login).close()
        except MAILBOX_ERRORS as error:
            return Check(what, str(error)[:300], "host, port, user and password; is IMAP switched on in the mailbox?")
        return Check(what)

    def setup(self, hook_url: str) -> Sequence[str]:
        """Nothing has to be pasted."""
        return ["The worker fetches mail by IMAP: nothing has to be set up but SPF, DKIM and DMARC of your domain."]


def _person(address: Address) -> Person:
    return Person(address.address, address.name, address.address)


def _part(file: File) -> Part:
    main = file.mime.partition("/")[0]
    kind = main if main in _KINDS else "document"
    return Part(kind, f"part:{file.number}", file.mime, file.name, None, file.content_id)


def _bounced(bounce: Bounce, identity: str, at: float) -> Item:
    """About a mail of ours; where it does not say which one, beside the channel."""
    details = {"reason": f"{bounce.status} {bounce.reason}", "address": bounce.address}
    key = f"{identity}:{bounce.address}"
    if not bounce.original:
        return Noticed("", "bounce", key, at, details)
    blocks = f"mail to {bounce.address} comes back: {bounce.status} {bounce.reason}" if bounce.is_address else ""
    value = "failed" if bounce.is_permanent else "delayed"
    return Changed("", bounce.original, "status", key, at, value, bounce.address, details, blocks=blocks)


def _failure(error: aiosmtplib.SMTPException) -> SendError:
    if isinstance(error, SendError):
        return error
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        remedy = "the password is wrong or was revoked: give a new one with `channel add --replace`"
        return SendError(f"the SMTP server refuses the login: {error.message}", Outcome.CHANNEL, remedy=remedy)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        said, code = f"{error.code} {error.message}", str(error.code)
        if 500 <= error.code < 600:
            is_address = isinstance(error, aiosmtplib.SMTPRecipientRefused) and "5.7." not in error.message
            return SendError(said, Outcome.STOP, provider_code=code, blocks=is_address)
        return SendError(said, Outcome.RETRY, provider_code=code)
    return SendError(f"the SMTP server did not answer ({type(error).__name__})", Outcome.RETRY)
