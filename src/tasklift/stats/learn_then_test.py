"""A confidence threshold whose risk is guaranteed (Angelopoulos, Bates, Candes, Jordan, Lei 2021)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from tasklift.errors import DataError


@dataclass(frozen=True, slots=True)
class Certificate:
    """What Learn-then-Test can promise: P(risk among accepted <= alpha) >= 1 - delta.

    Attributes:
        alpha: highest tolerated share of wrong answers among accepted rows.
        delta: highest tolerated probability that the promise is broken.
        threshold: accept where the confidence is at least this; None: nothing can be promised.
        n: rows of the certification fold.
        accepted: of these, accepted at the threshold.
        errors: of the accepted, wrong.
        missing_labels: about how many more certification rows would be needed; 0 when
            certified, -1 when at the error rate seen no number of labels would do.
    """

    alpha: float
    delta: float
    threshold: float | None
    n: int
    accepted: int
    errors: int
    missing_labels: int = 0

    @property
    def coverage(self) -> float:
        """Share of the certification fold that is accepted."""
        return self.accepted / self.n if self.n and self.threshold is not None else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain fields, for artefacts and reports."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Certificate:
        """The inverse of `to_json`."""
        return cls(**row)


def smallest_start(alpha: float, delta: float) -> int:
    """Accepted rows to begin the walk with: twice what zero errors would need."""
    return math.ceil(2 * math.log(delta) / math.log(1 - alpha))


def learn_then_test(
    confidence: NDArray[np.float64], wrong: NDArray[np.float64], alpha: float, delta: float
) -> Certificate:
    """The loosest confidence threshold that is certified, of all thresholds that the rows offer.

    Args:
        confidence: [n] of the certification fold.
        wrong: [n] 0 or 1: what would be wrong if accepted.

    Raises:
        DataError: alpha or delta is not between 0 and 1.
    """
    order = np.argsort(-confidence, kind="stable")
    ranked, errors = confidence[order], np.cumsum(wrong[order])
    # Rows of equal confidence are accepted together: only the last of a tie is a threshold.
    last_of_tie = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.array([], dtype=int)
    steps = [Step(float(ranked[i]), int(i) + 1, int(errors[i])) for i in last_of_tie]
    return walk(steps, len(confidence), alpha, delta)


@dataclass(frozen=True, slots=True)
class Step:
    """One hypothesis: at this threshold so many rows are accepted, so many of them wrong."""

    threshold: float
    accepted: int
    errors: int


def walk(steps: Sequence[Step], n: int, alpha: float, delta: float) -> Certificate:
    """Walk the thresholds from strict to loose and keep the last one before a test fails.

    The hypothesis at a step is "the risk among accepted rows exceeds alpha"; its p-value is
    BinomCDF(errors; accepted, alpha). Fixed-sequence testing needs no correction. Assumes that
    later rows are exchangeable with these. Steps with fewer than `smallest_start` accepted rows
    are passed over: there one error would end the walk.

    Args:
        steps: strictest first.
        n: rows of the certification fold.

    Raises:
        DataError: alpha or delta is not between 0 and 1.
    """
    if not (0 < alpha < 1 and 0 < delta < 1):
        raise DataError(f"learn_then_test: alpha={alpha} and delta={delta} must lie between 0 and 1")
    best: Step | None = None
    for step in steps:
        if step.accepted < smallest_start(alpha, delta):
            continue
        if binom.cdf(step.errors, step.accepted, alpha) > delta:
            break
        best = step
    if best is None:
        return Certificate(alpha, delta, None, n, 0, 0, _missing(steps, n, alpha, delta))
    return Certificate(alpha, delta, best.threshold, n, best.accepted, best.errors)


def _missing(steps: Sequence[Step], n: int, alpha: float, delta: float) -> int:
    """More certification rows so that about the surest rows would pass, at the error rate seen there."""
    start = smallest_start(alpha, delta)
    if not steps or n == 0:
        return start
    first = next((step for step in steps if step.accepted >= start), steps[-1])
    rate, share = first.errors / max(first.accepted, 1), first.accepted / n
    for accepted in range(start, 64 * start, max(start // 4, 1)):
        if binom.cdf(math.ceil(rate * accepted), accepted, alpha) <= delta:
            return max(math.ceil(accepted / share) - n, 1)
    return -1
