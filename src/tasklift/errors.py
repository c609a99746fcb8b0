"""Every error that Tasklift raises on purpose.

TaskliftError
├── ConfigError               a project, task or economics file says something impossible
├── DataError                 a row, file or split cannot be used
│   └── LeakageError          rows that a candidate was trained on would be evaluated
├── StrategyError             a recipe cannot be fitted or its parameters make no sense
│   └── ArtifactError         a saved candidate is missing, damaged or of another version
├── InUseError                another process is at the same work
├── BudgetError               a cap in money is reached; what was paid for is kept
├── ReleaseError              a release, promotion or rollback is not possible
│   └── ConflictError         somebody else changed the same thing at the same moment
├── TrafficError              a trace, feedback or review cannot be kept, or contradicts another one
│   └── UnknownIdError        no trace or review has this id
├── ContractError             a strategy breaks a law that every strategy obeys
├── UnsupportedError          valid, but not built yet; the message says what works today
├── MissingDependencyError    an optional extra is needed
└── ModelError                one call to a model failed; `kind` is what reports count
    ├── AuthenticationError   401 or 403: the key is missing or wrong
    ├── RateLimitError        429 after all retries
    ├── ModelTimeoutError     no answer within the time-out, after all retries
    ├── ServerError           5xx or a broken connection, after all retries
    ├── RequestRefusedError   another 4xx: the request itself was refused
    │   └── ContextOverflowError  the prompt is longer than the model's context
    └── InvalidOutputError    an answer came, but it is not one of the allowed ones

A message says what is wrong, which value, and what to do. The command line prints it without a
traceback and exits with 2.
"""

from __future__ import annotations

from typing import ClassVar


class TaskliftError(Exception):
    """The root of the tree: catch this to catch everything that Tasklift raises on purpose."""


class ConfigError(TaskliftError):
    """A project, task or economics file says something impossible."""


class DataError(TaskliftError):
    """A row, file or split cannot be used."""


class LeakageError(DataError):
    """Rows that a candidate was trained on would be evaluated."""


class StrategyError(TaskliftError):
    """A recipe cannot be fitted, or its parameters make no sense."""


class ArtifactError(StrategyError):
    """A saved candidate is missing, damaged or of another version."""


class InUseError(TaskliftError):
    """Another process is at the same work; the message names it."""


class BudgetError(TaskliftError):
    """A cap in money is reached; what was paid for is kept, and the message says how to go on."""


class ReleaseError(TaskliftError):
    """A release, promotion or rollback is not possible."""


class ConflictError(ReleaseError):
    """Somebody else changed the same thing at the same moment: look again, then decide again."""


class TrafficError(TaskliftError):
    """A trace, feedback or review cannot be kept, or contradicts another one."""


class UnknownIdError(TrafficError):
    """No trace or review has this id."""


class ContractError(TaskliftError, AssertionError):
    """A strategy breaks a law that every strategy obeys; raised by `tasklift.contracts` only."""


class UnsupportedError(TaskliftError):
    """Valid, but not built yet; the message says what works today."""


class MissingDependencyError(TaskliftError):
    """An optional extra is needed.

    Args:
        what: the thing that was asked for.
        extra: the extra that brings it.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra [{extra}]: pip install 'tasklift[{extra}]'")


class ModelError(TaskliftError):
    """One call to a model failed; `kind` is the word under which reports count it."""

    kind: ClassVar[str] = "model"


class AuthenticationError(ModelError):
    """401 or 403: the key is missing or wrong."""

    kind = "authentication"


class RateLimitError(ModelError):
    """429 after all retries."""

    kind = "rate_limit"


class ModelTimeoutError(ModelError):
    """No answer within the time-out, after all retries."""

    kind = "timeout"


class ServerError(ModelError):
    """5xx or a broken connection, after all retries."""

    kind = "server"


class RequestRefusedError(ModelError):
    """Another 4xx: the request itself was refused."""

    kind = "refused"


class ContextOverflowError(RequestRefusedError):
    """The prompt is longer than the model's context.

    Args:
        message: for a reader.
        tokens: of the prompt.
        limit: of the model.
    """

    kind = "context_overflow"

    def __init__(self, message: str, tokens: int = 0, limit: int = 0) -> None:
        super().__init__(message)
        self.tokens = tokens
        self.limit = limit


class InvalidOutputError(ModelError):
    """An answer came, but it is not one of the allowed ones."""

    kind = "invalid_output"
