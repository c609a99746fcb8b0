"""Whether confidences are true, and the one or two parameters that mend them."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from mapie.metrics.calibration import expected_calibration_error as mapie_ece
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logit
from sklearn.metrics import brier_score_loss

from tasklift.errors import DataError
from tasklift.stats.calibration import Platt, brier, expected_calibration_error, fit_platt, fit_temperature

Array = NDArray[np.float64]


def drawn(n: int, slope: float, offset: float, seed: int = 0) -> tuple[Array, Array]:
    """Confidences whose probability of being right is expit(slope * logit(confidence) + offset)."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.05, 0.99, n)
    return confidence, (rng.random(n) < expit(slope * logit(confidence) + offset)).astype(float)


# Measuring


def test_ece_of_two_bins_by_hand() -> None:
    confidence = np.array([0.91, 0.95, 0.99, 0.61, 0.65])
    right = np.array([1.0, 1.0, 0.0, 0.0, 1.0])
    by_hand = 3 / 5 * abs(0.95 - 2 / 3) + 2 / 5 * abs(0.63 - 1 / 2)
    assert expected_calibration_error(confidence, right, bins=10) == pytest.approx(by_hand, abs=1e-9)


def test_a_certain_answer_falls_into_the_last_bin() -> None:
    assert expected_calibration_error(np.ones(4), np.array([1.0, 1.0, 1.0, 0.0])) == pytest.approx(0.25)
    assert expected_calibration_error(np.zeros(4), np.array([0.0, 0.0, 0.0, 1.0])) == pytest.approx(0.25)


def test_ece_is_small_where_confidences_are_true_and_large_where_they_boast() -> None:
    true, boasting = drawn(20_000, 1.0, 0.0), drawn(20_000, 0.3, -1.0)
    assert expected_calibration_error(*true) < 0.015
    assert expected_calibration_error(*boasting) > 0.1


def test_ece_agrees_with_mapie() -> None:
    """Its first bin holds only 0, so 15 bins are 16 there."""
    confidence, right = drawn(3000, 0.6, 0.1)
    theirs = mapie_ece(right.astype(int), confidence, num_bins=16, split_strategy="uniform")
    assert expected_calibration_error(confidence, right) == pytest.approx(theirs, abs=1e-6)


def test_brier_agrees_with_scikit_learn() -> None:
    confidence, right = drawn(500, 0.7, 0.2)
    assert brier(confidence, right) == pytest.approx(brier_score_loss(right, confidence), abs=1e-12)


def test_no_rows_have_no_calibration() -> None:
    for measure in (expected_calibration_error, brier):
        with pytest.raises(DataError, match="no rows"):
            measure(np.array([]), np.array([]))


# Temperature


@pytest.mark.parametrize(("margin", "right", "n"), [(3.0, 80, 100), (1.0, 95, 100), (8.0, 60, 100), (0.5, 70, 100)])
def test_temperature_of_equal_margins_has_a_closed_form(margin: float, right: int, n: int) -> None:
    logits = np.tile([margin, 0.0], (n, 1))
    truth = np.array([0] * right + [1] * (n - right))
    expected = margin / logit(right / n)
    found = fit_temperature(logits, truth)
    assert found == pytest.approx(expected, rel=1e-8)

    def loss(t: float) -> float:
        return float(-log_softmax(logits / t, axis=1)[np.arange(n), truth].mean())

    assert loss(found) == pytest.approx(loss(expected), abs=1e-6)


