"""The A/A run itself: every candidate of a finished evaluation once more, on all of its rows.

A strategy with a seed is made again with the next one, since that is its chance; any other candidate is asked
again past every cache. Answers are stored as they come, so that a stopped run goes on and nothing is paid twice.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from tasklift.cache import computing_afresh
from tasklift.dataset import Dataset
from tasklift.measure.asking import Asking
from tasklift.measure.evaluation import CandidateResult, Evaluation, Progress, Silent
from tasklift.measure.metrics import right_of
from tasklift.measure.noise import NoiseFloor, noise_floor, write_floors
from tasklift.measure.store import AGAIN, EvaluationFolder
from tasklift.strategies.fitting import fit_or_load
from tasklift.strategy import Strategy

ASKED_AGAIN, MADE_AGAIN = "asked again", "made again with another seed"


def run_again(
    evaluation: Evaluation,
    strategies: Mapping[str, Strategy],
    train: Dataset,
    folder: Path | None,
    progress: Progress | None = None,
    concurrency: int = 64,
) -> dict[str, NoiseFloor]:
    """Candidate -> its noise floor, people left out; kept beside the evaluation where there is a `folder`.

    Args:
        evaluation: with the texts of its rows, as `evaluate` returns it.
        strategies: those that were evaluated.
        train: the rows they were fitted on.
        folder: `.tasklift` of the project; None keeps nothing.
        concurrency: requests under way at once for a hosted model.

    Raises:
        InUseError: another process is at it.
        DataError: the disk refused; what was stored stays.
    """
    place = folder / "evaluations" / evaluation.id if folder else None
    store = EvaluationFolder(place / AGAIN) if place else None
    again = _Again(evaluation, train, folder, store, progress or Silent(), concurrency)
    found: dict[str, NoiseFloor] = {}
    with store.held() if store else nullcontext():
        for result in evaluation.results:
            if result.card.family != "human":
                found[result.name] = asyncio.run(again.floor(result, reseeded(strategies[result.name])))
    if place:
        write_floors(place, evaluation.id, found)
    return found


def reseeded(strategy: Strategy) -> Strategy:
    """The same recipe with the next seed, its stages too; itself where nothing of it has a seed."""
    changed: dict[str, object] = {}
    recipe: Any = strategy
    for field in dataclasses.fields(recipe) if dataclasses.is_dataclass(recipe) else ():
        value = getattr(strategy, field.name)
        if field.name == "seed" and isinstance(value, int):
            changed["seed"] = value + 1
        elif isinstance(value, Strategy) and (stage := reseeded(value)) is not value:
            changed[field.name] = stage
    made: Strategy = dataclasses.replace(recipe, **changed) if changed else strategy
    return made


@dataclasses.dataclass(frozen=True)
class _Again:
    """What all second runs share."""

    evaluation: Evaluation
    train: Dataset
    folder: Path | None
    store: EvaluationFolder | None
    progress: Progress
    concurrency: int

    async def floor(self, result: CandidateResult, strategy: Strategy) -> NoiseFloor:
        """Run one candidate again."""
        rows = self.evaluation.rows

        def tell(what: str, done: int = 0, total: int = 0) -> None:
            self.progress.stage(result.name, what, done, total)

        candidate = await asyncio.to_thread(fit_or_load, strategy, self.evaluation.task, self.train, self.folder, tell)
        how = ASKED_AGAIN if candidate.fingerprint == result.card.fingerprint else MADE_AGAIN
        asking = Asking(
            result.name,
            candidate,
            rows,
            self.concurrency,
            0,
            self.store,
            lambda done: tell("A/A run", done, len(rows)),
            repeat=1,
        )
        try:
            stored = self.store.predictions().get(candidate.fingerprint, {}) if self.store else {}
            with computing_afresh():
                answers = await asking.predictions(stored)
        finally:
            await candidate.aclose()
            if self.store:
                self.store.close()
        before = result.predictions
        same = [(p.output, p.deferred) == (q.output, q.deferred) for p, q in zip(before, answers, strict=True)]
        first, second = (right_of(some, rows.outputs, self.evaluation.task) for some in (before, answers))
        exact = how == ASKED_AGAIN and candidate.traits.deterministic
        return noise_floor(how, first, second, np.array(same), exact)
