"""Prompt templates: Jinja2 in a sandbox, checked before the first row is paid for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tasklift.errors import ConfigError
from tasklift.llm.model import Message

#: What a template may name.
FIELDS = frozenset({"instruction", "labels", "tone", "policy", "form", "cue", "examples", "passages", "text", "input"})

_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)


@dataclass(frozen=True, slots=True)
class Template:
    """A system and a user template.

    Both see `instruction`, `tone` and `policy` (texts), `labels` (label -> definition), `form` (what an answer must
    look like), `cue` (the word before an answer, such as `Label`), `examples` (list of objects with `text` and
    `label`, the answer as it should be written, the nearest last), `passages` (of documents: objects with `number`,
    `document`, `heading` and `text`, the nearest first), `text` (the main input text) and `input` (all input fields).
    What does not change from row to row belongs into `system`: a prefix cache then serves it.
    """

    system: str
    user: str

    def check(self) -> None:
        """Refuse a template that could not be rendered for any row.

        Raises:
            ConfigError: a syntax error, an unknown field, or a way out of the sandbox.
        """
        for part, source in (("system", self.system), ("user", self.user)):
            try:
                unknown = find_undeclared_variables(_ENVIRONMENT.parse(source)) - FIELDS
            except jinja2.TemplateSyntaxError as error:
                raise ConfigError(f"{part} template, line {error.lineno}: {error.message}") from error
            if unknown:
                raise ConfigError(
                    f"{part} template names the unknown field {sorted(unknown)[0]!r}; "
                    f"it may use: {', '.join(sorted(FIELDS))}"
                )
        trial = {
            "instruction": "i",
            "labels": {"a": "b"},
            "tone": "t",
            "policy": "p",
            "form": "f",
            "cue": "c",
            "examples": [{"text": "t", "label": "a"}],
            "passages": [{"number": 1, "document": "d.md", "heading": "h", "text": "t"}],
            "text": "t",
        }
        self.render(trial | {"input": _AnyField()})

    def fields(self) -> frozenset[str]:
        """What its two parts name, of a template that `check` found right."""
        return _named(self.system) | _named(self.user)

    def names(self, field: str) -> bool:
        """Does either part place `field` itself?"""
        return field in self.fields()

    def render(self, values: Mapping[str, Any]) -> tuple[Message, ...]:
        """System and user message; an empty system template gives no system message.

        Raises:
            ConfigError: the template asks for something the values do not hold or that is not allowed.
        """
        system, user = _render("system", self.system, values), _render("user", self.user, values)
        return (Message("system", system), Message("user", user)) if system.strip() else (Message("user", user),)


class _AnyField(dict[str, str]):
    """Stands for an input whose fields are not known yet."""

    def __missing__(self, key: str) -> str:
        return "t"


@lru_cache(maxsize=256)
def _named(source: str) -> frozenset[str]:
    return frozenset(find_undeclared_variables(_ENVIRONMENT.parse(source)))


@lru_cache(maxsize=256)
def _compiled(source: str) -> jinja2.Template:
    """Compiling takes far longer than rendering."""
    return _ENVIRONMENT.from_string(source)


def _render(part: str, source: str, values: Mapping[str, Any]) -> str:
    try:
        return _compiled(source).render(values)
    except SecurityError as error:
        raise ConfigError(f"{part} template leaves its sandbox: {error}") from error
    except jinja2.UndefinedError as error:
        raise ConfigError(f"{part} template: {error.message}; it may use: {', '.join(sorted(FIELDS))}") from error
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RuntimeError) as error:
        raise ConfigError(f"{part} template cannot be rendered: {error}") from error
    except MemoryError as error:
        raise ConfigError(f"{part} template makes a text that is too long") from error
