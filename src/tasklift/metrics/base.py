"""What a metric is: answers and expected answers in, sums over rows out, so that any resampling is cheap."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tasklift import registry
from tasklift.errors import ConfigError, DataError
from tasklift.stats.bootstrap import RowMetric, bca, mean_metric
from tasklift.stats.intervals import Interval, wilson
from tasklift.task import Output, Right, Task

Floats = NDArray[np.float64]
#: Metrics that a gate can look at: their posterior is drawn together with the costs.
GATED = ("accuracy", "macro_f1")


@dataclass(frozen=True)
class Cases:
    """Rows to be judged, [rows] each.

    Attributes:
        answers: what was answered; None where nothing allowed came.
        expected: what should have been.
        output: the kind of both.
        right: the task's rule of what counts as right.
        sources: the inputs, for metrics that hold an answer against its source; None: not known.
    """

    answers: Sequence[Any]
    expected: Sequence[Any]
    output: Output
    right: Right
    sources: Sequence[Mapping[str, Any]] | None = None

    def __len__(self) -> int:
        return len(self.answers)


class Metric(ABC):
    """A figure over rows.

    A failed row (its answer is None) must never make the figure better than a wrong answer would.
    """

    name: ClassVar[str]
    #: kinds of output that it is for
    kinds: ClassVar[frozenset[str]]
    higher_is_better: ClassVar[bool] = True
    #: it lies between 0 and 1, as a share of something
    is_share: ClassVar[bool] = True
    #: it holds answers against their source, which a stored evaluation does not keep
    needs_sources: ClassVar[bool] = False

    @abstractmethod
    def measure(self, cases: Cases) -> RowMetric:
        """What each row adds to which sums, and the figure of those sums."""


class RowwiseMetric(Metric):
    """A metric that is the mean of a value from 0 to 1 of each row."""

    @abstractmethod
    def rows(self, cases: Cases) -> Floats:
        """[rows] from 0 to 1."""

    def measure(self, cases: Cases) -> RowMetric:
        """The mean."""
        return mean_metric(self.rows(cases))


def open_metric(name: str, kind: str) -> Metric:
    """The metric registered under `name`, for outputs of `kind`.

    Raises:
        ConfigError: there is none, or it is for other kinds.
    """
    metric: Metric = registry.load("metric", name)()
    if kind not in metric.kinds:
        some = ", ".join(sorted(metric.kinds))
        raise ConfigError(f"the metric {name!r} is for outputs of kind {some}; this task's is {kind!r}")
    return metric


def check_metrics(task: Task) -> None:
    """Refuse a task that names a metric which cannot judge its answers.

    Raises:
        ConfigError: says which.
    """
    for name in task.metrics:
        open_metric(name, task.output.kind)
    if task.metrics[0] not in GATED:
        raise ConfigError(
            f"the first metric is what the gate min_metric looks at, and {task.metrics[0]!r} cannot be: put 'accuracy' "
            "first (the share of answers that count as right, which [right] defines)"
        )
    named = task.right.metric
    if named is not None and not isinstance(open_metric(named, task.output.kind), RowwiseMetric):
        raise ConfigError(f"right.metric = {named!r} gives no value of a single row; take one that does")


def estimate(kind: Metric, metric: RowMetric, clusters: Sequence[str] | None = None) -> Interval:
    """The figure with its 95% BCa interval.

    Where no resampling moves it (all rows alike), a share gets Wilson's interval, and another figure its value alone.

    Args:
        metric: what `kind` measured.
    """
    rows = len(metric.parts)
    value = float(metric(np.ones((1, rows)))[0])
    try:
        return bca(metric, rows, clusters)
    except DataError:
        if kind.is_share and 0 <= value <= 1:
            return wilson(value * rows, rows)
        return Interval(value, value, value)
