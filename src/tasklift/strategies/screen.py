"""Before the model is asked: sentences that give orders to a machine, or are about something else, are left out.

An attack in a customer's message is a sentence that does not belong there. Three signs are used: patterns of orders to
a model; a linear head over sentence vectors that was trained on public attacks and on what customers write
(`scripts/make_screen_head.py`); and, where there are labelled rows, how unlike them a sentence is.
"""

from __future__ import annotations

import json
import math
import re
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasklift.data.embed import Vectors, open_embedder
from tasklift.data.instructions import INVISIBLE, orders_in
from tasklift.errors import ArtifactError

_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|\n+")
#: What the head reads: its vectors are those of this embedder.
EMBEDDER = "minilm"
#: Share of sentences of clean texts that may be left out, and the same in a text where another one is left out anyway.
#: Chosen on the training halves of the public attacks, planted into training rows of the example.
FALSE_ALARMS, ONCE_ALARMED = 0.03, 0.10
#: How many logits of the head the likeness to the labelled rows (0 to 1) is worth.
LIKENESS_WEIGHT = 6.0
#: Labelled rows from which limits are taken.
MOST_ROWS = 300
#: [n] sentences, and [n] which row each comes from -> [n] largest cosine to another labelled row.
Likeness = Callable[[Sequence[str], Sequence[int]], NDArray[np.float64]]
#: [n] sentences -> [n] how foreign they are.
Foreign = Callable[[Sequence[str]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Limits:
    """Above which a sentence is foreign.

    Attributes:
        first: where no other sentence of the text is.
        further: where one is.
    """

    first: float
    further: float

    @staticmethod
    def of(foreign: Sequence[float]) -> Limits:
        """From n sentences of clean texts: a further clean one lies above a limit with at most the share's probability
        (order statistic n + 1 times 1 - share, rounded up; Vovk et al. 2005). Where they are too few to say so, nothing
        is foreign.
        """
        ranked = sorted(foreign)
        places = [math.ceil((len(ranked) + 1) * (1 - share)) for share in (FALSE_ALARMS, ONCE_ALARMED)]
        first, further = (ranked[at - 1] if at <= len(ranked) else sys.float_info.max for at in places)
        return Limits(first, further)


def screen_settings(limits: Limits) -> dict[str, Any]:
    """For a card: the limits, and which head they were taken with."""
    return {"screen": {**asdict(limits), "head": head().snapshot}}


def limits_of(settings: Mapping[str, Any]) -> Limits:
    """The limits in a card.

    Raises:
        ArtifactError: they are not there, or belong to another head.
    """
    told = settings.get("screen") or {}
    if told.get("head") != head().snapshot:
        raise ArtifactError("this candidate's screen was fitted by another version of tasklift: fit it again")
    return Limits(told["first"], told["further"])


@dataclass(frozen=True, slots=True)
class Head:
    """The linear head: weights [dimensions], a bias, and a hash of both."""

    weights: NDArray[np.float64]
    bias: float
    snapshot: str

    def logits(self, vectors: Vectors) -> NDArray[np.float64]:
        """[n, dimensions] -> [n], higher: more like an attack."""
        return np.asarray(vectors @ self.weights + self.bias, dtype=np.float64)


@lru_cache(maxsize=1)
def head() -> Head:
    """The head that ships."""
    told = json.loads(files("tasklift.strategies").joinpath("screen_head.json").read_text(encoding="utf-8"))
    return Head(np.array(told["weights"]), told["bias"], told["snapshot"])


def attack_logits(parts: Sequence[str]) -> NDArray[np.float64]:
    """[n] sentences -> [n] logits of being an attack.

    Raises:
        MissingDependencyError: the sentence encoder is not installed.
    """
    return head().logits(open_embedder(EMBEDDER).encode(parts))


def limits_from(texts: Sequence[str], likeness: Likeness | None = None) -> Limits:
    """Limits from sentences of a task's own rows; labels are not looked at.

    Args:
        likeness: where it counts; each sentence is compared with the other rows.
    """
    rows = range(0, len(texts), max(1, len(texts) // MOST_ROWS))
    pairs = [(row, part) for row in rows for part in sentences(texts[row])]
    if not pairs:
        return Limits.of([])
    parts = [part for _, part in pairs]
    measured = attack_logits(parts)
    if likeness is not None:
        measured = measured - LIKENESS_WEIGHT * likeness(parts, [row for row, _ in pairs])
    return Limits.of(measured.tolist())


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Where the sentences and lines of a text begin and end, white space around them left out."""
    ends = [*((found.start(), found.end()) for found in _SENTENCE_END.finditer(text)), (len(text), len(text))]
    begins = [0, *(after for _, after in ends[:-1])]
    spans = ((begin, end) for begin, (end, _) in zip(begins, ends, strict=True) if text[begin:end].strip())
    return [(end - len(text[begin:end].lstrip()), begin + len(text[begin:end].rstrip())) for begin, end in spans]


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text as they are read: nothing invisible, full-width letters as plain ones."""
    return [as_read(text[begin:end]) for begin, end in sentence_spans(text)]


def as_read(text: str) -> str:
    """A text without characters that are drawn as nothing, in one form of its letters."""
    return unicodedata.normalize("NFKC", INVISIBLE.sub("", text))


def screened(value: Mapping[str, Any], foreign: Foreign, limits: Limits) -> tuple[dict[str, Any], list[str]]:
    """An input without its foreign sentences, and those.

    Args:
        foreign: how foreign sentences are, as `limits` counts it.

    Returns:
        The input as it was where nothing is foreign. What stays keeps its line breaks, so that a text from which an
        attack was taken is the text that it was planted into.
    """
    kept, dropped = dict(value), []
    for name, text in value.items():
        if not isinstance(text, str) or not text.strip():
            continue
        spans = sentence_spans(text)
        bad = _bad([as_read(text[begin:end]) for begin, end in spans], foreign, limits)
        if bad.any():
            kept[name] = _joined(text, spans, bad)
            dropped += [text[begin:end] for (begin, end), out in zip(spans, bad, strict=True) if out]
    return kept, dropped


def _bad(parts: Sequence[str], foreign: Foreign, limits: Limits) -> NDArray[np.bool_]:
    measured = foreign(parts)
    bad = np.array([bool(orders_in(part)) for part in parts]) | (measured > limits.first)
    return np.asarray(bad | (measured > limits.further) if bad.any() else bad)


def _joined(text: str, spans: Sequence[tuple[int, int]], bad: NDArray[np.bool_]) -> str:
    """What stays, with the white space that stood between neighbours, and a space where something is missing."""
    pieces: list[str] = []
    last = -1
    for at, (begin, end) in enumerate(spans):
        if bad[at]:
            continue
        if pieces:
            pieces.append(text[spans[last][1] : begin] if last == at - 1 else " ")
        pieces.append(text[begin:end])
        last = at
    return "".join(pieces)
