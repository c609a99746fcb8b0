"""From corrections to a new candidate: trained, compared on two tests, offered. It is never released from here.

Labelled rows from production are cut in two, by the id of their trace and so for ever: some are trained on, the
others are the fresh test, which no candidate of this project is made with. The frozen test is the task's own.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasklift.dataset import Dataset, Example, refuse_leakage, text_key
from tasklift.errors import ConfigError, DataError
from tasklift.measure.metrics import compare, right_of
from tasklift.operate.people import objection_digest, objections_of
from tasklift.operate.review import corrected_rows
from tasklift.project import Project, TaskFile
from tasklift.stats.intervals import Interval, wilson
from tasklift.strategies.artifact import read_card
from tasklift.strategies.build import build
from tasklift.strategies.fitting import fit_or_load, load_candidate
from tasklift.strategies.recipe import Recipe
from tasklift.strategy import Candidate, Context, Strategy
from tasklift.task import Task
from tasklift.whole import write_whole
from tasklift_platform.database import Database

#: Share of corrected rows that are kept for the fresh test.
FRESH_SHARE = 0.3
#: A candidate that is worse on the frozen test with less than this p-value is not offered.
ALPHA = 0.05
OLD, NEW = "in production", "retrained"


@dataclass(frozen=True, slots=True)
class OnTest:
    """Both candidates on one test.

    Attributes:
        rows: how many.
        before, after: accuracy on answered rows with its interval; None where nothing was answered.
        difference: after minus before on the same rows; None without rows that both answered.
        p: McNemar mid-p; 1 without such rows.
    """

    rows: int
    before: Interval | None
    after: Interval | None
    difference: Interval | None
    p: float

    @property
    def is_worse(self) -> bool:
        """The new one is worse, beyond chance."""
        return self.difference is not None and self.difference.value < 0 and self.p < ALPHA


@dataclass(frozen=True, slots=True)
class Retrained:
    """What came of it.

    Attributes:
        id: of the report in `.tasklift/retrains`.
        task: its name.
        strategy: of the new candidate.
        before: fingerprint of what is in production.
        candidate: fingerprint of the new one.
        trained_on: corrected rows that went into training.
        replaced: rows of the task whose label a correction replaced.
        fresh: corrected rows kept for the fresh test.
        left_out: why corrected rows were not used -> how many.
        tests: `frozen` and `fresh`.
        is_offered: it is not worse on the frozen test.
    """

    id: str
    task: str
    strategy: str
    before: str
    candidate: str
    trained_on: int
    replaced: int
    fresh: int
    left_out: Mapping[str, int]
    tests: Mapping[str, OnTest]
    is_offered: bool

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return {"schema_version": 1, **asdict(self)}


@dataclass(frozen=True)
class Cut:
    """Rows for a new candidate.

    Attributes:
        train: the task's training rows with the corrections among them.
        fresh: corrected rows that are only tested on.
        trained_on: how many corrections are in `train`.
        replaced: rows of the task that a correction replaced.
        left_out: reason -> how many corrections.
    """

    train: Dataset
    fresh: Dataset | None
    trained_on: int
    replaced: int
    left_out: Mapping[str, int]


async def retrain(
    project: Project, database: Database, task: TaskFile, in_production: str, strategy: str | None = None
) -> Retrained:
    """Make a candidate of the same kind from more rows, and compare the two.

    Args:
        in_production: fingerprint of the stable candidate.
        strategy: name of another kind; None: the same.

    Raises:
        DataError: nobody has corrected anything yet.
        ConfigError: the strategy learns nothing from rows.
        ArtifactError: what is in production is gone or damaged.
    """
    made = chosen_strategy(project, task, in_production, strategy)
    base, frozen, _ = project.rows(task)
    corrections, left_out = await corrected_rows(database, task.task)
    cut = cut_rows(willing(base, await objections_of(database)), frozen, corrections, left_out)
    before = load_candidate(project.state / "artifacts" / in_production)
    after = await asyncio.to_thread(fit_or_load, made, task.task, cut.train, project.state, _quiet)
    try:
        tests = {"frozen": await compare_on(frozen, before, after, task)}
        if cut.fresh is not None:
            tests["fresh"] = await compare_on(cut.fresh, before, after, task)
    finally:
        await before.aclose()
        await after.aclose()
    identity = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{after.fingerprint[:8]}"
    found = Retrained(
        identity,
        task.name,
        made.name,
        in_production,
        after.fingerprint,
        cut.trained_on,
        cut.replaced,
        0 if cut.fresh is None else len(cut.fresh),
        cut.left_out,
        tests,
        not tests["frozen"].is_worse,
    )
    _save(found, project.state / "retrains" / f"{identity}.json")
    return found


def chosen_strategy(project: Project, task: TaskFile, in_production: str, name: str | None) -> Strategy:
    """The recipe of the new candidate.

    Raises:
        ConfigError: it learns nothing from rows.
    """
    name = name or read_card(project.state / "artifacts" / in_production).strategy
    made = build([name], project.parameters(task), project.settings.model)[name]
    if isinstance(made, Recipe) and not made.needs_rows:
        raise ConfigError(
            f"{name!r} learns nothing from rows, so there is nothing to retrain; name one that does: "
            "--strategy baseline, fewshot, frozen, encoder or layered"
        )
    return made


def willing(rows: Dataset, objectors: frozenset[str]) -> Dataset:
    """The rows without those whose `group` is somebody who objects to training."""
    kept = [row for row in rows if row.group is None or objection_digest(row.group) not in objectors]
    return rows if len(kept) == len(rows) else rows.part(kept, "without people who object to training")


def cut_rows(base: Dataset, frozen: Dataset, corrections: Sequence[Example], without: Mapping[str, int]) -> Cut:
    """Corrections in two parts, none of them equal to a row of the frozen test.

    Args:
        without: why labels made no correction -> how many.

    Raises:
        DataError: there is nothing to train on.
    """
    tested = {text_key(row.input) for row in frozen}
    usable = {text_key(row.input): row for row in corrections if text_key(row.input) not in tested}
    left_out = {**without, "their text is in the frozen test": 0, "their text repeats": 0}
    left_out["their text is in the frozen test"] = sum(text_key(row.input) in tested for row in corrections)
    left_out["their text repeats"] = len(corrections) - left_out["their text is in the frozen test"] - len(usable)
    fresh = {key: row for key, row in usable.items() if is_fresh(key)}
    training = {key: row for key, row in usable.items() if key not in fresh}
    if not training:
        raise DataError(
            f"{base.name}: no corrected row to train on ({len(fresh)} are kept for the fresh test); "
            "answer reviews with `tasklift review`, or send labels to /v1/feedback"
        )
    kept = [row for row in base if text_key(row.input) not in training and text_key(row.input) not in fresh]
    known = {row.id for row in kept}
    rows = [*kept, *(row for row in training.values() if row.id not in known)]
    return Cut(
        Dataset(tuple(rows), name=base.name, lineage=(*base.lineage, f"{len(training)} corrections from production")),
        Dataset(tuple(fresh.values()), name=f"{base.name} fresh") if fresh else None,
        len(training),
        len(base) - len(kept),
        {reason: count for reason, count in left_out.items() if count},
    )


def is_fresh(text: str) -> bool:
    """Does this text belong to the fresh test? Decided by the text alone, so it stays there in every later run,
    also where another customer writes the same."""
    digest = hashlib.sha256(text.encode(errors="replace")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < FRESH_SHARE


async def compare_on(rows: Dataset, before: Candidate, after: Candidate, task: Task) -> OnTest:
    """Both candidates on rows that neither has seen.

    Raises:
        LeakageError: one of them has.
    """
    rights = {}
    for name, candidate in ((OLD, before), (NEW, after)):
        refuse_leakage(candidate.training_ids, rows, name)
        rights[name] = right_of(await candidate.predict(rows.inputs, Context()), rows.outputs, task)
    accuracy = {}
    for name, right in rights.items():
        answered = right[~np.isnan(right)]  # deferred rows are NaN
        accuracy[name] = wilson(float(answered.sum()), len(answered)) if len(answered) else None
    found = compare(rights, OLD).get(NEW)
    difference, p = (None, 1.0) if found is None else (found.difference, found.p)
    return OnTest(len(rows), accuracy[OLD], accuracy[NEW], difference, p)


def _save(found: Retrained, path: Path) -> None:
    write_whole(path, json.dumps(found.to_json(), indent=1, ensure_ascii=False))


def _quiet(_: str) -> None:
    """A damaged artifact is made again, and there is nothing to say."""
