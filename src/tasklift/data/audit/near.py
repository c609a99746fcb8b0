"""Pairs of texts that are nearly equal: MinHash signatures, banded so that only likely pairs are compared.

Similarity is the Jaccard index of the sets of three-character pieces of the folded texts (Broder 1997). A pair at
or above the threshold shares one of `BANDS` bands of `WIDTH` minima with probability 1 - (1 - J^WIDTH)^BANDS: 99.96%
at J = 0.7, more above. What is returned was compared exactly. In short texts one typing mistake changes more pieces
than that, so texts that differ by one letter (or two swapped), or by one word more, are looked up as well: all of
those are found. All signatures are computed by numpy over all texts at
once, which is why there is no library here: the usual ones take a Python call a text and band.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

#: Texts at least so similar are called near-duplicates.
THRESHOLD = 0.7
WIDTH, BANDS = 6, 64
#: Texts up to so many characters are also looked up by single letters and words that differ ...
SHORT = 48
#: ... from so many characters, or words in the shorter one, on: "yes" and "yet" are not the same.
LEAST_CHARS, LEAST_WORDS = 8, 4
#: Characters of a piece.
PIECE = 3
#: A bucket larger than this is compared along a chain: cut-and-paste texts by the thousand would be millions of pairs.
LARGEST_BUCKET = 64
#: An estimate from a signature is off by more than this in one of ten thousand pairs.
_SLACK = 0.1
#: Pieces whose minima are computed together; more would leave the cache of a core.
_TOGETHER = 16_384
_SEED = 20261124


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two texts that are nearly equal.

    Attributes:
        first, second: their places, first < second.
        similarity: Jaccard index of their pieces, 0 to 1.
    """

    first: int
    second: int
    similarity: float


