"""Evidence and economics made up for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tasklift.economics import Economics
from tasklift.measure.evidence import Evidence, OptionEvidence
from tasklift.measure.results import family_of
from tasklift.prediction import Usage
from tasklift.strategy import Resources


def option(name: str, score: Sequence[float], **rest: Any) -> OptionEvidence:
    """An option with these scores; NaN where a person answers. Items cost nothing unless said otherwise."""
    values = np.array(score, dtype=float)
    known = {"usage": Usage(), "setup": Resources(), "failed": np.zeros(len(values), dtype=bool)} | rest
    return OptionEvidence(name, family_of(name), values, np.isnan(values), **known)


def evidence(scores: Mapping[str, Sequence[float]], **rest: Any) -> Evidence:
    """Options with these scores on the same rows."""
    options = {name: option(name, score, **rest.pop(name, {})) for name, score in scores.items()}
    rows = len(next(iter(scores.values())))
    known = {"expected": (None,) * rows, "slices": ({},) * rows} | rest
    return Evidence("made up", tuple(f"row {at}" for at in range(rows)), options, **known)


def right(rows: int, wrong: int, first: int = 0) -> list[float]:
    """1 for all rows but `wrong` of them from row `first` on."""
    return [0.0 if first <= at < first + wrong else 1.0 for at in range(rows)]


def economics(**changed: Any) -> Economics:
    """10,000 items a month, 1 USD an error, 0.4 USD a review."""
    return Economics.model_validate({"items_per_month": 10_000, "error_usd": 1.0, "review_usd": 0.4} | changed)


def about(middle: float, factor: float = 2.0) -> dict[str, float]:
    """An uncertain amount."""
    return {"p10": middle / factor, "p50": middle, "p90": middle * factor}
