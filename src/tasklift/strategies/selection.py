"""Which labelled rows go into a prompt: the nearest, nearest but unlike each other, or as many of each label.

Whatever is chosen keeps a budget in tokens, and is shown with the nearest row last, next to the question.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tasklift.data.embed import Vectors
from tasklift.tokens import estimated_tokens

Selection = Literal["nearest", "diverse", "balanced"]
SELECTIONS: tuple[Selection, ...] = get_args(Selection)
#: Weight of nearness in maximal marginal relevance, against likeness to what is already chosen.
NEARNESS = 0.7
#: Tokens of a label and of what a template puts around an example.
FRAMING = 12


@dataclass(frozen=True, slots=True)
class Found:
    """Rows near a text, nearest first.

    Attributes:
        rows: [n] indices of labelled rows.
        similarity: [n] cosine to the text.
        vectors: [n, dimensions].
        labels: [n] label indices.
    """

    rows: NDArray[np.int64]
    similarity: NDArray[np.float64]
    vectors: Vectors
    labels: NDArray[np.int64]


def select(found: Found, how: str, count: int) -> list[int]:
    """Places in `found` of the rows to show, in the order in which they are worth their tokens.

    Args:
        how: one of `SELECTIONS`.
        count: at most so many.
    """
    if how == "diverse":
        return _diverse(found, count)
    if how == "balanced":
        return _balanced(found.labels, count)
    return list(range(min(count, len(found.rows))))


def within_budget(chosen: Sequence[int], texts: Sequence[str], most_tokens: int) -> list[int]:
    """Those of `chosen` that fit, in their order; what is too long is left out, and a shorter one behind it may fit.

    Args:
        texts: of the chosen rows, as they will be shown.
        most_tokens: of all together; 0: no limit.
    """
    if not most_tokens:
        return list(chosen)
    kept, room = [], most_tokens
    for place, text in zip(chosen, texts, strict=True):
        needed = estimated_tokens(text) + FRAMING
        if needed <= room:
            kept.append(place)
            room -= needed
    return kept


def _diverse(found: Found, count: int) -> list[int]:
    """Maximal marginal relevance (Carbonell and Goldstein 1998): near to the text, unlike what is already chosen."""
    likeness = np.round(found.vectors @ found.vectors.T, 6)
    closest = np.full(len(found.rows), -np.inf)
    chosen: list[int] = []
    for _ in range(min(count, len(found.rows))):
        worth = NEARNESS * found.similarity - (1 - NEARNESS) * np.where(np.isinf(closest), 0.0, closest)
        worth[chosen] = -np.inf
        best = int(np.argmax(worth))
        chosen.append(best)
        closest = np.maximum(closest, likeness[best])
    return chosen


def _balanced(labels: NDArray[np.int64], count: int) -> list[int]:
    """The nearest row of each label, then the second nearest of each, labels in order of their nearest row."""
    places: dict[int, list[int]] = defaultdict(list)
    for place, label in enumerate(labels.tolist()):
        places[label].append(place)
    rounds = max((len(some) for some in places.values()), default=0)
    return [some[turn] for turn in range(rounds) for some in places.values() if turn < len(some)][:count]


@dataclass(frozen=True, slots=True)
class Picker:
    """How examples are picked for one text.

    Attributes:
        count: most examples.
        pool: rows looked at; at least `count`.
        how: one of `SELECTIONS`.
        most_tokens: of all examples together; 0: no limit.
        chars: longer texts are cut.
    """

    count: int
    pool: int
    how: str
    most_tokens: int
    chars: int

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Picker:
        """From the parameters of `fewshot`; those that older cards lack have their defaults."""
        count = int(parameters["examples"])
        return cls(
            count,
            max(int(parameters["pool"]), count),
            str(parameters.get("selection", "nearest")),
            int(parameters.get("example_tokens", 0)),
            int(parameters["example_chars"]),
        )

    def pick(self, found: Found, texts: Sequence[str]) -> list[int]:
        """Rows to show, the nearest last.

        Args:
            texts: of all labelled rows.
        """
        chosen = select(found, self.how, self.count)
        rows = found.rows.tolist()
        kept = within_budget(chosen, [texts[rows[place]][: self.chars] for place in chosen], self.most_tokens)
        return [rows[place] for place in sorted(kept, reverse=True)]
