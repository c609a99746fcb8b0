"""The REST API, under /v1 with `Authorization: Bearer tl_...`. Scopes: read, reply, manage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Header, Query
from starlette.requests import Request
from starlette.responses import Response

from tasklift_inbox import admin, organise, outbox, people, views
from tasklift_inbox.bodies import ConversationChange, MergeWish, NewMessage, NewNote, NewReaction, Wanted
from tasklift_inbox.channels.outgoing import Reaction
from tasklift_inbox.errors import MediaError, RefusedError, UnknownItemError
from tasklift_inbox.media import SHOWN, MediaStore, fetch_again
from tasklift_inbox.runtime import Runtime
from tasklift_inbox.tables import attachments
from tasklift_platform.keys import ApiKey, KeyRing


@dataclass(frozen=True, slots=True)
class Access:
    """Checks keys."""

    keys: KeyRing

    async def check(self, request: Request, scope: str) -> ApiKey:
        """The caller's key, good for `scope`."""
        scheme, _, presented = request.headers.get("authorization", "").partition(" ")
        return await self.keys.check(presented.strip() if scheme.lower() == "bearer" else None, scope)


def _may(scope: str) -> Any:
    async def check(request: Request) -> ApiKey:
        access: Access = request.app.state.access
        return await access.check(request, scope)

    return Depends(check)


def _runtime(request: Request) -> Runtime:
    found: Runtime = request.app.state.runtime
    return found


Reader = Annotated[ApiKey, _may("read")]
Replier = Annotated[ApiKey, _may("reply")]
Chief = Annotated[ApiKey, _may("manage")]
Running = Annotated[Runtime, Depends(_runtime)]
router = APIRouter(prefix="/v1")


@router.get("/channels")
async def list_channels(runtime: Running, _: Reader) -> dict[str, Any]:
    """Channels and their health."""
    return {"channels": await admin.listed(runtime)}


@router.get("/channels/{name}/notices")
async def list_notices(runtime: Running, _: Reader, name: str) -> dict[str, Any]:
    """What the provider said about the account, and whatever belonged to no person."""
    return {"notices": await views.list_notices(runtime.database, name)}


@router.get("/conversations")
async def list_conversations(runtime: Running, _: Reader, wanted: Annotated[Wanted, Query()]) -> dict[str, Any]:
    """Conversations, the latest first."""
    return {"conversations": await views.list_conversations(runtime.database, wanted.filter())}


@router.get("/conversations/{conversation_id}")
async def get_conversation(runtime: Running, _: Reader, conversation_id: int) -> dict[str, Any]:
    """One conversation, its messages in order, and whether it may be answered now."""
    found = await views.conversation(runtime.database, conversation_id, runtime.channels)
    return found | {"messages": await views.list_messages(runtime.database, conversation_id)}


@router.post("/conversations/{conversation_id}/messages", status_code=202)
async def send_message(
    runtime: Running,
    key: Replier,
    conversation_id: int,
    body: NewMessage,
    idempotency_key: Annotated[str, Header(max_length=200)] = "",
) -> dict[str, Any]:
    """Put a message into the outbox; 422 with the reason where it may not be sent.

    With the header `Idempotency-Key` asking again, after a time-out, sends nothing again: the first answer comes.
    """
    reply = body.reply(key.name, f"{key.id}\0{idempotency_key}" if idempotency_key else "")
    return _queued(await outbox.enqueue(runtime, conversation_id, reply))


def _queued(first: outbox.Queued) -> dict[str, Any]:
    every = [{"outbox_id": one.outbox_id, "message_id": one.message_id} for one in (first, *first.rest)]
    return every[0] | {"messages": every}


@router.post("/messages/{message_id}/reaction", status_code=202)
async def react(runtime: Running, key: Replier, message_id: int, body: NewReaction) -> dict[str, Any]:
    """React to a message, or take it back; 422 with the reason where the channel cannot."""
    conversation_id, target = await views.place_of(runtime.database, message_id)
    reply = outbox.Reply(by=key.name, reaction=Reaction(target, body.emoji))
    return _queued(await outbox.enqueue(runtime, conversation_id, reply))


@router.patch("/conversations/{conversation_id}")
async def change_conversation(
    runtime: Running, key: Replier, conversation_id: int, body: ConversationChange
) -> dict[str, Any]:
    """Close or open it, take it over or give it back, assign it, label it."""
    wish = organise.Change(body.status, body.handler, body.assignee, body.labels)
    await organise.change(runtime.database, conversation_id, wish, key.name)
    return await views.conversation(runtime.database, conversation_id)


@router.post("/conversations/{conversation_id}/notes", status_code=201)
async def add_note(runtime: Running, key: Replier, conversation_id: int, body: NewNote) -> dict[str, Any]:
    """A note that no customer sees."""
    return {"note_id": await organise.add_note(runtime.database, conversation_id, body.text, key.name)}


