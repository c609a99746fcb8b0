"""E-mail of one mailbox: IMAP in, SMTP out. RFC 5322, 3501, 2177, 3834, 3464."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar

from aiosmtplib import SMTPAuthenticationError

from tasklift.errors import ConfigError
from tasklift_inbox.channels.base import (
    Arrived,
    Changed,
    ChannelConfig,
    Check,
    Field,
    Item,
    Noticed,
    Part,
    Person,
    Thread,
    Tools,
)
from tasklift_inbox.channels.outgoing import Abilities, NotSent, Outgoing, Sent
from tasklift_inbox.channels.reading import sha256_key
from tasklift_inbox.errors import MediaError, Outcome, SendError, SignatureError
from tasklift_inbox.mail import tokens
from tasklift_inbox.mail.bounces import Bounce, read_bounces
from tasklift_inbox.mail.html import text_of_html
from tasklift_inbox.mail.mailbox import MAILBOX_ERRORS, Login, LoginRefusedError, Mailbox
from tasklift_inbox.mail.oauth import Grant, TokenSource
from tasklift_inbox.mail.reading import Address, File, Mail, base_subject, part_bytes, read_mail, stable_hash
from tasklift_inbox.mail.rules import authentication, automatic_reason, is_report
from tasklift_inbox.mail.submission import SMTP_ERRORS, SmtpServer, Submission, failure
from tasklift_inbox.mail.trimming import trim_reply
from tasklift_inbox.mail.writing import write_mail

_MB = 1024 * 1024
_CHUNK = 64 * 1024
_KINDS = ("image", "audio", "video")
_FILES = ("image", "audio", "voice", "video", "document")
_NEW_PASSWORD = "the password is wrong or was revoked: give a new one with `channel add --replace`"  # noqa: S105
_NO_RIGHTS = "may this user use IMAP and SMTP AUTH, and has the application the rights? See docs/inbox/email.md"


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
        Field("password", "an app password, where your provider has them", is_secret=True, unless="token_url"),
        Field("token_url", "with OAuth: where access tokens are asked for", is_optional=True),
        Field("client_id", "with OAuth: the application's id", is_optional=True),
        Field("client_secret", "with OAuth: the application's secret", is_secret=True, is_optional=True),
        Field("refresh_token", "with OAuth: from the sign-in", is_secret=True, is_optional=True),
        Field("scope", "with OAuth: the rights that are asked for", is_optional=True),
        Field("sent_folder", "where your provider keeps what it sent, such as Sent", is_optional=True),
        Field("history_days", "how far back the mailbox is read at first", default="3"),
        Field("plus_addressing", "yes where mail to name+anything@ arrives", default="no"),
        Field("own_server", "the name your server writes into Authentication-Results", is_optional=True),
    )
    abilities = Abilities(
        text_chars=200_000,
        caption_chars=200_000,
        caption_kinds=frozenset(_FILES),
        attachments_per_message=50,
        total_bytes=20 * _MB,
        attachment_bytes=dict.fromkeys(_FILES, 20 * _MB),
        download_bytes=50 * _MB,
        per_account_s=2,
        per_chat_s=0.2,
        burst=10,
        is_asked=True,
        is_mail=True,
    )

    def __init__(self, config: ChannelConfig, tools: Tools) -> None:
        self.config, self._key = config, tools.signing_key
        self._tokens = self._token_source(tools)
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

    async def login(self, refused: str = "") -> Login:
        """Of both servers.

        Args:
            refused: a token that a server did not take.

        Raises:
            SendError: no access token can be had.
        """
        user = self._setting("user", self.config.external_id)
        security = "none" if self._setting("security") == "none" else "ssl"
        where = (self._setting("imap_host"), int(self._setting("imap_port", "993")), user)
        if self._tokens is None:
            return Login(*where, self.config.secret("password"), security)
        return Login(*where, "", security, await self._tokens.access_token(refused))

    async def open_mailbox(self) -> Mailbox:
        """Log in to the IMAP server; where it does not take our token any more, with a new one.

        Raises:
            SendError: no access token can be had.
            MAILBOX_ERRORS: the server is not there, or refuses us.
        """
        login = await self.login()
        try:
            return await asyncio.to_thread(Mailbox, login)
        except LoginRefusedError:
            if not login.token:
                raise
        return await asyncio.to_thread(Mailbox, await self.login(login.token))

    def _token_source(self, tools: Tools) -> TokenSource | None:
        """None where a password is used."""
        url = self._setting("token_url")
        if not url:
            return None
        if tools.tokens is None or not url.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            raise ConfigError(f"channel {self.config.id}: token_url is an https address, not {url!r}")
        known = {name: secret.reveal() for name, secret in self.config.credentials.items()}
        secrets = (known.get("client_secret", ""), known.get("refresh_token", ""))
        if not any(secrets):
            raise ConfigError(f"channel {self.config.id}: token_url needs a refresh_token or a client_secret")
        grant = Grant(url, self._setting("client_id"), *secrets, self._setting("scope"))
        return TokenSource(self.config.id, grant, tools.http, tools.tokens)

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
        async with Submission(self._server) as submission:
            await self._log_in(submission)
            await submission.hand_in(sender, str(outgoing.mail.get("to") or outgoing.to), bytes(message))
        return Sent(str(outgoing.mail["message_id"]))

    @property
    def _server(self) -> SmtpServer:
        port = int(self._setting("smtp_port", "465"))
        return SmtpServer(self._setting("smtp_host"), port, self._setting("security", "ssl"))

    async def _log_in(self, submission: Submission) -> None:
        """Where the server does not take our token any more, with a new one.

        Raises:
            SendError: what it means.
        """
        login = await self.login()
        try:
            try:
                await submission.log_in(login)
            except SMTPAuthenticationError:
                if not login.token:
                    raise
                await submission.log_in(await self.login(login.token))
        except SMTP_ERRORS as error:
            raise failure(error, _NO_RIGHTS if login.token else _NEW_PASSWORD) from error

    async def lookup(self, outgoing: Outgoing) -> Sent | NotSent | None:
        """Providers that keep what they sent can be asked for its Message-ID; that it is not there proves nothing."""
        folder = self._setting("sent_folder")
        if not folder:
            return None
        identity = str(outgoing.mail["message_id"])

        def look(box: Mailbox) -> bool:
            with box:
                return box.has(identity, [folder])

        try:
            return Sent(identity) if await asyncio.to_thread(look, await self.open_mailbox()) else None
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
        return [await self._check_imap(), await self._check_smtp()]

    async def _check_imap(self) -> Check:
        what = f"IMAP at {self._setting('imap_host')}:{self._setting('imap_port', '993')}"
        try:
            (await self.open_mailbox()).close()
        except SendError as error:
            return Check(what, str(error), error.remedy or "try again in a minute")
        except MAILBOX_ERRORS as error:
            remedy = "host, port, user and password; is IMAP switched on in the mailbox?"
            return Check(what, str(error)[:300], _NO_RIGHTS if self._tokens else remedy)
        return Check(what)

    async def _check_smtp(self) -> Check:
        what = f"SMTP at {self._server.host}:{self._server.port}"
        async with Submission(self._server) as submission:
            try:
                await self._log_in(submission)
            except SendError as error:
                remedy = "host, port, security, user and password; an app password?"
                return Check(what, str(error)[:300], error.remedy or remedy)
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
