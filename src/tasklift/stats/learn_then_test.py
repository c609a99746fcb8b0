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

#: Share of delta that waits at twice the start of the walk.
RESERVE = 0.2


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
        DataError: alpha or delta is not between 0 and 1, or the rows are not of that kind.
    """
    if confidence.shape != wrong.shape or np.any(np.isnan(confidence)) or not np.all((wrong == 0) | (wrong == 1)):
        raise DataError(
            f"learn_then_test: {len(confidence)} confidences and {len(wrong)} outcomes; needed are as many numbers "
            "as outcomes of 0 or 1"
        )
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


def walk(steps: Sequence[Step], n: int, alpha: float, delta: float, reserve: float = RESERVE) -> Certificate:
    """Walk the thresholds from strict to loose and keep the last one that passes.

    The hypothesis at a step is "the risk among accepted rows exceeds alpha"; its p-value is
    BinomCDF(errors; accepted, alpha). Steps with fewer than `smallest_start` accepted rows are
    passed over: there one error would end the walk. The first step tested may use (1 - reserve) of
    delta, and a step that passes hands on what it had, so that their number needs no correction
    (fixed sequence, Angelopoulos et al. 2021). The rest of delta waits at twice the start: an
    unlucky beginning does not end the walk, and after a lucky one the whole delta is there again
    (the fallback procedure, Wiens 2003, which holds the family-wise error under any dependence).

    Assumes that later rows are exchangeable with these. Steps may be placed by the confidences of
    these very rows, as `learn_then_test` does, where less confident rows are wrong more often on
    the whole; steps fixed ahead, or by other rows, need no such assumption.

    Args:
        steps: strictest first.
        n: rows of the certification fold.
        reserve: share of delta that waits; 0 is the plain fixed sequence.

    Raises:
        DataError: alpha or delta is not between 0 and 1, or steps are not in order.
    """
    if not (0 < alpha < 1 and 0 < delta < 1 and 0 <= reserve < 1):
        raise DataError(f"learn_then_test: alpha={alpha} and delta={delta} must lie between 0 and 1")
    accepted = np.array([step.accepted for step in steps], dtype=np.int64)
    errors = np.array([step.errors for step in steps], dtype=np.int64)
    if np.any(np.diff(accepted) < 0):
        raise DataError("learn_then_test: steps must go from strict to loose, each accepting at least as many rows")
    start = smallest_start(alpha, delta)
    p_values = binom.cdf(errors, accepted, alpha)
    granted = np.zeros(len(steps))
    for share, rows in ((1 - reserve, start), (reserve, 2 * start)):
        place = int(np.searchsorted(accepted, rows))
        if place < len(steps):
            granted[place] += share * delta
    level, best = 0.0, None
    for step, p_value, more in zip(steps, p_values, granted, strict=True):
        level = min(level + more, delta)
        if step.accepted < start or level == 0:
            continue
        if p_value <= level:
            best = step
        else:
            level = 0.0
    if best is None:
        return Certificate(alpha, delta, None, n, 0, 0, _missing(steps, n, start, alpha, delta * (1 - reserve)))
    return Certificate(alpha, delta, best.threshold, n, best.accepted, best.errors)


def _missing(steps: Sequence[Step], n: int, start: int, alpha: float, delta: float) -> int:
    """More certification rows so that about the surest rows would pass, at the error rate seen there.

    Args:
        start: accepted rows that the walk begins with.
        delta: what its first test may use.
    """
    if not steps or n == 0:
        return start
    first = next((step for step in steps if step.accepted >= start), steps[-1])
    rate, share = first.errors / max(first.accepted, 1), max(first.accepted, 1) / n
    if rate >= alpha:
        return -1
    accepted = start
    while binom.cdf(math.ceil(rate * accepted), accepted, alpha) > delta:
        accepted += max(accepted // 8, 1)
    return max(math.ceil(accepted / share) - n, 1)
