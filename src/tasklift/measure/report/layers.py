"""Risk against coverage of a layered candidate, scored again from what its stages said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasklift.measure.evaluation import CandidateResult
from tasklift.metrics.base import Cases
from tasklift.metrics.right import Accuracy
from tasklift.prediction import Prediction
from tasklift.stats.intervals import Interval, wilson
from tasklift.strategies.layered_candidate import Rule, sure_of
from tasklift.task import Task


@dataclass(frozen=True)
class RiskPoint:
    """What one threshold would have meant on the evaluated rows.

    Attributes:
        threshold: a stage answers where it is at least this sure.
        core: rows that the core answers.
        prompt: rows that the prompt answers.
        wrong: of both, wrong.
        rows: all rows.
    """

    threshold: float
    core: int
    prompt: int
    wrong: int
    rows: int

    @property
    def answered(self) -> int:
        """Rows that no person sees."""
        return self.core + self.prompt

    @property
    def coverage(self) -> float:
        """Share of rows answered without a person."""
        return self.answered / self.rows

    @property
    def risk(self) -> Interval | None:
        """P(wrong | answered) with its Wilson interval; None where nothing is answered."""
        return wilson(self.wrong, self.answered) if self.answered else None


def rule_of(result: CandidateResult) -> Rule | None:
    """The rule of a layered candidate; None where the evaluation was stored before it was kept."""
    settings = result.card.settings
    return Rule.from_json(settings) if result.card.family == "layered" and "certificate" in settings else None


def point(
    result: CandidateResult, expected: Sequence[Any], rule: Rule, threshold: float | None, task: Task
) -> RiskPoint:
    """One threshold on the evaluated rows; None hands everything to a person."""
    limit = np.inf if threshold is None else threshold
    return _points(result, expected, rule, [float(limit)], task)[0]


def curve(result: CandidateResult, expected: Sequence[Any], rule: Rule, task: Task) -> list[RiskPoint]:
    """Every threshold at which something changes, strictest first."""
    sure = {round(float(value), 6) for pair in _confidences(result, rule) for value in pair}
    return _points(result, expected, rule, sorted(sure - {0.0}, reverse=True), task)


def _points(
    result: CandidateResult, expected: Sequence[Any], rule: Rule, thresholds: Sequence[float], task: Task
) -> list[RiskPoint]:
    core_sure, prompt_sure = (np.array(column) for column in zip(*_confidences(result, rule), strict=True))
    stages = [(p.children[0], p.children[1] if len(p.children) > 1 else None) for p in result.predictions]
    core_wrong, prompt_wrong = (_wrong(column, expected, task) for column in zip(*stages, strict=True))
    # An input that cannot be read counts as answered, and as wrong, whatever the threshold.
    refused = np.array([p.error is not None for p in result.predictions])
    found = []
    for threshold in thresholds:
        by_core = refused | (core_sure >= threshold)
        by_prompt = ~by_core & (prompt_sure >= threshold)
        wrong = int((core_wrong | refused)[by_core].sum() + prompt_wrong[by_prompt].sum())
        found.append(RiskPoint(threshold, int(by_core.sum()), int(by_prompt.sum()), wrong, len(expected)))
    return found


def _wrong(said: Sequence[Prediction | None], expected: Sequence[Any], task: Task) -> NDArray[np.bool_]:
    """[rows] a stage's answer is not right by the task's rule, or there is none."""
    outputs = [None if answer is None else answer.output for answer in said]
    return np.asarray(Accuracy().rows(Cases(outputs, expected, task.output, task.right)) == 0)


def _confidences(result: CandidateResult, rule: Rule) -> list[tuple[float, float]]:
    """How sure the core and the prompt were of each row, on the scale of the threshold; 0 where there is no prompt."""
    found = []
    for prediction in result.predictions:
        core = sure_of(prediction.children[0], rule.core)
        asked = rule.prompt is not None and len(prediction.children) > 1
        prompt = sure_of(prediction.children[1], rule.prompt) if asked and rule.prompt is not None else 0.0
        found.append((core, prompt))
    return found
