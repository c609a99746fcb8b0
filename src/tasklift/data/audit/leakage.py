"""What a test would already know: texts and groups on both sides, time turned round, words that give labels away."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from tasklift.data.audit.duplicates import Alike
from tasklift.data.audit.finding import Finding, label_of, named, text_of_row
from tasklift.dataset import Example

CHECK = "leakage"
#: A word gives its label away where it stands in at least this share of the label's rows ...
GIVES_AWAY = 0.95
#: ... in at most this share of all others ...
ELSEWHERE = 0.01
#: ... and the label has this many rows.
LEAST_ROWS = 10


def leakage(rows: Sequence[Example], found: Alike) -> list[Finding]:
    """Findings about rows of different splits, and about words."""
    return [*_texts(rows, found), *_groups(rows), *_times(rows), *_words(rows)]


def leaking_places(rows: Sequence[Example], groups: Sequence[Sequence[int]]) -> list[int]:
    """Places of training rows that stand in one group with a row of another split.

    The training row is the one to give up: test rows are what figures are measured on.
    """
    return sorted(
        at
        for group in groups
        if len({rows[at].split for at in group if rows[at].split}) > 1
        for at in group
        if rows[at].split == "train"
    )


def _texts(rows: Sequence[Example], found: Alike) -> list[Finding]:
    findings = []
    exact = set(leaking_places(rows, found.exact))
    near = [at for at in leaking_places(rows, found.near) if at not in exact]
    for places, what in ((sorted(exact), "the same text as"), (near, "nearly the same text as")):
        if places:
            ids = tuple(rows[at].id for at in places)
            findings.append(
                Finding(
                    CHECK,
                    "error",
                    f"{len(ids)} training rows have {what} a row of another split ({named(ids)}): "
                    "its figures would be too good",
                    "`tasklift data clean` takes these training rows out; `tasklift data split` cuts anew",
                    ids,
                    {"groups": _named_groups(rows, found.near, set(places))},
                )
            )
    return findings


def _named_groups(rows: Sequence[Example], groups: Sequence[Sequence[int]], places: set[int]) -> list[list[str]]:
    return [[rows[at].id for at in group] for group in groups if places & set(group)]


def _groups(rows: Sequence[Example]) -> list[Finding]:
    splits: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.group is not None and row.split:
            splits[row.group].add(row.split)
    torn = sorted(group for group, found in splits.items() if len(found) > 1)
    if not torn:
        return []
    ids = tuple(row.id for row in rows if row.group in torn and row.split == "train")
    return [
        Finding(
            CHECK,
            "error",
            f"{len(torn)} groups (customers, conversations) stand in more than one split ({named(torn)})",
            "`tasklift data split --by group` keeps groups whole",
            ids,
            {"groups": torn},
        )
    ]


def _times(rows: Sequence[Example]) -> list[Finding]:
    train = sorted(row.time for row in rows if row.split == "train" and row.time)
    test = sorted(row.time for row in rows if row.split == "test" and row.time)
    if not train or not test or train[-1] <= test[0]:
        return []
    later = tuple(row.id for row in rows if row.split == "train" and row.time and row.time > test[0])
    return [
        Finding(
            CHECK,
            "note",
            f"{len(later)} training rows are later than the first test row ({test[0]}): the test says nothing of how "
            "a model ages",
            "`tasklift data split --by time` tests on the latest rows",
            later,
        )
    ]


def _words(rows: Sequence[Example]) -> list[Finding]:
    """Words that stand in nearly all rows of one label and in nearly no other: often left by whoever sorted them."""
    rows_with: dict[str, Counter[str]] = defaultdict(Counter)
    sizes: Counter[str] = Counter()
    for row in rows:
        if (label := label_of(row)) and isinstance(row.output, str):
            sizes[label] += 1
            for word in set(re.findall(r"[\w#\[\]-]{2,}", text_of_row(row).casefold())):
                rows_with[word][label] += 1
    found = []
    labelled = sum(sizes.values())
    for word, by_label in rows_with.items():
        label, inside = by_label.most_common(1)[0]
        size, outside = sizes[label], sum(by_label.values()) - inside
        if size < LEAST_ROWS or labelled == size:
            continue
        if inside >= GIVES_AWAY * size and outside <= ELSEWHERE * (labelled - size):
            found.append((word, label, inside))
    if not found:
        return []
    shown = "; ".join(f"{word!r} in {inside} rows of {label!r}" for word, label, inside in sorted(found)[:5])
    return [
        Finding(
            CHECK,
            "warning",
            f"{len(found)} words give their label away: {shown}",
            "keep them only if they will stand in the texts that come in",
            (),
            {"words": [{"word": word, "label": label, "rows": inside} for word, label, inside in sorted(found)]},
        )
    ]
