"""Text to vectors with the static embedder, and the cache around an embedder: what it keeps and what it credits."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tasklift.cache import ContentCache, caching_in, computing_afresh
from tasklift.data.embed import CachedEmbedder, Vectors, open_embedder
from tasklift.data.embed_static import StaticEmbedder
from tasklift.errors import ConfigError
from tasklift.worker import timed

TEXTS = ("Where is my parcel?", "My package has not arrived", "The kettle leaks", "Der Wasserkocher ist undicht")
#: CPU seconds that `Slow` needs for one text.
COST = 0.01


class Slow:
    """An embedder that needs CPU time and writes down what it was asked for."""

    name, dimensions = "slow", 4

    def __init__(self, snapshot: str = "slow-v1") -> None:
        self.snapshot = snapshot
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Numbers that depend on the text alone."""
        until = time.process_time() + COST * len(texts)
        while time.process_time() < until:
            pass
        self.asked += texts
        rows = [np.frombuffer(hashlib.sha256(text.encode()).digest()[:4], dtype=np.uint8) for text in texts]
        return np.array(rows, dtype=np.float32).reshape(len(texts), 4)


@pytest.fixture(scope="module")
def static() -> StaticEmbedder:
    return StaticEmbedder()


def test_vectors_have_length_one(static: StaticEmbedder) -> None:
    vectors = static.encode(TEXTS)
    assert vectors.shape == (4, static.dimensions)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_texts_of_one_meaning_are_nearer(static: StaticEmbedder) -> None:
    parcel, package, kettle, _ = static.encode(TEXTS)
    assert parcel @ package > parcel @ kettle + 0.1


def test_a_vector_does_not_depend_on_its_neighbours(static: StaticEmbedder) -> None:
    together = static.encode(TEXTS)
    alone = np.concatenate([static.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_texts_without_words_and_no_texts_are_no_mistake(static: StaticEmbedder) -> None:
    vectors = static.encode(["", " ", "🎂", "\x00"])
    assert vectors.shape == (4, 256)
    assert np.isfinite(vectors).all()
    assert not vectors[0].any()
    assert static.encode([]).shape == (0, 256)


def test_a_long_text_is_taken(static: StaticEmbedder) -> None:
    assert np.isfinite(static.encode(["a very long message " * 5000])).all()


def test_the_cache_changes_no_vector(static: StaticEmbedder) -> None:
    cached = CachedEmbedder(static, ContentCache())
    plain = static.encode(TEXTS)
    for _ in range(2):
        np.testing.assert_array_equal(cached.encode(TEXTS), plain)
    np.testing.assert_array_equal(cached.encode(TEXTS[::-1]), plain[::-1])
    assert (cached.name, cached.dimensions, cached.snapshot) == ("static", 256, static.snapshot)
    assert cached.encode([]).shape == (0, 256)


def test_each_text_is_computed_once() -> None:
    slow = Slow()
    cached = CachedEmbedder(slow, ContentCache())
    assert cached.encode(["a", "b", "a"]).shape == (3, 4)
    cached.encode(["b", "c", "a"])
    assert slow.asked == ["a", "b", "c"]


def test_another_snapshot_shares_nothing() -> None:
    cache = ContentCache()
    for snapshot in ("slow-v1", "slow-v2"):
        slow = Slow(snapshot)
        CachedEmbedder(slow, cache).encode(["a"])
        assert slow.asked == ["a"]


def test_the_cache_outlives_the_embedder_and_holds_no_text(tmp_path: Path) -> None:
    secret = "my iban is DE00 1234"
    with ContentCache(tmp_path / "embeddings.sqlite") as cache:
        first = CachedEmbedder(Slow(), cache).encode([secret])
    later = Slow()
    with ContentCache(tmp_path / "embeddings.sqlite") as cache:
        np.testing.assert_array_equal(CachedEmbedder(later, cache).encode([secret]), first)
    assert later.asked == []
    assert all(secret.encode() not in path.read_bytes() for path in tmp_path.iterdir())


def test_a_vector_from_the_cache_costs_what_it_cost_before() -> None:
    cached = CachedEmbedder(Slow(), ContentCache())
    texts = [f"text {n}" for n in range(10)]
    computed = timed(cached.encode, texts)
    served = timed(cached.encode, texts)
    assert computed.cpu_s >= 10 * COST
    assert served.cpu_s >= 10 * COST * 0.99
    assert timed(cached.encode, texts[:5]).cpu_s >= 5 * COST * 0.99


def test_a_text_that_is_served_twice_in_one_call_is_credited_once() -> None:
    cached = CachedEmbedder(Slow(), ContentCache())
    once = timed(cached.encode, ["a"]).cpu_s
    twice = timed(cached.encode, ["a"] * 1000).cpu_s
    assert twice < 100 * once  # a credit for each would be a thousand times as much


def test_computing_afresh_asks_the_embedder_and_keeps_nothing() -> None:
    slow, cache = Slow(), ContentCache()
    cached = CachedEmbedder(slow, cache)
    first = cached.encode(["a"])
    with computing_afresh():
        np.testing.assert_array_equal(cached.encode(["a"]), first)
        cached.encode(["b"])
    assert slow.asked == ["a", "a", "b"]
    assert len(cache) == 1


def test_opened_embedders_use_the_cache_of_the_project(tmp_path: Path) -> None:
    for project in ("one", "two"):
        with caching_in(tmp_path / project / "cache"):
            open_embedder("static").encode(TEXTS)
        with ContentCache(tmp_path / project / "cache" / "embeddings.sqlite") as cache:
            assert len(cache) == 4


def test_an_unknown_embedder_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no embedder is called 'statics'; did you mean 'static'"):
        open_embedder("statics")
