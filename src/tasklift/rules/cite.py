"""An answer must name its sources."""

from __future__ import annotations

from dataclasses import dataclass

from tasklift.rules.base import Said, require_rule


@dataclass(frozen=True)
class Cite:
    """At least `least` citations, each beginning with one of `sources` where those are given.

    Attributes:
        least: how many different ones.
        sources: beginnings of what may be cited; empty: anything.
    """

    least: int = 1
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_rule(self.least > 0, "cite", f"least = {self.least} must be 1 or more")

    def broken(self, said: Said) -> str | None:
        """How many are missing, or which source is not allowed."""
        cited = set(said.citations)
        other = sorted(one for one in cited if self.sources and not one.startswith(self.sources))
        if other:
            return f"cites {other[0]!r}, which is no allowed source"
        return f"cites {len(cited)} sources, at least {self.least}" if len(cited) < self.least else None
