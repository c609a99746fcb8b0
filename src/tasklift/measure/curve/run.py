"""Measuring a learning curve: nested subsets, several seeds, several wordings; every point is kept as it comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tasklift.data.split import sample
from tasklift.dataset import Dataset, refuse_leakage
from tasklift.errors import ArtifactError, StrategyError
from tasklift.measure.curve.points import Curve, Point, curve_path, read_curve, write_curve
from tasklift.measure.metrics import right_of
from tasklift.prediction import Prediction
from tasklift.strategies.build import build
from tasklift.strategies.fitting import fit_or_load
from tasklift.strategies.recipe import Recipe
from tasklift.strategy import Candidate, Context, Strategy
from tasklift.task import Task

#: Wordings of an instruction that mean the same: how a prompt is put is part of what a prompt's figure depends on.
WORDINGS = (
    "{instruction}",
    "{instruction} Choose the one label that fits best.",
    "Read the text with care. {instruction}",
    "Your job: {instruction}",
    "{instruction} Think of what the writer wants.",
)


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        strategies: names.
        sizes: training rows.
        seeds: each draws its own nested subsets, and is the strategy's seed where it has one.
        parameters: strategy -> parameters that differ from the defaults.
        model: what prompted strategies ask.
        embedder: for every strategy that has one and is given none.
    """

    strategies: tuple[str, ...]
    sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    parameters: Mapping[str, Mapping[str, Any]]
    model: str | None = None
    embedder: str | None = None


def measure_curve(
    task: Task,
    train: Dataset,
    test: Dataset,
    plan: Plan,
    state: Path,
    report: Callable[[str], None] = lambda line: None,
) -> Curve:
    """Measure what is missing, and return all points of these test rows.

    A subset of one seed holds the smaller ones of that seed. A strategy that looks at no row has one point a wording,
    with 0 labels. Fits, answers and points are kept, so that a stopped run goes on. A subset that a strategy cannot be
    fitted to (too few rows a label, say) is reported and left out.

    Args:
        state: `.tasklift` of the project; everything of the curve is kept in `curves` below it.

    Raises:
        StrategyError: a strategy could not be fitted to any of its subsets.
        DataError: the disk refused.
    """
    path = curve_path(state, task.name)
    curve = _begun(path, task, test)
    for seed in plan.seeds:
        for name in plan.strategies:
            strategy = _made(name, plan, seed)
            needs_rows = strategy.needs_rows if isinstance(strategy, Recipe) else True
            refused: StrategyError | None = None
            for size in plan.sizes if needs_rows else (0,):
                if _has(curve, name, size, seed):
                    continue
                subset = sample(train, size, seed, stratum=task.output.stratum) if needs_rows else train
                try:
                    found = _point(_worded(task, seed), (name, strategy), subset, test, state)
                except ArtifactError:
                    raise  # damaged or missing: the number of rows is not the reason
                except StrategyError as error:
                    refused = error
                    report(f"{name}, {size} labels, seed {seed}: left out: {error}")
                    continue
                point = replace(found, labels=size, seed=seed)
                curve = replace(curve.with_point(point), at=time.strftime("%Y-%m-%dT%H:%M:%S"))
                write_curve(curve, path)
                report(f"{name}, {size} labels, seed {seed}: {point.accuracy:.1%}")
            if refused and not any(_has(curve, name, size, seed) for size in plan.sizes):
                raise refused
    return curve


def _begun(path: Path, task: Task, test: Dataset) -> Curve:
    """The points that are known of this task and these test rows; none where others were measured."""
    rows = f"{task.content_hash[:16]}:{test.content_hash[:16]}"
    known = read_curve(path)
    return known if known is not None and known.rows == rows else Curve(task.name, rows)


def _has(curve: Curve, name: str, size: int, seed: int) -> bool:
    return any((p.strategy, p.labels, p.seed) == (name, size, seed) for p in curve.points)


def _made(name: str, plan: Plan, seed: int) -> Strategy:
    given = dict(plan.parameters.get(name, {}))
    made = build([name], {**plan.parameters, name: given}, plan.model, plan.embedder)[name]
    if hasattr(made, "seed") and "seed" not in given:
        made = build([name], {**plan.parameters, name: {**given, "seed": seed}}, plan.model, plan.embedder)[name]
    return made


def _worded(task: Task, seed: int) -> Task:
    """The task with the wording of a seed; what learns from rows alone sees no difference."""
    wording = WORDINGS[seed % len(WORDINGS)].format(instruction=task.instruction)
    return task.model_copy(update={"instruction": wording})


def _point(task: Task, made: tuple[str, Strategy], subset: Dataset, test: Dataset, state: Path) -> Point:
    """Fit, or find fitted, and answer: no latency is timed here, so a point costs no more than its answers."""
    name, strategy = made
    refuse_leakage(subset.keys, test, name)
    candidate = fit_or_load(strategy, task, subset, state / "curves", lambda line: None)
    predictions = asyncio.run(_answers(candidate, test))
    right = np.nan_to_num(right_of(predictions, test.outputs, task))
    cpu_s = candidate.setup.cpu_s + sum(one.usage.cpu_s for one in predictions)
    told = "".join("1" if one >= 0.5 else "0" for one in right)
    return Point(name, candidate.family, 0, 0, told, round(cpu_s, 2))


async def _answers(candidate: Candidate, test: Dataset) -> list[Prediction]:
    try:
        answers: list[Prediction] = []
        for begin in range(0, len(test), candidate.traits.batch_size):
            answers += await candidate.predict(test.inputs[begin : begin + candidate.traits.batch_size], Context())
        return answers
    finally:
        await candidate.aclose()


def families(curve: Curve) -> dict[str, str]:
    """Strategy -> family."""
    return {point.strategy: point.family for point in curve.points}


def pairs_to_cross(curve: Curve) -> list[tuple[str, str]]:
    """(tuned, prompted) strategies of a curve, to be asked where the first overtakes the second."""
    kind = families(curve)
    tuned: Sequence[str] = [name for name, family in kind.items() if family in ("finetune", "layered")]
    prompted = [name for name, family in kind.items() if family == "prompt"]
    return [(one, other) for one in tuned for other in prompted]
