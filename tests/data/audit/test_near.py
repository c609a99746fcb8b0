"""Near-duplicates: found as an exact comparison finds them, and fast."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasklift.data.audit.near import NearPair, clusters, folded, near_pairs

SENTENCES = (
    "Why was my card payment declined at the petrol station",
    "I would like to move money from savings to my current account",
    "The app closes whenever I open the statement of last month",
    "How long does a transfer to Poland take",
)


def pieces(text: str) -> set[str]:
    padded = f" {folded(text) or text} "
    return {padded[i : i + 3] for i in range(len(padded) - 2)}


def jaccard(first: str, second: str) -> float:
    a, b = pieces(first), pieces(second)
    return len(a & b) / len(a | b)


def test_every_pair_that_an_exact_comparison_finds_is_connected() -> None:
    draw = random.Random(3)
    texts = []
    for _ in range(120):
        words = draw.choice(SENTENCES).split()
        words[draw.randrange(len(words))] = draw.choice(["soon", "please", "today", "it"])
        texts.append(" ".join(words))
    group_of = {at: n for n, group in enumerate(clusters(len(texts), near_pairs(texts))) for at in group}
    for a in range(len(texts)):
        for b in range(a):
            if jaccard(texts[a], texts[b]) >= 0.7:
                assert group_of[a] == group_of[b]


def test_pairs_are_exact_and_below_the_threshold_there_are_none() -> None:
    texts = [SENTENCES[0], SENTENCES[0].upper() + "!!", SENTENCES[0].replace("petrol", "petorl"), SENTENCES[1]]
    found = near_pairs(texts)
    assert [(one.first, one.second) for one in found] == [(0, 1), (0, 2)]
    assert found[0].similarity == 1.0
    assert found[1].similarity == jaccard(texts[0], texts[2])


def test_emoji_punctuation_and_empty_texts_are_compared_as_they_are() -> None:
    assert near_pairs(["🙂🙂", "🙂🙂", "...", "???", ""]) == [NearPair(0, 1, 1.0)]
    assert near_pairs([]) == near_pairs(["alone"]) == []


def test_thousands_of_copies_are_one_cluster() -> None:
    texts = [f"your parcel {n} is on its way to the depot in Leeds" for n in range(500)]
    assert len(clusters(len(texts), near_pairs(texts))) == 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=12))
def test_any_texts_can_be_compared(texts: list[str]) -> None:
    for pair in near_pairs(texts):
        assert pair.first < pair.second
        assert 0.0 < pair.similarity <= 1.0


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("who accepts my card", "who accepts my acrd"),
        ("who accepts my card", "who accepts my car"),
        ("who accepts my card", "who accepts my cards"),
        ("who accepts my card", "who accepts ny card"),
        ("i need a refund", "please i need a refund"),
    ],
)
def test_short_texts_one_slip_apart_are_found(first: str, second: str) -> None:
    assert len(near_pairs([first, second])) == 1


@pytest.mark.parametrize(("first", "second"), [("yes", "yet"), ("play music", "music"), ("my card", "your cat")])
def test_very_short_texts_are_not_compared_by_slips(first: str, second: str) -> None:
    assert near_pairs([first, second]) == []
