"""Token buckets, one for each key, in this process."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

_MOST = 100_000  # buckets that are remembered; one that is forgotten is full again


class Rates:
    """How much each key may do.

    Nothing is shared between processes, so that no request waits for a database: each of `workers` allows its part of
    the rate and of the burst. The operating system spreads connections evenly, so together they allow about the
    whole; a caller who keeps one connection open meets one worker, and gets that worker's part.

    Args:
        workers: processes that answer for the same keys.
        clock: monotonic seconds.
    """

    def __init__(self, workers: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._workers = workers
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key -> tokens, when

    def take(self, key: str, per_minute: float, burst: int | None = None) -> float:
        """Take one request of `key`, which may have `per_minute` of them and `burst` at once.

        Returns:
            0.0: go on. Above: refused, and so many seconds until the next is allowed.
        """
        per_second = per_minute / 60 / self._workers
        size = max(1.0, (burst or max(1.0, per_minute / 60)) / self._workers)
        now = self._clock()
        tokens, then = self._buckets.get(key, (size, now))
        tokens = min(size, tokens + (now - then) * per_second)
        allowed = tokens >= 1.0
        self._buckets[key] = (tokens - 1.0 if allowed else tokens, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > _MOST:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1.0 - tokens) / per_second
