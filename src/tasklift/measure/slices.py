"""Accuracy by slice: which customers, languages or channels fare worse."""

from __future__ import annotations

import dataclasses
from collections import defaultdict

import numpy as np

from tasklift.measure.evaluation import Evaluation
from tasklift.measure.metrics import right_of
from tasklift.stats.intervals import wilson

#: candidate -> slice -> value -> `value`, `low`, `high`, `rows`
Slices = dict[str, dict[str, dict[str, dict[str, float]]]]


def slices_of(evaluation: Evaluation) -> Slices:
    """Accuracy on answered rows by candidate, slice and value, with its Wilson interval and number of rows."""
    found: Slices = {}
    for result in evaluation.results:
        right = right_of(result.predictions, evaluation.rows.outputs, evaluation.task)
        cells: dict[tuple[str, str], list[float]] = defaultdict(list)
        for row, value in zip(evaluation.rows, right, strict=True):
            for name, which in row.slice.items():
                if not np.isnan(value):
                    cells[name, which].append(float(value))
        for (name, which), values in cells.items():
            cell = {**dataclasses.asdict(wilson(sum(values), len(values))), "rows": len(values)}
            found.setdefault(result.name, {}).setdefault(name, {})[which] = cell
    return found
