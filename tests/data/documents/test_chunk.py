"""Cutting texts: at headings, between paragraphs, between sentences, and never beyond the budget."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasklift.data.documents.chunk import chunk_spans
from tasklift.tokens import estimated_tokens

GUIDE = """# Returns

Send it back within 30 days.

Keep the box.

## Refunds

Money comes back within five days.

```
# not a heading
```

Shipping
========

We ship on weekdays.
"""


def pieces(text: str, most: int) -> list[tuple[str, str]]:
    return [(heading, text[start:end]) for start, end, heading in chunk_spans(text, most)]


def test_a_heading_begins_a_piece_and_names_it() -> None:
    assert pieces(GUIDE, 100) == [
        ("Returns", "Send it back within 30 days.\n\nKeep the box."),
        ("Returns > Refunds", "Money comes back within five days.\n\n```\n# not a heading\n```"),
        ("Shipping", "We ship on weekdays."),
    ]


def test_paragraphs_that_do_not_fit_together_are_apart() -> None:
    assert [text for _, text in pieces(GUIDE, 12)][:2] == ["Send it back within 30 days.", "Keep the box."]


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    text = "The first sentence is here. The second one follows it. And a third."
    assert [text for _, text in pieces(text, 20)] == [
        "The first sentence is here. The second one follows it.",
        "And a third.",
    ]


def test_a_word_longer_than_the_budget_is_cut_anywhere() -> None:
    found = pieces("x" * 1000, 20)
    assert "".join(text for _, text in found) == "x" * 1000
    assert max(estimated_tokens(text) for _, text in found) <= 20


@given(st.text(alphabet=st.sampled_from("ab .!\n#=-`é日\t"), max_size=300), st.integers(16, 60))
def test_pieces_keep_the_budget_and_all_words_of_a_text(text: str, most: int) -> None:
    spans = chunk_spans(text, most)
    assert all(estimated_tokens(text[start:end]) <= most and text[start:end].strip() for start, end, _ in spans)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
    outside = "".join(
        text[end:start]
        for end, start in zip([0, *(s[1] for s in spans)], [*(s[0] for s in spans), len(text)], strict=True)
    )
    lines = [line.strip() for line in outside.splitlines() if line.strip()]
    assert all(line.startswith("#") or set(line) <= set("=-") or _is_underlined(line, text) for line in lines)


def _is_underlined(line: str, text: str) -> bool:
    return any(
        one.strip() == line and set(other.strip()) <= set("=-") and other.strip()
        for one, other in zip(text.splitlines(), text.splitlines()[1:], strict=False)
    )


@pytest.mark.parametrize("text", ["", "  \n\n ", "# Only a heading\n"])
def test_without_words_below_a_heading_there_is_no_piece(text: str) -> None:
    assert chunk_spans(text, 50) == []