def test_temperature_finds_what_the_logits_were_multiplied_by() -> None:
    rng = np.random.default_rng(3)
    true = rng.normal(size=(20_000, 4)) * 2
    truth = np.array([rng.choice(4, p=row) for row in np.exp(log_softmax(true, axis=1))])
    assert fit_temperature(true * 5, truth) == pytest.approx(5.0, rel=0.03)
    assert fit_temperature(true / 5, truth) == pytest.approx(0.2, rel=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_temperature_is_where_a_general_minimiser_ends(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(300, 6)) * rng.choice([0.5, 3, 12])
    truth = np.where(rng.random(300) < 0.8, logits.argmax(axis=1), rng.integers(0, 6, 300))

    def loss(inverse: Array) -> tuple[float, Array]:
        logs = log_softmax(logits * inverse[0], axis=1)
        seen = logits[np.arange(300), truth]
        return -float(logs[np.arange(300), truth].sum()), np.array([np.sum(np.exp(logs) * logits) - seen.sum()])

    best = minimize(loss, np.ones(1), jac=True, method="BFGS", options={"gtol": 1e-8}).x[0]
    assert 1 / fit_temperature(logits, truth) == pytest.approx(best, rel=1e-6)


def test_an_impossible_class_changes_no_temperature() -> None:
    rng = np.random.default_rng(5)
    logits, truth = rng.normal(size=(100, 3)) * 2, rng.integers(0, 3, 100)
    more = np.column_stack([logits, np.full(100, -np.inf)])
    assert fit_temperature(more, truth) == pytest.approx(fit_temperature(logits, truth), rel=1e-9)


def test_log_probabilities_serve_as_logits() -> None:
    rng = np.random.default_rng(4)
    logits, truth = rng.normal(size=(200, 3)) * 4, rng.integers(0, 3, 200)
    assert fit_temperature(log_softmax(logits, axis=1), truth) == pytest.approx(
        fit_temperature(logits, truth), rel=1e-6
    )


def test_temperature_stays_in_its_range() -> None:
    logits, truth = np.tile([1.0, 0.0], (20, 1)), np.zeros(20, dtype=np.int64)
    assert 0.02 <= fit_temperature(logits, truth) < 0.03
    assert 40 < fit_temperature(logits, 1 - truth) <= 50
    assert fit_temperature(np.zeros((0, 3)), np.array([], dtype=np.int64)) == 1.0


# Platt


def test_platt_agrees_with_a_binomial_regression_on_the_smoothed_targets() -> None:
    confidence, right = drawn(4000, 0.95, -0.4)
    wins = right.sum()
    target = np.where(right > 0.5, (wins + 1) / (wins + 2), 1 / (len(right) - wins + 2))
    design = sm.add_constant(logit(confidence))
    model = sm.GLM(target, design, family=sm.families.Binomial()).fit()
    found = fit_platt(confidence, right)
    assert (found.offset, found.slope) == pytest.approx(tuple(model.params), abs=1e-3)


@pytest.mark.parametrize(("slope", "offset"), [(0.4, -0.5), (2.5, 0.5), (1.0, 0.0)])
def test_platt_reaches_the_minimum_of_its_loss(slope: float, offset: float) -> None:
    confidence, right = drawn(800, slope, offset, seed=5)
    wins, x = right.sum(), logit(confidence)
    target = np.where(right > 0.5, (wins + 1) / (wins + 2), 1 / (len(right) - wins + 2))

    def loss(p: Array) -> float:
        z = np.exp(p[0]) * x + p[1]
        return float(np.mean(np.logaddexp(0, z) - target * z) + 1e-4 * p[0] ** 2)

    found = fit_platt(confidence, right)
    best = minimize(loss, np.array([0.1, 0.1]), method="BFGS", options={"gtol": 1e-8})
    assert loss(np.array([np.log(found.slope), found.offset])) == pytest.approx(best.fun, abs=1e-6)
    assert (found.slope, found.offset) == pytest.approx((np.exp(best.x[0]), best.x[1]), abs=1e-3)


def test_platt_makes_boasting_confidences_true() -> None:
    confidence, right = drawn(5000, 0.4, -0.8)
    later, truth = drawn(5000, 0.4, -0.8, seed=9)
    mended = fit_platt(confidence, right)(later)
    assert expected_calibration_error(mended, truth) < 0.03 < expected_calibration_error(later, truth)


@pytest.mark.parametrize("seed", range(5))
def test_platt_keeps_the_order_even_where_the_surest_are_wrong(seed: int) -> None:
    confidence, right = drawn(60, -1.0, 0.0, seed=seed)
    found = fit_platt(confidence, right)
    assert found.slope > 0
    assert np.all(np.diff(found(np.sort(confidence))) >= 0)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_platt_stays_finite_where_all_rows_are_alike(value: float) -> None:
    found = fit_platt(np.array([0.0, 0.5, 1.0] * 10), np.full(30, value))
    told = found(np.array([0.0, 0.5, 1.0]))
    assert np.all(np.isfinite(told))
    assert abs(told[1] - value) < 0.1


def test_without_rows_confidences_stay_as_they_are() -> None:
    found = fit_platt(np.array([]), np.array([]))
    assert found == Platt(1.0, 0.0)
    assert found(np.array([0.2, 0.9])) == pytest.approx([0.2, 0.9], abs=1e-9)
