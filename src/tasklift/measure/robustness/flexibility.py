"""How much it takes until an option is as good as it can be again after the rules have changed: labels, minutes, money.

Measured on rows cut from the training rows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tasklift.data.split import sample, split_dataset
from tasklift.dataset import Dataset
from tasklift.economics import UnitPrices
from tasklift.errors import DataError, StrategyError
from tasklift.measure.robustness.rule_changes import RuleChange, rule_changes
from tasklift.prediction import Prediction
from tasklift.strategy import Candidate, Context, Strategy
from tasklift.task import Task

#: Numbers of newly labelled rows that are tried, in this order.
STEPS = (0, 5, 10, 20, 50, 100)
#: Back: this close to what the option reaches when every row is labelled under the new rule.
MARGIN = 0.02
#: Rows at most to learn from, and to be judged on.
LEARN_ROWS, JUDGE_ROWS = 800, 200
#: Share of the training rows kept for judging.
JUDGED = 0.3
#: A person's minutes for writing one change into instruction and definitions. An assumption, not measured.
EDIT_MINUTES = 20.0


@dataclass(frozen=True)
class Adapted:
    """One option after one rule change.

    Attributes:
        change: the change in words.
        kind: of the change.
        before: accuracy before it, under the old rule.
        unadapted: accuracy right after it, nothing done; None: it cannot give the new labels at all.
        reachable: accuracy with every row labelled under the new rule.
        steps: labels -> accuracy, as far as was tried.
        labels: fewest newly labelled rows with which it is back; None: not with the most that were tried.
        fit_s: seconds of the last fit.
        minutes: of people: labelling, and writing the change down.
        usd: labels, people and machine.
    """

    change: str
    kind: str
    before: float
    unadapted: float | None
    reachable: float
    steps: Mapping[int, float]
    labels: int | None
    fit_s: float
    minutes: float | None
    usd: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return {**asdict(self), "steps": {str(labels): accuracy for labels, accuracy in self.steps.items()}}


def flexibility(
    task: Task, strategies: Mapping[str, Strategy], train: Dataset, prices: UnitPrices, seed: int = 0
) -> dict[str, list[Adapted]]:
    """Every option through every rule change that the rows allow. An option that cannot be fitted to so few rows has
    no entry for that change.

    Args:
        train: training rows; a part of them is kept for judging.
        prices: of labels, people and machines.
    """
    stratum = task.output.stratum
    learn, judge = split_dataset(train, 1 - JUDGED, by="label", seed=seed, stratum=stratum)
    learn = sample(learn, LEARN_ROWS, seed, stratum=stratum)
    judge = sample(judge, JUDGE_ROWS, seed, stratum=stratum)
    changes = rule_changes(task, learn)
    found: dict[str, list[Adapted]] = {}
    for name, strategy in strategies.items():
        found[name] = []
        for change in changes:
            try:
                found[name].append(adapt(strategy, change, learn, judge, prices))
            except (StrategyError, DataError):
                continue
    return found


def adapt(strategy: Strategy, change: RuleChange, learn: Dataset, judge: Dataset, prices: UnitPrices) -> Adapted:
    """One option through one change.

    Raises:
        StrategyError: it cannot be fitted to the rows.
    """
    old = strategy.fit(change.before, change.rows_before(learn))
    now = change.rows_after(judge)
    before = accuracy_on(old, change.rows_before(judge))
    unadapted = accuracy_on(old, now)
    asyncio.run(old.aclose())
    reachable, _ = _fitted(strategy, change, change.rows_after(learn), now)
    steps: dict[int, float] = {}
    enough, fit_s = None, 0.0
    learns = bool(getattr(strategy, "needs_rows", True))
    for labels in STEPS if learns else STEPS[:1]:
        rows = change.rows_with(learn, labels)
        if labels and len(rows) == len(change.rows_with(learn, STEPS[STEPS.index(labels) - 1])):
            break  # there are no more rows to label
        steps[labels], fit_s = _fitted(strategy, change, rows, now)
        if steps[labels] >= reachable - MARGIN:
            enough = labels
            break
    minutes = None if enough is None else EDIT_MINUTES + enough * _label_minutes(prices)
    usd = None
    if enough is not None:
        people = EDIT_MINUTES / 60 * prices.person_hour_usd.p50 + enough * prices.label_usd.p50 * prices.annotators
        usd = people + fit_s / 3600 * prices.cpu_hour_usd.p50
    return Adapted(change.words, change.kind, before, unadapted, reachable, steps, enough, fit_s, minutes, usd)


def _fitted(strategy: Strategy, change: RuleChange, rows: Dataset, judge: Dataset) -> tuple[float, float]:
    """Accuracy after the change, and the seconds of fitting. An option that lacks a label of the task learns without
    it: it cannot answer what it has never seen."""
    begin = time.perf_counter()
    candidate = strategy.fit(change.after, rows)
    took = time.perf_counter() - begin
    accuracy = accuracy_on(candidate, judge)
    asyncio.run(candidate.aclose())
    return accuracy, took


def accuracy_on(candidate: Candidate, rows: Dataset) -> float:
    """Share of right answers; a row that is left to a person counts by what the last stage suggests, so that handing
    everything over does not look flexible."""
    answers = asyncio.run(_answers(candidate, rows))
    return sum(answers) / len(rows)


async def _answers(candidate: Candidate, rows: Dataset) -> Sequence[bool]:
    size = max(1, candidate.traits.batch_size)
    found: list[bool] = []
    for start in range(0, len(rows), size):
        some = rows.examples[start : start + size]
        said = await candidate.predict([row.input for row in some], Context())
        found += [suggested(answer) == row.output for answer, row in zip(said, some, strict=True)]
    return found


def suggested(answer: Prediction) -> Any:
    """The answer, or the suggestion for the person who has to give it."""
    return answer.children[-1].output if answer.deferred and answer.children else answer.output


def _label_minutes(prices: UnitPrices) -> float:
    """What a label costs, as minutes of a person at the price of an hour."""
    return prices.label_usd.p50 * prices.annotators / max(prices.person_hour_usd.p50, 1e-9) * 60
