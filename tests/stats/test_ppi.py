"""Human labels with a judge's scores: the figures of the authors' package, coverage, and what a judge is worth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tasklift.errors import DataError
from tasklift.stats.ppi import powered_mean

FIRST, SECOND = np.arange(40), np.arange(60)
HUMAN = (np.sin(1.7 * FIRST) > -0.4).astype(float)
JUDGED = np.clip(0.5 + 0.4 * np.sin(1.7 * FIRST) + 0.2 * np.cos(5 * FIRST), 0, 1)
ONLY = np.clip(0.55 + 0.4 * np.sin(0.9 * SECOND) + 0.2 * np.cos(3 * SECOND), 0, 1)


@pytest.mark.parametrize(
    ("weight", "value", "low", "high"),
    [
        (1.0, 0.70002777, 0.58026754, 0.81978799),
        (None, 0.68750938, 0.57219885, 0.80281991),
        (0.0, 0.65, 0.50218831, 0.79781169),
        (0.3, 0.66500833, 0.53724487, 0.79277179),
    ],
)
def test_the_interval_is_that_of_the_authors_package(
    weight: float | None, value: float, low: float, high: float
) -> None:
    """ppi-python 0.2.3, `ppi_mean_pointestimate` and `ppi_mean_ci` on these rows."""
    found = powered_mean(HUMAN, JUDGED, ONLY, weight=weight).interval
    assert (found.value, found.low, found.high) == pytest.approx((value, low, high), abs=1e-6)


def test_a_useless_judge_is_not_trusted_and_a_perfect_one_is() -> None:
    rng = np.random.default_rng(0)
    human = (rng.random(400) < 0.7).astype(float)
    noise = powered_mean(human, rng.random(400), rng.random(5000))
    assert noise.weight < 0.2
    assert 0.95 * 400 < noise.labels_worth < 1.05 * 400
    everything = (rng.random(5000) < 0.7).astype(float)
    perfect = powered_mean(human, human, everything)
    assert perfect.weight > 0.9
    assert perfect.labels_worth > 4000


def test_a_judge_that_says_one_thing_only_is_left_out() -> None:
    found = powered_mean(HUMAN, np.ones(40), np.ones(500))
    assert found.weight == 0.0
    assert found.interval.value == HUMAN.mean()


@pytest.mark.parametrize("bias", [0.0, 0.2])
def test_the_interval_covers_the_truth_whatever_the_judge_s_bias(bias: float) -> None:
    """The judge agrees with people on 85% of rows, and calls a share of `bias` of the wrong ones right."""
    rng, runs, covered, width = np.random.default_rng(1), 800, 0, 0.0
    for _ in range(runs):
        right = (rng.random(2200) < 0.8).astype(float)
        judged = np.where(rng.random(2200) < 0.85, right, 1 - right)
        judged = np.where((right == 0) & (rng.random(2200) < bias), 1.0, judged)
        found = powered_mean(right[:200], judged[:200], judged[200:])
        covered += found.interval.low <= 0.8 <= found.interval.high
        width += found.labels_worth / 200 / runs
    assert covered / runs >= 0.94 - 2 * math.sqrt(0.05 * 0.95 / runs)
    assert width > 1.1


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="40 human labels and 39 scores"):
        powered_mean(HUMAN, JUDGED[:-1], ONLY)
    with pytest.raises(DataError, match="19 labelled"):
        powered_mean(HUMAN[:19], JUDGED[:19], ONLY)
    with pytest.raises(DataError, match="0 other rows"):
        powered_mean(HUMAN, JUDGED, [])
    with pytest.raises(DataError, match="all 40 human labels are 1"):
        powered_mean(np.ones(40), JUDGED, ONLY)
