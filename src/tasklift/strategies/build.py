"""From names and parameters, as files and flags give them, to strategies."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from tasklift import registry
from tasklift.errors import ConfigError
from tasklift.strategy import Strategy

#: Parameters of a layered strategy that name another strategy.
STAGES = ("core", "prompt")
#: Type of a parameter's default -> types a file may give, and how to call them. All lists hold numbers.
_TYPES: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    tuple: ((list, tuple), "a list of numbers"),
    str: ((str,), "text"),
}
_DEFAULT_STAGES = {"core": "frozen", "prompt": "fewshot"}


def build(
    names: Sequence[str], parameters: Mapping[str, Mapping[str, Any]], model: str | None, embedder: str | None = None
) -> dict[str, Strategy]:
    """One strategy a name.

    Args:
        names: of strategies; what stands behind a colon (`prompt:short`) tells apart several of one kind.
        parameters: name -> parameters that differ from the defaults; stages of a layered strategy are
            named, and take the parameters of that name.
        model: for every strategy that has a `model` and is given none. None: a layered strategy then
            has no prompt stage unless its parameters name one.
        embedder: the same for `embedder`.

    Raises:
        ConfigError: unknown name or parameter, with the nearest known one.
        StrategyError: a parameter's value makes no sense.
    """
    for name in sorted({kind_of(name) for name in parameters} - set(registry.ENTRIES["strategy"])):
        registry.load("strategy", name)  # says what is known, where this is not
    common = {key: value for key, value in (("model", model), ("embedder", embedder)) if value}
    return {name: _one(name, parameters, common) for name in names}


def kind_of(name: str) -> str:
    """The registered strategy that a name means: what stands before a colon."""
    return name.partition(":")[0]


def _one(name: str, parameters: Mapping[str, Mapping[str, Any]], common: Mapping[str, str]) -> Strategy:
    kind = registry.load("strategy", kind_of(name))
    if not (isinstance(kind, type) and is_dataclass(kind)):
        raise ConfigError(f"strategy {name!r} ({kind!r}) is no dataclass: its parameters cannot be told")
    known = {field.name: field for field in fields(kind)}
    given = dict(parameters.get(name, {}))
    for key, value in given.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it knows: {', '.join(sorted(known)) or 'none'}"
            raise ConfigError(f"strategy {name!r} has no parameter {key!r}; {hint}")
        _check_type(name, known[key], value)
    if name == "layered":
        for stage in STAGES:
            chosen = given.get(stage, _DEFAULT_STAGES[stage] if stage == "core" or "model" in common else "none")
            given[stage] = None if chosen == "none" else _one(chosen, parameters, common)
    given |= {key: value for key, value in common.items() if key in known and key not in given}
    lists = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    make: Any = kind
    strategy: Strategy = make(**lists)
    return strategy


def _check_type(name: str, field: Field[Any], value: object) -> None:
    """A value from a file must be of the default's type; a stage is given by its name.

    Raises:
        ConfigError: it is not; says which parameter, value and type.
    """
    expected = str if field.default is MISSING else type(field.default)  # stages have a default factory
    if expected not in _TYPES:  # a strategy of somebody else checks its own
        return
    allowed, word = _TYPES[expected]
    fine = isinstance(value, allowed) and (expected is bool or not isinstance(value, bool))
    if fine and isinstance(value, list | tuple):
        fine = all(isinstance(item, int | float) and not isinstance(item, bool) for item in value)
    if not fine:
        raise ConfigError(f"strategy {name!r}: {field.name} = {value!r} must be {word}")
