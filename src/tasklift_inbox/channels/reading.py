"""Reading what providers send, which may lack anything and hold anything."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tasklift_inbox.errors import SignatureError


def sha256_key(body: bytes) -> str:
    """The key of a body that has none of its own."""
    return hashlib.sha256(body).hexdigest()


def verify_hmac(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], header: str) -> None:
    """Check `sha256=<hex HMAC of the raw body>` against each secret, in constant time.

    Raises:
        SignatureError: no or another signature.
    """
    presented = headers.get(header, "").strip()
    if not presented.startswith("sha256="):
        raise SignatureError(f"the request has no {header}; only the provider may call this address")
    digest = presented.removeprefix("sha256=").lower().encode("utf-8", "replace")
    matches = [
        hmac.compare_digest(hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode(), digest)
        for secret in secrets
    ]
    if not any(matches):
        raise SignatureError(f"the {header} does not match the body; check the app secret of this channel")


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`.

    Raises:
        ValueError: it is none, or nested too deep.
    """
    try:
        found = json.loads(body)
    except RecursionError:
        raise ValueError("the JSON is nested too deep to be read") from None
    if not isinstance(found, dict):
        raise ValueError("the body is JSON, but no object")
    return found


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` where it is an object, else an empty one: providers leave things out, and change them."""
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list; nothing where it is none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text_of(value: Any) -> str:
    """A text, also of a number; '' of anything else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else ""


def seconds(value: Any, default: float, *, per_second: float = 1.0) -> float:
    """A provider's time in Unix seconds; `default` where it is no time between 2000 and 2100."""
    try:
        found = float(value) / per_second
    except (TypeError, ValueError, OverflowError):
        return default
    return found if 946_684_800 < found < 4_102_444_800 else default
