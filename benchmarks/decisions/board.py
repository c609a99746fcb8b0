"""Lines of the scoreboard that the benchmark of deciders draws from many companies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from _common import Figure


def mean_figure(
    what: str, values: Sequence[float], at_least: float | None = None, at_most: float | None = None, said: str = ""
) -> Figure:
    """The mean of shares with its 95% interval."""
    mean, error = float(np.mean(values)), float(np.std(values) / len(values) ** 0.5)
    low, high = mean - 1.96 * error, mean + 1.96 * error
    return Figure(what, mean, at_least, low, high, said, at_most=at_most, unit="%")


def ratio_figure(what: str, mine: Sequence[float], theirs: Sequence[float], at_most: float | None = None) -> Figure:
    """Ratio of two means over the same companies, with its 95% interval (delta method)."""
    ours, others = np.array(mine), np.array(theirs)
    ratio = float(ours.mean() / others.mean())
    error = float((ours - ratio * others).std(ddof=1) / len(ours) ** 0.5 / others.mean())
    return Figure(what, ratio, None, ratio - 1.96 * error, ratio + 1.96 * error, at_most=at_most, unit="x")
