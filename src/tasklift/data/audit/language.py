"""How long texts are, and in which languages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from tasklift.data.audit.finding import Finding, named, text_of_row
from tasklift.dataset import Example

CHECK = "language"
#: Words that an encoder reads; about 256 of its tokens.
ENCODER_WORDS = 190
#: Shorter texts say too little to tell a language by.
LEAST_CHARS = 25
#: A language counts as one of the set's own from this share of rows on.
OWN_SHARE = 0.02
#: A text is called another language only where the identifier is so sure.
SURE = 0.95
OTHER, SHORT = "unclear", "too short"


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language_of(text: str) -> str:
    """ISO 639-1 code, `unclear` or `too short`."""
    if len(text) < LEAST_CHARS:
        return SHORT
    code, probability = _identifier().classify(text)
    return str(code) if probability >= SURE else OTHER


def languages_of(rows: Sequence[Example]) -> list[str]:
    """[rows] codes."""
    return [language_of(text_of_row(row)) for row in rows]


def lengths_of(rows: Sequence[Example]) -> dict[str, float]:
    """Words a text: least, quartiles, 95th percentile, most."""
    words = [len(text_of_row(row).split()) for row in rows]
    points = np.quantile(words, [0, 0.25, 0.5, 0.75, 0.95, 1]) if words else np.zeros(6)
    return dict(zip(("least", "q25", "median", "q75", "p95", "most"), map(float, points), strict=True))


def length_and_language(rows: Sequence[Example], languages: Sequence[str]) -> list[Finding]:
    """Texts that an encoder cuts, and texts in a language that the set otherwise hardly has."""
    findings = []
    long = sorted(rows, key=lambda row: -len(text_of_row(row)))
    cut = tuple(row.id for row in long if len(text_of_row(row).split()) > ENCODER_WORDS)
    if cut:
        findings.append(
            Finding(
                CHECK,
                "note",
                f"{len(cut)} texts are longer than {ENCODER_WORDS} words ({named(cut)}): the bundled encoder reads "
                "their beginning",
                "put what matters first, or shorten them",
                cut,
            )
        )
    counts = Counter(code for code in languages if code not in (OTHER, SHORT))
    own = {code for code, n in counts.items() if n >= OWN_SHARE * max(sum(counts.values()), 1)}
    rare = tuple(row.id for row, code in zip(rows, languages, strict=True) if code in counts and code not in own)
    if rare:
        strange = ", ".join(f"{code} {n}" for code, n in counts.most_common() if code not in own)
        findings.append(
            Finding(
                CHECK,
                "note",
                f"{len(rare)} texts look unlike {', '.join(sorted(own))} ({strange}; {named(rare)})",
                "short texts are often misread; look before you take them out",
                rare,
            )
        )
    return findings
