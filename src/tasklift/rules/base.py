"""What every rule is: something that says why an answer breaks it, and perhaps how to mend that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from tasklift.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Said:
    """An answer as rules see it.

    Attributes:
        output: the typed answer.
        input: the fields that were asked.
        confidence: probability of being right; None where unknown.
        citations: documents that the answer names.
    """

    output: Any
    input: Mapping[str, Any]
    confidence: float | None = None
    citations: tuple[str, ...] = ()


@runtime_checkable
class Rule(Protocol):
    """A rule. A class of your own, or a plain function from `Said` to why it is broken, may be registered."""

    def broken(self, said: Said) -> str | None:
        """Why the answer breaks the rule; None where it does not."""
        ...


@runtime_checkable
class Mending(Protocol):
    """A rule that can mend an answer."""

    def repaired(self, said: Said) -> Any:
        """The output as it should be; None where it cannot be mended."""
        ...


def value_at(output: Any, field: str) -> Any:
    """What stands at a dotted path of an object; the whole output for ''; None where there is nothing."""
    for part in field.split(".") if field else ():
        if not isinstance(output, Mapping):
            return None
        output = output.get(part)
    return output


def with_value(output: Any, field: str, value: Any) -> Any:
    """A copy of the output with another value at the path."""
    if not field:
        return value
    head, _, rest = field.partition(".")
    inner = output.get(head) if isinstance(output, Mapping) else None
    return {**(output if isinstance(output, Mapping) else {}), head: with_value(inner, rest, value)}


def texts_in(value: Any) -> list[str]:
    """Every text inside a value."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in texts_in(inner)]
    return [text for inner in value for text in texts_in(inner)] if isinstance(value, list | tuple) else []


def require_rule(condition: bool, who: str, what: str) -> None:
    """Refuse parameters that make no sense.

    Raises:
        ConfigError: `what` says which value and what is allowed.
    """
    if not condition:
        raise ConfigError(f"rule of kind {who!r}: {what}")
