"""A candidate against the reference as plain fields, held against the noise floor where an A/A run gave one."""

from __future__ import annotations

import dataclasses
from typing import Any

from tasklift.measure.evaluation import Evaluation
from tasklift.measure.noise import floor_between


def against_reference(evaluation: Evaluation, name: str) -> dict[str, Any] | None:
    """`rows`, `difference`, `p`, `p_holm`, `noise_floor` and `within_noise` (null without an A/A run); None for
    the reference itself."""
    found = evaluation.comparisons.get(name)
    if found is None:
        return None
    floor = floor_between(evaluation.noise, name, evaluation.reference)
    within = None if floor is None else abs(found.difference.value) <= floor
    return {**dataclasses.asdict(found), "noise_floor": floor, "within_noise": within}
