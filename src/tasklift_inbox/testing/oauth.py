"""A provider of access tokens that behaves, and misbehaves: RFC 6749, 8628 (devices), 7662 (introspection)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tasklift_inbox.testing.forms import form_of


@dataclass(slots=True)
class FakeOAuth:
    """One client, any number of people.

    Attributes:
        client_id, client_secret: the only good ones; a client without a secret is taken where it is ''.
        refresh_tokens, access_tokens: token -> whose; take one out, and it is revoked.
        codes: code of a browser's sign-in -> whose.
        signs_in: who types the device's code; '' for nobody.
        application: the mailbox that the client itself may open; '' for none.
        rotates: every refresh token is good once, and brings the next one.
        lifetime_s: of access tokens.
        asked: forms that came to the token endpoint.
        looked_up: access tokens that servers asked about.
    """

    client_id: str = "client"
    client_secret: str = ""
    refresh_tokens: dict[str, str] = field(default_factory=dict)
    access_tokens: dict[str, str] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)
    signs_in: str = ""
    application: str = ""
    rotates: bool = False
    lifetime_s: float = 3600.0
    asked: list[dict[str, Any]] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def app(self) -> Starlette:
        """To be run with `running(fake.app)`: /token, /devicecode, /introspect."""
        return Starlette(
            routes=[
                Route("/token", self._token, methods=["POST"]),
                Route("/devicecode", self._device, methods=["POST"]),
                Route("/introspect", self._introspect, methods=["POST"]),
            ]
        )

    async def _token(self, request: Request) -> Response:
        form = await _form(request)
        self.asked.append(form)
        if form.get("client_id") != self.client_id or form.get("client_secret", "") != self.client_secret:
            return _error("invalid_client", "AADSTS7000222: The provided client secret keys are expired.", 401)
        kind = str(form.get("grant_type", "")).rpartition(":")[2]
        if kind == "device_code" and not self.signs_in:
            return _error("authorization_pending")
        whose = {
            "refresh_token": self.refresh_tokens.get(str(form.get("refresh_token")), ""),
            "authorization_code": self.codes.pop(str(form.get("code")), ""),
            "device_code": self.signs_in,
            "client_credentials": self.application,
        }.get(kind, "")
        if not whose:
            return _error("invalid_grant", "AADSTS50173: The provided grant has expired due to it being revoked.")
        return JSONResponse(self._made(whose, form))

    def _made(self, whose: str, form: dict[str, Any]) -> dict[str, Any]:
        access = f"access-{next(self._numbers)}"
        self.access_tokens[access] = whose
        made: dict[str, Any] = {"token_type": "Bearer", "access_token": access, "expires_in": self.lifetime_s}
        old = str(form.get("refresh_token", ""))
        if self.rotates:
            self.refresh_tokens.pop(old, None)
        if form["grant_type"] != "client_credentials" and (self.rotates or not old):
            new = made["refresh_token"] = f"refresh-{next(self._numbers)}"
            self.refresh_tokens[new] = whose
        return made

    async def _device(self, request: Request) -> Response:
        if (await _form(request)).get("client_id") != self.client_id:
            return _error("unauthorized_client")
        page = "https://login.test/device"
        begun = {"device_code": "d", "user_code": "ABCD-1234", "verification_uri": page, "interval": 0.01}
        return JSONResponse(begun | {"expires_in": 5})

    async def _introspect(self, request: Request) -> Response:
        token = str((await _form(request)).get("token"))
        self.looked_up.append(token)
        whose = self.access_tokens.get(token, "")
        return JSONResponse({"active": True, "username": whose} if whose else {"active": False})


async def _form(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        return await form_of(request)
    return dict(parse_qsl((await request.body()).decode()))


def _error(code: str, description: str = "", status: int = 400) -> Response:
    return JSONResponse({"error": code, "error_description": description}, status)
