"""A condition over answer and input: cross-field checks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tasklift.errors import ConfigError
from tasklift.rules.base import Said, require_rule

_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=jinja2.ChainableUndefined)
_KNOWN = ("output", "input", "confidence", "citations")


@dataclass(frozen=True)
class Check:
    """Where `when` holds, `require` must hold: expressions as in templates, over output, input, confidence, citations.

    Attributes:
        require: such as `output.total >= output.tax` or `'order' in input.text|lower`.
        when: rows that it is about; '' for all.
    """

    require: str = ""
    when: str = ""

    def __post_init__(self) -> None:
        require_rule(bool(self.require.strip()), "check", "`require` is empty; write a condition")
        for source in (self.require, self.when or "true"):
            _compiled(source)

    def broken(self, said: Said) -> str | None:
        """The condition that does not hold, or what made it impossible to tell."""
        values = {name: getattr(said, name) for name in _KNOWN}
        try:
            if self.when and not _compiled(self.when)(**values):
                return None
            holds = _compiled(self.require)(**values)
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            return f"{self.require!r} cannot be told: {error}"
        return None if holds else f"{self.require!r} does not hold" + (f" where {self.when!r}" if self.when else "")


@lru_cache(maxsize=256)
def _compiled(source: str) -> Any:
    try:
        return _ENVIRONMENT.compile_expression(source)
    except jinja2.TemplateSyntaxError as error:
        raise ConfigError(f"rule of kind 'check': {source!r}: {error.message}") from error
