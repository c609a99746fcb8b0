"""256-dimensional static word embeddings (wordllama): no torch, thousands of texts a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import wordllama
from numpy.typing import NDArray

VERSION = "2"
#: Characters beyond this are cut: the word vectors of one batch are in memory together, padded to the longest.
MAX_CHARS = 8000


class StaticEmbedder:
    """Mean of static word vectors. The weights travel inside the installed package."""

    name = "static"
    dimensions = 256

    def __init__(self) -> None:
        # The bundled tokenizer is only found when its own folder is named as the cache.
        folder = Path(wordllama.__file__).parent
        self._model = wordllama.WordLlama.load(dim=self.dimensions, cache_dir=folder, disable_download=True)
        self.snapshot = f"wordllama-{wordllama.__version__}-{self.dimensions}-v{VERSION}"

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """[n] texts -> [n, 256], unit length."""
        vectors = np.asarray(self._model.embed([text[:MAX_CHARS] for text in texts]), dtype=np.float32)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[np.float32] = vectors / np.maximum(length, 1e-12)
        return unit
