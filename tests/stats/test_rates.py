"""Evidence that a rate is above a limit: a martingale, few false alarms at every look, quick where it is broken."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad

from tasklift.errors import DataError
from tasklift.stats.rates import log_e_above


@pytest.mark.parametrize(("hits", "n", "limit"), [(0, 0, 0.05), (3, 3, 0.05), (5, 40, 0.1), (0, 200, 0.02)])
def test_it_is_the_mixture_that_its_formula_says(hits: int, n: int, limit: float) -> None:
    def ratio(q: float) -> float:
        return (q / limit) ** hits * ((1 - q) / (1 - limit)) ** (n - hits) / (1 - limit)

    assert math.exp(log_e_above(hits, n, limit)) == pytest.approx(quad(ratio, limit, 1)[0], rel=1e-6)


def test_false_alarms_over_all_looks_stay_below_alpha_and_a_broken_limit_is_seen() -> None:
    random, n = np.random.default_rng(0), np.arange(1, 1001)
    alarms = {}
    for rate in (0.05, 0.03, 0.15):
        hits = np.cumsum(random.random((1000, 1000)) < rate, axis=1)
        alarms[rate] = np.mean((log_e_above(hits, n, 0.05) >= math.log(20)).any(axis=1))
    assert alarms[0.05] <= 0.05
    assert alarms[0.03] <= 0.01
    assert alarms[0.15] >= 0.99


def test_counts_that_cannot_be_are_refused() -> None:
    for hits, n, limit in ((2, 1, 0.1), (-1, 1, 0.1), (0, 1, 0.0)):
        with pytest.raises(DataError, match="log_e_above"):
            log_e_above(hits, n, limit)
