"""The certified threshold: what is promised, when nothing can be promised, and that promises are kept."""

from __future__ import annotations

import math

import numpy as np
import pytest
from mapie.risk_control.fwer_control import control_fwer
from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value
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


def risky(n: int, seed: int) -> tuple[Array, Array]:
    """Confidences u and outcomes with P(wrong | u) = 0.4 (1 - u)."""
    rng = np.random.default_rng(seed)
    u = rng.random(n)
    return u, (rng.random(n) < 0.4 * (1 - u)).astype(float)


@pytest.mark.parametrize("seed", range(6))
def test_the_fixed_sequence_ends_where_that_of_mapie_does(seed: int) -> None:
    """Its p-values are binomial too (Hoeffding's are never smaller), its walk has no reserve.

    It counts errors as ceil(n * (errors / n)), which rounding must not lift by one.
    """
    alpha = delta = 0.1
    u, wrong = risky(700, seed)
    grid = np.linspace(0.95, 0.0, 60)
    accepted = np.array([(u >= t).sum() for t in grid])
    errors = np.array([wrong[u >= t].sum() for t in grid])
    start = int(np.argmax(accepted >= smallest_start(alpha, delta)))
    rates = np.maximum(errors / accepted - 1e-12, 0)
    p_values = compute_hoeffding_bentkus_p_value(rates, accepted, alpha, binary=True)[start:, 0]
    passed = control_fwer(p_values, delta, "fixed_sequence")
    steps = [Step(float(t), int(k), int(e)) for t, k, e in zip(grid, accepted, errors, strict=True)]
    found = walk(steps, 700, alpha, delta, reserve=0)
    assert found.threshold == (grid[start + passed[-1]] if len(passed) else None)


def fallback(p_values: list[float], granted: list[float]) -> list[int]:
    """Wiens 2003 in its own words: a hypothesis is tested at its share and what the one before it left."""
    rejected, left = [], 0.0
    for place, (p_value, share) in enumerate(zip(p_values, granted, strict=True)):
        level = share + left
        if p_value <= level:
            rejected.append(place)
            left = level
        else:
            left = 0.0
    return rejected


@pytest.mark.parametrize("seed", range(20))
def test_the_walk_is_the_fallback_procedure(seed: int) -> None:
    alpha = delta = 0.1
    u, wrong = risky(200, seed)
    ranked = np.sort(u)[::-1]
    errors = np.cumsum(wrong[np.argsort(-u)])
    start = smallest_start(alpha, delta)
    p_values = [float(binom.cdf(errors[k - 1], k, alpha)) for k in range(start, 201)]
    granted = [0.0] * len(p_values)
    granted[0], granted[start] = 0.8 * delta, 0.2 * delta
    rejected = fallback(p_values, granted)
    expected = ranked[start - 1 + rejected[-1]] if rejected else None
    assert learn_then_test(u, wrong, alpha, delta).threshold == expected


def test_an_unlucky_beginning_does_not_end_the_walk() -> None:
    """Three errors in the first 44 rows fail the first test; three in 88 pass at the reserve's level, five do not."""
    n, three, five = 600, wrong_at(600, 0, 5, 11), wrong_at(600, 0, 5, 11, 21, 31)
    assert learn_then_test(falling(n), three, 0.1, 0.1).accepted == n
    assert walk_without_reserve(n, three).threshold is None
    assert learn_then_test(falling(n), five, 0.1, 0.1).threshold is None


def walk_without_reserve(n: int, wrong: Array) -> Certificate:
    errors = np.cumsum(wrong)
    steps = [Step(float(t), k + 1, int(errors[k])) for k, t in enumerate(falling(n))]
    return walk(steps, n, 0.1, 0.1, reserve=0)


def test_stricter_promises_never_accept_more() -> None:
    u, wrong = risky(2000, 3)
    accepted = [learn_then_test(u, wrong, alpha, 0.1).accepted for alpha in (0.02, 0.05, 0.08, 0.1, 0.15)]
    assert accepted == sorted(accepted)
    assert accepted[0] < accepted[-1]


def test_what_is_no_outcome_is_refused() -> None:
    for confidence, wrong in (
        (falling(3), np.array([0.0, 0.5, 1.0])),
        (falling(3), np.zeros(2)),
        (np.array([0.5, np.nan]), np.zeros(2)),
    ):
        with pytest.raises(DataError, match="as many numbers as outcomes of 0 or 1"):
            learn_then_test(confidence, wrong, 0.1, 0.1)


def test_steps_out_of_order_are_refused() -> None:
    with pytest.raises(DataError, match="from strict to loose"):
        walk([Step(0.5, 100, 1), Step(0.9, 50, 0)], 100, 0.1, 0.1)


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


def test_a_risk_just_below_alpha_needs_many_labels_and_is_not_called_hopeless() -> None:
    found = learn_then_test(falling(200), wrong_at(200, *range(0, 200, 11)), 0.1, 0.1)
    assert found.threshold is None
    assert found.missing_labels > 300


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
