"""Accuracy: the share of answers that count as right, by the task's own rule."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tasklift.metrics.base import Cases, Floats, RowwiseMetric, open_metric
from tasklift.outputs.number import Number
from tasklift.task import Task

#: Where the task says nothing, texts are right from this ROUGE-L on.
TEXT_METRIC, TEXT_AT_LEAST = "rouge_l", 0.5
#: Rounding of a distance must not decide.
_CLOSE = 1e-9


class Accuracy(RowwiseMetric):
    """1 where the answer counts as right."""

    name: ClassVar[str] = "accuracy"
    kinds: ClassVar[frozenset[str]] = frozenset({"label", "labels", "number", "json", "text"})

    def rows(self, cases: Cases) -> Floats:
        """[rows] 1 or 0; a failed row is wrong."""
        found = [answer is not None and _is_equal(cases, answer, y) for answer, y in _pairs(cases)]
        named = _metric_of(cases)
        if named is not None:
            name, at_least = named
            metric = open_metric(name, cases.output.kind)
            if isinstance(metric, RowwiseMetric):
                return np.asarray((metric.rows(cases) >= at_least - _CLOSE) | np.array(found), dtype=np.float64)
        return np.array(found, dtype=np.float64)


def rule_of(task: Task) -> str:
    """The rule in words, for tables and reports."""
    right, output = task.right, task.output
    if right.metric is not None or output.kind == "text":
        at_least = right.at_least if right.at_least is not None else _default_at_least(output.kind)
        return f"{right.metric or TEXT_METRIC} of at least {at_least:g}"
    if isinstance(output, Number):
        within = output.tolerance(right.within)
        return f"at most {within:g} away" if within else "the same number"
    return {"label": "the same label", "labels": "the same set of labels"}.get(output.kind, "all fields the same")


def _pairs(cases: Cases) -> list[tuple[Any, Any]]:
    return list(zip(cases.answers, cases.expected, strict=True))


def _is_equal(cases: Cases, answer: Any, expected: Any) -> bool:
    output = cases.output
    if output.kind == "label":
        return bool(answer == expected)
    if isinstance(output, Number) and isinstance(answer, int | float) and isinstance(expected, int | float):
        if cases.right.metric is None:
            return abs(answer - expected) <= output.tolerance(cases.right.within) + _CLOSE
        return answer == expected
    return output.same(answer, expected)


def _metric_of(cases: Cases) -> tuple[str, float] | None:
    right, kind = cases.right, cases.output.kind
    if right.metric is None and kind != "text":
        return None
    return right.metric or TEXT_METRIC, right.at_least if right.at_least is not None else _default_at_least(kind)


def _default_at_least(kind: str) -> float:
    return TEXT_AT_LEAST if kind == "text" else 1.0
