"""Access tokens for mailboxes that take no passwords. RFC 6749 (grants), RFC 7628 and XOAUTH2 (log-in with a token).

A token is asked for with a refresh token, or, where there is none, with the client's own secret (an application that
an administrator let in). It is good for an hour or so, and kept sealed for all processes: one asks, the others read.
Providers may hand out another refresh token each time; that one is kept as well, because the old one runs out.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from tasklift_inbox.channels.http import ApiClient, Call
from tasklift_inbox.errors import Outcome, SendError

#: A token is not used any more so long before it runs out.
_EARLY_S = 60.0
_UNSAID_LIFETIME_S = 300.0  # where the provider does not say
#: In the order in which they are preferred.
MECHANISMS = ("XOAUTH2", "OAUTHBEARER")
#: Codes of RFC 6749, section 5.2 -> what to do about them.
_AGAIN = "sign in again: `tasklift-inbox channel add email {name} --oauth ... --replace`"
_RENEW = "make a new client secret at the provider: `channel add email {name} --replace --set client_secret=...`"
_REMEDIES = {
    "invalid_grant": "the sign-in was revoked, or has run out: " + _AGAIN,
    "interaction_required": "the provider wants somebody to sign in: " + _AGAIN,
    "invalid_client": _RENEW,
    "unauthorized_client": "allow this grant for the application at the provider: see docs/inbox/email.md",
    "invalid_scope": "give the application the rights that `scope` names: see docs/inbox/email.md",
}


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token is asked for with. No `refresh_token`: as the application itself."""

    token_url: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    scope: str = ""

    @property
    def origin(self) -> str:
        """Changes where somebody signs in again: what was kept before is worthless then."""
        parts = (self.token_url, self.client_id, self.refresh_token or self.client_secret, self.scope)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


class TokenKeeper(Protocol):
    """Where tokens are kept, for all processes."""

    async def load(self, channel_id: str) -> Mapping[str, Any] | None:
        """What `save` was given last; None where there is none."""

    async def save(self, channel_id: str, tokens: Mapping[str, Any]) -> None:
        """Keep `tokens`."""

    def alone(self, channel_id: str) -> AbstractAsyncContextManager[None]:
        """One process at a time is inside."""


class TokenSource:
    """The access token of one channel."""

    def __init__(self, channel_id: str, grant: Grant, http: ApiClient, keeper: TokenKeeper) -> None:
        self._id, self._grant, self._http, self._keeper = channel_id, grant, http, keeper

    async def access_token(self, refused: str = "") -> str:
        """A token that is good now, and not `refused`: the one that a server did not take.

        Raises:
            SendError: there is none; says what to do where somebody has to do something.
        """
        kept = await self._kept()
        if _is_good(kept, refused):
            return str(kept["access"])
        async with self._keeper.alone(self._id):
            kept = await self._kept()  # another process may have been quicker
            if not _is_good(kept, refused):
                kept = await self._ask(str(kept.get("refresh") or self._grant.refresh_token))
                await self._keeper.save(self._id, kept)
        return str(kept["access"])

    async def _kept(self) -> Mapping[str, Any]:
        found = await self._keeper.load(self._id)
        return found if found and found.get("origin") == self._grant.origin else {}

    async def _ask(self, refresh_token: str) -> dict[str, Any]:
        form = {"grant_type": "client_credentials", "client_id": self._grant.client_id}
        if refresh_token:
            form |= {"grant_type": "refresh_token", "refresh_token": refresh_token}
        for name, value in (("client_secret", self._grant.client_secret), ("scope", self._grant.scope)):
            if value:
                form[name] = value
        answer = await ask_for_token(self._http, self._grant.token_url, form)
        access = answer.get("access_token")
        if not isinstance(access, str) or not access:
            raise refusal(answer, self._id)
        return {
            "access": access,
            "refresh": str(answer.get("refresh_token") or refresh_token),
            "expires_at": time.time() + _lifetime_s(answer),
            "origin": self._grant.origin,
        }


async def ask_for_token(http: ApiClient, url: str, form: Mapping[str, str]) -> Mapping[str, Any]:
    """What the token endpoint says, also where that is an `error` of RFC 6749.

    Raises:
        SendError: RETRY, where it does not say anything of use.
    """
    try:
        answer = await http.call(Call("POST", url, form=form, headers={"Accept": "application/json"}))
    except SendError as error:  # nothing was sent to anybody yet
        raise SendError(f"the token endpoint {url}: {error}", Outcome.RETRY) from error
    if answer.status >= 500 or answer.status == 429 or not answer.data:
        words = f"the token endpoint {url} answered {answer.status} without a token"
        raise SendError(words, Outcome.RETRY, retry_after_s=answer.retry_after_s)
    return answer.data


def refusal(answer: Mapping[str, Any], channel_id: str) -> SendError:
    """What an error answer of the token endpoint means: somebody has to do something."""
    code = str(answer.get("error") or "no token in the answer")
    said = str(answer.get("error_description") or "").partition("\n")[0][:300]
    remedy = _REMEDIES.get(code, "look at the application's registration at the provider: see docs/inbox/email.md")
    words = f"the provider gives no access token: {code}{f' ({said})' if said else ''}"
    return SendError(words, Outcome.CHANNEL, provider_code=code, remedy=remedy.format(name=channel_id))


def sasl_answer(mechanism: str, user: str, token: str, host: str, port: int) -> bytes:
    """What a client says to log in with a token."""
    if mechanism == "XOAUTH2":
        return f"user={user}\1auth=Bearer {token}\1\1".encode()
    name = user.replace("=", "=3D").replace(",", "=2C")
    return f"n,a={name},\1host={host}\1port={port}\1auth=Bearer {token}\1\1".encode()


def chosen_mechanism(offered: set[str]) -> str:
    """The mechanism that is taken; '' where a server offers none."""
    return next((name for name in MECHANISMS if name in offered), "")


def _is_good(kept: Mapping[str, Any], refused: str) -> bool:
    is_fresh = bool(kept) and float(kept["expires_at"]) - _EARLY_S > time.time()
    return is_fresh and kept["access"] != refused


def _lifetime_s(answer: Mapping[str, Any]) -> float:
    try:
        return float(answer.get("expires_in") or _UNSAID_LIFETIME_S)
    except (TypeError, ValueError):
        return _UNSAID_LIFETIME_S
