"""Meta's data-deletion callback: a person has removed our app, and asks that we forget them.

developers.facebook.com/docs/development/create-an-app/app-dashboard/data-deletion-callback, as of 2026-11.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from urllib.parse import parse_qs

import sqlalchemy as sa

from tasklift_inbox.channels.base import Channel
from tasklift_inbox.channels.meta import MetaChannel
from tasklift_inbox.channels.reading import text_of
from tasklift_inbox.errors import SignatureError, UnknownChannelError
from tasklift_inbox.normalise import Normaliser
from tasklift_inbox.privacy import identity_subject, registry_of
from tasklift_inbox.runtime import Runtime
from tasklift_inbox.tables import identities


def signed_user(signed_request: str, secrets: Sequence[str]) -> str:
    """The user's id in a signed request: base64url(HMAC-SHA256) and base64url(JSON), with a point between.

    Raises:
        SignatureError: it is not signed with one of `secrets`, or names nobody.
    """
    proof, _, payload = signed_request.partition(".")
    try:
        given = _decoded(proof)
        made = [hmac.new(secret.encode(), payload.encode(), hashlib.sha256).digest() for secret in secrets]
        if not any(hmac.compare_digest(given, one) for one in made):
            raise SignatureError("the signed_request does not match the app secret of this channel")
        found = json.loads(_decoded(payload))
    except (ValueError, binascii.Error, RecursionError):
        raise SignatureError("the signed_request cannot be read") from None
    user = text_of(found.get("user_id")) if isinstance(found, dict) else ""
    if not user:
        raise SignatureError("the signed_request names no user")
    return user


async def forget(runtime: Runtime, channel: Channel, body: bytes) -> dict[str, str]:
    """Erase the user of a callback on every channel of the app; returns what Meta wants to hear.

    Raises:
        UnknownChannelError: the channel is not one of Meta's.
        SignatureError: the callback is not Meta's.
    """
    if not isinstance(channel, MetaChannel):
        raise UnknownChannelError(f"{channel.config.id} is no channel of Meta's")
    fields = parse_qs(body.decode("utf-8", "replace"))
    user = signed_user((fields.get("signed_request") or [""])[0], channel.config.secrets("app_secret"))
    await Normaliser(runtime).drain()  # what waits to be read may be theirs
    names = sorted(set(runtime.route(channel).values()))
    async with runtime.database.read() as connection:
        known = sa.select(identities.c.channel_id).where(
            identities.c.channel_id.in_(names), identities.c.external_id == user
        )
        wanted = list((await connection.execute(known)).scalars()) or [channel.config.id]
    registry = registry_of(runtime)
    done = [await registry.erase(identity_subject(name, user), "Meta's data-deletion callback") for name in wanted]
    base = runtime.settings.public_url.rstrip("/")
    return {"url": f"{base}/meta/deletions/{done[0].id}", "confirmation_code": done[0].id}


async def progress(runtime: Runtime, code: str) -> dict[str, str] | None:
    """What the person may see under their confirmation code; None where there is none."""
    certificate = await registry_of(runtime).certificate(code)
    if certificate is None:
        return None
    return {"confirmation_code": code, "status": "open" if certificate.completed_at is None else "complete"}


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
