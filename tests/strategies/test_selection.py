"""Which rows become examples: nearest, diverse, balanced, and never beyond the budget."""

from __future__ import annotations

import numpy as np
import pytest

from tasklift.strategies.selection import Found, Picker, select, within_budget

#: Angles to the text (degrees): the first two are nearly the same row, the third lies on the other side.
ANGLES = np.deg2rad([20.0, 21.0, -22.0, 23.0, 60.0])
FOUND = Found(
    rows=np.array([10, 11, 12, 13, 14]),
    similarity=np.cos(ANGLES),
    vectors=np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32),
    labels=np.array([0, 0, 1, 0, 2]),
)


def test_nearest_takes_the_first() -> None:
    assert select(FOUND, "nearest", 3) == [0, 1, 2]


def test_diverse_takes_no_row_that_says_the_same_as_one_before() -> None:
    assert select(FOUND, "diverse", 2) == [0, 2]
    assert sorted(select(FOUND, "diverse", 9)) == [0, 1, 2, 3, 4]


def test_balanced_takes_the_nearest_of_each_label_first() -> None:
    assert select(FOUND, "balanced", 3) == [0, 2, 4]
    assert select(FOUND, "balanced", 4) == [0, 2, 4, 1]


def test_a_budget_leaves_out_what_is_too_long_and_takes_the_next() -> None:
    assert within_budget([0, 1, 2], ["a" * 30, "b" * 300, "c" * 30], most_tokens=50) == [0, 2]
    assert within_budget([0, 1], ["a" * 30, "b" * 300], most_tokens=0) == [0, 1]


@pytest.mark.parametrize("how", ["nearest", "diverse", "balanced"])
def test_picked_rows_are_shown_with_the_nearest_last(how: str) -> None:
    picker = Picker(count=3, pool=5, how=how, most_tokens=0, chars=400)
    rows = picker.pick(FOUND, [str(at) for at in range(20)])
    assert rows == sorted(rows, reverse=True)
    assert rows[-1] == 10
