"""Only some values are allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tasklift.rules.base import Said, require_rule, value_at, with_value


@dataclass(frozen=True)
class Allowed:
    """The value must be one of `values`; a list's every element.

    Attributes:
        values: what is allowed.
        field: dotted path into an object; '' for the whole output.
        replace: other spellings, value -> allowed one: how it is repaired.
        default: what a value that cannot be replaced is repaired to; '' for none.
    """

    values: tuple[Any, ...] = ()
    field: str = ""
    replace: dict[str, Any] | None = None
    default: str = ""

    def __post_init__(self) -> None:
        require_rule(bool(self.values), "allowed", "`values` is empty; list what is allowed")
        for value in [*(self.replace or {}).values(), *([self.default] if self.default else [])]:
            require_rule(value in self.values, "allowed", f"repairs to {value!r}, which is not one of `values`")

    def broken(self, said: Said) -> str | None:
        """The first value that is not allowed."""
        value = value_at(said.output, self.field)
        for one in value if isinstance(value, list | tuple) else [value]:
            if one not in self.values:
                shown = ", ".join(map(str, self.values[:6]))
                return f"{self.field or 'the answer'} is {one!r}, allowed: {shown}"
        return None

    def repaired(self, said: Said) -> Any:
        """With replacements, else the default."""
        value = value_at(said.output, self.field)
        many = isinstance(value, list | tuple)
        mended = [self._one(one) for one in (value if many else [value])]
        if None in mended:
            return None
        return with_value(said.output, self.field, mended if many else mended[0])

    def _one(self, value: Any) -> Any:
        if value in self.values:
            return value
        return (self.replace or {}).get(str(value), self.default or None)
