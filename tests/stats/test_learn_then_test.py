"""The certified threshold: what is promised, when nothing can be promised, and that promises are kept."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from tasklift.errors import DataError
from tasklift.stats.learn_then_test import Certificate, Step, learn_then_test, smallest_start, walk

Array = NDArray[np.float64]


def falling(n: int) -> Array:
    """n confidences, all different."""
    return np.linspace(0.99, 0.01, n)


def wrong_at(n: int, *places: int) -> Array:
    wrong = np.zeros(n)
    wrong[list(places)] = 1.0
    return wrong


@pytest.mark.parametrize(("alpha", "zero_errors"), [(0.05, 59), (0.02, 149), (0.01, 299)])
def test_the_walk_starts_with_twice_what_zero_errors_would_need(alpha: float, zero_errors: int) -> None:
    assert binom.cdf(0, zero_errors, alpha) <= 0.05 < binom.cdf(0, zero_errors - 1, alpha)
    assert 2 * zero_errors - 2 <= smallest_start(alpha, 0.05) <= 2 * zero_errors


def test_without_errors_everything_is_accepted() -> None:
    found = learn_then_test(falling(200), np.zeros(200), 0.05, 0.05)
    assert found == Certificate(0.05, 0.05, pytest.approx(0.01), 200, 200, 0)
    assert found.coverage == 1.0


def test_the_threshold_is_the_last_before_a_test_fails() -> None:
    n, alpha, delta = 400, 0.1, 0.1
    confidence, wrong = falling(n), wrong_at(n, *range(250, 400, 2))
    found = learn_then_test(confidence, wrong, alpha, delta)
    errors = np.cumsum(wrong)
    start = smallest_start(alpha, delta)
    failing = next(k for k in range(start, n + 1) if binom.cdf(errors[k - 1], k, alpha) > delta)
    assert found.accepted == failing - 1
    assert found.errors == errors[failing - 2]
    assert found.threshold == confidence[failing - 2]
    assert found.coverage == (failing - 1) / n


def test_the_walk_does_not_go_on_behind_a_failed_test() -> None:
    steps = [Step(0.9, 100, 1), Step(0.8, 200, 40), Step(0.7, 2000, 41)]
    assert walk(steps, 2000, 0.1, 0.05).threshold == 0.9


def test_one_early_error_does_not_end_the_walk() -> None:
    found = learn_then_test(falling(300), wrong_at(300, 0), 0.05, 0.05)
    assert found.accepted == 300
    assert found.errors == 1


def test_the_order_of_the_rows_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    confidence, wrong = falling(300), wrong_at(300, 40, 200, 210, *range(240, 300))
    order = rng.permutation(300)
    assert learn_then_test(confidence[order], wrong[order], 0.1, 0.1) == learn_then_test(confidence, wrong, 0.1, 0.1)


def test_rows_of_equal_confidence_are_accepted_together() -> None:
    confidence = np.repeat([0.9, 0.6], [150, 150])
    wrong = np.concatenate([np.zeros(150), np.zeros(75), np.ones(75)])
    found = learn_then_test(confidence, wrong, 0.1, 0.1)
    assert (found.threshold, found.accepted, found.errors) == (0.9, 150, 0)


def test_the_certificate_says_what_acceptance_at_its_threshold_gives() -> None:
    rng = np.random.default_rng(1)
    confidence = np.round(rng.random(600), 2)
    wrong = (rng.random(600) < 0.3 * (1 - confidence)).astype(float)
    found = learn_then_test(confidence, wrong, 0.1, 0.1)
    accepted = confidence >= found.threshold
    assert (found.accepted, found.errors) == (accepted.sum(), wrong[accepted].sum())
    assert binom.cdf(found.errors, found.accepted, 0.1) <= 0.1


# Nothing can be promised


def test_too_few_rows_are_not_certified_and_the_missing_labels_are_counted() -> None:
    start = smallest_start(0.05, 0.05)
    found = learn_then_test(falling(50), np.zeros(50), 0.05, 0.05)
    assert found.threshold is None
    assert (found.accepted, found.errors, found.coverage) == (0, 0, 0.0)
    assert found.missing_labels == start - 50


@pytest.mark.parametrize(("alpha", "n"), [(0.05, 30), (0.02, 200), (0.1, 1)])
def test_as_many_more_labels_as_are_missing_suffice_where_no_error_was_seen(alpha: float, n: int) -> None:
    few = learn_then_test(falling(n), np.zeros(n), alpha, 0.05)
    enough = n + few.missing_labels
    assert few.threshold is None
    assert learn_then_test(falling(enough), np.zeros(enough), alpha, 0.05).threshold is not None


def test_without_rows_the_whole_start_is_missing() -> None:
    found = learn_then_test(np.array([]), np.array([]), 0.05, 0.05)
    assert (found.threshold, found.n, found.missing_labels) == (None, 0, smallest_start(0.05, 0.05))


def test_where_the_surest_rows_are_too_often_wrong_no_number_of_labels_would_do() -> None:
    found = learn_then_test(falling(400), wrong_at(400, *range(0, 400, 4)), 0.1, 0.1)
    assert found.threshold is None
    assert found.missing_labels == -1


@pytest.mark.parametrize(("alpha", "delta"), [(0.0, 0.1), (1.0, 0.1), (0.1, 0.0), (0.1, 1.0), (-0.1, 0.1)])
def test_impossible_promises_are_refused(alpha: float, delta: float) -> None:
    with pytest.raises(DataError, match=f"alpha={alpha} and delta={delta}"):
        learn_then_test(falling(10), np.zeros(10), alpha, delta)


def test_a_certificate_is_read_back_as_it_was_written() -> None:
    for found in (
        learn_then_test(falling(200), np.zeros(200), 0.05, 0.05),
        learn_then_test(falling(50), np.zeros(50), 0.05, 0.05),
    ):
        assert Certificate.from_json(found.to_json()) == found


# The promise


@pytest.mark.parametrize(("n", "often"), [(200, 0.3), (800, 0.9)])
def test_the_risk_exceeds_alpha_in_no_more_than_delta_of_all_draws(n: int, often: float) -> None:
    """u is uniform and P(wrong | u) = 0.4 (1 - u), so the risk among u >= t is 0.2 (1 - t).

    The confidence is u cut to 40 steps: equal confidences occur, and the walk is short.
    """
    alpha, delta, draws = 0.1, 0.1, 400
    rng = np.random.default_rng(n)
    broken = certified = 0
    for _ in range(draws):
        u = rng.random(n)
        wrong = (rng.random(n) < 0.4 * (1 - u)).astype(float)
        found = learn_then_test(np.floor(u * 40) / 40, wrong, alpha, delta)
        if found.threshold is not None:
            certified += 1
            broken += 0.2 * (1 - found.threshold) > alpha + 1e-9
    assert certified > often * draws
    assert broken / draws <= delta + 2 * math.sqrt(delta * (1 - delta) / draws)


def test_hardly_ever_anything_is_promised_where_every_threshold_breaks_it() -> None:
    alpha, delta, draws = 0.1, 0.1, 200
    rng = np.random.default_rng(5)
    promised = sum(
        learn_then_test(np.round(rng.random(300), 1), (rng.random(300) < 0.11).astype(float), alpha, delta).threshold
        is not None
        for _ in range(draws)
    )
    assert promised / draws <= delta + 2 * math.sqrt(delta * (1 - delta) / draws)
