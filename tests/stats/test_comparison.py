"""Tests of options on the same rows: McNemar mid-p, Holm, and the smallest difference that rows can show."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import multinomial
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from tasklift.errors import DataError
from tasklift.stats.comparison import (
    holm,
    mcnemar_midp,
    mcnemar_power,
    minimum_detectable_difference,
    rows_needed,
)

PAIRS = [(0, 1), (0, 5), (1, 7), (3, 4), (10, 25), (25, 10), (60, 61), (120, 180)]


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_mid_p_is_the_exact_p_less_the_probability_of_what_was_seen(a: int, b: int) -> None:
    exact = mcnemar([[0, a], [b, 0]], exact=True).pvalue
    seen = math.comb(a + b, a) / 2 ** (a + b)
    assert mcnemar_midp(a, b) == pytest.approx(exact - seen, abs=1e-9)


def test_mid_p_gives_the_published_example() -> None:
    """Fagerland, Lydersen and Laake 2013: 1 against 7 discordant pairs."""
    assert mcnemar_midp(1, 7) == pytest.approx(0.0391, abs=5e-5)


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_mid_p_does_not_depend_on_the_order(a: int, b: int) -> None:
    assert mcnemar_midp(a, b) == mcnemar_midp(b, a)


@pytest.mark.parametrize("n", [0, 1, 4, 50])
def test_equal_counts_are_no_evidence(n: int) -> None:
    assert mcnemar_midp(n, n) == pytest.approx(1.0)


def test_mid_p_alarms_falsely_no_more_often_than_it_says() -> None:
    rng = np.random.default_rng(1)
    found = [mcnemar_midp(int(a), 30 - int(a)) for a in rng.binomial(30, 0.5, size=2000)]
    assert np.mean(np.array(found) <= 0.05) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 2000)


@pytest.mark.parametrize(("a", "b"), [(-1, 3), (3, -1)])
def test_negative_counts_are_refused(a: int, b: int) -> None:
    with pytest.raises(DataError, match="must not be negative"):
        mcnemar_midp(a, b)


@pytest.mark.parametrize(
    "values", [[0.04], [0.01, 0.04, 0.03], [0.5, 0.9, 0.0, 1.0], [0.02, 0.02, 0.02], [0.001, 0.2, 0.0011, 0.049, 0.3]]
)
def test_holm_agrees_with_statsmodels(values: list[float]) -> None:
    found = holm({f"option {i}": value for i, value in enumerate(values)})
    assert list(found.values()) == pytest.approx(multipletests(values, method="holm")[1], abs=1e-12)


def test_holm_keeps_the_order_and_takes_nothing() -> None:
    assert list(holm({"c": 0.3, "a": 0.001, "b": 0.2})) == ["c", "a", "b"]
    assert holm({}) == {}


@pytest.mark.parametrize(("points", "rows"), [(1, 7847), (2, 1960), (3, 870), (5, 312)])
def test_known_sample_sizes_detect_their_difference(points: int, rows: int) -> None:
    """80% power with 10% discordant pairs."""
    assert minimum_detectable_difference(rows) <= points / 100 < minimum_detectable_difference(rows - 2)


@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("discordant", [0.05, 0.2, 0.5])
def test_the_detectable_difference_solves_its_equation(discordant: float, power: float) -> None:
    n = 500
    found = minimum_detectable_difference(n, discordant, power)
    z_power = {0.5: 0.0, 0.8: 0.8416212335729143, 0.95: 1.6448536269514722}[power]
    left = 1.959963984540054 * math.sqrt(discordant) + z_power * math.sqrt(discordant - found**2)
    assert left == pytest.approx(found * math.sqrt(n), abs=1e-9)


def test_more_rows_show_smaller_differences_and_never_more_than_the_discordant_share() -> None:
    found = [minimum_detectable_difference(n) for n in (1, 10, 100, 1000, 10_000)]
    assert found == sorted(found, reverse=True)
    assert found[0] == 0.1
    assert found[-1] < 0.01


def test_no_rows_detect_nothing() -> None:
    with pytest.raises(DataError, match="n=0 must be positive"):
        minimum_detectable_difference(0)


@pytest.mark.parametrize(("points", "rows"), [(1, 7847), (2, 1960), (3, 870), (5, 312)])
def test_known_differences_need_their_rows(points: int, rows: int) -> None:
    """80% power with 10% discordant pairs."""
    assert rows_needed(points / 100) == rows == rows_needed(-points / 100)


@pytest.mark.parametrize("power", [0.5, 0.8, 0.99])
@pytest.mark.parametrize(("difference", "discordant"), [(0.01, 0.05), (0.05, 0.2), (0.3, 0.5), (0.1, 0.1)])
def test_rows_and_detectable_difference_are_inverse(difference: float, discordant: float, power: float) -> None:
    rows = rows_needed(difference, discordant, power)
    assert minimum_detectable_difference(rows, discordant, power) <= difference + 1e-12
    assert minimum_detectable_difference(rows - 1, discordant, power) >= difference - 1e-12


@pytest.mark.parametrize(("points", "rows"), [(2, 1960), (3, 870), (5, 312)])
def test_the_exact_power_of_known_sample_sizes_is_about_80_percent(points: int, rows: int) -> None:
    assert mcnemar_power(rows, points / 100) == pytest.approx(0.8, abs=0.015)


@pytest.mark.parametrize(("n", "difference", "discordant"), [(40, 0.1, 0.3), (7, 0.2, 0.5), (100, 0.0, 0.1)])
def test_the_exact_power_is_the_sum_over_all_tables(n: int, difference: float, discordant: float) -> None:
    a, b = (discordant + difference) / 2, (discordant - difference) / 2
    tables = [(i, j) for i in range(n + 1) for j in range(n + 1 - i) if mcnemar_midp(i, j) <= 0.05]
    counts = np.array([(i, j, n - i - j) for i, j in tables])
    assert mcnemar_power(n, difference, discordant) == pytest.approx(
        multinomial.pmf(counts, n, [a, b, 1 - a - b]).sum(), abs=1e-9
    )


def test_the_exact_power_is_how_often_a_difference_is_shown() -> None:
    rng, runs = np.random.default_rng(4), 3000
    counts = rng.multinomial(312, [0.075, 0.025, 0.9], size=runs)
    shown = np.mean([mcnemar_midp(int(a), int(b)) <= 0.05 for a, b, _ in counts])
    assert shown == pytest.approx(mcnemar_power(312, 0.05), abs=3 * math.sqrt(0.16 / runs))


@pytest.mark.parametrize("difference", [0.0, 0.2])
def test_a_difference_that_no_rows_can_show_is_refused(difference: float) -> None:
    with pytest.raises(DataError, match=f"difference={difference}"):
        rows_needed(difference, 0.1)


def test_designs_that_are_no_shares_are_refused() -> None:
    for ask in (
        lambda: rows_needed(0.01, 1.5),
        lambda: minimum_detectable_difference(100, power=1.0),
        lambda: mcnemar_power(100, 0.01, alpha=0.0),
    ):
        with pytest.raises(DataError, match="must be shares between 0 and 1"):
            ask()
    with pytest.raises(DataError, match="do not fit discordant"):
        mcnemar_power(100, 0.2, 0.1)
