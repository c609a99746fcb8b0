"""Handing a mail to an SMTP server: what goes wrong before its content is sent is certain, during it is not."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Self

import aiosmtplib

from tasklift_inbox.errors import Outcome, SendError
from tasklift_inbox.mail.mailbox import Login
from tasklift_inbox.mail.oauth import chosen_mechanism, sasl_answer

SMTP_ERRORS = (aiosmtplib.SMTPException, OSError)
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail is handed in. `security`: ssl, starttls or none."""

    host: str
    port: int
    security: str


class Submission:
    """One connection: `async with Submission(server)`, then `log_in`, then `hand_in`."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server
        self._smtp = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            timeout=_TIMEOUT_S,
            use_tls=server.security == "ssl",
            start_tls=server.security == "starttls",
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._smtp.close()

    async def log_in(self, login: Login) -> None:
        """Connect, and log in; a server on this machine may ask for no log-in.

        Raises:
            aiosmtplib.SMTPAuthenticationError: password or token was refused; with a token it may be tried again.
            aiosmtplib.SMTPException, OSError: it did not get so far.
        """
        if not self._smtp.is_connected:
            await self._smtp.connect()
            await self._smtp.ehlo()
        if self._server.security == "none" and not self._smtp.supports_extension("auth"):
            return
        if login.token:
            await self._bearer(login)
        else:
            await self._smtp.login(login.user, login.password)

    async def _bearer(self, login: Login) -> None:
        offered = set(self._smtp.esmtp_extensions.get("auth", "").upper().split())
        mechanism = chosen_mechanism(offered)
        if not mechanism:
            words = f"{self._server.host} takes no log-in by OAuth, but {', '.join(sorted(offered)) or 'nothing'}"
            raise aiosmtplib.SMTPAuthenticationError(504, words)
        answer = sasl_answer(mechanism, login.user, login.token, self._server.host, self._server.port)
        response = await self._smtp.execute_command(b"AUTH", mechanism.encode(), base64.b64encode(answer))
        if response.code == 334:  # the reason, in base64; whoever wants the final answer has to say something
            response = await self._smtp.execute_command(b"" if mechanism == "XOAUTH2" else b"AQ==")
        if response.code != 235:
            raise aiosmtplib.SMTPAuthenticationError(response.code, response.message)

    async def hand_in(self, sender: str, receiver: str, content: bytes) -> None:
        """Sender '' is nobody: what bounces comes back to nobody.

        Raises:
            SendError: what it means.
        """
        try:
            encoding = "utf-8" if self._smtp.supports_extension("smtputf8") else "ascii"
            await self._smtp.mail(sender, encoding=encoding)
            await self._smtp.rcpt(receiver)
            await self._data(content)
        except SMTP_ERRORS as error:
            raise failure(error) from error

    async def _data(self, content: bytes) -> None:
        try:
            await self._smtp.data(content)
        except aiosmtplib.SMTPResponseException:
            raise
        except SMTP_ERRORS as error:
            words = f"the connection broke while the mail was sent ({type(error).__name__}): it may have been taken"
            raise SendError(words, Outcome.UNKNOWN) from error


def failure(error: Exception, remedy: str = "") -> SendError:
    """What an error of the server, or of the connection, means; `remedy` of a login that is refused."""
    if isinstance(error, aiosmtplib.SMTPAuthenticationError) and error.code >= 500:
        return SendError(f"the SMTP server refuses the login: {error.message}", Outcome.CHANNEL, remedy=remedy)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        said, code = f"{error.code} {error.message}", str(error.code)
        if 500 <= error.code < 600:
            is_address = isinstance(error, aiosmtplib.SMTPRecipientRefused) and "5.7." not in error.message
            return SendError(said, Outcome.STOP, provider_code=code, blocks=is_address)
        return SendError(said, Outcome.RETRY, provider_code=code)
    if isinstance(error, aiosmtplib.SMTPException):
        return SendError(f"the SMTP server did not answer ({type(error).__name__})", Outcome.RETRY)
    return SendError(f"no connection to the SMTP server: {error}", Outcome.RETRY)
