"""How good retrieval is, apart from any model: is the right document among the first k?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasklift.data.documents.index import METHODS, DocumentIndex, Method
from tasklift.errors import DataError
from tasklift.stats.intervals import Interval, wilson

#: Documents looked at.
DEPTHS = (1, 5, 10)
#: A long document has several passages among the first; so many are looked at to find enough documents.
PASSAGES_A_DOCUMENT = 8


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and the documents that are right."""

    text: str
    documents: frozenset[str]


@dataclass(frozen=True)
class Recall:
    """What one method found.

    Attributes:
        method: fused, bm25 or embeddings.
        at: k -> share of questions with a right document among the first k.
        ranks: place of the first right document of each question, from 1; None: not found.
    """

    method: Method
    at: Mapping[int, Interval]
    ranks: tuple[int | None, ...]

    def to_json(self) -> dict[str, Any]:
        """Without the ranks."""
        shares = {str(k): {"value": one.value, "low": one.low, "high": one.high} for k, one in self.at.items()}
        return {"method": self.method, "at": shares}


def measure_recall(index: DocumentIndex, questions: Sequence[Question]) -> list[Recall]:
    """Every method on the same questions."""
    found = []
    for method in METHODS:
        ranks = tuple(_rank(index, question, method) for question in questions)
        at = {k: wilson(sum(rank is not None and rank <= k for rank in ranks), len(ranks)) for k in DEPTHS}
        found.append(Recall(method, at, ranks))
    return found


def _rank(index: DocumentIndex, question: Question, method: Method) -> int | None:
    passages = index.search(question.text, DEPTHS[-1] * PASSAGES_A_DOCUMENT, method)
    seen = list(dict.fromkeys(passage.document for passage in passages))
    return next((place for place, name in enumerate(seen, 1) if name in question.documents), None)


def read_questions(path: Path) -> list[Question]:
    """Lines of `{"question": ..., "document": ...}`; `document` may be a list of right ones.

    Raises:
        DataError: a line is none; names it.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    found = [_question(line, f"{path}: line {at}") for at, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise DataError(f'{path}: no questions; write lines like {{"question": "...", "document": "returns.md"}}')
    return found


def _question(line: str, where: str) -> Question:
    try:
        row = json.loads(line)
        text, right = row["question"], row["document"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{where}: {type(error).__name__} {error}; each line needs `question` and `document`"
        ) from error
    right = [right] if isinstance(right, str) else right
    if not isinstance(text, str) or not isinstance(right, list) or not all(isinstance(one, str) for one in right):
        raise DataError(f"{where}: `question` must be text, and `document` a path or a list of paths")
    return Question(text, frozenset(right))
