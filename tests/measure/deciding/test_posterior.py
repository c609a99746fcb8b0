"""What measured rows say about error rates."""

from __future__ import annotations

import numpy as np
import pytest
from made_up import evidence, right

from tasklift.measure.deciding.posterior import REST, JointTable, Rates, draw_rates, joint_table
from tasklift.measure.evidence import Evidence


def table_of(found: Evidence) -> JointTable:
    return joint_table(list(found.options.values()), np.ones(len(found)), found.clusters)


def drawn(found: Evidence, draws: int = 4000) -> Rates:
    return draw_rates(table_of(found), draws, np.random.default_rng(0))


def test_rows_that_are_alike_share_a_cell_and_the_prior_is_worth_two_rows_at_most() -> None:
    found = evidence({"a": right(60, 10), "b": right(60, 6, first=8)})
    table = table_of(found)
    assert sorted(table.count.tolist()) == [2, 4, 8, 46]
    assert table.mass == 60 + REST
    assert REST <= 2


def test_means_are_those_of_half_a_wrong_row_more() -> None:
    rates = drawn(evidence({"a": right(50, 5), "b": right(50, 0)}))
    assert rates.wrong.mean(axis=0) == pytest.approx([5.5 / 51, 0.5 / 51])
    assert rates.right.mean(axis=0) == pytest.approx([45.5 / 51, 50.5 / 51], abs=0.002)


def test_spreads_are_those_of_a_beta_distribution() -> None:
    rates = drawn(evidence({"a": right(200, 20)}), 20_000)
    assert rates.wrong.std() == pytest.approx((0.1 * 0.9 / 202) ** 0.5, rel=0.03)


def test_what_options_have_in_common_cancels_in_their_difference() -> None:
    """Both err on the same twenty rows, one of them on two more."""
    rates = drawn(evidence({"a": right(200, 20), "b": right(200, 22)}))
    assert (rates.wrong[:, 1] - rates.wrong[:, 0]).std() < 0.5 * rates.wrong.std(axis=0).min()


def test_a_handful_of_right_rows_is_no_certainty() -> None:
    rates = drawn(evidence({"a": right(4, 0)}))
    assert np.quantile(rates.wrong, 0.95) > 0.3


def test_deferred_rows_are_neither_right_nor_wrong() -> None:
    rates = drawn(evidence({"a": [*right(40, 4), *[float("nan")] * 40]}))
    assert rates.deferred.mean() == pytest.approx(0.5, abs=0.01)
    assert rates.wrong.mean() == pytest.approx(4.25 / 81, abs=0.003)


def test_scores_between_0_and_1_are_weighed_row_by_row() -> None:
    score = np.random.default_rng(0).random(300)
    rates = drawn(evidence({"a": score.tolist()}))
    assert rates.wrong.mean() == pytest.approx(1 - score.mean(), abs=0.002)
    assert rates.wrong.std() == pytest.approx(score.std() / 300**0.5, rel=0.1)


def test_rows_of_a_cluster_count_as_one_draw() -> None:
    """Twenty customers with ten equal rows each."""
    score = np.repeat(right(20, 5), 10).tolist()
    clusters = tuple(f"c{at // 10}" for at in range(200))
    together = drawn(evidence({"a": score}, clusters=clusters)).wrong.std()
    apart = drawn(evidence({"a": score})).wrong.std()
    assert together == pytest.approx(apart * 10**0.5, rel=0.1)


def test_errors_weigh_what_their_row_says() -> None:
    found = evidence({"a": right(100, 10)})
    weight = np.where(np.arange(100) < 10, 3.0, 1.0)
    rates = draw_rates(joint_table(list(found.options.values()), weight, None), 2000, np.random.default_rng(0))
    assert rates.wrong.mean() == pytest.approx((30 + 0.5 * weight.mean()) / 101)
