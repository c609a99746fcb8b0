"""Two versions of a prompt against each other: what changed in the text, in the answers, and in the cost."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasklift.economics import UnitPrices
from tasklift.llm.prompt_file import PromptText
from tasklift.measure.cost import item_cost
from tasklift.measure.evaluation import CandidateResult, Evaluation
from tasklift.measure.metrics import right_of
from tasklift.measure.store import EvaluationFolder
from tasklift.measure.stored import load_evaluation
from tasklift.stats.comparison import mcnemar_midp
from tasklift.stats.intervals import Interval, paired_difference

#: Labels that are named when answers changed.
SHOWN = 6


@dataclass(frozen=True)
class Side:
    """One version as it was measured.

    Attributes:
        ref: `name@id`.
        evaluation: id of the evaluation.
        accuracy: on answered rows; None where all were left to a person.
        valid: share of rows with an allowed answer.
        item_usd: cost of an item; None where a price is unknown, which `cost_source` names.
        cost_source: what the cost rests on.
        tokens: mean prompt tokens of a row.
        cached_tokens: those of them that a prefix cache served.
        output_tokens: mean.
        cpu_s: mean CPU seconds of a row.
        p50_s: median latency.
    """

    ref: str
    evaluation: str
    accuracy: Interval | None
    valid: Interval
    item_usd: float | None
    cost_source: str
    tokens: float
    cached_tokens: float
    output_tokens: float
    cpu_s: float
    p50_s: float | None


@dataclass(frozen=True)
class Measured:
    """Both versions on the same rows.

    Attributes:
        rows: that both answered.
        before, after: the two.
        difference: accuracy of `after` minus that of `before`, 95% interval.
        p: McNemar mid-p.
        fixed, broken: expected label -> rows that only `after`, or only `before`, got right.
        changed: rows whose answer is another one.
    """

    rows: int
    before: Side
    after: Side
    difference: Interval
    p: float
    fixed: dict[str, int]
    broken: dict[str, int]
    changed: int

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return asdict(self)


def text_diff(before: PromptText, after: PromptText, names: tuple[str, str]) -> list[str]:
    """A unified diff of the two as files, includes put in."""
    first, second = (one.to_file().splitlines() for one in (before, after))
    return list(difflib.unified_diff(first, second, *names, lineterm=""))


def stored_pair(state: Path, task: str, refs: tuple[str, str]) -> tuple[Evaluation, Evaluation] | None:
    """The newest evaluations of two versions on the same rows and the same model; None where there are none."""
    known: dict[tuple[str, str, str], str] = {}
    paths = sorted((state / "evaluations").glob("*/manifest.json"), key=lambda path: path.stat().st_mtime_ns)
    for path in paths:
        manifest = EvaluationFolder(path.parent).manifest()
        if manifest is None or manifest["task"]["name"] != task:
            continue
        for row in manifest["candidates"]:
            material = row["parameters"].get("material") or {}
            if material.get("version") in refs and not material.get("overlay"):
                rows = manifest["dataset"]["hash"]
                known[material["version"], rows, str(row["parameters"].get("model"))] = path.parent.name
    for (ref, rows, model), first in reversed(known.items()):
        other = refs[1] if ref == refs[0] else refs[0]
        if (other, rows, model) in known:
            pair = {ref: first, other: known[other, rows, model]}
            before, after = (load_evaluation(state, pair[one], 0.97) for one in refs)
            return before, after
    return None


def result_of(evaluation: Evaluation, ref: str) -> CandidateResult:
    """The result of a version, without an overlay."""
    materials = {one.name: one.card.parameters.get("material") or {} for one in evaluation.results}
    wanted = (one for one in evaluation.results if materials[one.name].get("version") == ref)
    return next(one for one in wanted if not materials[one.name].get("overlay"))


def measured(pair: tuple[Evaluation, Evaluation], refs: tuple[str, str], prices: UnitPrices) -> Measured:
    """The figures of two versions on the same rows.

    Args:
        pair: where each was evaluated, `before` first; may be the same twice.
    """
    results = [result_of(evaluation, ref) for evaluation, ref in zip(pair, refs, strict=True)]
    rows = pair[0].rows
    place = {row.id: at for at, row in enumerate(pair[1].rows)}
    order = [place[row.id] for row in rows]
    said = [one.predictions for one in results]
    first = right_of(said[0], rows.outputs, pair[0].task)
    second = right_of(said[1], pair[1].rows.outputs, pair[1].task)[order]
    both = ~np.isnan(first) & ~np.isnan(second)
    expected = [str(row.output) for row in rows]
    gained, lost = (first == 0) & (second == 1) & both, (first == 1) & (second == 0) & both
    count = int(both.sum())
    other = sum(a.output != said[1][at].output for a, at in zip(said[0], order, strict=True))
    before, after = (
        _side(ref, evaluation, result, prices) for ref, evaluation, result in zip(refs, pair, results, strict=True)
    )
    return Measured(
        count,
        before,
        after,
        paired_difference(int(gained.sum()), int(lost.sum()), max(count, 1)),
        mcnemar_midp(int(gained.sum()), int(lost.sum())),
        _by_label(expected, gained.tolist()),
        _by_label(expected, lost.tolist()),
        other,
    )


def _by_label(expected: Sequence[str], which: Sequence[bool]) -> dict[str, int]:
    return dict(Counter(label for label, hit in zip(expected, which, strict=True) if hit).most_common())


def _side(ref: str, evaluation: Evaluation, result: CandidateResult, prices: UnitPrices) -> Side:
    scores, used = result.scores, result.scores.usage
    hosted = str(result.card.parameters.get("model")) if result.traits["remote"] else None
    cost = item_cost(used, scores.rows, prices, hosted)
    return Side(
        ref,
        evaluation.id,
        scores.accuracy,
        scores.valid,
        None if cost.missing else cost.usd,
        cost.source,
        used.input_tokens / scores.rows,
        used.cached_tokens / scores.rows,
        used.output_tokens / scores.rows,
        used.cpu_s / scores.rows,
        scores.latency_p50_s,
    )
