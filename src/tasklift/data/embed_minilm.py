"""Sentence embeddings with torch: all-MiniLM-L6-v2 (384 dimensions), or any encoder of Hugging Face."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from tasklift.data.pretrained import BUNDLED, bucketed, open_pretrained


class SentenceEncoder:
    """A pre-trained encoder, frozen.

    Args:
        name: as `open_pretrained` takes it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._encoder = open_pretrained(name)
        self.snapshot = self._encoder.snapshot
        self.dimensions = self._encoder.dimensions

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """[n] texts -> [n, dimensions], unit length."""
        rows = self._encoder.token_ids(texts)
        out = np.zeros((len(rows), self.dimensions), dtype=np.float32)
        with torch.inference_mode():
            for batch in bucketed([len(row) for row in rows]):
                out[batch] = self._encoder.pooled([rows[i] for i in batch]).numpy()
        return out


class MiniLM(SentenceEncoder):
    """The bundled sentence encoder, frozen."""

    def __init__(self) -> None:
        super().__init__(BUNDLED)
