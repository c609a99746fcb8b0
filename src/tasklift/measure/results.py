"""From rows of any tool, one an item and option, to an `Evidence`: pairing, and what cannot be paired.

Pairing rule: an item counts where every option has an answer to it. Repeats of an item by the same option
are averaged, because they say nothing about other items. What is left out is counted and named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, variance
from typing import Any

import numpy as np

from tasklift.errors import DataError
from tasklift.measure.evidence import Evidence, Flags, Floats, OptionEvidence, Unpaired
from tasklift.measure.judged import Judged, corrected
from tasklift.strategies.artifact import fingerprint_of

#: 97.5th percentile of a standard normal.
Z95 = 1.959964
FAMILIES = ("prompt", "finetune", "layered", "human", "baseline")
#: How many item ids are named where rows are left out.
NAMED = 5


@dataclass(frozen=True)
class ResultRow:
    """One option's answer to one item.

    Attributes:
        item_id: the same for all options that answered the same item.
        option: who answered.
        correct: 0 to 1; None: not judged. With `error` it counts as 0.
        cost_usd: inference cost; None: not known.
        latency_s: seconds; None: not known.
        slice: name -> value.
        cluster: items of one cluster are not independent; '' for none.
        output: the answer; None: not known.
        expected: the right answer; None: not known.
        error: why no answer came; '' where one did.
        deferred: the option left the item to a person.
        judge: how right a model that judges says it is, 0 to 1; None: none did. Then `correct` is a person's label.
    """

    item_id: str
    option: str
    correct: float | None
    cost_usd: float | None = None
    latency_s: float | None = None
    slice: Mapping[str, str] = field(default_factory=dict)
    cluster: str = ""
    output: str | None = None
    expected: str | None = None
    error: str = ""
    deferred: bool = False
    judge: float | None = None


def family_of(option: str) -> str:
    """The family that an option's name tells: `prompt-v2` is a prompt; else the name itself."""
    word = option.casefold().replace("fine-tune", "finetune").replace("fine_tune", "finetune")
    return next((family for family in FAMILIES if word.startswith(family)), option)


