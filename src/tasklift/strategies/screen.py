"""A rule before the model: sentences that give orders to a machine, or that are about something else, are left out.

An attack in a customer's message is a sentence that does not belong there. Two signs are used: patterns of orders to a
model, and, where there are labelled rows, how unlike a sentence is to anything that customers write.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasklift.data.instructions import orders_in, without_invisible

_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|\n+")
#: Share of sentences of training rows that may look foreign: what the screen may cost on clean rows.
FALSE_ALARMS = 0.01
#: Rows from which the threshold is taken.
MOST_ROWS = 300
#: [n] sentences -> [n] largest cosine to a labelled row.
Likeness = Callable[[Sequence[str]], NDArray[np.float64]]


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text."""
    return [part for part in _SENTENCE_END.split(text) if part.strip()]


def threshold_of(likeness: Sequence[float]) -> float:
    """The likeness below which a sentence is foreign: so many sentences of clean rows are less alike.

    Args:
        likeness: of sentences of labelled rows to the *other* rows.
    """
    return float(np.quantile(np.asarray(likeness), FALSE_ALARMS)) if len(likeness) else -1.0


def screened(value: Mapping[str, Any], likeness: Likeness | None, least: float) -> tuple[dict[str, Any], list[str]]:
    """An input without its foreign sentences, and those.

    Args:
        likeness: of sentences to labelled rows; None: there are none, and only patterns count.
        least: foreign is what is less alike.

    Returns:
        The input as it was where nothing is foreign.
    """
    kept, dropped = dict(value), []
    for name, text in value.items():
        if not isinstance(text, str) or not text.strip():
            continue
        parts = sentences(without_invisible(text)[0])
        bad = [bool(orders_in(part)) for part in parts]
        if likeness is not None:
            alike = likeness(parts)
            bad = [one or alike[at] < least for at, one in enumerate(bad)]
        if any(bad):
            kept[name] = " ".join(part for part, foreign in zip(parts, bad, strict=True) if not foreign)
            dropped += [part for part, foreign in zip(parts, bad, strict=True) if foreign]
    return kept, dropped
