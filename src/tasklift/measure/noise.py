"""An A/A run, the same option twice on the same rows: how far two runs of one option lie apart by chance alone.

Every difference between options is held against it: one that is no larger is within noise, and is no win.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tasklift.errors import DataError
from tasklift.stats.intervals import Interval, wilson
from tasklift.whole import write_whole

#: Two-sided: so rarely is the difference of two runs of one option larger than its floor.
LEVEL = 0.05


@dataclass(frozen=True)
class NoiseFloor:
    """What a second run of one option showed.

    Attributes:
        how: how it came about: asked again past every cache, or made again with another seed.
        rows: rows that both runs answered.
        agreement: share of rows with the same answer, or the same person's turn.
        difference: accuracy of the second run less that of the first.
        floor: difference of accuracy that two runs of this option reach by chance, as a share.
    """

    how: str
    rows: int
    agreement: Interval
    difference: Interval
    floor: float

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> NoiseFloor:
        """Back from plain fields."""
        intervals = {name: Interval(**row[name]) for name in ("agreement", "difference")}
        return cls(**{**row, **intervals})


def noise_floor(
    how: str, first: NDArray[np.float64], second: NDArray[np.float64], same: NDArray[np.bool_], exact: bool = False
) -> NoiseFloor:
    """From both runs.

    What a row's score moves by falls either way with even odds, so the difference of the means of two runs has the
    standard deviation sqrt(sum of squared moves) / n; one row more for either side (Bonett and Price 2012)
    keeps a few rows without a change from saying "never". The floor is never below the difference that was
    seen: chance that moves many rows at once, such as that of a seed, shows there.

    Args:
        first: [rows] score, 0 to 1; NaN where a person answers.
        second: the same of the second run.
        same: [rows] equal answers.
        exact: the option calls itself deterministic, so that no change at all is a floor of 0.
    """
    moves = (second - first)[~np.isnan(first) & ~np.isnan(second)]
    agreement = wilson(float(same.sum()), len(same))
    rows, z = len(moves), float(ndtri(1 - LEVEL / 2))
    if exact and bool(same.all()):
        return NoiseFloor(how, rows, agreement, Interval(0.0, 0.0, 0.0), 0.0)
    if rows == 0:
        return NoiseFloor(how, 0, agreement, Interval(0.0, -1.0, 1.0), 1.0)
    squares, middle = float(moves @ moves) + 2, float(moves.sum()) / (rows + 2)
    half = z * math.sqrt((squares / (rows + 2) - middle**2) / (rows + 2))
    seen = float(moves.mean())
    floor = max(abs(seen), z * math.sqrt(squares) / (rows + 2))
    return NoiseFloor(how, rows, agreement, Interval(seen, max(middle - half, -1), min(middle + half, 1)), floor)


def floor_of_pair(first: float | None, second: float | None) -> float | None:
    """Difference that two options reach by chance, from what two runs of each of them reach.

    `sqrt((a^2 + b^2) / 2)`: a floor holds the noise of two runs, a difference of options that of one run of each.
    None where one of the two was not run twice.
    """
    return None if first is None or second is None else math.sqrt((first**2 + second**2) / 2)


def floor_between(noise: Mapping[str, NoiseFloor], first: str, second: str) -> float | None:
    """`floor_of_pair` of two options by name."""
    one, other = noise.get(first), noise.get(second)
    return floor_of_pair(one.floor if one else None, other.floor if other else None)


def read_floors(place: Path) -> dict[str, NoiseFloor]:
    """What an A/A run of the evaluation in this folder found; empty where there was none.

    Raises:
        DataError: the file is damaged.
    """
    path = place / "noise_floor.json"
    if not path.exists():
        return {}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["candidates"]
        return {name: NoiseFloor.from_json(row) for name, row in rows.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged ({error}); delete it and run `tasklift evaluate --noise-floor`") from error


def write_floors(place: Path, identity: str, found: Mapping[str, NoiseFloor]) -> None:
    """Keep them beside the evaluation."""
    rows = {name: one.to_json() for name, one in found.items()}
    text = json.dumps({"schema_version": 1, "evaluation": identity, "candidates": rows}, indent=1)
    write_whole(place / "noise_floor.json", text)
