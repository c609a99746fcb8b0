"""BCa and paired bootstrap: the bounds of scipy on the same samples, the metrics of scikit-learn, and coverage."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import f1_score

from tasklift.errors import DataError
from tasklift.stats.bootstrap import RowMetric, bca, bca_of, macro_f1_metric, mean_metric, paired_bootstrap

Array = NDArray[np.float64]


def skewed(n: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).exponential(size=n)


def drawn_by(metric: RowMetric, units: int, draws: int = 500, seed: int = 3) -> tuple[NDArray[np.int64], Array]:
    """Resamples [draws, units] and the metric of each."""
    index = np.random.default_rng(seed).integers(0, units, (draws, units))
    weights = np.array([np.bincount(row, minlength=units) for row in index], dtype=float)
    return index, metric(weights)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("n", [8, 60, 300])
def test_bca_of_a_mean_has_the_bounds_of_scipy_on_the_same_samples(n: int, confidence: float) -> None:
    values = skewed(n)
    index, found = drawn_by(mean_metric(values), n)
    assert found == pytest.approx(values[index].mean(axis=1), abs=1e-12)
    left_out = mean_metric(values)(1 - np.eye(n))
    ours = bca_of(found, values.mean(), left_out, confidence)
    same_samples = SimpleNamespace(bootstrap_distribution=found)
    theirs = stats.bootstrap(
        (values,), np.mean, method="BCa", confidence_level=confidence, n_resamples=0, bootstrap_result=same_samples
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_bca_of_clusters_has_the_bounds_of_scipy_on_the_same_clusters() -> None:
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 9, 40)
    clusters = np.repeat(np.arange(40), sizes)
    values = rng.exponential(size=len(clusters)) + rng.exponential(size=40)[clusters]
    sums = np.bincount(clusters, values)

    def ratio(which: NDArray[np.int64], axis: int = -1) -> Array:
        return sums[which].sum(axis=axis) / sizes[which].sum(axis=axis)

    found = ratio(rng.integers(0, 40, (700, 40)))
    left_out = mean_metric(values)((clusters != np.arange(40)[:, None]).astype(float))
    ours = bca_of(found, values.mean(), left_out)
    theirs = stats.bootstrap(
        (np.arange(40),),
        ratio,
        method="BCa",
        n_resamples=0,
        bootstrap_result=SimpleNamespace(bootstrap_distribution=found),
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_bca_draws_what_it_says() -> None:
    values = skewed(50)
    ours = bca(mean_metric(values), 50, draws=20_000)
    theirs = stats.bootstrap((values,), np.mean, method="BCa", n_resamples=20_000, rng=0).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_bca_gives_the_published_example() -> None:
    """Efron and Tibshirani 1993, table 14.2: variance of 26 spatial test scores, BCa 90%: 115.8 to 259.6."""
    scores = np.array(
        [48, 36, 20, 29, 42, 42, 20, 42, 22, 41, 45, 14, 6, 0, 33, 28, 34, 4, 32, 24, 47, 41, 24, 26, 30, 41.0]
    )

    def variance(weights: Array) -> Array:
        share = weights / weights.sum(axis=1, keepdims=True)
        return np.asarray(share @ scores**2 - (share @ scores) ** 2)

    found = bca(variance, 26, confidence=0.9, draws=20_000)
    assert found.value == pytest.approx(171.5, abs=0.05)
    assert (found.low, found.high) == pytest.approx((115.8, 259.6), rel=0.02)


def test_any_function_of_row_weights_is_a_statistic() -> None:
    values = skewed(30)
    metric = mean_metric(values)
    found, by_hand = bca(metric, 30), bca(lambda weights: weights @ values / weights.sum(axis=1), 30)
    assert (found.value, found.low, found.high) == pytest.approx((by_hand.value, by_hand.low, by_hand.high), abs=1e-12)


@pytest.mark.parametrize("labels", [2, 5])
def test_macro_f1_is_that_of_scikit_learn_in_every_draw(labels: int) -> None:
    rng = np.random.default_rng(labels)
    truth = rng.integers(0, labels, 40)
    answer = np.where(rng.random(40) < 0.6, truth, rng.integers(-1, labels, 40))
    index, found = drawn_by(macro_f1_metric(truth, answer, labels), 40, draws=60)
    for row, value in zip(index, found, strict=True):
        seen = sorted(({*truth[row]} | {*answer[row]}) - {-1})
        expected = f1_score(truth[row], answer[row], labels=seen, average="macro", zero_division=0.0)
        assert value == pytest.approx(expected, abs=1e-12)


def test_names_of_clusters_may_be_anything_and_singletons_are_rows() -> None:
    values = skewed(40)
    assert bca(mean_metric(values), 40, [f"c{i:02}" for i in range(40)]) == bca(mean_metric(values), 40)


def test_repeats_of_a_row_do_not_make_the_interval_narrower() -> None:
    values = skewed(40)
    once, thrice = bca(mean_metric(values), 40), bca(mean_metric(np.repeat(values, 3)), 120, np.repeat(range(40), 3))
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high), abs=1e-12)
    blind = bca(mean_metric(np.repeat(values, 3)), 120)
    assert blind.high - blind.low < 0.7 * (once.high - once.low)


def test_blocks_of_draws_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = skewed(25)
    whole = bca(mean_metric(values), 25, draws=300)
    monkeypatch.setattr("tasklift.stats.bootstrap._BLOCK", 25 * 7)
    assert bca(mean_metric(values), 25, draws=300) == whole


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_rows_are_refused_with_advice(value: float) -> None:
    with pytest.raises(DataError, match=r"every bootstrap sample gives .* take `wilson`"):
        bca(mean_metric(np.full(30, value)), 30)


@pytest.mark.parametrize(("rows", "clusters"), [(1, None), (0, None), (5, ["a"] * 5)])
def test_less_than_two_rows_or_clusters_are_refused(rows: int, clusters: list[str] | None) -> None:
    with pytest.raises(DataError, match="resampling needs at least two"):
        bca(mean_metric(np.arange(rows)), rows, clusters)


def test_a_value_outside_all_samples_is_refused() -> None:
    with pytest.raises(DataError, match="outside all 3 bootstrap samples"):
        bca_of(np.array([1.0, 2.0, 3.0]), 4.0, np.arange(5.0))


def test_clusters_have_to_fit_the_rows() -> None:
    with pytest.raises(DataError, match="3 cluster names for 4 rows"):
        bca(mean_metric(np.arange(4)), 4, ["a", "b", "c"])


def test_paired_bootstrap_is_the_bootstrap_of_the_differences() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.random(80) < 0.8).astype(float), (rng.random(80) < 0.7).astype(float)
    found, direct = paired_bootstrap(mean_metric(a), mean_metric(b)), bca(mean_metric(a - b), 80)
    assert (found.value, found.low, found.high) == pytest.approx((direct.value, direct.low, direct.high), abs=1e-12)
    back = paired_bootstrap(mean_metric(b), mean_metric(a))
    assert (back.value, back.low, back.high) == pytest.approx((-found.value, -found.high, -found.low), abs=0.005)


def test_paired_bootstrap_of_other_rows_is_refused() -> None:
    with pytest.raises(DataError, match="3 rows of a and 4 of b"):
        paired_bootstrap(mean_metric(np.arange(3)), mean_metric(np.arange(4)))


def test_clustered_bca_covers_where_the_unclustered_does_not() -> None:
    """40 clusters of 8 rows, half of the variance between clusters."""
    rng, runs = np.random.default_rng(4), 300
    clusters = np.repeat(np.arange(40), 8)
    covered = np.zeros(2)
    for run in range(runs):
        values = rng.normal(size=40)[clusters] + rng.normal(size=320)
        for place, groups in enumerate((clusters, None)):
            found = bca(mean_metric(values), 320, groups, draws=400, seed=run)
            covered[place] += found.low <= 0 <= found.high
    assert covered[0] / runs >= 0.95 - 0.03 - 2 * math.sqrt(0.05 * 0.95 / runs)
    assert covered[1] / runs < 0.75
