"""Rules over an answer: what breaks one is blocked, mended or left to a person, and each of it is noted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from typing import Any

from tasklift import registry
from tasklift.errors import ConfigError
from tasklift.prediction import Prediction
from tasklift.rule import RuleSpec
from tasklift.rules.base import Mending, Rule, Said

#: Kind of failure under which a blocked answer is counted.
BLOCKED = "blocked_by_rule"


@dataclass(frozen=True)
class Named:
    """A rule with its name and what happens where it is broken."""

    name: str
    then: str
    rule: Rule


@dataclass(frozen=True)
class Function:
    """A plain function as a rule."""

    function: Callable[[Said], str | None]

    def broken(self, said: Said) -> str | None:
        """What the function says."""
        return self.function(said)


def build_rules(specs: Iterable[RuleSpec]) -> tuple[Named, ...]:
    """The rules of a task.

    Raises:
        ConfigError: two of one name, an unknown kind, a parameter that it does not know, or a senseless value.
        MissingDependencyError: its kind needs an extra that is not installed.
    """
    found: dict[str, Named] = {}
    for spec in specs:
        if spec.name in found:
            raise ConfigError(f"two rules are called {spec.name!r}; give one another name")
        found[spec.name] = Named(spec.name, spec.then, _built(spec))
        if spec.then == "repair" and not isinstance(found[spec.name].rule, Mending):
            raise ConfigError(f"rule {spec.name!r}: kind {spec.kind!r} cannot repair; take `block` or `person`")
    return tuple(found.values())


def _built(spec: RuleSpec) -> Rule:
    kind = registry.load("rule", spec.kind)
    if not isinstance(kind, type):
        if spec.parameters:
            raise ConfigError(
                f"rule {spec.name!r}: the function {spec.kind!r} takes no {next(iter(spec.parameters))!r}"
            )
        return Function(kind)
    known = [one.name for one in fields(kind)] if is_dataclass(kind) else []
    for key in spec.parameters:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it knows: {', '.join(known) or 'none'}"
            raise ConfigError(f"rule {spec.name!r}: kind {spec.kind!r} has no {key!r}; {hint}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in spec.parameters.items()}
    try:
        rule: Rule = kind(**values)
    except TypeError as error:
        raise ConfigError(f"rule {spec.name!r}: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"rule {spec.name!r}: {error}") from error
    return rule


def apply_rules(rules: Sequence[Named], found: Prediction, value: Mapping[str, Any]) -> Prediction:
    """The prediction after all rules, in order. Failed and deferred ones pass as they are.

    A repair may break a rule that held before: that is a conflict between rules, and the answer is blocked.
    """
    if not rules or found.error is not None or found.deferred:
        return found
    sources = tuple(str(one.get("document", "")) for one in found.citations)
    said = Said(found.output, value, found.confidence, sources)
    log: list[dict[str, str]] = []
    for at, named in enumerate(rules):
        why = named.rule.broken(said)
        if why is None:
            continue
        if named.then == "repair" and isinstance(named.rule, Mending):
            output = named.rule.repaired(said)
            if output is not None:
                said = replace(said, output=output)
                log.append(_entry(named, "repaired", why))
                earlier = next(((one, broken) for one in rules[:at] if (broken := one.rule.broken(said))), None)
                if earlier is not None:
                    conflict = f"mending {named.name!r} breaks {earlier[0].name!r}: {earlier[1]}"
                    return _ended(found, "block", [*log, _entry(earlier[0], "conflict", conflict)])
                continue
            why = f"{why}; it cannot be mended"
        did = "deferred" if named.then == "person" else "blocked"
        return _ended(found, named.then, [*log, _entry(named, did, why)])
    if not log:
        return found
    confidence = (found.scores or {}).get(said.output) if isinstance(said.output, str) else None
    mended = replace(found, output=said.output, scores=None, confidence=confidence)
    return replace(mended, notes={**found.notes, "rules": log})


def _entry(named: Named, did: str, why: str) -> dict[str, str]:
    return {"rule": named.name, "did": did, "why": why}


def _ended(found: Prediction, then: str, log: list[dict[str, str]]) -> Prediction:
    """No answer: what the model said stays visible among the children."""
    rest: dict[str, Any] = {
        "usage": found.usage,
        "latency_s": found.latency_s,
        "notes": {**found.notes, "rules": log},
        "children": (*found.children, replace(found, children=(), notes={"stage": "before rules"})),
    }
    if then == "person":
        return Prediction(deferred=True, **rest)  # without a confidence: a layered candidate must not take it as sure
    return Prediction.failed(BLOCKED, f"rule {log[-1]['rule']}: {log[-1]['why']}", **rest)
