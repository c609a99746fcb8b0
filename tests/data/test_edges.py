"""Edge cases: grouped by what they say, named by their words."""

from __future__ import annotations

import numpy as np

from tasklift.data.edges import EdgeRow, find_edges
from tasklift.data.embed_static import StaticEmbedder

RENT = ["standing order rent flat four", "rent for the flat in may", "landlord rent flat deposit", "rent flat june"]
PETS = ["vet bill for the dog", "dog food and a collar", "the dog at the vet again", "vet dog vaccination"]


def test_rows_are_grouped_and_named_by_their_typical_words() -> None:
    rows = [EdgeRow(f"r{n}", text, "housing", "wrong") for n, text in enumerate(RENT)]
    rows += [EdgeRow(f"p{n}", text, ("shopping", "health")[n % 2], "unsure") for n, text in enumerate(PETS)]
    background = [*RENT, *PETS, *(f"a coffee at the station {n}" for n in range(40))]
    vectors = StaticEmbedder().encode([one.text for one in rows])
    found = {edge.name: edge for edge in find_edges(rows * 2, np.vstack([vectors, vectors]), background)}
    assert len(found) == 2
    rent = next(edge for name, edge in found.items() if "rent" in name)
    pets = next(edge for name, edge in found.items() if "dog" in name)
    assert rent.offer == "slice"
    assert rent.labels == {"housing": 8}
    assert pets.offer == "label"
    assert pets.why == {"unsure": 8}


def test_too_few_rows_are_no_group() -> None:
    rows = [EdgeRow("a", "rent", "x", "wrong")]
    assert find_edges(rows, StaticEmbedder().encode(["rent"]), ["rent"]) == []
