"""Text to vectors: the embedders, and a cache by content around each."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tasklift import registry
from tasklift.cache import ContentCache, is_afresh, open_cache
from tasklift.worker import credit, timed

Vectors = NDArray[np.float32]
#: Bytes before the vector in a cache entry: CPU seconds as a little-endian float32.
_COST = 4


class Embedder(Protocol):
    """Turns texts into unit vectors.

    Attributes:
        name: registry name.
        snapshot: hash of the weights and of how they are used; enters fingerprints and cache keys.
        dimensions: length of a vector.
    """

    name: str
    snapshot: str
    dimensions: int

    def encode(self, texts: Sequence[str]) -> Vectors:
        """[n] texts -> [n, dimensions], each row of length 1 (0 for a text without known words)."""
        ...


class CachedEmbedder:
    """An embedder that computes each text once. Keys are hashes: the cache holds no text.

    With each vector stands the CPU time it took, which is credited when it is served again.
    """

    def __init__(self, inner: Embedder, cache: ContentCache) -> None:
        self.inner, self._cache = inner, cache
        self.name, self.snapshot, self.dimensions = inner.name, inner.snapshot, inner.dimensions

    def encode(self, texts: Sequence[str]) -> Vectors:
        """[n] texts -> [n, dimensions]."""
        if is_afresh():
            return self.inner.encode(texts)
        keys = [hashlib.sha256(f"v2\x1f{self.snapshot}\x1f{text}".encode()).hexdigest() for text in texts]
        found = self._cache.get_many(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        credit(sum(struct.unpack("<f", value[:_COST])[0] for value in found.values()))
        if missing:
            done = timed(self.inner.encode, list(missing.values()))
            cost = struct.pack("<f", done.cpu_s / len(missing))
            vectors = done.value.astype(np.float32)
            fresh = {key: cost + vector.tobytes() for key, vector in zip(missing, vectors, strict=True)}
            self._cache.put_many(fresh)
            found = {**found, **fresh}
        blob = b"".join(found[key][_COST:] for key in keys)
        return np.frombuffer(blob, dtype=np.float32).reshape(len(keys), self.dimensions)


def open_embedder(name: str) -> CachedEmbedder:
    """The embedder called `name`, loaded once in a process, with the current project's cache.

    A name with a slash is a folder, or an encoder of the Hugging Face hub.

    Raises:
        ConfigError: no such embedder.
        MissingDependencyError: its extra is not installed.
    """
    return CachedEmbedder(_load(name), open_cache("embeddings"))


@lru_cache(maxsize=4)
def _load(name: str) -> Embedder:
    named = registry.load("embedder", "huggingface" if "/" in name else name)
    embedder: Embedder = named(name) if "/" in name else named()
    return embedder
