"""How a task file states a business rule: `[[rules]]`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from tasklift.schema import Schema


class RuleSpec(Schema):
    """One rule. Keys beside these are parameters of its kind, and checked by it.

    Attributes:
        name: how reports count it.
        kind: registered name: allowed, check, forbidden, length, language, cite, or one of your own.
        then: what happens where it is broken: `block` gives no answer, `repair` mends the answer (and blocks where
            that is not possible), `person` leaves the row to a person.
        why: for those who read the task file.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = Field(min_length=1)
    kind: str
    then: Literal["block", "repair", "person"] = "block"
    why: str = ""

    @property
    def parameters(self) -> dict[str, Any]:
        """What is meant for the rule's kind."""
        return dict(self.model_extra or {})
