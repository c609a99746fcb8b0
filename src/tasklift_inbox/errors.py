"""Every error of the inbox, a branch of tasklift's one tree.

TaskliftError
└── PlatformError
    └── InboxError
        ├── UnknownChannelError    no channel has this name
        ├── UnknownItemError       no conversation, message, contact or outbox entry has this id
        ├── SignatureError         a webhook is not from whom it says it is
        ├── RefusedError           this may not be sent; the message says why
        ├── MediaError             an attachment cannot be had, or may not be kept
        └── SendError              a provider did not take a message; `outcome` says what that means
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from tasklift_platform.errors import PlatformError


class InboxError(PlatformError):
    """The root of this branch."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "inbox_error"


class UnknownChannelError(InboxError):
    """No channel has this name."""

    status = 404
    code = "unknown_channel"


class UnknownItemError(InboxError):
    """Nothing has this id."""

    status = 404
    code = "not_found"


class SignatureError(InboxError):
    """A webhook is not from whom it says it is; nothing of it is kept."""

    status = 401
    code = "bad_signature"


class RefusedError(InboxError):
    """This may not be sent to this person now."""

    status = 422
    code = "refused"


class MediaError(InboxError):
    """An attachment cannot be had, or may not be kept.

    Attributes:
        is_final: trying again is of no use.
    """

    code = "media"

    def __init__(self, message: str, *, is_final: bool = True) -> None:
        super().__init__(message)
        self.is_final = is_final


class Outcome(StrEnum):
    """What a failed attempt to send means."""

    RETRY = "retry"  # certainly not sent; may work later
    STOP = "stop"  # certainly not sent; will not work for this message
    CHANNEL = "channel"  # certainly not sent; nothing will, until somebody mends the channel
    UNKNOWN = "unknown"  # it may have been sent


class SendError(InboxError):
    """A provider did not take a message.

    Attributes:
        outcome: what that means.
        provider_code: the provider's own number or word for it.
        retry_after_s: what the provider asked for; None where it did not.
        remedy: what to do about the channel.
        scope: whose limit it was, "account" or "chat".
        blocks: the person cannot be written to any more (blocked, gone, bounced).
    """

    status = 502
    code = "send_failed"

    def __init__(
        self,
        message: str,
        outcome: Outcome,
        *,
        provider_code: str = "",
        retry_after_s: float | None = None,
        remedy: str = "",
        scope: str = "account",
        blocks: bool = False,
    ) -> None:
        super().__init__(message)
        self.outcome, self.provider_code = outcome, provider_code
        self.retry_after_s, self.remedy, self.scope, self.blocks = retry_after_s, remedy, scope, blocks
