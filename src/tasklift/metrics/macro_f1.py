"""Macro-F1 of single labels: the mean F1 of the labels that are expected."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tasklift.metrics.base import Cases, Metric
from tasklift.stats.bootstrap import RowMetric, macro_f1_metric


class MacroF1(Metric):
    """Mean over labels of `2 TP / (2 TP + FP + FN)`."""

    name: ClassVar[str] = "macro_f1"
    kinds: ClassVar[frozenset[str]] = frozenset({"label"})

    def measure(self, cases: Cases) -> RowMetric:
        """Over the labels that are expected or answered in a draw."""
        place = {label: at for at, label in enumerate(cases.output.definitions)}
        truth = np.array([place[y] for y in cases.expected], dtype=np.int64)
        answer = np.array([place.get(y, -1) if isinstance(y, str) else -1 for y in cases.answers], dtype=np.int64)
        return macro_f1_metric(truth, answer, len(place))
