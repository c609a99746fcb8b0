"""Where answers go wrong: precision, recall and F1 of every label, or of every field of an object."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from tasklift.metrics.base import Cases
from tasklift.metrics.field_f1 import pairs_of

#: Kinds of output that have parts.
KINDS_WITH_PARTS = frozenset({"label", "labels", "json"})


@dataclass(frozen=True)
class Part:
    """One label, or one field.

    Attributes:
        name: the label, or the path of the field (`address.street`); entries of a list count one by one.
        support: how often it is expected.
        given: how often it was answered.
        right: how often it was answered where it is expected, and a field with its value.
    """

    name: str
    support: int
    given: int
    right: int

    @property
    def precision(self) -> float | None:
        """Share of what was answered that is right; None: it was never answered."""
        return self.right / self.given if self.given else None

    @property
    def recall(self) -> float | None:
        """Share of what is expected that was answered rightly; None: it is never expected."""
        return self.right / self.support if self.support else None

    @property
    def f1(self) -> float:
        """`2 right / (given + expected)`."""
        return 2 * self.right / (self.given + self.support)

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return {**asdict(self), "precision": self.precision, "recall": self.recall, "f1": self.f1}


def parts_of(cases: Cases) -> list[Part]:
    """Every part that is expected or answered, the smallest F1 first, of equal ones the most expected.

    Returns:
        Nothing for kinds without parts. A failed row answers nothing.
    """
    kind = cases.output.kind
    if kind not in KINDS_WITH_PARTS:
        return []
    support, given, right = Counter[str](), Counter[str](), Counter[str]()
    for answer, expected in zip(cases.answers, cases.expected, strict=True):
        said, wanted = _pairs(answer, kind), _pairs(expected, kind)
        for counts, pairs in ((given, said), (support, wanted), (right, said & wanted)):
            for (name, _), times in pairs.items():
                counts[name] += times
    found = [Part(name, support[name], given[name], right[name]) for name in support | given]
    return sorted(found, key=lambda part: (part.f1, -part.support, part.name))


def _pairs(answer: Any, kind: str) -> Counter[tuple[str, str]]:
    """(part, value) of an answer; a label has no value."""
    if answer is None:
        return Counter()
    if kind == "json":
        return pairs_of(answer)
    return Counter((str(label), "") for label in (answer if kind == "labels" else [answer]))
