"""Sign flips and swaps: the p-values of scipy, exact where few rows differ, valid where many do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from tasklift.errors import DataError
from tasklift.stats.bootstrap import macro_f1_metric, mean_metric
from tasklift.stats.comparison import mcnemar_midp
from tasklift.stats.permutation import EXACT_UNITS, sign_flip_test, swap_test

Array = NDArray[np.float64]


def by_scipy(differences: Array) -> float:
    found = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    return float(found.pvalue)


@pytest.mark.parametrize("n", [2, 5, 10, 13])
@pytest.mark.parametrize("seed", range(3))
def test_few_differences_are_tested_exactly_as_scipy_does(n: int, seed: int) -> None:
    differences = np.random.default_rng(seed).normal(0.4, 1, n)
    assert sign_flip_test(differences) == pytest.approx(by_scipy(differences), abs=1e-9)


def test_ties_count_as_extreme() -> None:
    differences = np.array([0.1, 0.2, 0.3, 0.1, 0.2, -0.3, 0.1])
    assert sign_flip_test(differences) == pytest.approx(by_scipy(differences), abs=1e-9)


def test_right_and_wrong_answers_give_the_sign_test() -> None:
    differences = np.repeat([1.0, -1.0, 0.0], [9, 3, 500])
    assert sign_flip_test(differences) == pytest.approx(stats.binomtest(3, 12).pvalue, abs=1e-9)


def test_many_differences_agree_with_scipy_within_the_error_of_sampling() -> None:
    differences = np.random.default_rng(7).normal(0.15, 1, 200)
    ours = sign_flip_test(differences, draws=20_000)
    theirs = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=20_000, rng=0)
    assert ours == pytest.approx(theirs.pvalue, abs=4 * math.sqrt(ours / 20_000))


def test_the_monte_carlo_p_value_is_never_zero() -> None:
    assert sign_flip_test(np.ones(100), draws=99) == 1 / 100


def test_a_cluster_is_flipped_as_a_whole() -> None:
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(9), [1, 2, 3, 4, 5, 1, 2, 3, 4])
    differences = rng.normal(size=25)
    sums = np.bincount(clusters, differences)
    assert sign_flip_test(differences, clusters) == pytest.approx(by_scipy(sums), abs=1e-9)


def test_clusters_may_be_named_and_unordered() -> None:
    differences, names = np.array([1.0, 2, -1, 3, 0.5]), np.array(["b", "a", "b", "c", "a"])
    order = np.argsort(names)
    assert sign_flip_test(differences, names) == sign_flip_test(differences[order], names[order])


def test_no_difference_is_no_evidence() -> None:
    assert sign_flip_test(np.zeros(10)) == 1.0
    assert swap_test(mean_metric(np.ones(4)), mean_metric(np.ones(4))) == 1.0


@pytest.mark.parametrize("n", [12, 60])
def test_swapping_answers_is_flipping_signs_where_the_metric_is_a_mean(n: int) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.random(n), rng.random(n)
    assert swap_test(mean_metric(a), mean_metric(b)) == pytest.approx(sign_flip_test(a - b), abs=1e-9)


def test_swaps_of_macro_f1_agree_with_scipy() -> None:
    """Eleven rows, all different answers: 2^11 swaps of (a, b) within rows."""
    truth = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1])
    a = np.array([0, 1, 2, 0, 1, 2, 0, 1, 0, 1, 0])
    b = np.array([1, 2, 0, 1, 2, 0, 1, 0, 2, 0, 1])

    def difference(first: NDArray[np.int64], second: NDArray[np.int64], axis: int = -1) -> float:
        ones = np.ones((1, 11))
        return float((macro_f1_metric(truth, first, 3)(ones) - macro_f1_metric(truth, second, 3)(ones))[0])

    theirs = stats.permutation_test(
        (a, b), difference, permutation_type="samples", n_resamples=np.inf, vectorized=False
    )
    assert swap_test(macro_f1_metric(truth, a, 3), macro_f1_metric(truth, b, 3)) == pytest.approx(
        theirs.pvalue, abs=1e-9
    )


@pytest.mark.parametrize("n", [EXACT_UNITS - 2, 40])
def test_false_alarms_are_no_more_often_than_said(n: int) -> None:
    rng, runs = np.random.default_rng(n), 1000
    alarms = sum(sign_flip_test(rng.normal(size=n), draws=199, seed=run) <= 0.05 for run in range(runs))
    assert alarms / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


def test_flipping_rows_of_clusters_alarms_falsely_and_flipping_clusters_does_not() -> None:
    rng, runs = np.random.default_rng(3), 400
    clusters = np.repeat(np.arange(20), 10)
    alarms = np.zeros(2)
    for run in range(runs):
        differences = rng.normal(size=20)[clusters] + rng.normal(size=200)
        for place, groups in enumerate((clusters, None)):
            alarms[place] += sign_flip_test(differences, groups, draws=199, seed=run) <= 0.05
    assert alarms[0] / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)
    assert alarms[1] / runs > 0.2


def test_the_exact_test_agrees_with_mcnemar_about_what_is_significant() -> None:
    differences = np.repeat([1.0, -1.0], [11, 2])
    assert mcnemar_midp(11, 2) < sign_flip_test(differences) < 0.05


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="no rows"):
        sign_flip_test([])
    with pytest.raises(DataError, match="2 cluster names for 3 rows"):
        sign_flip_test([1.0, 2.0, 3.0], ["a", "b"])
    with pytest.raises(DataError, match="not of the same rows"):
        swap_test(mean_metric(np.ones(3)), mean_metric(np.ones(4)))
