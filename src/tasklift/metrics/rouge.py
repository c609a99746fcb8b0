"""ROUGE-L: the longest common subsequence of words (Lin 2004)."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import numpy as np

from tasklift.metrics.base import Cases, Floats, RowwiseMetric

#: A word, or one character of a script that sets no spaces.
_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


class RougeL(RowwiseMetric):
    """F1 of the longest common subsequence, words with case folded, no stemming.

    The Perl script of Lin and `rouge-score` drop every character outside a-z and 0-9; here words of all scripts count.
    """

    name: ClassVar[str] = "rouge_l"
    kinds: ClassVar[frozenset[str]] = frozenset({"text"})

    def rows(self, cases: Cases) -> Floats:
        """[rows] from 0 to 1; a failed row has 0."""
        return np.array([rouge_l(answer, y) for answer, y in zip(cases.answers, cases.expected, strict=True)])


def rouge_l(answer: Any, expected: Any) -> float:
    """F1 of one answer; anything that is no text is right only where it is the expected one."""
    if not isinstance(answer, str) or not isinstance(expected, str):
        return float(answer is not None and answer == expected)
    said, wanted = words_of(answer), words_of(expected)
    common = longest_common(said, wanted)
    return 2 * common / (len(said) + len(wanted)) if common else float(said == wanted)


def words_of(text: str) -> list[str]:
    """Words, case folded."""
    return _WORD.findall(text.casefold())


def longest_common(a: list[str], b: list[str]) -> int:
    """Length of the longest common subsequence, bit-parallel (Hyyrö 2004): one integer operation a word of b."""
    places: dict[str, int] = {}
    for at, word in enumerate(a):
        places[word] = places.get(word, 0) | (1 << at)
    whole = (1 << len(a)) - 1
    row = whole
    for word in b:
        hit = row & places.get(word, 0)
        row = ((row + hit) | (row - hit)) & whole
    return len(a) - row.bit_count()
