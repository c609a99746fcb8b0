"""Tests of options on the same rows: McNemar mid-p, Holm, and the smallest difference that rows can show."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from tasklift.errors import DataError
from tasklift.stats.comparison import holm, mcnemar_midp, minimum_detectable_difference

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
    assert list(found.values()) == pytest.approx(multipletests(values, method="holm")[1], abs=1e-9)


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
