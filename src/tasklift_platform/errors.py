"""Every error of the platform, a branch of tasklift's one tree.

TaskliftError
└── PlatformError
    ├── DatabaseError              the database could not do it; `is_transient` says whether waiting helps
    │   ├── DatabaseLostError      no connection, or it broke; the same call may work again soon
    │   ├── DatabaseBusyError      another writer, or a full pool, for too long
    │   ├── DiskFullError          no space left
    │   ├── DatabaseDamagedError   the file is damaged or no database
    │   └── SchemaError            its tables are older or newer than this version
    ├── AccessError                a caller may not do that
    │   ├── InvalidKeyError        the key is missing, unknown, revoked or expired
    │   ├── ScopeError             the key is good, but not for this
    │   └── RateExceededError      too many requests with this key
    ├── LeaseLostError             another worker holds the job or lease now
    ├── SecretError                a secret cannot be sealed or opened
    └── AuditError                 the audit log does not verify

`status` is what a web application answers. Messages hold no secret and may be shown to the caller, except
those of DatabaseError, which name hosts and paths: `public` is what a caller sees.
"""

from __future__ import annotations

from typing import ClassVar

from tasklift.errors import TaskliftError


class PlatformError(TaskliftError):
    """The root of this branch."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "server_error"

    @property
    def public(self) -> str:
        """What a caller from outside may read."""
        return str(self)


class DatabaseError(PlatformError):
    """The database could not do it."""

    is_transient: ClassVar[bool] = False
    status = 503
    code = "database_unavailable"

    @property
    def public(self) -> str:
        """Nothing about hosts and paths."""
        return "the service cannot reach its data at the moment; try again soon"


class DatabaseLostError(DatabaseError):
    """There is no connection, or it broke in the middle; the same call may work again soon."""

    is_transient = True


class DatabaseBusyError(DatabaseError):
    """Another writer was in the way for too long, or two writers waited for each other."""

    is_transient = True


class DiskFullError(DatabaseError):
    """No space is left; nothing of the transaction was stored."""

    code = "storage_full"


class DatabaseDamagedError(DatabaseError):
    """The file is damaged, or it is no database at all."""


class SchemaError(DatabaseError):
    """The tables are older or newer than this version of the code."""


class AccessError(PlatformError):
    """A caller may not do that."""

    status = 403
    code = "access_denied"


class InvalidKeyError(AccessError):
    """The API key is missing, unknown, revoked or expired."""

    status = 401
    code = "invalid_api_key"


class ScopeError(AccessError):
    """The API key is good, but not for this."""

    code = "insufficient_scope"


class RateExceededError(AccessError):
    """Too many requests with one key.

    Attributes:
        retry_after_s: seconds until the next one is allowed.
    """

    status = 429
    code = "rate_limit_exceeded"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class LeaseLostError(PlatformError):
    """Another worker holds the job or lease now: stop, and store nothing."""

    status = 409
    code = "lease_lost"


class SecretError(PlatformError):
    """A secret cannot be sealed or opened."""


class AuditError(PlatformError):
    """The audit log does not verify: something was changed, removed or put in."""
