"""The prefix cache of the fake endpoint."""

from __future__ import annotations

from collections.abc import Sequence


class PrefixCache:
    """What a provider's prefix cache would serve: the longest beginning of a prompt that an earlier one had.

    Args:
        block: words that are kept together; 0: nothing is ever served.
    """

    def __init__(self, block: int) -> None:
        self._block = block
        self._seen: set[tuple[str, ...]] = set()

    def served(self, words: Sequence[str]) -> int:
        """Words of this prompt that are served; from now on it may serve others."""
        if not self._block:
            return 0
        starts = [tuple(words[:end]) for end in range(self._block, len(words) + 1, self._block)]
        known = max((len(start) for start in starts if start in self._seen), default=0)
        self._seen.update(starts)
        return known
