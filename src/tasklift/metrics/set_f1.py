"""F1 of sets of labels: over all named labels together, and as the mean over labels."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tasklift.metrics.base import Cases, Floats, Metric
from tasklift.stats.bootstrap import RowMetric


class SetF1(Metric):
    """Micro-F1: `2 * named rightly / (named + expected)` over all rows; 1 where nothing is named nor expected."""

    name: ClassVar[str] = "set_f1"
    kinds: ClassVar[frozenset[str]] = frozenset({"labels"})

    def measure(self, cases: Cases) -> RowMetric:
        """Sums of labels named rightly, named, and expected."""
        said, wanted = _table(cases, cases.answers), _table(cases, cases.expected)
        return RowMetric(np.column_stack([(said * wanted).sum(1), said.sum(1) + wanted.sum(1)]), f1_of)


class MacroLabelF1(Metric):
    """Mean over the labels of each one's F1, over the labels that are named or expected."""

    name: ClassVar[str] = "macro_label_f1"
    kinds: ClassVar[frozenset[str]] = frozenset({"labels"})

    def measure(self, cases: Cases) -> RowMetric:
        """The two sums of each label."""
        said, wanted = _table(cases, cases.answers), _table(cases, cases.expected)
        count = said.shape[1]

        def finish(sums: Floats) -> Floats:
            both, either = sums[:, :count], sums[:, count:]
            f1 = np.divide(2 * both, either, out=np.zeros_like(both), where=either > 0)
            return np.asarray(f1.sum(1) / np.maximum((either > 0).sum(1), 1))

        return RowMetric(np.hstack([said * wanted, said + wanted]), finish)


def f1_of(sums: Floats) -> Floats:
    """[draws, 2] hits, and given plus wanted -> [draws] F1."""
    either = sums[:, 1]
    return np.divide(2 * sums[:, 0], either, out=np.ones_like(either), where=either > 0)


def _table(cases: Cases, answers: Any) -> Floats:
    """[rows, labels] 1 where the label is named; a failed row names none."""
    labels = list(cases.output.definitions)
    return np.array([[float(label in (answer or ())) for label in labels] for answer in answers]).reshape(
        len(cases), len(labels)
    )
