"""Cutting rows in two: disjoint, complete, the same for the same seed, and fair to labels, groups and time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Literal

import pytest

from tasklift.data.split import sample, split_dataset
from tasklift.dataset import Dataset, Example, text_key
from tasklift.errors import DataError

By = Literal["label", "group", "time"]
WAYS: tuple[By, ...] = ("label", "group", "time")


@pytest.fixture
def rows() -> Dataset:
    """300 rows: three labels of unequal size, 40 customers, one row an hour in no order."""
    labels = ["often"] * 200 + ["seldom"] * 90 + ["rare"] * 10
    return Dataset(
        tuple(
            Example(
                f"id{n}",
                {"text": f"message number {n}"},
                label,
                group=f"customer {n * n % 40}",
                time=f"2026-{1 + n * 7 % 12:02}-{1 + n * 11 % 28:02}T{n % 24:02}:00:00Z",
            )
            for n, label in enumerate(labels)
        ),
        name="rows",
    )


def ids(data: Dataset) -> list[str]:
    return [row.id for row in data]


def built(make: Callable[[int], Example], count: int) -> Dataset:
    return Dataset(tuple(make(n) for n in range(count)), name="few")


@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.7, 0.95])
def test_no_row_is_lost_and_none_is_on_both_sides(rows: Dataset, by: By, share: float) -> None:
    first, second = split_dataset(rows, share, by)
    assert set(ids(first)).isdisjoint(ids(second))
    assert sorted(ids(first) + ids(second)) == sorted(ids(rows))
    assert abs(len(first) / len(rows) - share) < 0.06


@pytest.mark.parametrize("by", WAYS)
def test_rows_keep_their_order(rows: Dataset, by: By) -> None:
    for part in split_dataset(rows, 0.6, by):
        assert ids(part) == [name for name in ids(rows) if name in set(ids(part))]


@pytest.mark.parametrize("by", WAYS)
def test_the_same_seed_gives_the_same_cut(rows: Dataset, by: By) -> None:
    assert ids(split_dataset(rows, 0.6, by, seed=7)[0]) == ids(split_dataset(rows, 0.6, by, seed=7)[0])


@pytest.mark.parametrize("by", ["label", "group"])
def test_another_seed_gives_another_cut(rows: Dataset, by: By) -> None:
    assert ids(split_dataset(rows, 0.6, by, seed=7)[0]) != ids(split_dataset(rows, 0.6, by, seed=8)[0])


def test_the_mix_of_labels_is_kept(rows: Dataset) -> None:
    first, second = split_dataset(rows, 0.7)
    assert Counter(first.outputs) == {"often": 140, "seldom": 63, "rare": 7}
    assert Counter(second.outputs) == {"often": 60, "seldom": 27, "rare": 3}


def test_the_order_of_the_file_does_not_decide(rows: Dataset) -> None:
    turned = Dataset(rows.examples[::-1])
    assert set(ids(split_dataset(rows, 0.7)[0])) == set(ids(split_dataset(turned, 0.7)[0]))


def test_a_label_with_one_row_goes_to_the_first_part() -> None:
    data = built(lambda n: Example(str(n), {"text": f"t{n}"}, "lonely" if n == 3 else "common"), 20)
    for seed in range(5):
        assert "3" in ids(split_dataset(data, 0.2, seed=seed)[0])


def test_equal_texts_stay_together() -> None:
    data = built(lambda n: Example(str(n), {"text": f"Text  {n % 10}" if n % 2 else f"text {n % 10}"}, "x"), 60)
    first, second = split_dataset(data, 0.5)
    assert {text_key(row.input) for row in first}.isdisjoint(text_key(row.input) for row in second)


def test_equal_texts_stay_together_even_when_their_labels_differ() -> None:
    data = built(lambda n: Example(str(n), {"text": f"text {n // 2}"}, "red" if n % 2 else "blue"), 60)
    first, second = split_dataset(data, 0.5)
    assert {text_key(row.input) for row in first}.isdisjoint(text_key(row.input) for row in second)


@pytest.mark.parametrize("seed", range(10))
def test_a_group_is_never_on_both_sides(rows: Dataset, seed: int) -> None:
    first, second = split_dataset(rows, 0.6, "group", seed)
    assert {row.group for row in first}.isdisjoint(row.group for row in second)


@pytest.mark.parametrize("groups", [2, 3, 4])
@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_few_large_groups_can_still_be_cut(groups: int, share: float) -> None:
    data = built(lambda n: Example(str(n), {"text": f"t{n}"}, "x", group=str(n % groups)), 12 * groups)
    first, second = split_dataset(data, share, "group")
    assert {row.group for row in first}.isdisjoint(row.group for row in second)


def test_rows_without_a_group_are_groups_of_one() -> None:
    data = built(lambda n: Example(str(n), {"text": f"t{n}"}, "x", group="anna" if n < 5 else None), 50)
    first, second = split_dataset(data, 0.5, "group")
    assert len({row.group for row in first} & {row.group for row in second} - {None}) == 0
    assert None in {row.group for row in first} & {row.group for row in second}


def test_one_group_alone_cannot_be_cut() -> None:
    data = built(lambda n: Example(str(n), {"text": f"t{n}"}, "x", group="anna"), 10)
    with pytest.raises(DataError, match=r"few: 10 rows are too few to be cut at share=0.7 by group"):
        split_dataset(data, 0.7, "group")


def test_by_time_the_past_comes_first(rows: Dataset) -> None:
    first, second = split_dataset(rows, 0.7, "time")
    assert max(str(row.time) for row in first) <= min(str(row.time) for row in second)


def test_time_zones_are_understood() -> None:
    times = ["2026-05-01T12:00:00+09:00", "2026-05-01T04:00:00Z", "2026-05-01", "2026-05-01T02:00:00-05:00"]
    data = built(lambda n: Example(str(n), {"text": f"t{n}"}, "x", time=times[n]), 4)
    first, second = split_dataset(data, 0.5, "time")
    assert (ids(first), ids(second)) == (["0", "2"], ["1", "3"])


def test_missing_times_are_named() -> None:
    data = built(lambda n: Example(str(n), {"text": f"t{n}"}, "x", time=None if n in (2, 4) else "2026-05-01"), 6)
    with pytest.raises(DataError, match="few: a split by time needs `time` on every row; missing on 2, 4"):
        split_dataset(data, 0.5, "time")


@pytest.mark.parametrize("time", ["yesterday", "31.05.2026", "2026-13-01"])
def test_a_time_in_another_format_is_named(time: str) -> None:
    data = built(lambda n: Example(str(n), {"text": f"t{n}"}, "x", time=time if n == 4 else "2026-05-01"), 6)
    with pytest.raises(DataError, match=f"row 4: time '{time}' is not ISO 8601; write it like 2026-05-31"):
        split_dataset(data, 0.5, "time")


@pytest.mark.parametrize("share", [0, 1, -0.5, 1.5, float("nan")])
def test_a_share_that_leaves_one_side_empty_is_refused(rows: Dataset, share: float) -> None:
    with pytest.raises(DataError, match=f"share={share} must lie between 0 and 1, both excluded"):
        split_dataset(rows, share)


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("by", WAYS)
def test_too_few_rows_are_refused(count: int, by: By) -> None:
    data = built(lambda n: Example(str(n), {"text": f"t{n}"}, "x", time="2026-05-01"), count)
    with pytest.raises(DataError, match=f"few: {count} rows are too few to be cut at share=0.5 by {by}"):
        split_dataset(data, 0.5, by)


def test_a_sample_keeps_mix_and_order(rows: Dataset) -> None:
    some = sample(rows, 60, seed=1, stratum=repr)
    assert Counter(some.outputs) == {"often": 40, "seldom": 18, "rare": 2}
    assert ids(some) == [name for name in ids(rows) if name in set(ids(some))]
    assert ids(sample(rows, 60, seed=1, stratum=repr)) == ids(some)
    assert ids(sample(rows, 60, seed=2, stratum=repr)) != ids(some)


def test_a_sample_is_never_larger_than_asked_for(rows: Dataset) -> None:
    assert [len(sample(rows, size, stratum=repr)) for size in (1, 7, 299, 300, 5000)] == [1, 7, 299, 300, 300]


def test_a_larger_sample_holds_the_smaller_one(rows: Dataset) -> None:
    assert set(ids(sample(rows, 30, stratum=repr))) < set(ids(sample(rows, 90, stratum=repr)))
