"""The power law through a few sizes: found where it holds, doubtful where it has to be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import curve_fit

from tasklift.errors import DataError
from tasklift.stats.learning_curve import SD_BEYOND, SD_TWICE, fit_learning_curve


def law(n: np.ndarray, c: float, a: float, b: float) -> np.ndarray:
    return c + a * n**-b


SIZES = np.array([250, 500, 1000, 2000, 4000])


@pytest.mark.parametrize(("c", "a", "b"), [(0.05, 2.0, 0.5), (0.0, 1.5, 0.35), (0.1, 6.0, 0.8)])
def test_a_true_power_law_is_extended_as_the_least_squares_fit_does(c: float, a: float, b: float) -> None:
    errors = law(SIZES, c, a, b)
    best, _ = curve_fit(law, SIZES, errors, p0=(0.03, 1.0, 0.5), bounds=([0, 0, 0.01], [1, 50, 2]))
    curve = fit_learning_curve(SIZES, errors, test_rows=1_000_000)
    for n in (1000, 8000, 16_000):
        assert curve.at(n).mean == pytest.approx(law(n, *best), abs=0.004)


def test_the_law_itself_is_doubted_the_more_the_further_it_is_extended() -> None:
    curve = fit_learning_curve(SIZES, law(SIZES, 0.05, 2.0, 0.5), test_rows=1_000_000)
    inside, twice, thrice, far = (curve.at(n).sd for n in (3000, 8000, 12_000, 40_000))
    assert inside < 0.005
    assert twice == pytest.approx(SD_TWICE, abs=0.002)
    assert SD_BEYOND <= thrice < far < SD_BEYOND + 0.01


def test_few_test_rows_and_few_sizes_leave_more_doubt() -> None:
    errors = law(SIZES, 0.05, 2.0, 0.5)
    many, few = fit_learning_curve(SIZES, errors, 10_000), fit_learning_curve(SIZES, errors, 200)
    three = fit_learning_curve(SIZES[:3], errors[:3], 10_000)
    assert few.at(8000).sd > many.at(8000).sd
    assert three.at(8000).sd > many.at(8000).sd


def test_an_error_that_does_not_fall_is_not_expected_to() -> None:
    curve = fit_learning_curve(SIZES, np.full(5, 0.2), 500)
    assert curve.at(8000).mean == pytest.approx(0.2, abs=0.03)
    rising = fit_learning_curve(SIZES, [0.20, 0.20, 0.21, 0.21, 0.22], 500).at(8000)
    assert 0.17 < rising.mean < 0.22


@pytest.mark.parametrize("errors", [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [1.0, 0.5, 0.0]])
def test_extreme_errors_give_shares(errors: list[float]) -> None:
    curve = fit_learning_curve([10, 100, 1000], errors, 50)
    for n in (1, 10, 5000, 10**9):
        found = curve.at(n)
        assert 0 <= found.mean <= 1
        assert np.isfinite(found.sd)


def test_two_standard_deviations_cover_what_comes_at_twice_the_size() -> None:
    rng, runs = np.random.default_rng(0), 200
    covered = 0
    for _ in range(runs):
        c, a, b = rng.uniform(0, 0.1), rng.uniform(1, 4), rng.uniform(0.3, 0.7)
        errors = rng.binomial(1000, np.minimum(law(SIZES, c, a, b), 1)) / 1000
        found = fit_learning_curve(SIZES, errors, 1000).at(8000)
        covered += abs(found.mean - law(8000, c, a, b)) <= 2 * found.sd
    assert covered / runs >= 0.95


@pytest.mark.parametrize(
    ("sizes", "errors", "says"),
    [
        ([10, 20], [0.2, 0.1], "at least three sizes"),
        ([10, 10, 20], [0.2, 0.2, 0.1], "at least three sizes"),
        ([10, 20, 30], [0.2, 0.1], "3 sizes and 2 errors"),
        ([0, 20, 30], [0.3, 0.2, 0.1], "must be positive"),
        ([10, 20, 30], [0.3, 0.2, 1.1], "between 0 and 1"),
    ],
)
def test_what_is_no_curve_is_refused(sizes: list[int], errors: list[float], says: str) -> None:
    with pytest.raises(DataError, match=says):
        fit_learning_curve(sizes, errors)
    with pytest.raises(DataError, match="n=0"):
        fit_learning_curve(SIZES, np.full(5, 0.2)).at(0)
