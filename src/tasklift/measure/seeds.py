"""One recipe with several seeds: the fits, how far their figures lie apart, and which of them is to be released."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

import numpy as np

from tasklift.measure.evaluation import CandidateResult, Evaluation
from tasklift.measure.metrics import right_of
from tasklift.stats.bootstrap import bca, mean_metric
from tasklift.stats.intervals import Interval
from tasklift.strategy import Strategy

#: What fits measure on rows held out of the training rows, as their cards name it -> 1 where more is better, else -1.
VALIDATION = {"validation_accuracy": 1, "validation_micro_f1": 1, "validation_error": -1}

#: Between the name of a strategy and its seed.
_MARK = "-seed"


def seeded(name: str, strategy: Strategy, count: int) -> dict[str, Strategy]:
    """The strategy under its name, and `count - 1` more with the seeds that follow, as `name-seed1`.

    A strategy without a `seed` is there once.
    """
    made: Any = strategy
    if "seed" not in getattr(strategy, "__dataclass_fields__", {}):
        return {name: strategy}
    more = range(made.seed + 1, made.seed + count)
    return {name: strategy, **{f"{name}{_MARK}{seed}": replace(made, seed=seed) for seed in more}}


@dataclass(frozen=True)
class OneSeed:
    """What one seed gave.

    Attributes:
        name: in the evaluation.
        seed: of the recipe.
        fingerprint: of the candidate.
        accuracy: on the evaluated rows, with the interval of the rows.
        validation: what its fit measured on held-out training rows; None: nothing.
        measure: name of that figure in the card, '' where there is none.
    """

    name: str
    seed: int
    fingerprint: str
    accuracy: Interval
    validation: float | None
    measure: str

    @classmethod
    def of(cls, result: CandidateResult) -> OneSeed:
        """From its result."""
        notes = result.card.notes
        measure = next((name for name in VALIDATION if isinstance(notes.get(name), int | float)), "")
        accuracy = result.scores.accuracy or Interval(0.0, 0.0, 1.0)
        seed = int(result.card.parameters.get("seed", 0))
        validation = float(notes[measure]) if measure else None
        return cls(result.name, seed, result.card.fingerprint, accuracy, validation, measure)

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        accuracy = {name: getattr(self.accuracy, name) for name in ("value", "low", "high")}
        row = {"name": self.name, "seed": self.seed, "fingerprint": self.fingerprint, "accuracy": accuracy}
        return row | {"validation": self.validation, "validation_measure": self.measure or None}


@dataclass(frozen=True)
class Seeds:
    """The same recipe with several seeds, on the same rows.

    Attributes:
        each: in the order of the seeds.
        mean: accuracy, mean over the seeds; its interval is that of the rows (BCa over the rows' means).
    """

    each: tuple[OneSeed, ...]
    mean: Interval

    @classmethod
    def of(cls, evaluation: Evaluation, name: str) -> Seeds:
        """From an evaluation of what `seeded` made of the strategy `name`."""
        results = [one for one in evaluation.results if one.name == name or one.name.startswith(f"{name}{_MARK}")]
        rights = [right_of(result.predictions, evaluation.rows.outputs, evaluation.task) for result in results]
        answered = np.sum(~np.isnan(rights), axis=0)  # a row that every seed left to a person has no mean
        by_row = np.nansum(rights, axis=0)[answered > 0] / answered[answered > 0]
        each = tuple(OneSeed.of(result) for result in results)
        value = fmean(one.accuracy.value for one in each)
        varies = len(by_row) > 1 and np.ptp(by_row) > 0
        # Where all rows are alike, as when everything is right, each seed's own interval (Wilson's) says what is known.
        rows = bca(mean_metric(by_row), len(by_row)) if varies else each[0].accuracy
        return cls(each, Interval(value, rows.low, rows.high))

    @property
    def deviation(self) -> float:
        """Standard deviation of the accuracy over the seeds (n - 1); 0 with one seed."""
        return stdev(one.accuracy.value for one in self.each) if len(self.each) > 1 else 0.0

    @property
    def chosen(self) -> OneSeed:
        """The one to release: best by what its fit measured on held-out training rows, never by the evaluated rows.
        Equal ones, and those without such a figure: the first."""
        if any(one.validation is None for one in self.each):
            return self.each[0]
        return max(self.each, key=lambda one: VALIDATION[one.measure] * (one.validation or 0.0))

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        values = [one.accuracy.value for one in self.each]
        mean = {name: getattr(self.mean, name) for name in ("value", "low", "high")}
        spread = {"lowest": min(values), "highest": max(values), "standard_deviation": self.deviation}
        said = {"mean": mean, "spread": spread, "release": self.chosen.name}
        return {"candidates": [one.to_json() for one in self.each], **said}
