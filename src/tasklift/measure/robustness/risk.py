"""What can go wrong, measured: how far accuracy hangs on a seed or a wording, and how long going back takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tasklift.data.split import sample, split_dataset
from tasklift.dataset import Dataset
from tasklift.errors import ArtifactError, StrategyError
from tasklift.measure.robustness.flexibility import JUDGE_ROWS, JUDGED, LEARN_ROWS, accuracy_on
from tasklift.measure.robustness.variants import prompt_changes
from tasklift.strategies.fitting import load_candidate
from tasklift.strategy import Context, Strategy
from tasklift.task import Task

SEEDS = 3


@dataclass(frozen=True)
class Risk:
    """One option.

    Attributes:
        by_seed: accuracies with unlike seeds; () where it has no seed.
        by_wording: accuracies with unlike wordings of its prompt; () where it has none.
        roll_back_s: seconds from nothing to the first answer of a stored candidate; None: none is stored.
    """

    by_seed: tuple[float, ...]
    by_wording: tuple[float, ...]
    roll_back_s: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain fields, with the standard deviations in points."""
        return {**asdict(self), "seed_sd": spread_of(self.by_seed), "wording_sd": spread_of(self.by_wording)}


def spread_of(accuracies: tuple[float, ...]) -> float | None:
    """Standard deviation; None of fewer than two."""
    return float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None


def risks(
    task: Task, strategies: Mapping[str, Strategy], train: Dataset, state: Path | None, seed: int = 0
) -> dict[str, Risk]:
    """Every option, fitted and judged on rows cut from the training rows.

    Args:
        state: `.tasklift`, with the candidates that an evaluation left there.
    """
    stratum = task.output.stratum
    learn, judge = split_dataset(train, 1 - JUDGED, by="label", seed=seed, stratum=stratum)
    learn = sample(learn, LEARN_ROWS, seed, stratum=stratum)
    judge = sample(judge, JUDGE_ROWS, seed, stratum=stratum)
    found = {}
    for name, strategy in strategies.items():
        place = state / "artifacts" / strategy.fingerprint(task, train) if state else None
        try:
            by_seed, by_wording = _by_seed(strategy, task, learn, judge), _by_wording(strategy, task, learn, judge)
        except StrategyError:
            by_seed, by_wording = (), ()
        found[name] = Risk(by_seed, by_wording, roll_back_s(place, judge))
    return found


def _by_seed(strategy: Strategy, task: Task, learn: Dataset, judge: Dataset) -> tuple[float, ...]:
    if "seed" not in _parameters(strategy):
        return ()
    recipe: Any = strategy
    found = []
    for seed in range(SEEDS):
        candidate = replace(recipe, seed=seed).fit(task, learn)
        found.append(accuracy_on(candidate, judge))
        asyncio.run(candidate.aclose())
    return tuple(found)


def _by_wording(strategy: Strategy, task: Task, learn: Dataset, judge: Dataset) -> tuple[float, ...]:
    if not {"user", "prompt"} & _parameters(strategy):
        return ()
    candidate = strategy.fit(task, learn)
    worded = prompt_changes(candidate).get("wording", [])
    found = [accuracy_on(one, judge) for one in (candidate, *(other for _, other in worded))] if worded else []
    asyncio.run(candidate.aclose())
    return tuple(found)


def _parameters(strategy: Strategy) -> set[str]:
    return set(getattr(strategy, "__dataclass_fields__", {}))


def roll_back_s(place: Path | None, rows: Dataset) -> float | None:
    """Seconds to load a stored candidate and have its first answer: what a rollback takes."""
    if place is None or not place.exists():
        return None
    begin = time.perf_counter()
    try:
        candidate = load_candidate(place)
    except ArtifactError:
        return None
    asyncio.run(candidate.predict(rows.inputs[:1], Context()))
    took = time.perf_counter() - begin
    asyncio.run(candidate.aclose())
    return took