@router.get("/messages/{message_id}/revisions")
async def get_revisions(runtime: Running, _: Reader, message_id: int) -> dict[str, Any]:
    """Edits, deletion, reactions and statuses of a message."""
    return {"revisions": await views.revisions(runtime.database, message_id)}


@router.get("/messages/{message_id}/html")
async def get_html(runtime: Running, _: Reader, message_id: int, images: bool = False) -> dict[str, Any]:
    """The HTML of a mail, made safe; `images` shows pictures that are elsewhere, which tells their owner."""
    safe = await views.html_of(runtime.database, message_id, with_remote_images=images)
    return {"html": safe.html, "blocked_images": safe.blocked_images}


@router.post("/messages/{message_id}/split", status_code=201)
async def split_conversation(runtime: Running, key: Replier, message_id: int) -> dict[str, Any]:
    """A mail and all after it become a conversation of their own."""
    return {"conversation_id": await organise.split(runtime.database, message_id, key.name)}


@router.get("/outbox")
async def get_outbox(runtime: Running, _: Reader, state: Annotated[list[str] | None, Query()] = None) -> dict[str, Any]:
    """Failed and unknown messages, or those in the states that are asked for."""
    return {"outbox": await views.list_outbox(runtime.database, state or ["failed", "unknown"])}


@router.post("/outbox/{outbox_id}/{action}")
async def act_on_outbox(
    runtime: Running, key: Replier, outbox_id: str, action: Literal["cancel", "retry", "sent"]
) -> dict[str, Any]:
    """Take back a queued message, send a failed one again, or say that an unknown one did arrive."""
    if action == "retry":
        await outbox.retry(runtime, outbox_id, key.name)
    elif action == "sent":
        await outbox.declare_sent(runtime, outbox_id, key.name)
    elif not await outbox.cancel(runtime, outbox_id, key.name):
        raise RefusedError("it is too late to take this message back")
    return {"outbox_id": outbox_id, "action": action}


@router.get("/contacts")
async def find_contacts(runtime: Running, _: Reader, q: Annotated[str, Query(min_length=1)]) -> dict[str, Any]:
    """Whose name, address or id holds a text."""
    return {"contacts": await views.find_contacts(runtime.database, q)}


@router.get("/contacts/{contact_id}")
async def get_contact(runtime: Running, _: Reader, contact_id: int) -> dict[str, Any]:
    """A contact and its identities."""
    return await views.contact(runtime.database, contact_id)


@router.post("/contacts/{contact_id}/merge")
async def merge_contact(runtime: Running, key: Chief, contact_id: int, body: MergeWish) -> dict[str, Any]:
    """Two contacts are one person."""
    done = await people.merge(runtime.database, contact_id, body.merged_id, key.name)
    return {"merge_id": done.id}


@router.post("/merges/{merge_id}/undo")
async def undo_merge(runtime: Running, key: Chief, merge_id: int) -> dict[str, Any]:
    """They are two after all."""
    await people.undo_merge(runtime.database, merge_id, key.name)
    return {"merge_id": merge_id}


@router.post("/identities/{identity_id}/split")
async def split_identity(runtime: Running, key: Chief, identity_id: int) -> dict[str, Any]:
    """This identity is somebody else."""
    return {"contact_id": await people.split(runtime.database, identity_id, key.name)}


@router.get("/attachments/{attachment_id}/content")
async def get_attachment(runtime: Running, _: Reader, attachment_id: int) -> Response:
    """The file. Only pictures, sound and film by their first bytes are shown; everything else is a download."""
    return await attachment_response(runtime, attachment_id)


@router.post("/attachments/{attachment_id}/retry")
async def refetch(runtime: Running, _: Replier, attachment_id: int) -> dict[str, Any]:
    """Fetch a failed attachment once more."""
    if not await fetch_again(runtime, attachment_id):
        raise UnknownItemError(f"no attachment that failed has the id {attachment_id}")
    return {"attachment_id": attachment_id}


async def attachment_response(runtime: Runtime, attachment_id: int) -> Response:
    """An attachment as it is safe to hand out.

    Raises:
        UnknownItemError, MediaError: it is not here.
    """
    async with runtime.database.read() as connection:
        query = sa.select(attachments).where(attachments.c.id == attachment_id)
        row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise UnknownItemError(f"no attachment has the id {attachment_id}")
    if row.state != "stored" or row.sha256 is None:
        raise MediaError(f"attachment {attachment_id} is {row.state}: {row.error or 'it is being fetched'}")
    content = MediaStore(runtime.settings.media).read(row.sha256)
    is_shown = row.mime in SHOWN
    headers = {
        "Content-Disposition": "inline" if is_shown else f'attachment; filename="attachment-{attachment_id}"',
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(content, media_type=row.mime if is_shown else "application/octet-stream", headers=headers)
