"""Two models beside each other: what differs in how they were made, and in what they answered."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasklift.errors import DataError
from tasklift.measure.metrics import Comparison, compare, right_of
from tasklift.measure.models.entry import Model
from tasklift.measure.stored import load_evaluation


@dataclass(frozen=True)
class Beside:
    """Two models.

    Attributes:
        differences: what -> its value in the first and in the second; only where they differ.
        evaluation: the newest one that both stand in; "" where there is none.
        accuracy: of both, on its rows.
        comparison: the second against the first, on the rows of that evaluation.
    """

    differences: dict[str, tuple[Any, Any]]
    evaluation: str = ""
    accuracy: tuple[float, float] | None = None
    comparison: Comparison | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return asdict(self)


def beside(state: Path, first: Model, second: Model) -> Beside:
    """Compare two models.

    Raises:
        DataError: one of them is damaged.
    """
    for one in (first, second):
        if one.damage:
            raise DataError(one.damage)
    before, after = _facts(first), _facts(second)
    differences = {
        name: (before.get(name), after.get(name))
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    }
    shared = [m.evaluation for m in first.measured if m.evaluation in {n.evaluation for n in second.measured}]
    if not shared:
        return Beside(differences)
    evaluation = load_evaluation(state, shared[0], 1.0)
    by_print = {result.card.fingerprint: result for result in evaluation.results}
    rights = {
        one.fingerprint: right_of(by_print[one.fingerprint].predictions, evaluation.rows.outputs, evaluation.task)
        for one in (first, second)
    }
    found = compare(rights, first.fingerprint).get(second.fingerprint)
    values = [by_print[one.fingerprint].scores.accuracy for one in (first, second)]
    both = (values[0].value, values[1].value) if values[0] and values[1] else None
    return Beside(differences, shared[0], both, found)


def _facts(model: Model) -> dict[str, Any]:
    """Everything about how a model was made, flat."""
    row = model.to_json()
    facts = {name: row[name] for name in ("task", "strategy", "family", "labels", "size", "setup_usd", "parents")}
    facts |= {f"parameters.{name}": value for name, value in row["parameters"].items()}
    facts |= {f"setup.{name}": value for name, value in row["setup"].items()}
    facts |= {f"notes.{name}": value for name, value in row["notes"].items() if not isinstance(value, dict)}
    if origin := row["origin"]:
        facts |= {name: origin[name] for name in ("task_hash", "base", "machine")}
        facts |= {f"data.{name}": value for name, value in origin["data"].items()}
        facts |= {f"versions.{name}": value for name, value in origin["versions"].items()}
    return facts
