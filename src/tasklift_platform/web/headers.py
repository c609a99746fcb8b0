"""Security headers of every answer, with a strict content security policy."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from starlette.types import Scope

RawHeaders = list[tuple[bytes, bytes]]

#: For everything that is no page: nothing may be loaded, whatever a browser takes it for.
_DATA_POLICY = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox"
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; manifest-src 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_ALWAYS: RawHeaders = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
]
_HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


def csp_nonce(scope: Scope) -> str:
    """The nonce of this answer: `<script nonce="...">` and `<style nonce="...">` need it. One for each request."""
    nonce: str = scope.setdefault("state", {}).setdefault("csp_nonce", "") or secrets.token_urlsafe(16)
    scope["state"]["csp_nonce"] = nonce
    return nonce


@dataclass(frozen=True, slots=True)
class SecurityHeaders:
    """What is added to every answer, unless the application said it itself.

    Attributes:
        hsts: tell browsers to come by HTTPS only for a year, in answers to requests that did. For a service that
            is also reached by plain HTTP under the same name this is wrong.
    """

    hsts: bool = False

    def extend(self, scope: Scope, headers: RawHeaders) -> None:
        """Add them to `headers`, whose names are in lower case."""
        present = {name for name, _ in headers}
        headers.extend(item for item in _ALWAYS if item[0] not in present)
        if b"content-security-policy" not in present:
            headers.append((b"content-security-policy", _policy(scope, headers)))
        if b"cache-control" not in present:
            headers.append((b"cache-control", b"no-store"))
        if self.hsts and scope.get("scheme") == "https":
            headers.append(_HSTS)


def _policy(scope: Scope, headers: RawHeaders) -> bytes:
    kind = next((value for name, value in headers if name == b"content-type"), b"")
    if not kind.startswith(b"text/html"):
        return _DATA_POLICY
    return _PAGE_POLICY.format(nonce=csp_nonce(scope)).encode()
