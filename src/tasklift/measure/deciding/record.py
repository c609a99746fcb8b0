"""A decision: the choice, the figures it rests on, and their form as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tasklift.measure.deciding.break_even import BreakEven, Payback
from tasklift.measure.deciding.held import Held
from tasklift.measure.deciding.next_measurement import Measurement
from tasklift.measure.deciding.non_inferiority import NonInferior
from tasklift.measure.judged import Judged
from tasklift.stats.intervals import Interval

Verdict = Literal["choose", "measure_first", "none_passes"]
#: Fields of a decision whose values have a form of their own.
_OWN_FORM = ("break_even", "payback", "non_inferior", "noise", "judges")


@dataclass(frozen=True)
class OptionVerdict:
    """One option in the decision.

    Attributes:
        family: the choice it stands for.
        expected_usd: mean yearly cost; NaN where a price is not known.
        p5_usd: 5th percentile.
        p95_usd: 95th percentile.
        p_best: probability of being the cheapest of those that pass.
        gates: name -> failed reason, '' when passed.
        accuracy: on answered rows; None where nothing is answered.
        coverage: share of rows answered without a person.
        net_benefit: against `human`, and against `nothing` where an item has a value: USD saved a year, `p5`, `p95`.
    """

    family: str
    expected_usd: float
    p5_usd: float
    p95_usd: float
    p_best: float
    gates: Mapping[str, str]
    accuracy: Interval | None
    coverage: float
    net_benefit: Mapping[str, Mapping[str, float]]

    @property
    def passes(self) -> bool:
        """No gate failed."""
        return not any(self.gates.values())

    def to_json(self) -> dict[str, Any]:
        """The pinned form."""
        accuracy = self.accuracy
        known = self.expected_usd == self.expected_usd
        return {
            "family": self.family,
            "expected_usd_per_year": round(self.expected_usd, 2) if known else None,
            "p5_usd": round(self.p5_usd, 2) if known else None,
            "p95_usd": round(self.p95_usd, 2) if known else None,
            "p_best": round(self.p_best, 4),
            "gates": {name: why or "passed" for name, why in self.gates.items()},
            "coverage": round(self.coverage, 4),
            "accuracy": accuracy and {"value": accuracy.value, "low": accuracy.low, "high": accuracy.high},
            "net_benefit": {
                against: {key: round(usd, 2) for key, usd in found.items()}
                for against, found in self.net_benefit.items()
                if known
            },
        }


@dataclass(frozen=True)
class Assumption:
    """A number that the decision rests on.

    Attributes:
        value: the number, or its `p10`, `p50`, `p90`.
        source: given, measured, predicted or default.
        detail: more on the source.
    """

    value: Any
    source: str
    detail: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain fields."""
        return {"value": self.value, "source": self.source} | ({"detail": self.detail} if self.detail else {})


@dataclass(frozen=True)
class Decision:
    """A choice with its reasons. Field meanings follow docs/formats.md."""

    id: str
    verdict: Verdict
    choice: str
    candidate: str | None
    leading: str | None
    options: Mapping[str, OptionVerdict]
    break_even: Mapping[str, BreakEven]
    payback: Mapping[str, Payback]
    non_inferior: Mapping[str, NonInferior]
    noise: Mapping[str, Held]
    judges: Mapping[str, Judged]
    evpi_usd_per_year: float
    evppi: Mapping[str, float]
    next_measurement: Measurement | None
    flips: Mapping[str, float | None]
    tornado: tuple[Mapping[str, Any], ...]
    prompt_needs: Mapping[str, Any] | None
    assumptions: Mapping[str, Assumption]
    reasons: tuple[str, ...]
    cautions: tuple[str, ...]
    valid_until: str
    evaluation: str
    evidence: Mapping[str, Any]
    draws: int

    def to_json(self) -> dict[str, Any]:
        """The pinned form."""
        rest = {key: getattr(self, key) for key in self.__dataclass_fields__}
        own = {key: {pair: found.to_json() for pair, found in rest[key].items()} for key in _OWN_FORM}
        return {
            "schema_version": 1,
            **rest,
            **own,
            "options": {name: option.to_json() for name, option in self.options.items()},
            "evppi": {name: round(usd, 2) for name, usd in self.evppi.items()},
            "next_measurement": self.next_measurement and self.next_measurement.to_json(),
            "assumptions": {name: found.to_json() for name, found in self.assumptions.items()},
            "tornado": [dict(row) for row in self.tornado],
            "reasons": list(self.reasons),
            "cautions": list(self.cautions),
        }
