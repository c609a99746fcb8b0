"""What callers of the REST API send: fields, their bounds, and what is made of them."""

from __future__ import annotations

import base64
import binascii
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tasklift_inbox import outbox, views
from tasklift_inbox.channels.outgoing import Upload
from tasklift_inbox.errors import RefusedError


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Wanted(BaseModel):
    """Which conversations."""

    status: str | None = None
    channel: str | None = None
    label: str | None = None
    assignee: str | None = None
    limit: int = Field(50, ge=1, le=200)
    before: float | None = None

    def filter(self) -> views.Filter:
        """The same for `views`."""
        return views.Filter(self.status, self.channel, self.label, self.assignee, self.before, self.limit)


class NewAttachment(_Body):
    """A file to send, its content in base64."""

    kind: Literal["image", "audio", "voice", "video", "document", "sticker"]
    mime: str = Field(max_length=200)
    name: str = Field(max_length=300)
    content: str

    def upload(self) -> Upload:
        """The file.

        Raises:
            RefusedError: the content is no base64.
        """
        try:
            content = base64.b64decode(self.content, validate=True)
        except (binascii.Error, ValueError):
            raise RefusedError("the attachment's content is no base64") from None
        return Upload(self.kind, self.mime, self.name, content)


class Template(_Body):
    """A template of the provider."""

    name: str
    language: str = "en"
    parameters: list[str] = []


class Location(_Body):
    """A point on the map."""

    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    name: str = Field("", max_length=1000)
    address: str = Field("", max_length=1000)


class NewReaction(_Body):
    """An emoji; '' takes it back."""

    emoji: str = Field(max_length=40)


class NewMessage(_Body):
    """What to send. `expected_version` goes with `is_automatic`; `attachment` is one of `attachments`."""

    text: str = Field("", max_length=200_000)
    attachment: NewAttachment | None = None
    attachments: list[NewAttachment] = Field([], max_length=50)
    template: Template | None = None
    location: Location | None = None
    reply_to: str | None = None
    is_automatic: bool = False
    expected_version: int | None = None
    delay_s: float = Field(0.0, ge=0, le=3600)

    def reply(self, by: str, key: str) -> outbox.Reply:
        """For the outbox, from the caller `by`; `key`: so that asking twice sends once.

        Raises:
            RefusedError: an attachment's content is no base64.
        """
        files = [*([] if self.attachment is None else [self.attachment]), *self.attachments]
        return outbox.Reply(
            self.text,
            "bot" if self.is_automatic else by,
            tuple(file.upload() for file in files),
            self.reply_to,
            None if self.template is None else self.template.model_dump(),
            self.is_automatic,
            self.expected_version,
            self.delay_s,
            None if self.location is None else self.location.model_dump(exclude_defaults=True),
            key=key,
        )


class ConversationChange(_Body):
    """What is to be different; what is left out stays."""

    status: Literal["open", "closed"] | None = None
    handler: Literal["bot", "human"] | None = None
    assignee: str | None = None
    labels: list[str] | None = None


class NewNote(_Body):
    """A note for colleagues."""

    text: str = Field(min_length=1, max_length=20_000)


class MergeWish(_Body):
    """Which contact is the same person."""

    merged_id: int
