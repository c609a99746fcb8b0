"""Leads that rest on a difference of accuracy which an A/A run reaches by chance: said so, and no win.

Where two options are as accurate as far as the noise floor can tell, they are compared at equal accuracy: by all
that they cost but wrong answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tasklift.measure.deciding.yearly import OptionDraws, Shared
from tasklift.measure.evidence import Evidence
from tasklift.measure.noise import floor_of_pair


@dataclass(frozen=True)
class Held:
    """The accuracies of two options, held against their noise floor.

    Attributes:
        difference: accuracy of the first less that of the second, on rows that both answered.
        floor: difference that chance alone reaches.
        within_noise: the difference is no larger.
    """

    difference: float
    floor: float
    within_noise: bool

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return {key: round(v, 6) if isinstance(v, float) else v for key, v in asdict(self).items()}


def held(evidence: Evidence, first: str, second: str) -> Held | None:
    """None where one of the two has no rows, or was not run twice."""
    options = [evidence.options.get(name) for name in (first, second)]
    one, other = options
    if one is None or other is None:
        return None
    floor = floor_of_pair(one.noise_floor, other.noise_floor)
    both = one.answered & other.answered
    if floor is None or not both.any():
        return None
    difference = float((one.score - other.score)[both].mean())
    return Held(difference, floor, abs(difference) <= floor)


def pairs_within_noise(evidence: Evidence, names: Sequence[str]) -> frozenset[tuple[str, str]]:
    """Pairs of options, both ways round, whose accuracies lie within noise."""
    found = {(a, b): held(evidence, a, b) for a in names for b in names if a != b}
    return frozenset(pair for pair, one in found.items() if one is not None and one.within_noise)


def error_usd(draws: OptionDraws, shared: Shared) -> float:
    """Mean yearly cost of the option's own wrong answers."""
    uncaught = draws.wrong * (1 - draws.review_share * shared.reviewer_accuracy)
    return float(np.mean(shared.items_per_year * uncaught * shared.error_usd))


def fair_lead(
    lead: str, expected_usd: Mapping[str, float], errors_usd: Mapping[str, float], noise: frozenset[tuple[str, str]]
) -> str:
    """The lead, or the option as accurate as it, as far as noise can tell, that costs least at equal accuracy."""
    equal = [lead, *(name for name in expected_usd if (lead, name) in noise)]
    return min(equal, key=lambda name: expected_usd[name] - errors_usd[name])
