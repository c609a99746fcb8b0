"""Is what a text says in its source? Two checks on this machine, without a model that judges."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from tasklift.data.embed import open_embedder
from tasklift.errors import DataError
from tasklift.metrics.base import Cases, Floats, RowwiseMetric
from tasklift.outputs.base import as_json

_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
_QUOTE = re.compile(r"[\"“«„]([^\"“”«»„]{3,})[\"”»“]")
#: A capitalised word inside a sentence, or several in a row: a name, in languages that capitalise names only.
_NAME = re.compile(r"(?<=[^\s.!?:\n\"“(-]\s)[A-Z][\w'’&-]*(?:\s+[A-Z][\w'’&-]*)*")
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")
#: Sentences with fewer letters say nothing that could be compared.
_LEAST_CHARS = 12


class Faithfulness(RowwiseMetric):
    """Share of the numbers, quotations and names of an answer that stand in its source; 1 where it has none of them.

    It finds what was made up, not what was twisted: a number of the source beside the wrong noun counts as found. In a
    language that capitalises every noun, every noun is checked. For objects, every value is checked.
    """

    name: ClassVar[str] = "faithfulness"
    kinds: ClassVar[frozenset[str]] = frozenset({"text", "json"})
    needs_sources: ClassVar[bool] = True

    def rows(self, cases: Cases) -> Floats:
        """[rows] from 0 to 1; a failed row has 0."""
        return np.array(
            [
                0.0 if answer is None else _share_found(answer, source)
                for answer, source in zip(cases.answers, sources_of(cases), strict=True)
            ]
        )


class SourceSimilarity(RowwiseMetric):
    """Mean over an answer's sentences of the cosine to the most similar sentence of the source (static embeddings).

    A figure to compare candidates by, on the same rows: no value of it means "faithful".
    """

    name: ClassVar[str] = "source_similarity"
    kinds: ClassVar[frozenset[str]] = frozenset({"text"})
    needs_sources: ClassVar[bool] = True

    def rows(self, cases: Cases) -> Floats:
        """[rows] from 0 to 1; a failed row has 0."""
        encode = open_embedder("static").encode
        found = []
        for answer, source in zip(cases.answers, sources_of(cases), strict=True):
            said, there = _sentences(answer if isinstance(answer, str) else ""), _sentences(source)
            if not said or not there:
                found.append(float(answer is not None and not said))
                continue
            likeness = np.asarray(encode(said)) @ np.asarray(encode(there)).T
            found.append(float(np.clip(likeness.max(axis=1), 0.0, 1.0).mean()))
        return np.array(found)


def sources_of(cases: Cases) -> list[str]:
    """The text of each input.

    Raises:
        DataError: the cases came without their sources.
    """
    if cases.sources is None:
        raise DataError("this metric holds answers against their source, and the rows came without their texts")
    return ["\n".join(str(part) for part in source.values()) for source in cases.sources]


def facts_of(text: str) -> Iterator[str]:
    """Numbers, quotations and names of a text."""
    yield from _NUMBER.findall(text)
    yield from _QUOTE.findall(text)
    yield from _NAME.findall(text)


def _share_found(answer: Any, source: str) -> float:
    facts = list(facts_of(answer)) if isinstance(answer, str) else [str(value) for value in _leaves(answer)]
    if not facts:
        return 1.0
    folded = _folded(source)
    return sum(_folded(fact) in folded for fact in facts) / len(facts)


def _folded(text: str) -> str:
    """Case and white space folded, thousands separators taken out of numbers."""
    return re.sub(r"(?<=\d)[,'’](?=\d{3}\b)", "", " ".join(text.casefold().split()))


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for part in value.values():
            yield from _leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part)
    elif value not in (None, "") and not isinstance(value, bool):
        yield value if isinstance(value, str) else as_json(value)


def _sentences(text: str) -> list[str]:
    found = [sentence.strip() for sentence in _SENTENCE.findall(text)]
    return [sentence for sentence in found if len(sentence) >= _LEAST_CHARS] or ([text.strip()] if text.strip() else [])
