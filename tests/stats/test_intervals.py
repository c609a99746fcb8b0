"""Intervals of proportions and of paired differences against published figures and statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from tasklift.errors import DataError
from tasklift.stats.intervals import paired_difference, unpaired_difference, wilson

Z = 1.959963984540054


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 20), (1, 29), (50, 100), (99, 100), (812, 3080)])
def test_wilson_agrees_with_statsmodels(successes: int, n: int, confidence: float) -> None:
    low, high = proportion_confint(successes, n, alpha=1 - confidence, method="wilson")
    found = wilson(successes, n, confidence)
    assert (found.value, found.low, found.high) == pytest.approx((successes / n, low, high), abs=1e-9)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_published_examples(successes: int, n: int, low: float, high: float) -> None:
    """Newcombe 1998, table I, method 3."""
    found = wilson(successes, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 60, 3080])
def test_wilson_never_leaves_zero_to_one_nor_its_estimate(n: int) -> None:
    for successes in {0, 1, n // 2, n - 1, n}:
        found = wilson(successes, n)
        assert 0 <= found.low <= found.value <= found.high <= 1
    assert wilson(0, n).low == 0
    assert wilson(n, n).high == 1


def test_wilson_takes_scores_between_zero_and_one() -> None:
    assert wilson(2, 10).low < wilson(2.5, 10).low < wilson(3, 10).low
    assert wilson(2.5, 10).value == 0.25


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5), (1, -1)])
def test_wilson_refuses_what_is_no_proportion(successes: int, n: int) -> None:
    with pytest.raises(DataError, match=f"successes={successes} of n={n}"):
        wilson(successes, n)


def test_paired_difference_gives_the_published_example() -> None:
    """Airway hyper-responsiveness before and after transplantation: 21 children, 1 and 7 discordant."""
    found = paired_difference(1, 7, 21)
    assert (found.value, found.low, found.high) == pytest.approx((-6 / 21, -0.5084, -0.0133), abs=1e-4)


@pytest.mark.parametrize(("a", "b", "n"), [(0, 0, 1), (3, 9, 40), (12, 2, 60), (30, 30, 60), (200, 150, 3080)])
def test_paired_difference_is_the_adjusted_wald_interval(a: int, b: int, n: int) -> None:
    p, q = (a + 1) / (n + 2), (b + 1) / (n + 2)
    spread = Z * math.sqrt((p + q - (p - q) ** 2) / (n + 2))
    found = paired_difference(a, b, n)
    assert found.value == (a - b) / n
    assert (found.low, found.high) == pytest.approx((max(p - q - spread, -1), min(p - q + spread, 1)), abs=1e-9)


def test_paired_difference_turns_its_sign_with_the_options() -> None:
    there, back = paired_difference(9, 3, 40), paired_difference(3, 9, 40)
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low))


def test_a_lower_confidence_gives_a_narrower_interval() -> None:
    wide, narrow = paired_difference(9, 3, 40), paired_difference(9, 3, 40, confidence=0.9)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_paired_difference_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    counts = rng.multinomial(80, [0.12, 0.05, 0.83], size=1500)
    found = [paired_difference(int(a), int(b), 80) for a, b, _ in counts]
    covered = np.mean([interval.low <= 0.07 <= interval.high for interval in found])
    assert 0.94 <= covered <= 0.98


@pytest.mark.parametrize(("a", "b", "n"), [(1, 1, 0), (-1, 0, 5), (0, -1, 5), (3, 3, 5)])
def test_paired_difference_refuses_counts_that_do_not_fit(a: int, b: int, n: int) -> None:
    with pytest.raises(DataError, match=f"do not fit n={n}"):
        paired_difference(a, b, n)


@pytest.mark.parametrize(("a", "n_a", "b", "n_b"), [(56, 70, 48, 80), (9, 10, 3, 10), (10, 10, 0, 20), (0, 5, 0, 7)])
def test_the_difference_of_two_samples_agrees_with_statsmodels(a: int, n_a: int, b: int, n_b: int) -> None:
    low, high = confint_proportions_2indep(a, n_a, b, n_b, method="newcomb", compare="diff")
    found = unpaired_difference(a, n_a, b, n_b)
    assert (found.value, found.low, found.high) == pytest.approx((a / n_a - b / n_b, low, high), abs=1e-9)


def test_the_difference_of_two_samples_gives_the_published_example() -> None:
    """Newcombe 1998 (Statistics in Medicine 17:873-890), table II, column (a), method 10."""
    found = unpaired_difference(56, 70, 48, 80)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
