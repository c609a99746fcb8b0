"""From predictions to figures: everything that a table shows about one candidate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasklift.metrics.base import Cases, RowwiseMetric, estimate, open_metric
from tasklift.metrics.parts import Part, parts_of
from tasklift.metrics.right import Accuracy
from tasklift.prediction import Prediction, Usage
from tasklift.stats.bootstrap import mean_metric
from tasklift.stats.comparison import holm, mcnemar_midp
from tasklift.stats.confidence import brier, expected_calibration_error
from tasklift.stats.intervals import Interval, paired_difference, wilson
from tasklift.task import Task

#: Resamples of the bootstrap for figures that are no plain share.
RESAMPLES = 1000


@dataclass(frozen=True)
class Scores:
    """One candidate on all rows.

    Attributes:
        rows: how many rows.
        answered: rows answered without a person; failures count as answered, and as wrong.
        accuracy: right among answered; None where nothing was answered.
        macro_f1: mean F1 of the labels on answered rows, bootstrap percentile interval.
        system_accuracy: with deferred rows right at the declared accuracy of a person.
        ece: expected calibration error of the confidences, None without confidences.
        brier: mean squared error of the confidences.
        valid: share of rows with an allowed output or a deferral.
        latency_p50_s: median seconds of one request.
        latency_p95_s: 95th percentile.
        usage: quantities of all rows together.
        failures: kind -> count.
        skipped_model: share of rows where a few-shot candidate needed no model; None for others.
        rules: business rule -> what it did (blocked, repaired, deferred, conflict) -> rows.
        abstained: rows that the model itself left to a person.
        prompt_cut: rows whose prompt was longer than the model's context, and was cut.
        figures: the task's other metrics on answered rows, by name, with BCa intervals.
    """

    rows: int
    answered: int
    accuracy: Interval | None
    macro_f1: Interval | None
    system_accuracy: float
    ece: float | None
    brier: float | None
    valid: Interval
    latency_p50_s: float | None
    latency_p95_s: float | None
    usage: Usage
    failures: dict[str, int] = field(default_factory=dict)
    skipped_model: float | None = None
    rules: dict[str, dict[str, int]] = field(default_factory=dict)
    abstained: int = 0
    prompt_cut: int = 0
    figures: dict[str, Interval] = field(default_factory=dict)

    @property
    def coverage(self) -> float:
        """Share of rows answered without a person."""
        return self.answered / self.rows


@dataclass(frozen=True)
class Comparison:
    """A candidate against the reference, on rows that both answered.

    Attributes:
        rows: rows that both answered.
        difference: accuracy minus the reference's, 95% interval.
        p: McNemar mid-p.
        p_holm: adjusted for all candidates of the table.
    """

    rows: int
    difference: Interval
    p: float
    p_holm: float


def right_of(
    predictions: Sequence[Prediction], expected: Sequence[Any], task: Task | None = None
) -> NDArray[np.float64]:
    """[n] 1 where the output counts as right; deferred rows are NaN.

    Args:
        task: its rule says what is right; None: being equal.
    """
    if task is None or task.output.kind == "label":
        found = np.array([float(p.output == y) for p, y in zip(predictions, expected, strict=True)])
    else:
        found = Accuracy().rows(cases_of(predictions, expected, task))
    found[[p.deferred for p in predictions]] = np.nan
    return found


def cases_of(
    predictions: Sequence[Prediction],
    expected: Sequence[Any],
    task: Task,
    sources: Sequence[Mapping[str, Any]] | None = None,
) -> Cases:
    """What metrics look at."""
    return Cases([p.output for p in predictions], expected, task.output, task.right, sources)


def figures_of(
    predictions: Sequence[Prediction],
    expected: Sequence[Any],
    task: Task,
    by_source: Mapping[str, Sequence[float]] | None = None,
) -> dict[str, Interval]:
    """The task's metrics other than accuracy and macro-F1, on answered rows, each with its 95% BCa interval.

    Args:
        by_source: what `source_values` gave, for the metrics that need the sources.
    """
    kept = [at for at, p in enumerate(predictions) if not p.deferred]
    found: dict[str, Interval] = {}
    if not kept:
        return found
    answered = cases_of([predictions[i] for i in kept], [expected[i] for i in kept], task)
    for name in task.metrics:
        metric = open_metric(name, task.output.kind)
        if metric.needs_sources and name in (by_source or {}):
            values = [(by_source or {})[name][i] for i in kept]
            found[name] = estimate(metric, mean_metric(values))
        elif name not in ("accuracy", "macro_f1") and not metric.needs_sources:
            found[name] = estimate(metric, metric.measure(answered))
    return found


def answered_parts(predictions: Sequence[Prediction], expected: Sequence[Any], task: Task) -> list[Part]:
    """Precision, recall and F1 of every label or field on answered rows, worst first; nothing for other kinds."""
    kept = [at for at, p in enumerate(predictions) if not p.deferred]
    return parts_of(cases_of([predictions[i] for i in kept], [expected[i] for i in kept], task))


def source_values(
    predictions: Sequence[Prediction], expected: Sequence[Any], task: Task, sources: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[float, ...]]:
    """Metric -> [rows], for metrics that hold answers against their source: a stored evaluation has no texts, so
    these values are kept with it."""
    found = {}
    for name in task.metrics:
        metric = open_metric(name, task.output.kind)
        if metric.needs_sources and isinstance(metric, RowwiseMetric):
            values = metric.rows(cases_of(predictions, expected, task, sources))
            found[name] = tuple(round(float(value), 6) for value in values)
    return found


def score(
    predictions: Sequence[Prediction],
    expected: Sequence[Any],
    latencies_s: Sequence[float],
    reviewer_accuracy: float,
    task: Task | None = None,
    by_source: Mapping[str, Sequence[float]] | None = None,
) -> Scores:
    """All figures of one candidate.

    Args:
        latencies_s: seconds of single requests.
        reviewer_accuracy: declared share of deferred rows that a person gets right.
        task: says what is right and which metrics are wanted; None: outputs are labels.
        by_source: metric -> [rows], of those that hold answers against their source.
    """
    right = right_of(predictions, expected, task)
    one_label = task is None or task.output.kind == "label"
    seen = ~np.isnan(right)
    answered = int(seen.sum())
    ece, squared = _calibration(predictions, right)
    skipped = [bool(p.notes["skipped_model"]) for p in predictions if "skipped_model" in p.notes]
    total = sum((p.usage for p in predictions), Usage())
    failed = Counter(p.error.kind for p in predictions if p.error is not None)
    return Scores(
        rows=len(right),
        answered=answered,
        accuracy=wilson(float(right[seen].sum()), answered) if answered else None,
        macro_f1=_macro_f1(predictions, expected, seen) if answered and one_label else None,
        system_accuracy=float((right[seen].sum() + (len(right) - answered) * reviewer_accuracy) / len(right)),
        ece=ece,
        brier=squared,
        valid=wilson(len(right) - sum(failed.values()), len(right)),
        latency_p50_s=float(np.quantile(latencies_s, 0.5)) if len(latencies_s) else None,
        latency_p95_s=float(np.quantile(latencies_s, 0.95)) if len(latencies_s) else None,
        usage=total,
        failures=dict(failed),
        skipped_model=sum(skipped) / len(predictions) if skipped else None,
        rules=rule_counts(predictions),
        abstained=sum(bool(p.notes.get("abstained")) for p in predictions),
        prompt_cut=sum("cut" in p.notes for p in predictions),
        figures=figures_of(predictions, expected, task, by_source) if task is not None else {},
    )


def _calibration(predictions: Sequence[Prediction], right: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """Expected calibration error and Brier score of the confidences; None where there are none."""
    confident = [
        (p.confidence, r)
        for p, r in zip(predictions, right, strict=True)
        if p.confidence is not None and not np.isnan(r)
    ]
    if not confident:
        return None, None
    confidence, was_right = (np.array(column, dtype=float) for column in zip(*confident, strict=True))
    return expected_calibration_error(confidence, was_right), brier(confidence, was_right)


def rule_counts(predictions: Sequence[Prediction]) -> dict[str, dict[str, int]]:
    """Business rule -> what it did -> rows, over answers and the stages behind them."""
    found: dict[str, Counter[str]] = {}
    for prediction in predictions:
        for one in (prediction, *prediction.children):
            for entry in one.notes.get("rules", ()):
                found.setdefault(entry["rule"], Counter())[entry["did"]] += 1
    return {rule: dict(counts) for rule, counts in found.items()}


def compare(rights: dict[str, NDArray[np.float64]], reference: str) -> dict[str, Comparison]:
    """Every other candidate against the reference: paired difference, McNemar mid-p, Holm.

    Args:
        rights: name -> [n] of 0, 1 or NaN for a deferred row.
    """
    found: dict[str, tuple[int, Interval, float]] = {}
    base = rights[reference]
    for name, right in rights.items():
        both = ~np.isnan(right) & ~np.isnan(base)
        if name == reference or not both.any():
            continue
        mine, theirs = right[both], base[both]
        only_mine, only_theirs = (
            int(((mine == 1) & (theirs == 0)).sum()),
            int(((mine == 0) & (theirs == 1)).sum()),
        )
        difference = paired_difference(only_mine, only_theirs, int(both.sum()))
        found[name] = (int(both.sum()), difference, mcnemar_midp(only_mine, only_theirs))
    adjusted = holm({name: p for name, (_, _, p) in found.items()})
    return {name: Comparison(rows, difference, p, adjusted[name]) for name, (rows, difference, p) in found.items()}


def _macro_f1(predictions: Sequence[Prediction], expected: Sequence[Any], seen: NDArray[np.bool_]) -> Interval:
    """Mean F1 of the labels that occur among the expected answers; 95% percentile bootstrap by row."""
    names = sorted({y for y, keep in zip(expected, seen, strict=True) if keep})
    place = {name: i for i, name in enumerate(names)}
    other = len(names)
    truth = np.array([place[y] for y, keep in zip(expected, seen, strict=True) if keep])
    said = np.array([place.get(p.output, other) for p, keep in zip(predictions, seen, strict=True) if keep])
    draws = np.random.default_rng(0).integers(0, len(truth), size=(RESAMPLES, len(truth)))
    values = [_f1(truth[rows], said[rows], other) for rows in draws]
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(_f1(truth, said, other), float(low), float(high))


def _f1(truth: NDArray[np.int64], said: NDArray[np.int64], labels: int) -> float:
    hit = np.bincount(truth[truth == said], minlength=labels)[:labels]
    wanted, given = (
        np.bincount(truth, minlength=labels)[:labels],
        np.bincount(said, minlength=labels + 1)[:labels],
    )
    present = wanted > 0
    return float(np.mean(2 * hit[present] / (wanted + given)[present]))
