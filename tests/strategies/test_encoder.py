"""The fine-tuned encoder: what it says follows from where it puts texts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from tasklift import registry
from tasklift.dataset import Dataset
from tasklift.task import Task


@pytest.mark.usefixtures("no_network")
def test_probabilities_follow_from_the_vectors_of_the_tuned_encoder(colours: Task, colour_rows: Dataset) -> None:
    pytest.importorskip("torch")
    encoder = registry.load("strategy", "encoder")
    candidate = encoder(max_epochs=1, refit=False).fit(colours, colour_rows)
    texts = ["a ruby on the beach", "moss", "denim, like the ocean " * 40, "sky"]
    vectors = candidate.vectors(texts)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    expected = softmax(candidate.logits(vectors) / candidate.notes["temperature"], axis=1)
    assert candidate.probabilities(texts) == pytest.approx(expected, abs=1e-6)


@pytest.mark.usefixtures("no_network")
def test_a_text_gets_the_same_vector_in_any_batch() -> None:
    pytest.importorskip("torch")
    embed = registry.load("embedder", "minilm")().encode
    texts = [f"{word} " * (1 + i * 7 % 60) for i, word in enumerate(["red", "moss", "sky", "rust"] * 12)]
    assert embed(texts) == pytest.approx(np.vstack([embed([text]) for text in texts]), abs=1e-5)
