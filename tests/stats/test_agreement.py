"""Agreement of repeats: against statsmodels, by hand, and at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.inter_rater import aggregate_raters
from statsmodels.stats.inter_rater import fleiss_kappa as reference

from tasklift.errors import DataError
from tasklift.stats.agreement import (
    answer_counts,
    answer_variance,
    fleiss_kappa,
    fleiss_kappa_interval,
    pass_all,
    row_agreement,
    sensitivity,
    spread,
)

HAND = [["a", "a", "b"], ["a", "b", "b"], ["a", "b", "c"]]  # 3 repeats of 3 rows


@pytest.mark.parametrize("seed", range(6))
def test_kappa_equals_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, 60)
    raters = [np.where(rng.random(60) < 0.7, truth, rng.integers(0, 4, 60)) for _ in range(2 + seed % 4)]
    counts = answer_counts([[str(x) for x in some] for some in raters])
    table, _ = aggregate_raters(np.stack(raters, axis=1))
    assert fleiss_kappa(counts) == pytest.approx(reference(table, method="fleiss"), abs=1e-12)
    found = fleiss_kappa_interval(counts)
    assert found.low < found.value < found.high


def test_agreement_by_hand() -> None:
    counts = answer_counts(HAND)
    np.testing.assert_allclose(row_agreement(counts), [1, 1 / 3, 1 / 3])
    assert answer_variance(counts) == pytest.approx(1 - 5 / 9)


def test_where_all_repeats_agree_kappa_is_1_and_its_bound_depends_on_the_rows() -> None:
    few, many = (fleiss_kappa_interval(answer_counts([["a", "b"] * n] * 3)) for n in (5, 500))
    assert few.value == many.value == 1.0
    assert few.low < many.low < 1
    assert fleiss_kappa(answer_counts([["a"] * 4] * 2)) == 1.0


def test_pass_all_needs_every_repeat_right() -> None:
    found = pass_all(np.array([[1, 1, 0, 1], [1, 0, 0, 1.0]]))
    assert found.value == 0.5


def test_sensitivity_is_the_mean_absolute_change_over_pairs() -> None:
    right = np.array([[1, 1, 0, 0], [1, 0, 0, 1], [1, 1, 0, 1.0]])
    by_row = [0, 2 / 3, 0, 2 / 3]
    assert sensitivity(right).value == pytest.approx(np.mean(by_row))
    same = sensitivity(np.ones((3, 50)))
    assert (same.value, same.low) == (0, 0)
    assert 0 < same.high < 0.1


def test_spread_is_the_gap_between_the_best_and_the_worst_format() -> None:
    right = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0.0]])
    found = spread(right)
    assert found.value == pytest.approx(0.5)
    assert found.low <= 0.5 <= found.high
    assert spread(np.ones((2, 40))).value == 0


def test_one_repeat_or_unlike_lengths_are_refused() -> None:
    for bad in ([["a", "b"]], [["a"], ["a", "b"]], [[], []]):
        with pytest.raises(DataError, match="two repeats"):
            answer_counts(bad)
