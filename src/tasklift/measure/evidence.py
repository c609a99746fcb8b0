"""What a decision needs to know about measured options, wherever they were measured.

An `Evidence` comes from an evaluation of ours (`Evidence.from_evaluation`), from a table `results.csv`
(`measure/results_csv.py`), or from any importer that makes `ResultRow`s (`measure/results.py`).
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasklift.errors import DataError
from tasklift.measure.evaluation import CandidateResult, Evaluation
from tasklift.measure.judged import Judged, corrected
from tasklift.measure.judgement import Graded, Measured, answers_of, measured
from tasklift.measure.metrics import right_of
from tasklift.prediction import Usage
from tasklift.strategies.artifact import fingerprint_of
from tasklift.strategy import Resources

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class CurvePoint:
    """One point of a learning curve: an option made with fewer labels, on rows it had not seen.

    Attributes:
        labels: labelled rows it was made with.
        error: share of wrong answers, 0 to 1.
        rows: how many rows that share rests on.
    """

    labels: int
    error: float
    rows: int


@dataclass(frozen=True)
class OptionEvidence:
    """One measured option on the rows of its `Evidence`.

    Attributes:
        name: what it is called.
        family: the choice it stands for: baseline, prompt, finetune, layered, human, or the option's own name.
        score: [rows] 0 to 1, how right the answer is; NaN where a person answers.
        deferred: [rows] a person answers.
        failed: [rows] no allowed answer came; its score is 0.
        outputs: [rows] the answers, for metrics that look at labels; None: not known.
        cost_usd: [rows] inference cost as another tool told it; None: priced from `usage`.
        usage: quantities of all rows together; None: not known.
        latencies_s: seconds of single requests, as many as were timed.
        setup: what making it took; None: not known.
        traits: `remote`, `data_leaves_machine`, `deterministic`; a missing one is not known.
        model: hosted model that is asked; None: none is, or not known.
        end_of_life: day on which its vendor shuts it down; None: not announced, or not known.
        fingerprint: of the candidate; '' where it has none.
        curve: the same option with fewer labels.
        noise_floor: difference of accuracy that two runs of it reach by chance; None: it was not run twice.
        judge: what a model that judges said, and what it is worth; then `score` holds corrected values, which
            only together mean something and may lie outside 0 to 1. None: people or the expected answers judged.
    """

    name: str
    family: str
    score: Floats
    deferred: Flags
    failed: Flags
    outputs: tuple[Any, ...] | None = None
    cost_usd: Floats | None = None
    usage: Usage | None = None
    latencies_s: tuple[float, ...] = ()
    setup: Resources | None = None
    traits: Mapping[str, bool] = field(default_factory=dict)
    model: str | None = None
    end_of_life: datetime.date | None = None
    fingerprint: str = ""
    curve: tuple[CurvePoint, ...] = ()
    noise_floor: float | None = None
    judge: Judged | None = None

    @property
    def answered(self) -> Flags:
        """[rows] no person needed."""
        return ~self.deferred


@dataclass(frozen=True)
class Unpaired:
    """Rows that could not be used because not every option has them.

    Attributes:
        option: whose rows.
        reason: why, in words.
        count: how many.
        item_ids: the first few of them.
    """

    option: str
    reason: str
    count: int
    item_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """Options measured on the same rows.

    Attributes:
        source: where it comes from, in words.
        item_ids: [rows].
        options: name -> what was measured; all arrays have one entry a row.
        expected: [rows] expected answers; None where not known.
        slices: [rows] name -> value.
        clusters: [rows] rows of one cluster (a customer, a conversation) count as one draw; None: every
            row is its own.
        labels: all labels of the task; () where not known.
        metric: what the gate `min_metric` looks at: `accuracy` (the mean score) or `macro_f1`.
        task: name of the task.
        provenance: what -> hash or version of what the evidence rests on.
        unpaired: rows that were left out.
        currency: of `cost_usd`.
        curves: option that was not tried in full -> its points at smaller sizes.
        notes: what a reader should know about the evidence.
    """

    source: str
    item_ids: tuple[str, ...]
    options: Mapping[str, OptionEvidence]
    expected: tuple[Any, ...]
    slices: tuple[Mapping[str, str], ...]
    clusters: tuple[str, ...] | None = None
    labels: tuple[str, ...] = ()
    metric: str = "accuracy"
    task: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)
    unpaired: tuple[Unpaired, ...] = ()
    currency: str = "USD"
    curves: Mapping[str, tuple[CurvePoint, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.item_ids:
            raise DataError(f"{self.source}: there are no rows that every option has")
        for option in self.options.values():
            _check(option, len(self.item_ids), self.source)

    def __len__(self) -> int:
        return len(self.item_ids)

    @property
    def id(self) -> str:
        """Content hash of everything that a decision could see."""
        parts = [
            (o.name, o.family, o.fingerprint, np.nan_to_num(o.score, nan=-1).tolist(), o.deferred.tolist())
            for o in self.options.values()
        ]
        money = [(o.name, None if o.cost_usd is None else float(o.cost_usd.sum())) for o in self.options.values()]
        floors = [o.noise_floor for o in self.options.values()]
        seen = [self.source, list(self.item_ids), parts, money, dict(self.provenance)]
        return fingerprint_of(*seen, *([floors] if any(f is not None for f in floors) else []))[:16]

    @property
    def judges(self) -> dict[str, Judged]:
        """Option -> what its judge is worth, of those that a model judged."""
        return {name: option.judge for name, option in self.options.items() if option.judge is not None}

    @classmethod
    def from_evaluation(cls, evaluation: Evaluation) -> Evidence:
        """All measured candidates but people, who are priced and not measured."""
        found = cls._of_results(evaluation)
        floors = {name: one.floor for name, one in evaluation.noise.items()}
        options = {name: replace(one, noise_floor=floors.get(name)) for name, one in found.options.items()}
        judged = judgement_of(evaluation)
        return (
            _judged(replace(found, options=options), judged) if judged is not None else replace(found, options=options)
        )

    @classmethod
    def _of_results(cls, evaluation: Evaluation) -> Evidence:
        rows = evaluation.rows
        results = [result for result in evaluation.results if result.card.family != "human"]
        return cls(
            source=f"evaluation {evaluation.id}",
            item_ids=tuple(row.id for row in rows),
            options={r.name: _measured(r, evaluation) for r in results},
            expected=tuple(rows.outputs),
            slices=tuple(row.slice for row in rows),
            clusters=_clusters([row.group for row in rows]),
            labels=tuple(evaluation.task.labels),
            metric=evaluation.task.metrics[0],
            task=evaluation.task.name,
            provenance={
                "evaluation": evaluation.id,  # itself a hash of task, rows and candidates
                "task": evaluation.task.content_hash,
                **{f"candidate {result.name}": result.card.fingerprint for result in results},
            },
        )


def judgement_of(evaluation: Evaluation) -> Measured | None:
    """What a model judged of an evaluation, held against people; None where none did."""
    if evaluation.judgement is None:
        return None
    results = [result for result in evaluation.results if result.card.family != "human"]
    return measured(evaluation.judgement, {r.name: answers_of(evaluation.rows.ids, r.predictions) for r in results})


def _judged(evidence: Evidence, judged: Measured) -> Evidence:
    """With the judge's scores, corrected by people's labels, in place of the task's own rule; as it was, with a note,
    where the judge may not be believed."""
    if judged.refused:
        return replace(evidence, notes=(*evidence.notes, judged.told()))
    graded = judged.judgement.graded
    options = {name: _with_judge(one, graded[name], evidence.item_ids) for name, one in evidence.options.items()}
    told = [one.judge.told(name) for name, one in options.items() if one.judge]
    return replace(
        evidence,
        options=options,
        provenance={**evidence.provenance, "judge": judged.judgement.id},
        notes=(*evidence.notes, judged.told(), *told),
    )


def _with_judge(option: OptionEvidence, graded: Graded, ids: Sequence[str]) -> OptionEvidence:
    people, judge = (np.array([part.get(row, np.nan) for row in ids]) for part in (graded.people, graded.judge))
    if not graded.answers:  # it answered nothing: there is nothing to judge
        return option
    values, found = corrected(option.name, people, judge, option.failed | option.deferred)
    return replace(option, score=np.where(option.deferred, np.nan, values), judge=found, noise_floor=None)


def _measured(result: CandidateResult, evaluation: Evaluation) -> OptionEvidence:
    expected = evaluation.rows.outputs
    hosted = result.card.parameters.get("model") if result.traits["remote"] else None
    return OptionEvidence(
        name=result.name,
        family=result.card.family,
        score=right_of(result.predictions, expected, evaluation.task),
        deferred=np.array([p.deferred for p in result.predictions], dtype=bool),
        failed=np.array([p.error is not None for p in result.predictions], dtype=bool),
        outputs=tuple(p.output for p in result.predictions),
        usage=result.scores.usage,
        latencies_s=result.latencies_s,
        setup=result.card.setup,
        traits=result.traits,
        model=str(hosted) if hosted else None,
        fingerprint=result.card.fingerprint,
    )


def _clusters(groups: Sequence[str | None]) -> tuple[str, ...] | None:
    """Groups as clusters; a row without a group is its own. None where there are none."""
    if not any(groups):
        return None
    return tuple(group if group else f"row {at}" for at, group in enumerate(groups))


def _check(option: OptionEvidence, rows: int, source: str) -> None:
    lengths = {len(option.score), len(option.deferred), len(option.failed)}
    lengths |= {len(x) for x in (option.outputs, option.cost_usd) if x is not None}
    if lengths != {rows}:
        raise DataError(f"{source}: {option.name} has {sorted(lengths)} entries for {rows} rows")
    unknown = np.isnan(option.score) & ~option.deferred
    if unknown.any():
        raise DataError(
            f"{source}: {option.name} has no score on {int(unknown.sum())} rows that no person answers; "
            "give each a score from 0 to 1, or leave the rows out"
        )
    seen = option.score[~np.isnan(option.score)]
    if option.judge is None and ((seen < 0) | (seen > 1)).any():
        raise DataError(f"{source}: {option.name} has a score of {seen[(seen < 0) | (seen > 1)][0]:g}, not in 0..1")
    if option.cost_usd is not None and not (np.isfinite(option.cost_usd) & (option.cost_usd >= 0)).all():
        raise DataError(f"{source}: {option.name} has a cost that is negative or no number")
