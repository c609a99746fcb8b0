"""Reads multipart/form-data as a fake needs it: whole, small, binary-safe (RFC 7578)."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request

_NAME = re.compile(rb'name="([^"]*)"')
_TYPE = re.compile(rb"(?i)content-type:\s*([^\r\n]+)")


async def form_of(request: Request) -> dict[str, Any]:
    """Field -> text, or (content type, bytes) of a file."""
    boundary = request.headers.get("content-type", "").partition("boundary=")[2].strip('"').encode()
    found: dict[str, Any] = {}
    for part in (await request.body()).split(b"--" + boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if name is None:
            continue
        content = content.removesuffix(b"\r\n")
        kind = _TYPE.search(head)
        is_file = b"filename=" in head
        mime = kind[1].decode() if kind else ""
        found[name[1].decode()] = (mime, content) if is_file else content.decode()
    return found
