"""Attachments: fetched by durable jobs, kept under their SHA-256, looked at before anybody believes their type.

Nothing is unpacked, so a zip bomb stays a small file. Only what a browser shows without running anything is ever
shown; everything else, SVG and HTML first of all, is handed out as a download.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path

import sqlalchemy as sa

from tasklift_inbox import people
from tasklift_inbox.channels.base import Part
from tasklift_inbox.channels.instagram import InstagramChannel
from tasklift_inbox.channels.messenger import MessengerChannel
from tasklift_inbox.errors import MediaError
from tasklift_inbox.intake import FETCH_TRIES
from tasklift_inbox.runtime import Runtime
from tasklift_inbox.tables import attachments, identities, messages, raw_events
from tasklift_platform.job_worker import GiveUpError, PutOffError
from tasklift_platform.jobs import Job, NewJob

_TOKEN = re.compile(r"(\d{1,18})\.(\d{1,12})\.([0-9a-f]{32})")
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: First bytes -> type. What is not here is no picture, sound or film to us.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"OggS", "audio/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf1", "audio/aac"),
    (0, b"#!AMR", "audio/amr"),
    (8, b"WAVE", "audio/wav"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"PK\x03\x04", "application/zip"),
)
#: Shown in a page; the rest is a download.
SHOWN = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp", "audio/ogg", "audio/mpeg", "audio/aac"}) | {
    "audio/wav", "audio/amr", "video/mp4", "video/webm",
}  # fmt: skip


class MediaStore:
    """Files named by their content. Writing one is done whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, sha256: str) -> Path:
        """Where a file is, or would be.

        Raises:
            MediaError: that is no SHA-256.
        """
        if not _SHA256.fullmatch(sha256):
            raise MediaError(f"{sha256!r} is no name of a file here")
        return self._folder / sha256[:2] / sha256

    def put_bytes(self, content: bytes) -> str:
        """Keep `content`; returns its SHA-256."""
        digest = hashlib.sha256(content).hexdigest()
        temporary = self._temporary()
        temporary.write_bytes(content)
        self._settle(temporary, digest)
        return digest

    async def put(self, chunks: AsyncIterator[bytes], longest_bytes: int) -> tuple[str, int, bytes]:
        """Keep what comes in `chunks`.

        Returns:
            SHA-256, size, first bytes.

        Raises:
            MediaError: it is longer than `longest_bytes`; nothing is kept.
        """
        digest, size, head = hashlib.sha256(), 0, b""
        temporary = self._temporary()
        try:
            with temporary.open("wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > longest_bytes:
                        raise MediaError(
                            f"the file is longer than {longest_bytes} bytes, which is the most that is kept"
                        )
                    head = head or chunk[:64]
                    digest.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
                file.flush()
                os.fsync(file.fileno())
            self._settle(temporary, digest.hexdigest())
        finally:
            temporary.unlink(missing_ok=True)
        return digest.hexdigest(), size, head

    def read(self, sha256: str) -> bytes:
        """The content of a file.

        Raises:
            MediaError: it is gone.
        """
        try:
            return self.path(sha256).read_bytes()
        except FileNotFoundError:
            raise MediaError(f"the file {sha256} is gone from {self._folder}: restore it from a backup") from None

    def delete(self, sha256: str) -> None:
        """Forget a file."""
        self.path(sha256).unlink(missing_ok=True)

    def _temporary(self) -> Path:
        folder = self._folder / "incoming"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder / secrets.token_hex(16)

    def _settle(self, temporary: Path, digest: str) -> None:
        path = self.path(digest)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.chmod(0o600)
        temporary.replace(path)


def true_type(head: bytes, claimed: str) -> str:
    """The type by the first bytes; plain text is believed, anything else that is not known is a mere file."""
    for at, mark, mime in _SIGNATURES:
        if head[at : at + len(mark)] == mark:
            is_office = mime == "application/zip" and claimed.startswith("application/vnd.openxmlformats")
            is_sound = mime == "video/mp4" and claimed.startswith("audio/")
            return claimed if is_office or is_sound else mime
    return "text/plain" if claimed == "text/plain" and b"\0" not in head else "application/octet-stream"


def sign_file(key: bytes, attachment_id: int, *, lifetime_s: float = 3600.0, now: float | None = None) -> str:
    """A token that opens one attachment for a while, for a provider that fetches what we send."""
    until = int((time.time() if now is None else now) + lifetime_s)
    return f"{attachment_id}.{until}.{_file_proof(key, attachment_id, until)}"


def opened_file(key: bytes, token: str) -> int:
    """The attachment that `token` opens.

    Raises:
        MediaError: it was made up, or is over.
    """
    match = _TOKEN.fullmatch(token)
    if match is None or not hmac.compare_digest(_file_proof(key, int(match[1]), int(match[2])), match[3]):
        raise MediaError("this address is not good")
    if int(match[2]) < time.time():
        raise MediaError("this address is not good any more")
    return int(match[1])


def _file_proof(key: bytes, attachment_id: int, until: int) -> str:
    return hmac.new(key, f"file\0{attachment_id}\0{until}".encode(), hashlib.sha256).hexdigest()[:32]


async def fetch_again(runtime: Runtime, attachment_id: int | None = None) -> int:
    """Have failed attachments fetched once more: one, or all.

    Returns:
        how many.
    """
    failed = sa.update(attachments).where(attachments.c.state == "failed")
    if attachment_id is not None:
        failed = failed.where(attachments.c.id == attachment_id)
    async with runtime.database.write() as connection:
        done = await connection.execute(failed.values(state="pending", error="").returning(attachments.c.id))
        jobs = [NewJob("fetch", {"attachment": number}, max_attempts=FETCH_TRIES) for number in done.scalars()]
        await runtime.media_queue.put(connection, jobs)
    return len(jobs)


class Fetcher:
    """Does the jobs of the kinds `fetch` and `name`."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self._files = runtime, MediaStore(runtime.settings.media)

    async def fetch(self, job: Job) -> None:
        """One attachment.

        Raises:
            PutOffError: its channel is disabled.
            MediaError: it is tried again.
            GiveUpError: that was the last attempt.
        """
        await self._runtime.refresh()
        query = (
            sa.select(attachments, messages.c.channel_id, messages.c.raw_event_id)
            .join(messages, messages.c.id == attachments.c.message_id)
            .where(attachments.c.id == job.payload["attachment"], attachments.c.state == "pending")
        )
        async with self._runtime.database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
            if row is None:
                return  # done, or erased
            body = sa.select(raw_events.c.body).where(raw_events.c.id == row.raw_event_id)
            raw = (await connection.execute(body)).scalar_one_or_none() or b""
        channel = self._runtime.channels.get(row.channel_id)
        if channel is None:
            raise PutOffError(f"channel {row.channel_id} is disabled", 60.0)
        part = Part(row.kind, row.ref, row.mime, row.name, row.size_bytes, row.content_id)
        longest = channel.abilities.download_bytes
        try:
            if part.size_bytes is not None and part.size_bytes > longest:
                raise MediaError(f"the file has {part.size_bytes} bytes, {longest} is the most that can be fetched")
            sha256, size, head = await self._files.put(channel.fetch(part, bytes(raw)), longest)
        except MediaError as error:
            is_last = error.is_final or job.attempt >= job.max_attempts
            await self._note(row.id, {"state": "failed", "error": str(error)} if is_last else {"error": str(error)})
            if is_last:
                raise GiveUpError(f"attachment {row.id}") from error
            raise
        mime = true_type(head, row.mime.partition(";")[0].strip().lower())
        await self._note(row.id, {"state": "stored", "sha256": sha256, "size_bytes": size, "mime": mime, "error": ""})

    async def name(self, job: Job) -> None:
        """The name of somebody whose messages bring none.

        Raises:
            SendError: it is tried again.
        """
        query = sa.select(identities).where(identities.c.id == job.payload["identity"], identities.c.name == "")
        async with self._runtime.database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        channel = None if row is None else self._runtime.channels.get(row.channel_id)
        if row is not None and isinstance(channel, (MessengerChannel, InstagramChannel)):
            found = await channel.name_of(row.external_id)
            if found:
                await people.name(self._runtime.database, row.id, found)

    async def _note(self, attachment_id: int, values: dict[str, object]) -> None:
        async with self._runtime.database.write() as connection:
            await connection.execute(sa.update(attachments).where(attachments.c.id == attachment_id).values(values))
