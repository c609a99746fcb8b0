"""chrF: F-score of character n-grams (Popović 2015), the figure of a corpus from sums over its rows."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

import numpy as np

from tasklift.metrics.base import Cases, Floats, Metric
from tasklift.stats.bootstrap import RowMetric

#: Longest n-gram, and how much more recall counts than precision, as in sacrebleu's default (chrF2).
ORDER, BETA = 6, 2.0


class ChrF(Metric):
    """chrF2 from 0 to 1; sacrebleu prints it from 0 to 100. White space does not count."""

    name: ClassVar[str] = "chrf"
    kinds: ClassVar[frozenset[str]] = frozenset({"text"})

    def measure(self, cases: Cases) -> RowMetric:
        """Sums of matched, given and expected n-grams, for each length."""
        rows = [_counts(answer, y) for answer, y in zip(cases.answers, cases.expected, strict=True)]
        return RowMetric(np.array(rows, dtype=np.float64).reshape(len(cases), 3 * ORDER), _score)


def _counts(answer: Any, expected: Any) -> list[int]:
    said, wanted = ("".join(str(text or "").split()) for text in (answer, expected))
    found = []
    for size in range(1, ORDER + 1):
        given, asked = _grams(said, size), _grams(wanted, size)
        found += [(given & asked).total(), given.total(), asked.total()]
    return found


def _grams(text: str, size: int) -> Counter[str]:
    return Counter(text[at : at + size] for at in range(len(text) - size + 1))


def _score(sums: Floats) -> Floats:
    """[draws, 3 * ORDER] -> [draws]: precision and recall averaged over the lengths that occur in both, then F."""
    matched, given, wanted = (sums[:, part::3] for part in range(3))
    counted = (given > 0) & (wanted > 0)
    lengths = np.maximum(counted.sum(1), 1)
    precision = np.divide(matched, given, out=np.zeros_like(matched), where=counted).sum(1) / lengths
    recall = np.divide(matched, wanted, out=np.zeros_like(matched), where=counted).sum(1) / lengths
    below = BETA**2 * precision + recall
    f_score = np.divide((1 + BETA**2) * precision * recall, below, out=np.zeros_like(below), where=below > 0)
    return np.asarray(f_score)
