"""An A/A run: how far two runs of one option lie apart, and what a difference is worth beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasklift.errors import DataError
from tasklift.measure.noise import floor_between, floor_of_pair, noise_floor, read_floors, write_floors

RNG = np.random.default_rng(7)


def two_runs(rows: int, flips: float, accuracy: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Two runs of an option that answers some rows at random: [rows] each."""
    steady = (RNG.random(rows) < accuracy).astype(float)
    shaky = RNG.random(rows) < flips
    runs = [np.where(shaky, RNG.random(rows) < 0.5, steady).astype(float) for _ in range(2)]
    return runs[0], runs[1]


def test_two_more_runs_differ_by_more_than_the_floor_once_in_twenty_times_at_most() -> None:
    beyond = 0
    for _ in range(600):
        first, second = two_runs(300, 0.2)
        third, fourth = two_runs(300, 0.2)
        beyond += abs((fourth - third).mean()) > noise_floor("asked again", first, second, first == second).floor
    assert beyond / 600 <= 0.06  # 5%, and the error of 600 trials


def test_what_never_changes_has_no_floor_and_what_might_has_one() -> None:
    right = np.ones(100)
    same = np.ones(100, dtype=bool)
    assert noise_floor("asked again", right, right, same, exact=True).floor == 0
    assert 0 < noise_floor("asked again", right, right, same).floor < 0.04


def test_the_floor_is_never_below_the_difference_that_was_seen() -> None:
    first = np.ones(200)
    second = np.where(np.arange(200) < 30, 0.0, 1.0)
    found = noise_floor("made again with another seed", first, second, first == second)
    assert found.floor == pytest.approx(0.15)
    assert found.difference.value == pytest.approx(-0.15)
    assert found.difference.low < -0.15 < found.difference.high


def test_rows_left_to_a_person_in_one_of_the_runs_do_not_count() -> None:
    first, second = np.array([1.0, 0.0, np.nan]), np.array([1.0, np.nan, 1.0])
    found = noise_floor("asked again", first, second, np.array([True, False, False]))
    assert (found.rows, found.agreement.value) == (1, pytest.approx(1 / 3))
    nobody = noise_floor("asked again", np.full(3, np.nan), second, np.zeros(3, dtype=bool))
    assert (nobody.rows, nobody.floor) == (0, 1.0)


def test_the_floor_of_a_pair_lies_between_those_of_its_options() -> None:
    assert floor_of_pair(0.02, 0.02) == pytest.approx(0.02)
    assert floor_of_pair(0.0, 0.02) == pytest.approx(0.02 / 2**0.5)
    assert floor_of_pair(None, 0.02) is None


def test_floors_are_kept_beside_the_evaluation_and_damage_is_named(tmp_path: Path) -> None:
    right = np.ones(50)
    found = {name: noise_floor("asked again", right, right, right == 1) for name in ("a", "b")}
    write_floors(tmp_path, "abc", found)
    assert read_floors(tmp_path) == found
    assert floor_between(found, "a", "b") == pytest.approx(found["a"].floor)
    (tmp_path / "noise_floor.json").write_text("{")
    with pytest.raises(DataError, match=r"noise_floor.json: damaged"):
        read_floors(tmp_path)
    assert read_floors(tmp_path / "elsewhere") == {}
