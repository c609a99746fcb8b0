"""How deciders are scored: regret, calibration, coverage, and what following a record brings.

Regret of one company: (cost of the chosen option - cost of the best) / (cost of the worst - cost of the best),
all true yearly costs; 0 is perfect, 1 the worst that could be chosen. Mean regret is the mean over companies.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from companies import OPTIONS, Array, Company
from deciders import Record, named, option_of

#: Bins by which P(best) is held against how often it came true.
BINS = 15


@dataclass(frozen=True)
class Case:
    """What a decider said to one company, and after the measurement that it asked for.

    Attributes:
        costs: [options] true yearly costs.
        chosen: place of the option.
        then: place of the option chosen after the record's next measurement; the same without one.
        price_usd: of that measurement, 0 without one.
        worth_usd: what the record expected it to save over the horizon.
        years: horizon.
        kind: label, study, or '' without a measurement.
        p_best: [options].
        covered: for each break-even pair: is the truth in the interval, and has the interval two real ends?
        setting: name of the company's setting.
        seconds: CPU time of the first decision.
    """

    costs: Array
    chosen: int
    then: int
    price_usd: float
    worth_usd: float
    years: float
    kind: str
    p_best: Array
    covered: tuple[tuple[bool, bool], ...]
    setting: str
    seconds: float

    @property
    def regret(self) -> float:
        """Of the first choice."""
        return regret_of(self.costs, self.chosen)

    @property
    def regret_then(self) -> float:
        """Of the second choice, the price of the measurement counted as a yearly cost."""
        return regret_of(self.costs, self.then, self.price_usd / self.years)

    @property
    def saved_usd(self) -> float:
        """What the measurement saved over the horizon, its price not counted."""
        return float(self.costs[self.chosen] - self.costs[self.then]) * self.years


def regret_of(costs: Array, chosen: int, on_top: float = 0.0) -> float:
    """See the head of this file; `on_top` is added to the cost of the chosen option."""
    return float((costs[chosen] + on_top - costs.min()) / (costs.max() - costs.min()))


def of_oracle(costs: Array, chosen: int) -> float:
    """What the choice costs more than the best one, as a share of that one's yearly cost."""
    return float(costs[chosen] / costs.min() - 1)


def run(group: Sequence[Company], decider: str, workers: int = 1, follow: bool = True) -> list[Case]:
    """Ask a decider about every company."""
    jobs = [(company, decider, follow) for company in group]
    if workers <= 1:
        return [ask(job) for job in jobs]
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        return pool.map(ask, jobs, chunksize=50)


def ask(job: tuple[Company, str, bool]) -> Case:
    """One company, and once more after the measurement that the record asks for."""
    company, name, follow = job
    decide = named(name)
    record, seconds = _timed(decide, company)
    chosen = option_of(record)
    more = record.get("next_measurement") if follow and record["verdict"] == "measure_first" else None
    after = measured(company, more) if more else None
    then = option_of(decide(after)) if after else chosen
    shown = record["options"]
    return Case(
        costs=company.truth.costs(),
        chosen=OPTIONS.index(chosen),
        then=OPTIONS.index(then),
        price_usd=float(more["price_usd"]) if more and after else 0.0,
        worth_usd=float(more.get("worth_usd") or 0.0) if more and after else 0.0,
        years=company.truth.horizon_years,
        kind=str(more.get("kind", "label")) if more and after else "",
        p_best=np.array([float(shown.get(name, {}).get("p_best") or 0.0) for name in OPTIONS]),
        covered=tuple(_covered(company, record.get("break_even") or {})),
        setting=company.setting.name,
        seconds=seconds,
    )


def measured(company: Company, more: Mapping[str, Any]) -> Company | None:
    """The company after that measurement; None where nobody here could carry it out."""
    if more.get("kind", "label") == "label":
        return company.with_rows(int(more["how_many"]))
    return company.studied(str(more["parameter"])) if more.get("kind") == "study" else None


def calibration_error(cases: Sequence[Case]) -> float:
    """Expected calibration error of P(best), all options of all companies together, in equal bins."""
    said = np.concatenate([case.p_best for case in cases])
    true = np.concatenate([np.arange(len(OPTIONS)) == case.costs.argmin() for case in cases])
    place = np.minimum((said * BINS).astype(int), BINS - 1)
    gaps = [abs(said[place == at].mean() - true[place == at].mean()) * (place == at).mean() for at in np.unique(place)]
    return float(sum(gaps))


def _timed(decide: Any, company: Company) -> tuple[Record, float]:
    begun = time.process_time()
    record: Record = decide(company)
    return record, time.process_time() - begun


def _covered(company: Company, pairs: Mapping[str, Any]) -> list[tuple[bool, bool]]:
    """For each pair: does the interval hold the true break-even volume, and are both of its ends real ones?

    An interval that begins at 0 or has no upper end holds more than 90% by construction.
    """
    fixed, unit = company.truth.parts()
    found = []
    for pair, told in pairs.items():
        first, second = (OPTIONS.index(name) for name in pair.split(" vs "))
        extra, gain = fixed[first] - fixed[second], unit[second] - unit[first]
        never = gain < 0 or (gain == 0 and extra > 0)
        true = np.inf if never else max(extra / gain / 12, 0.0) if gain > 0 else 0.0
        if told == "never":
            found.append((bool(never), False))
            continue
        # Volumes are told as whole numbers.
        low, high = told["low"] - 0.5, np.inf if told["high"] is None else told["high"] + 0.5
        found.append((bool(low <= true <= high), told["low"] > 0 and told["high"] is not None))
    return found
