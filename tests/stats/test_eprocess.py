"""E-processes: their formula, that they are valid at every look, and that they notice."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import beta
from scipy.stats import binom

from tasklift.errors import DataError
from tasklift.stats.eprocess import first_alarm, log_e_paired, log_e_two_streams

Array = NDArray[np.float64]


def jeffreys(share: float, k: int, n: int) -> float:
    return float(share ** (k - 0.5) * (1 - share) ** (n - k - 0.5) / beta(0.5, 0.5))


@pytest.mark.parametrize(("k", "n"), [(0, 0), (1, 1), (3, 4), (7, 20), (20, 20), (30, 50)])
def test_the_paired_e_value_is_its_formula(k: int, n: int) -> None:
    expected = beta(0.5 + k, 0.5 + n - k) / (beta(0.5, 0.5) * 2.0**-n)
    assert np.exp(log_e_paired(k, n)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("k", "n"), [(4, 4), (3, 9), (14, 20)])
def test_the_one_sided_e_value_weighs_only_shares_above_one_half(k: int, n: int) -> None:
    upper = 2 * quad(jeffreys, 0.5, 1, args=(k, n), epsabs=1e-12)[0]
    assert np.exp(log_e_paired(k, n, "more")) == pytest.approx(upper * 2.0**n, rel=1e-5)


def test_huge_counts_stay_finite() -> None:
    found = log_e_paired([0, 500_000, 1_000_000], [1_000_000] * 3)
    assert np.all(np.isfinite(found))
    assert found[1] < 0 < found[0] == pytest.approx(found[2])
    assert np.all(np.isfinite(log_e_paired([0, 1_000_000], [1_000_000] * 2, "more")))


@pytest.mark.parametrize("alternative", ["different", "more"])
@pytest.mark.parametrize("n", [1, 5, 40])
def test_the_paired_e_value_has_expectation_one_under_a_fair_coin(n: int, alternative: str) -> None:
    k = np.arange(n + 1)
    values = np.exp(log_e_paired(k, np.full(n + 1, n), alternative))
    assert np.sum(values * binom.pmf(k, n, 0.5)) == pytest.approx(1.0, abs=1e-6)
    if alternative == "more":
        assert np.sum(values * binom.pmf(k, n, 0.4)) < 1


def test_looking_after_every_pair_keeps_false_alarms_below_alpha() -> None:
    rng, runs, pairs = np.random.default_rng(0), 1000, 400
    k = np.cumsum(rng.random((runs, pairs)) < 0.5, axis=1)
    for alternative in ("different", "more"):
        highest = log_e_paired(k, np.broadcast_to(np.arange(1, pairs + 1), k.shape), alternative).max(axis=1)
        assert np.mean(highest >= math.log(20)) <= 0.05


def test_a_worse_canary_is_noticed_and_a_better_one_only_by_the_two_sided_test() -> None:
    n = np.arange(1, 101)
    worse = np.cumsum(np.arange(100) % 10 < 8)
    assert first_alarm(log_e_paired(worse, n)) is not None
    assert first_alarm(log_e_paired(worse, n, "more")) is not None
    assert first_alarm(log_e_paired(n - worse, n)) is not None
    assert first_alarm(log_e_paired(n - worse, n, "more")) is None


@pytest.mark.parametrize(("k", "n"), [(3, 2), (-1, 4)])
def test_impossible_counts_are_refused(k: int, n: int) -> None:
    with pytest.raises(DataError, match="more pairs of one kind"):
        log_e_paired(k, n)


# Two streams


def by_hand(a: list[int], b: list[int], block: tuple[int, int]) -> float:
    """Turner, Ly and Grunwald 2024, block after block."""
    product = 1.0
    for j in range(len(a)):
        rate_a = (sum(a[:j]) + 0.18) / (block[0] * j + 0.36)
        rate_b = (sum(b[:j]) + 0.18) / (block[1] * j + 0.36)
        both = (block[0] * rate_a + block[1] * rate_b) / sum(block)
        for hits, items, rate in ((a[j], block[0], rate_a), (b[j], block[1], rate_b)):
            product *= (rate / both) ** hits * ((1 - rate) / (1 - both)) ** (items - hits)
    return product


@pytest.mark.parametrize("block", [(1, 1), (2, 3)])
def test_the_e_value_of_two_streams_is_its_formula(block: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(block))
    a, b = rng.binomial(block[0], 0.2, 30).tolist(), rng.binomial(block[1], 0.6, 30).tolist()
    found = log_e_two_streams(a, b, block)
    assert found.shape == (30,)
    for until in (1, 7, 30):
        assert np.exp(found[until - 1]) == pytest.approx(by_hand(a[:until], b[:until], block), rel=1e-9)


@pytest.mark.parametrize("alternative", ["different", "more"])
@pytest.mark.parametrize("rates", [(0.3, 0.3), (0.05, 0.05), (0.5, 0.3)])
def test_the_next_block_never_adds_to_the_expected_evidence(rates: tuple[float, float], alternative: str) -> None:
    """Exact expectation of the factor of one more block, whatever came before."""
    if alternative == "different" and rates[0] != rates[1]:
        return
    block = (2, 3)
    for before in ([(1, 0), (0, 3)], [(2, 1)], [(0, 2), (1, 3), (0, 3)]):
        a, b = [x for x, _ in before], [y for _, y in before]
        base, expected = log_e_two_streams(a, b, block, alternative)[-1], 0.0
        for i in range(block[0] + 1):
            for j in range(block[1] + 1):
                chance = binom.pmf(i, block[0], rates[0]) * binom.pmf(j, block[1], rates[1])
                expected += chance * np.exp(log_e_two_streams([*a, i], [*b, j], block, alternative)[-1] - base)
        assert expected <= 1 + 1e-12


@pytest.mark.parametrize("rate", [0.03, 0.3])
def test_looking_after_every_block_keeps_false_alarms_below_alpha(rate: float) -> None:
    rng, runs = np.random.default_rng(1), 600
    alarms = np.zeros(2)
    for _ in range(runs):
        a, b = rng.random((2, 400)) < rate
        for place, alternative in enumerate(("different", "more")):
            alarms[place] += first_alarm(log_e_two_streams(a, b, (1, 1), alternative)) is not None
    assert np.all(alarms / runs <= 0.05)


def test_a_stream_with_more_errors_is_noticed() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.binomial(4, 0.05, 300), rng.binomial(1, 0.4, 300)
    assert first_alarm(log_e_two_streams(a, b, (4, 1))) is not None
    assert first_alarm(log_e_two_streams(a, b, (4, 1), "more")) is not None
    assert first_alarm(log_e_two_streams(b, a, (1, 4), "more")) is None


def test_streams_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="both must be"):
        log_e_two_streams([1, 0], [1])
    with pytest.raises(DataError, match="between 0 and the items"):
        log_e_two_streams([2], [0])
    assert log_e_two_streams([], []).shape == (0,)


def test_the_first_alarm_is_the_first() -> None:
    assert first_alarm([0.0, 2.9, 3.0, 1.0, 5.0]) == 2
    assert first_alarm([0.0, 1.0]) is None
    assert first_alarm([]) is None
    with pytest.raises(DataError, match="alpha=0"):
        first_alarm([1.0], alpha=0)
