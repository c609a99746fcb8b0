"""Learning curves: nested, resumable, crossed with both certainties, drawn, and used by a decision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from made_up import evidence

from tasklift.data.split import sample, split_dataset
from tasklift.dataset import Dataset
from tasklift.errors import DataError, StrategyError
from tasklift.measure.curve.crossing import cross
from tasklift.measure.curve.plot import picture, told
from tasklift.measure.curve.points import (
    Curve,
    Point,
    checked_sizes,
    curve_path,
    default_sizes,
    read_curve,
    with_curves,
    write_curve,
)
from tasklift.measure.curve.run import Plan, measure_curve
from tasklift.measure.judged import corrected
from tasklift.task import Task

SIZES = (50, 100, 200, 400)


def made(tuned: tuple[float, ...], prompted: float, rows: int = 2000, sd: float = 0.0) -> Curve:
    """A tuned strategy with these accuracies at `SIZES`, and a prompt with the same everywhere; three seeds."""
    draw, points = np.random.default_rng(0), []

    def right(accuracy: float) -> str:
        count = round(rows * min(max(accuracy, 0), 1))
        return "1" * count + "0" * (rows - count)

    for seed in range(3):
        for size, accuracy in zip(SIZES, tuned, strict=True):
            points.append(Point("encoder", "finetune", size, seed, right(accuracy + sd * draw.standard_normal())))
            points.append(Point("fewshot", "prompt", size, seed, right(prompted + sd * draw.standard_normal())))
    return Curve("made", "x", tuple(points))


def test_a_crossing_between_two_sizes_is_found_there() -> None:
    found = cross(made((0.5, 0.6, 0.8, 0.9), 0.7), "encoder", "fewshot")
    assert found.average.labels == pytest.approx(141, rel=0.05)  # halfway on the logarithmic axis
    assert found.average.low is not None
    assert found.average.low <= found.average.labels
    assert found.average.never == 0


def test_surely_needs_more_labels_where_runs_vary() -> None:
    found = cross(made((0.5, 0.6, 0.7, 0.8), 0.6, sd=0.03), "encoder", "fewshot")
    assert found.average.labels is not None
    assert found.sure.labels is None or found.sure.labels > found.average.labels


def test_what_never_crosses_is_said_to_be_out_of_reach() -> None:
    found = cross(made((0.5, 0.52, 0.53, 0.53), 0.9), "encoder", "fewshot")
    assert found.average.labels is None
    assert found.average.never > 0.9
    assert "not within" in told(found.average)


def test_ahead_from_the_fewest_labels_on_is_told_as_such_and_bounded() -> None:
    found = cross(made((0.75, 0.8, 0.85, 0.87), 0.6, rows=100, sd=0.02), "encoder", "fewshot")
    for one in (found.average, found.sure):  # what was measured decides; lines extended beyond it have no say
        assert told(one) == "from 50 or fewer labels on (90%: 50 or fewer to 50 or fewer)"
        assert one.never == 0


def test_behind_at_the_largest_size_is_looked_for_beyond() -> None:
    found = cross(made((0.40, 0.50, 0.59, 0.66), 0.7), "encoder", "fewshot").average
    assert found.labels is not None
    assert found.low is not None
    assert SIZES[-1] < found.low <= found.labels


def test_the_picture_is_one_self_contained_svg() -> None:
    curve = made((0.5, 0.6, 0.8, 0.9), 0.7)
    drawn = picture(replace(curve, task="a <b> & c"), [cross(curve, "encoder", "fewshot")])
    root = ElementTree.fromstring(drawn)
    assert root.tag.endswith("svg")
    assert "href" not in drawn
    assert "encoder over fewshot, on average" in drawn


def test_a_curve_is_measured_on_nested_subsets_and_goes_on(tmp_path: Path, colours: Task, colour_rows: Dataset) -> None:
    train, test = split_dataset(colour_rows, 0.7)
    plan = Plan(("baseline",), (12, 24, 42), (0, 1), {})
    some = measure_curve(colours, train, test, replace(plan, sizes=(12,)), tmp_path)
    told_: list[str] = []
    whole = measure_curve(colours, train, test, plan, tmp_path, told_.append)
    assert len(some.points) == 2
    assert len(told_) == 4
    assert read_curve(curve_path(tmp_path, "colours")) == whole
    assert measure_curve(colours, train, test, plan, tmp_path, told_.append) == whole
    assert len(told_) == 4
    small, large = (set(sample(train, size, 1, stratum=repr).keys) for size in (12, 24))
    assert small < large


def test_a_size_too_small_for_a_strategy_is_told_and_left_out(
    tmp_path: Path, colours: Task, colour_rows: Dataset
) -> None:
    train, test = split_dataset(colour_rows, 0.7)
    told_: list[str] = []
    plan = Plan(("baseline", "majority"), (3, 24), (0,), {})
    found = measure_curve(colours, train, test, plan, tmp_path, told_.append)
    assert [(p.strategy, p.labels) for p in found.points] == [("baseline", 24), ("majority", 3), ("majority", 24)]
    assert "baseline, 3 labels, seed 0: left out: 3 training rows leave none to validate on" in told_[0]
    with pytest.raises(StrategyError, match="3 training rows leave none"):
        measure_curve(colours, train, test, replace(plan, sizes=(3,)), tmp_path / "other")


def test_curves_are_compared_from_where_both_are_known() -> None:
    curve = made((0.75, 0.8, 0.85, 0.9), 0.6)
    late = replace(curve, points=tuple(p for p in curve.points if p.strategy == "fewshot" or p.labels > 50))
    assert cross(late, "encoder", "fewshot").average.least == 100


def test_other_test_rows_begin_a_new_curve(tmp_path: Path, colours: Task, colour_rows: Dataset) -> None:
    train, test = split_dataset(colour_rows, 0.7)
    plan = Plan(("baseline",), (24,), (0,), {})
    measure_curve(colours, train, test, plan, tmp_path)
    assert len(measure_curve(colours, train, sample(test, 9, stratum=repr), plan, tmp_path).points) == 1


def test_a_decision_counts_with_the_curve_of_what_was_not_tried_in_full(tmp_path: Path) -> None:
    write_curve(replace(made((0.5, 0.6, 0.8, 0.9), 0.7), task="made"), curve_path(tmp_path, "made"))
    seen = evidence({"fewshot": [1.0, 0.0, 1.0]}, task="made")
    found = with_curves(seen, tmp_path)
    assert [point.labels for point in found.curves["encoder"]] == list(SIZES)
    assert found.curves["encoder"][-1].error == pytest.approx(0.1, abs=0.01)
    assert len(found.options["fewshot"].curve) == 4
    assert "learning curve" in found.provenance
    assert with_curves(seen, tmp_path / "nowhere") is seen
    option = seen.options["fewshot"]
    _, judge = corrected("fewshot", option.score, option.score, np.zeros(3, dtype=bool))
    judged = replace(seen, options={"fewshot": replace(option, judge=judge)})
    assert with_curves(judged, tmp_path) is judged  # a curve goes by the task's rule, a judge does not


def test_a_damaged_curve_is_named(tmp_path: Path) -> None:
    path = curve_path(tmp_path, "made")
    path.parent.mkdir(parents=True)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="damaged"):
        read_curve(path)


def test_sizes_are_halves_of_all_rows_and_no_more_than_there_are() -> None:
    assert default_sizes(1400, 17) == [88, 175, 350, 700, 1400]
    assert default_sizes(20, 17) == [20]
    with pytest.raises(DataError, match="there are 10 training rows"):
        checked_sizes([5, 50], 10)
