"""BM25 over pieces of documents: which words a question and a piece share, the rare ones counting more."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

#: How soon a repeated word stops counting, and how much long pieces are held back: the values of Lucene.
K1, B = 1.2, 0.75
_WORD = re.compile(r"\w+")


class BM25:
    """Robertson's BM25 in the form of Lucene, whose weight of a word is never negative.

    score(q, d) = sum over words t of q: ln(1 + (N - n_t + 0.5) / (n_t + 0.5)) * f / (f + k1 (1 - b + b |d| / |mean|)),
    where n_t pieces of N hold t, and d holds it f times (Robertson and Zaragoza 2009; Kamphuis et al. 2020).

    Args:
        texts: the pieces.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        counts = [Counter(words(text)) for text in texts]
        self._place: dict[str, int] = {}
        rows, columns, values = [], [], []
        for row, counted in enumerate(counts):
            for word, times in counted.items():
                rows.append(row)
                columns.append(self._place.setdefault(word, len(self._place)))
                values.append(times)
        frequency = np.array(values, dtype=np.float64)
        column = np.array(columns, dtype=np.int64)
        lengths = np.array([counted.total() for counted in counts], dtype=np.float64)
        mean = lengths.mean() if lengths.size and lengths.any() else 1.0
        norm = K1 * (1 - B + B * lengths / mean)
        holding = np.bincount(column, minlength=len(self._place))
        rarity = np.log1p((len(texts) - holding + 0.5) / (holding + 0.5))
        weights = rarity[column] * frequency / (frequency + norm[rows]) if rows else frequency
        shape = (len(texts), max(1, len(self._place)))
        self._weights = csr_array((weights, (rows, columns)), shape=shape).tocsc()

    def scores(self, question: str) -> NDArray[np.float64]:
        """[pieces]; 0 where no word is shared."""
        wanted = [self._place[word] for word in words(question) if word in self._place]
        found: NDArray[np.float64] = np.asarray(self._weights[:, wanted].sum(axis=1), dtype=np.float64).ravel()
        return found


def words(text: str) -> list[str]:
    """Words as BM25 compares them: case does not count, nor does the plural s of English."""
    found = _WORD.findall(text.casefold())
    return [word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in found]
