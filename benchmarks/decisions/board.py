"""The scoreboard: figures against bars, printed and kept in benchmarks/results/decisions.json."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from _common import RESULTS, machine


@dataclass(frozen=True)
class Bar:
    """One figure.

    Attributes:
        what: in words.
        value: a share, or a number of `unit`.
        at_least: bar; None: none.
        at_most: bar; None: none.
        unit: "%" for a share.
        error: standard error; None: not known.
        note: more.
    """

    what: str
    value: float
    at_least: float | None = None
    at_most: float | None = None
    unit: str = "%"
    error: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Is the bar reached? None where there is none."""
        if self.at_least is None and self.at_most is None:
            return None
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    def line(self) -> str:
        """For a terminal."""
        within = "" if self.error is None else f" +- {self._shown(1.96 * self.error)}"
        asked = [f">= {self._shown(self.at_least)}"] if self.at_least is not None else []
        asked += [f"<= {self._shown(self.at_most)}"] if self.at_most is not None else []
        verdict = {None: "", True: "reached", False: "MISSED"}[self.met]
        shown = self._shown(self.value) + within
        return f"{self.what:<62} {shown:<20} {', '.join(asked):<18} {verdict:<8} {self.note}".rstrip()

    def _shown(self, value: float) -> str:
        return f"{100 * value:.2f}%" if self.unit == "%" else f"{value:,.2f}{self.unit}"


def mean_bar(
    what: str, values: Sequence[float], at_least: float | None = None, at_most: float | None = None, said: str = ""
) -> Bar:
    """The mean of values between 0 and 1 with its standard error."""
    error = float(np.std(values) / len(values) ** 0.5)
    return Bar(what, float(np.mean(values)), at_least, at_most, error=error, note=said)


def finish(bars: Sequence[Bar], decider: str, seeds: Sequence[int]) -> int:
    """Print, keep; 0 where every bar is reached, else 3."""
    print("\n".join(bar.line() for bar in bars))
    made = {"decider": decider, "seeds": list(seeds), "date": time.strftime("%Y-%m-%d"), "machine": machine()}
    print("\n" + ", ".join(f"{key}: {value}" for key, value in made.items()))
    RESULTS.mkdir(exist_ok=True)
    rows = [asdict(bar) | {"met": bar.met} for bar in bars]
    name = "decisions" if decider == "tasklift" else "decisions-other"
    text = json.dumps({"schema_version": 1, **made, "figures": rows}, indent=1, ensure_ascii=False)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return 0 if all(bar.met is not False for bar in bars) else 3
