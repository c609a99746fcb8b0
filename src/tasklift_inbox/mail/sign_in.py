"""Signing in to a mailbox once, in a browser, so that a refresh token is there. RFC 8628 (devices), RFC 7636 (PKCE).

Microsoft lets a person type a code at its own page. Google gives the rights to mail only to applications that are
sent back an address; nothing has to listen there, for the person pastes it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

from tasklift.errors import ConfigError
from tasklift_inbox.channels.http import ApiClient
from tasklift_inbox.mail.oauth import ask_for_token, refusal

_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_SLOWER_S = 5.0
#: Where the browser ends. Nobody listens: the address that it shows is pasted.
_BACK = "http://127.0.0.1:8701/"
_MICROSOFT = {
    "imap_host": "outlook.office365.com",
    "smtp_host": "smtp.office365.com",
    "smtp_port": "587",
    "security": "starttls",
    "token_url": "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
}
_OUTLOOK = "https://outlook.office.com"


@dataclass(frozen=True, slots=True)
class MailProvider:
    """What is known of a provider.

    Attributes:
        settings: fields of the channel; `{tenant}` is the organisation.
        device_url, authorize_url: where signing in begins; neither: the application needs no person.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    device_url: str = ""
    authorize_url: str = ""


#: As of 2026-11. "other" takes `token_url` with `device_url` or `authorize_url` from whoever adds the channel.
PROVIDERS = {
    "microsoft": MailProvider(
        {**_MICROSOFT, "scope": f"{_OUTLOOK}/IMAP.AccessAsUser.All {_OUTLOOK}/SMTP.Send offline_access"},
        device_url="https://login.microsoftonline.com/{tenant}/oauth2/v2.0/devicecode",
    ),
    "microsoft-app": MailProvider({**_MICROSOFT, "scope": "https://outlook.office365.com/.default"}),
    "google": MailProvider(
        {
            "imap_host": "imap.gmail.com",
            "smtp_host": "smtp.gmail.com",
            "token_url": "https://oauth2.googleapis.com/token",
            "scope": "https://mail.google.com/",
        },
        authorize_url="https://accounts.google.com/o/oauth2/v2/auth",
    ),
    "other": MailProvider(),
}


def preset(name: str, given: Mapping[str, str], known: Mapping[str, str]) -> tuple[dict[str, str], MailProvider]:
    """Fields of a channel with this provider, and where to sign in.

    Args:
        given: by whoever adds the channel: stronger than the provider's own.
        known: of the channel that is changed: weaker.

    Raises:
        ConfigError: there is no such provider, or `client_id` or `token_url` is missing.
    """
    if name not in PROVIDERS:
        raise ConfigError(f"no provider is called {name!r}: there are {', '.join(PROVIDERS)}")
    found, rest = PROVIDERS[name], {**known, **given}
    tenant = rest.get("tenant") or "organizations"
    own = {key: value.replace("{tenant}", tenant) for key, value in found.settings.items()}
    values = {**known, **own, **given}
    for key, what in (("client_id", "the id of your application at the provider"), ("token_url", "its token endpoint")):
        if not values.get(key):
            raise ConfigError(f"{key} is missing: {what}; see docs/inbox/email.md")
    device, authorize = (rest.get(key) or getattr(found, key) for key in ("device_url", "authorize_url"))
    return values, MailProvider({}, device.replace("{tenant}", tenant), authorize.replace("{tenant}", tenant))


@dataclass(frozen=True, slots=True)
class Terminal:
    """The person who signs in: `tell` shows a line, `ask` asks for one."""

    tell: Callable[[str], None]
    ask: Callable[[str], str]


async def sign_in(http: ApiClient, where: MailProvider, values: Mapping[str, str], person: Terminal) -> str:
    """A refresh token; '' where the application needs no person.

    Raises:
        ConfigError: the person did not sign in, or pasted something else.
        SendError: the provider refuses.
    """
    if where.device_url:
        return await _by_device(http, where.device_url, values, person)
    if where.authorize_url:
        return await _by_address(http, where.authorize_url, values, person)
    return ""


async def _by_device(http: ApiClient, url: str, values: Mapping[str, str], person: Terminal) -> str:
    begun = await ask_for_token(http, url, _client(values) | {"scope": values.get("scope", "")})
    if "device_code" not in begun:
        raise refusal(begun, "NAME")
    page = begun.get("verification_uri") or begun.get("verification_url")
    person.tell(f"Open {page} and type the code {begun.get('user_code')}; sign in as {values.get('external_id')}.")
    until = time.monotonic() + float(begun.get("expires_in") or 900)
    pause_s = float(begun.get("interval", 5))
    form = _client(values) | {"grant_type": _DEVICE_GRANT, "device_code": str(begun["device_code"])}
    while time.monotonic() < until:
        await asyncio.sleep(pause_s)
        answer = await ask_for_token(http, values["token_url"], form)
        if answer.get("error") == "slow_down":
            pause_s += _SLOWER_S
        elif answer.get("error") != "authorization_pending":
            return _refresh_token(answer)
    raise ConfigError("nobody signed in while the code was good: begin again")


async def _by_address(http: ApiClient, url: str, values: Mapping[str, str], person: Terminal) -> str:
    state, verifier = secrets.token_urlsafe(16), secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "client_id": values["client_id"], "response_type": "code", "redirect_uri": _BACK, "state": state,
        "scope": values.get("scope", ""), "code_challenge": challenge, "code_challenge_method": "S256",
        "access_type": "offline", "prompt": "consent", "login_hint": values.get("external_id", ""),
    }  # fmt: skip
    person.tell(f"Open this address and sign in as {values.get('external_id')}:\n{url}?{urlencode(query)}")
    person.tell(f"The browser then shows an address that begins with {_BACK} and cannot be opened: copy all of it.")
    pasted = parse_qs(urlsplit(person.ask("The address").strip()).query)
    if pasted.get("state") != [state] or not pasted.get("code"):
        said = (pasted.get("error") or ["it has no code, or is of another sign-in"])[0]
        raise ConfigError(f"this address does not do: {said}; begin again")
    form = {"grant_type": "authorization_code", "code": pasted["code"][0], "redirect_uri": _BACK}
    form |= _client(values) | {"code_verifier": verifier}
    return _refresh_token(await ask_for_token(http, values["token_url"], form))


def _client(values: Mapping[str, str]) -> dict[str, str]:
    names = ("client_id", "client_secret")
    return {name: values[name] for name in names if values.get(name)}


def _refresh_token(answer: Mapping[str, object]) -> str:
    found = answer.get("refresh_token")
    if isinstance(found, str) and found:
        return found
    if "access_token" in answer:
        raise ConfigError("the provider gave no refresh token: has the application the right to one (offline_access)?")
    raise refusal(answer, "NAME")
