"""F1 of extracted fields: micro over (field, value) pairs."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

import numpy as np

from tasklift.metrics.base import Cases, Metric
from tasklift.metrics.set_f1 import f1_of
from tasklift.outputs.json_object import fields_of, folded
from tasklift.stats.bootstrap import RowMetric


class FieldF1(Metric):
    """`2 * right fields / (given + expected)` over all rows; a field is right with its value, white space folded."""

    name: ClassVar[str] = "field_f1"
    kinds: ClassVar[frozenset[str]] = frozenset({"json"})

    def measure(self, cases: Cases) -> RowMetric:
        """Sums of right fields, and of given plus expected ones. Entries of a list count one by one."""
        rows = []
        for answer, expected in zip(cases.answers, cases.expected, strict=True):
            said, wanted = pairs_of(answer), pairs_of(expected)
            rows.append(((said & wanted).total(), said.total() + wanted.total()))
        return RowMetric(np.array(rows, dtype=np.float64).reshape(len(cases), 2), f1_of)


def pairs_of(value: Any) -> Counter[tuple[str, str]]:
    """The (path, value) pairs of an object; none of a failed row."""
    return Counter() if value is None else Counter(fields_of(folded(value)))