def evidence_of(
    rows: Iterable[ResultRow],
    source: str,
    unpaired: Sequence[Unpaired] = (),
    provenance: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> Evidence:
    """Pair the rows by item.

    Args:
        source: where they come from, for messages and the record.
        unpaired: rows that an importer could not make a `ResultRow` of.
        provenance: hashes; the content of the rows is added.
        notes: what a reader should know.

    Raises:
        DataError: no rows, no option, or no item that all options have.
    """
    table: dict[str, dict[str, list[ResultRow]]] = {}  # option -> item -> repeats
    for row in rows:
        table.setdefault(row.option, {}).setdefault(row.item_id, []).append(row)
    if not table:
        raise DataError(f"{source}: there are no rows")
    judged = {option: {i: kept for i, r in items.items() if (kept := _judged(r))} for option, items in table.items()}
    common = set.intersection(*(set(items) for items in judged.values()))
    left_out = [*unpaired, *_left_out(table, judged, common)]
    if not common:
        counts = ", ".join(f"{option} {len(items)}" for option, items in judged.items())
        raise DataError(f"{source}: no item was answered by every option (judged items: {counts})")
    items = [item for item in next(iter(judged.values())) if item in common]
    firsts = [_first_known(judged, item) for item in items]
    options = {option: _option(option, [found[item] for item in items]) for option, found in judged.items()}
    return Evidence(
        source=source,
        item_ids=tuple(items),
        options=options,
        expected=tuple(row.expected for row in firsts),
        slices=tuple(row.slice for row in firsts),
        clusters=tuple(row.cluster or f"row {at}" for at, row in enumerate(firsts))
        if any(row.cluster for row in firsts)
        else None,
        provenance={**(provenance or {}), "rows": fingerprint_of([_plain(judged, item) for item in items])},
        unpaired=tuple(left_out),
        notes=(*notes, *(option.judge.told(name) for name, option in options.items() if option.judge)),
    )


def _judged(repeats: list[ResultRow]) -> list[ResultRow]:
    """Repeats that say how right the option was, or that nobody asked it."""
    return [row for row in repeats if {row.correct, row.judge} != {None} or row.error or row.deferred]


def _left_out(
    table: Mapping[str, Mapping[str, Any]], judged: Mapping[str, Mapping[str, Any]], common: set[str]
) -> list[Unpaired]:
    found = []
    for option, items in table.items():
        unjudged = [item for item in items if item not in judged[option]]
        alone = [item for item in judged[option] if item not in common]
        for reason, ids in (("no value in correct", unjudged), ("not every option has this item", alone)):
            if ids:
                found.append(Unpaired(option, reason, len(ids), tuple(ids[:NAMED])))
    return found


def _option(name: str, answers: Sequence[list[ResultRow]]) -> OptionEvidence:
    """Repeats averaged: [rows]."""
    deferred = np.array([all(row.deferred for row in repeats) for repeats in answers])
    score, judged = _scored(name, answers, deferred)
    costs = [fmean(known) if (known := [r.cost_usd for r in rs if r.cost_usd is not None]) else None for rs in answers]
    known = [cost for cost in costs if cost is not None]
    outputs = tuple(repeats[0].output for repeats in answers)
    seconds = tuple(r.latency_s for rs in answers for r in rs if r.latency_s is not None)
    return OptionEvidence(
        name=name,
        family=family_of(name),
        score=score,
        deferred=deferred,
        failed=np.array([any(row.error for row in repeats) for repeats in answers]),
        outputs=outputs if all(output is not None for output in outputs) else None,
        # A row without a cost gets the mean of the others: what is known of an item's price.
        cost_usd=np.array([fmean(known) if c is None else c for c in costs]) if known else None,
        latencies_s=seconds,
        noise_floor=None if judged else _floor(answers),
        judge=judged,
    )


def _scored(name: str, answers: Sequence[list[ResultRow]], deferred: Flags) -> tuple[Floats, Judged | None]:
    """[rows] scores, repeats averaged, corrected where a model judged some of them."""
    if all(row.judge is None for repeats in answers for row in repeats):
        score = [np.nan if away else _score(repeats) for repeats, away in zip(answers, deferred, strict=True)]
        return np.array(score), None
    open_ = [[row for row in repeats if not row.deferred] for repeats in answers]
    human, judge = (
        np.array([_mean([getattr(row, key) for row in repeats if not row.error]) for repeats in open_])
        for key in ("correct", "judge")
    )
    wrong = np.array([bool(repeats) and all(row.error for row in repeats) for repeats in open_])
    values, found = corrected(name, human, judge, wrong | deferred)
    return np.where(deferred, np.nan, values), found


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return fmean(known) if known else np.nan


def _floor(answers: Sequence[list[ResultRow]]) -> float | None:
    """Noise of the mean over the repeats, where every item that the option answered has some; else None.

    Each pair of repeats is an A/A run: half its mean squared move is the variance of one answer, and the mean
    of R repeats of n items has that over R n. The floor is that of the difference of two such means.
    """
    scores = [[_score([row]) for row in repeats if not row.deferred] for repeats in answers]
    scores = [some for some in scores if some]
    if not scores or min(map(len, scores)) < 2:
        return None
    spread = sum(variance(some) / len(some) for some in scores) + 1 / fmean(map(len, scores))
    return float(Z95 * (2 * spread) ** 0.5 / (len(scores) + 2))


def _score(repeats: list[ResultRow]) -> float:
    return fmean(0.0 if row.error else float(row.correct or 0) for row in repeats if not row.deferred)


def _first_known(judged: Mapping[str, Mapping[str, list[ResultRow]]], item: str) -> ResultRow:
    """A row of the item that knows the most about it."""
    rows = [row for found in judged.values() for row in found[item]]
    return max(rows, key=lambda row: (row.expected is not None) + bool(row.slice) + bool(row.cluster))


def _plain(judged: Mapping[str, Mapping[str, list[ResultRow]]], item: str) -> list[Any]:
    return [item, *([o, [_facts(row) for row in found[item]]] for o, found in judged.items())]


def _facts(row: ResultRow) -> list[Any]:
    return [row.correct, row.cost_usd, row.error, *([] if row.judge is None else [row.judge])]
