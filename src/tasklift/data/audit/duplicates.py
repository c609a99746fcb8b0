"""Rows that say the same: exactly, or nearly."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tasklift.data.audit.finding import Finding, label_of, named, text_of_row
from tasklift.data.audit.near import NearPair, clusters, near_pairs
from tasklift.dataset import Example, text_key

CHECK = "duplicates"


@dataclass(frozen=True)
class Alike:
    """Rows that say the same.

    Attributes:
        exact: groups of places with equal texts (case and white space folded).
        pairs: pairs of places that are nearly equal, equal ones included.
        near: groups of places that pairs connect.
    """

    exact: list[list[int]]
    pairs: list[NearPair]
    near: list[list[int]]


def alike(rows: Sequence[Example]) -> Alike:
    """Groups of equal and of nearly equal rows."""
    by_text: dict[str, list[int]] = defaultdict(list)
    for at, row in enumerate(rows):
        by_text[text_key(row.input)].append(at)
    pairs = near_pairs([text_of_row(row) for row in rows])
    return Alike([found for found in by_text.values() if len(found) > 1], pairs, clusters(len(rows), pairs))


def duplicates(rows: Sequence[Example], found: Alike, tolerance: float = 0.0) -> list[Finding]:
    """Repeated texts, texts with two answers, and near-duplicates with two answers.

    Args:
        tolerance: numbers that lie no further apart are no two answers.
    """
    findings = []
    repeats = [at for group in found.exact for at in group[1:]]
    if repeats:
        ids = tuple(rows[at].id for at in repeats)
        findings.append(
            Finding(
                CHECK,
                "warning",
                f"{len(ids)} rows repeat the text of an earlier row ({named(ids)})",
                "`tasklift data clean` keeps the first of each",
                ids,
            )
        )
    torn = [group for group in found.exact if _torn([rows[at] for at in group], tolerance)]
    if torn:
        ids = tuple(rows[at].id for group in torn for at in group)
        findings.append(
            Finding(
                CHECK,
                "error",
                f"{len(torn)} texts carry more than one answer ({named(ids)}): no strategy can get all of them right",
                "decide on one answer for each; `tasklift data clean` keeps the one that most rows give, and takes "
                "all of them out where it is a tie",
                ids,
            )
        )
    findings += _near(rows, found, tolerance)
    return findings


def _near(rows: Sequence[Example], found: Alike, tolerance: float) -> list[Finding]:
    exact = {at for group in found.exact for at in group[1:]}
    near = [[at for at in group if at not in exact] for group in found.near]
    near = [group for group in near if len(group) > 1]
    if not near:
        return []
    ids = tuple(rows[at].id for group in near for at in group)
    findings = [
        Finding(
            CHECK,
            "note",
            f"{len(ids)} rows are near-duplicates of each other, in {len(near)} groups ({named(ids)})",
            "`tasklift data split` keeps each group on one side; `tasklift data clean --near` keeps one of each",
            ids,
            {"groups": [[rows[at].id for at in group] for group in near]},
        )
    ]
    torn = tuple(
        pair
        for pair in found.pairs
        if pair.first not in exact
        and pair.second not in exact
        and all(rows[at].output is not None for at in (pair.first, pair.second))
        and _torn([rows[pair.first], rows[pair.second]], tolerance)
    )
    if torn:
        worst = sorted(torn, key=lambda pair: -pair.similarity)
        shown = [{"rows": [rows[p.first].id, rows[p.second].id], "similarity": round(p.similarity, 3)} for p in worst]
        torn_ids = tuple(dict.fromkeys(rows[at].id for p in worst for at in (p.first, p.second)))
        findings.append(
            Finding(
                CHECK,
                "warning",
                f"{len(torn)} pairs of near-duplicates have different answers ({named(torn_ids)})",
                "look at them: one of the two is often wrong",
                torn_ids,
                {"pairs": shown},
            )
        )
    return findings


def _torn(rows: Sequence[Example], tolerance: float) -> bool:
    """Do rows that say the same have different answers?"""
    numbers = [row.output for row in rows if isinstance(row.output, int | float)]
    if len(numbers) == len(rows):
        return max(numbers) - min(numbers) > tolerance
    return len({label_of(row) for row in rows}) > 1


def majority_answer(rows: Sequence[Example], group: Sequence[int]) -> str | None:
    """The answer that more rows of a group give than any other; None on a tie."""
    counts = Counter(label_of(rows[at]) for at in group if rows[at].output is not None).most_common(2)
    if not counts or (len(counts) > 1 and counts[0][1] == counts[1][1]):
        return None
    return counts[0][0]