def folded(text: str) -> str:
    """Case, punctuation, accents' spelling and white space folded."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"[\W_]+", " ", plain).strip()


def near_pairs(texts: Sequence[str], threshold: float = THRESHOLD) -> list[NearPair]:
    """Pairs of different places whose texts are at least `threshold` similar, or one slip apart, in order.

    A text that folds to an earlier one is paired with its first place alone, and has all other pairs through it
    (`clusters` joins them). Texts that fold to nothing (emoji, punctuation) are compared as they are.
    """
    plain = [folded(text) or text or "\0" for text in texts]
    distinct = {text: at for at, text in reversed(list(enumerate(plain)))}  # text -> its first place
    places = sorted(distinct.values())
    found = [NearPair(distinct[text], at, 1.0) for at, text in enumerate(plain) if distinct[text] != at]
    keys = [plain[at] for at in places]
    if len(keys) > 1:
        found += [NearPair(places[a], places[b], s) for a, b, s in _compared(keys, threshold)]
    return sorted(found, key=lambda pair: (pair.first, pair.second))


def clusters(size: int, pairs: Sequence[NearPair]) -> list[list[int]]:
    """Places that pairs connect, each list in order; places without a pair are left out.

    Args:
        size: number of texts.
    """
    parent = list(range(size))

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    for pair in pairs:
        low, high = sorted((root(pair.first), root(pair.second)))
        parent[high] = low
    members: dict[int, list[int]] = {}
    for at in range(size):
        members.setdefault(root(at), []).append(at)
    return [found for found in members.values() if len(found) > 1]


def _compared(texts: Sequence[str], threshold: float) -> list[tuple[int, int, float]]:
    signatures = _signatures(texts)
    likely: set[int] = set()
    for band in range(BANDS):
        part = signatures[:, band * WIDTH : (band + 1) * WIDTH]
        first, second = _bucketed(part)
        close = _estimates(signatures, first, second) >= threshold - _SLACK
        likely.update((first[close] * len(texts) + second[close]).tolist())
    slips = _one_slip_apart(texts)
    likely |= slips
    pieces: dict[int, frozenset[str]] = {}

    def of(at: int) -> frozenset[str]:
        if at not in pieces:
            padded = f" {texts[at]} "
            pieces[at] = frozenset(padded[i : i + PIECE] for i in range(len(padded) - PIECE + 1))
        return pieces[at]

    found = []
    for code in likely:
        a, b = divmod(code, len(texts))
        shared = len(of(a) & of(b))
        similarity = shared / (len(of(a)) + len(of(b)) - shared)
        if similarity >= threshold or code in slips:
            found.append((a, b, similarity))
    return found


def _one_slip_apart(texts: Sequence[str]) -> set[int]:
    """Codes (first * texts + second) of short texts that are one letter, two swapped letters or one word apart.

    Texts that become equal where one character is left out of each, or of one of them, are at most one edit or swap
    apart, or two letters that moved; a text that is another one without a word is one word shorter.
    """
    found: set[int] = set()
    having: dict[str, list[int]] = {}
    for at, text in enumerate(texts):
        if LEAST_CHARS <= len(text) <= SHORT:
            for variant in {text, *(text[:i] + text[i + 1 :] for i in range(len(text)))}:
                having.setdefault(variant, []).append(at)
    for members in having.values():
        for a, b in combinations(members, 2) if len(members) <= LARGEST_BUCKET else pairwise(members):
            if abs(len(texts[a]) - len(texts[b])) <= 1 and _is_one_edit(texts[a], texts[b]):
                found.add(a * len(texts) + b)
    place = {text: at for at, text in enumerate(texts)}
    for at, text in enumerate(texts):
        words = text.split()
        if len(text) <= SHORT and len(words) > LEAST_WORDS:
            for i in range(len(words)):
                other = place.get(" ".join([*words[:i], *words[i + 1 :]]))
                if other is not None:
                    found.add(min(at, other) * len(texts) + max(at, other))
    return found


def _is_one_edit(first: str, second: str) -> bool:
    """Do they differ by one inserted, deleted or replaced character, or by two neighbours swapped?"""
    start = next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
    a, b = first[start:], second[start:]
    if len(a) == len(b):
        return a[1:] == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])
    return a[1:] == b if len(a) > len(b) else a == b[1:]


def _signatures(texts: Sequence[str]) -> NDArray[np.uint32]:
    """[texts, BANDS * WIDTH] minima of random hash functions over the pieces of each text."""
    draw = np.random.default_rng(_SEED)
    size = BANDS * WIDTH
    factor = (draw.integers(0, 2**31, size, dtype=np.uint32) * np.uint32(2) + np.uint32(1))[:, None]
    offset = draw.integers(0, 2**32, size, dtype=np.uint32)[:, None]
    out = np.empty((len(texts), size), dtype=np.uint32)
    lengths = np.array([len(text) + 2 - PIECE + 1 for text in texts])  # pieces of each padded text
    begin = 0
    while begin < len(texts):
        end, total = begin, 0
        while end < len(texts) and (end == begin or total + lengths[end] <= _TOGETHER):
            total += int(lengths[end])
            end += 1
        hashed, starts = _hashed(texts[begin:end])
        out[begin:end] = np.minimum.reduceat(factor * hashed[None, :] + offset, starts, axis=1).T
        begin = end
    return out


def _hashed(texts: Sequence[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Hashes of all pieces, text after text, and where each text begins."""
    padded = [f" {text} " for text in texts]
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "replace"), dtype=np.uint32).astype(np.uint64)
    mixed = codes[:-2] * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= codes[1:-1] * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed ^= codes[2:] * np.uint64(0x165667B19E3779F9)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    hashed = (mixed >> np.uint64(32)).astype(np.uint32)
    lengths = np.array([len(text) for text in padded])
    begins = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    inside = np.ones(len(codes), dtype=bool)  # pieces that reach into the next text are left out
    for back in range(1, PIECE):
        inside[begins + lengths - back] = False
    return hashed[inside[: len(hashed)]], np.concatenate([[0], np.cumsum(lengths - PIECE + 1)[:-1]])


def _bucketed(part: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of texts with equal minima in one band: ([pairs], [pairs]), the smaller place first."""
    keys = np.zeros(len(part), dtype=np.uint64)
    for column in part.T:
        keys = (keys ^ column) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(31)
    order = np.argsort(keys, kind="stable")  # stable: places rise inside a bucket
    ranked = keys[order]
    change = np.flatnonzero(ranked[1:] != ranked[:-1]) + 1
    begins, ends = np.append(0, change), np.append(change, len(ranked))
    first, second = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for begin, end in zip(begins[ends - begins > 1], ends[ends - begins > 1], strict=True):
        members = order[begin:end]
        if len(members) <= LARGEST_BUCKET:
            a, b = np.triu_indices(len(members), 1)
        else:
            b = np.arange(1, len(members))
            a = b - 1
        first.append(members[a])
        second.append(members[b])
    return np.concatenate(first), np.concatenate(second)


def _estimates(
    signatures: NDArray[np.uint32], first: NDArray[np.int64], second: NDArray[np.int64], together: int = 8192
) -> NDArray[np.float64]:
    """[pairs] share of equal minima, an unbiased estimate of the Jaccard index."""
    out = np.empty(len(first))
    for begin in range(0, len(first), together):
        some = slice(begin, begin + together)
        out[some] = (signatures[first[some]] == signatures[second[some]]).mean(axis=1)
    return out
