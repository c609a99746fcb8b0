"""Deciders on thousands of companies whose right answer is known: regret, calibration, worth of measuring.

python3 dev.py bench decisions                         ours, one fixed seed and three fresh ones
python3 dev.py bench decisions --decider "CMD {results} {economics}"    any other decider
python3 dev.py bench decisions --seeds 1 --companies 600                quick look
"""

from __future__ import annotations

import argparse
import secrets
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))

import itertools

from _common import Figure, finish, note
from board import mean_figure, ratio_figure
from companies import OPTIONS, SETTINGS, Array, Company, companies
from measured import generator_prior, measured_companies, own_prior, tables
from policies import SIMPLE, informed
from scoring import Case, calibration_error, of_oracle, regret_of, run
from speed import speed_figure

FIXED_SEED = 20261124
PARTS = ("synthetic", "labels", "measured", "speed")
#: So many companies on measured tables for each synthetic one: nine tenths of their regret comes from money that
#: nobody knows, so the ratio of two regrets is known to 7% (95%) on 4,000 companies, and to 4% on 12,000.
TIMES = 3
#: Labels at which the same companies are decided.
LABELS = (50, 100, 200, 500, 1000)


def main() -> int:
    """Run and print; 0 where every bar is reached, else 3."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--decider", default="tasklift", help="tasklift, module:function, or a command")
    parser.add_argument("--companies", type=int, default=4000, help="a seed")
    parser.add_argument("--seeds", default=None, help="comma-separated; default: a fixed one and three fresh ones")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    asked = parser.parse_args()
    fresh = [secrets.randbelow(2**31) for _ in range(3)]
    seeds = [int(seed) for seed in asked.seeds.split(",")] if asked.seeds else [FIXED_SEED, *fresh]
    parts: list[str] = asked.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"--parts: there is no {sorted(unknown)[0]}, there are {', '.join(PARTS)}")
    bars: list[Figure] = []
    if "synthetic" in parts:
        bars += synthetic_bars(seeds, asked.companies, asked.decider, asked.workers)
    if "labels" in parts:
        bars += label_bars(seeds[0], asked.decider, asked.workers)
    if "measured" in parts:
        bars += measured_bars(seeds, asked.companies, asked.decider, asked.workers)
    ours = asked.decider == "tasklift"
    if "speed" in parts and ours:
        bars += told([speed_figure()])
    command = "python3 dev.py bench decisions " + shlex.join(sys.argv[1:])
    extra = {"title": "Deciders on companies whose right answer is known", "decider": asked.decider, "seeds": seeds}
    return finish("decisions" if ours else "decisions-other", command.strip(), bars, extra)


def synthetic_bars(seeds: Sequence[int], count: int, decider: str, workers: int) -> list[Figure]:
    """Everything about synthetic companies but their number of labels."""
    bars: list[Figure] = []
    every: list[Case] = []
    for seed in seeds:
        note(f"seed {seed}: {count} companies of {len(SETTINGS)} settings")
        group = companies(count, seed)
        cases = run(group, decider, workers)
        bars += told(regret_bars(f"seed {seed}", group, cases, informed(group)))
        every += cases
    bars += held_out_lines(every)
    bars += following_bars(every)
    bars += [Figure("P(best): expected calibration error", calibration_error(every), at_most=0.03)]
    bars += coverage_bars(every)
    seconds = [case.seconds for case in every]
    bars += [Figure("CPU time a company", 1000 * float(np.mean(seconds)), at_most=50, unit=" ms")]
    told(bars[3 * len(seeds) :])
    return bars


def told(bars: list[Figure]) -> list[Figure]:
    """The same, shown at once: what a run that is stopped has found so far."""
    for bar in bars:
        note(bar.line())
    return bars


def regret_bars(title: str, group: Sequence[Company], cases: Sequence[Case], knowing: Sequence[str]) -> list[Figure]:
    """Mean regret against the decider that knows the priors and against the simple rules."""
    costs = [case.costs for case in cases]
    mine = [case.regret for case in cases]
    theirs = regrets_of(costs, knowing)
    simple = {
        name: float(np.mean([regret_of(k, OPTIONS.index(rule(c))) for k, c in zip(costs, group, strict=True)]))
        for name, rule in SIMPLE.items()
    }
    best = min(simple, key=lambda name: simple[name])
    share = float(np.mean([of_oracle(case.costs, case.chosen) for case in cases]))
    told = ", ".join(f"{name} {100 * value:.1f}%" for name, value in sorted(simple.items(), key=lambda item: item[1]))
    own = float(np.mean(mine))
    return [
        mean_figure(f"{title}: mean regret", mine, said=f"{100 * share:.1f}% of the oracle's yearly cost"),
        ratio_figure(f"{title}: regret / that of knowing the priors", mine, theirs, at_most=1.1),
        Figure(f"{title}: regret / best simple rule ({best})", own / simple[best], at_most=1 / 3, unit="x", note=told),
    ]


def regrets_of(costs: Sequence[Array], chosen: Sequence[str]) -> list[float]:
    """Regret of each company's choice."""
    return [regret_of(cost, OPTIONS.index(name)) for cost, name in zip(costs, chosen, strict=True)]


def held_out_lines(cases: Sequence[Case]) -> list[Figure]:
    """Regret by setting."""
    return [
        mean_figure(
            f"regret, {setting.name}{' (held out)' if setting.held_out else ''}",
            [case.regret for case in cases if case.setting == setting.name],
        )
        for setting in SETTINGS
        if any(case.setting == setting.name for case in cases)
    ]


def following_bars(cases: Sequence[Case]) -> list[Figure]:
    """What it brings to do what each record asks for, price counted."""
    before, after = (float(np.mean([getattr(c, name) for c in cases])) for name in ("regret", "regret_then"))
    asked = [case for case in cases if case.kind]
    if not asked:
        return [Figure("measurements asked for", 0.0, at_least=1, unit=" in all")]
    saved, price, worth = (
        np.array([getattr(c, name) for c in asked]) for name in ("saved_usd", "price_usd", "worth_usd")
    )
    gain = saved - price
    error = float(gain.std(ddof=1) / len(gain) ** 0.5)
    ratio = float(saved.mean() / worth.mean())
    spread = float((saved - ratio * worth).std(ddof=1) / len(saved) ** 0.5 / worth.mean())
    kinds = ", ".join(f"{sum(c.kind == kind for c in asked)} {kind}" for kind in sorted({c.kind for c in asked}))
    ends = (ratio - 1.96 * spread, ratio + 1.96 * spread)
    told = f"saved {saved.mean():,.0f}, expected {worth.mean():,.0f}, price {price.mean():,.0f} USD; {kinds}"
    return [
        Figure("after following: regret falls by", 1 - after / before, at_least=0.25, note=f"to {100 * after:.2f}%"),
        Figure("saved less price, one-sided 95% bound", float(gain.mean() - 1.645 * error), at_least=0, unit=" USD"),
        Figure("saved / expected", ratio, 0.75, *ends, told, at_most=1.25, unit="x"),
    ]


def coverage_bars(cases: Sequence[Case]) -> list[Figure]:
    """Break-even intervals that hold the truth."""
    both = [hit for case in cases for hit, two_ends in case.covered if two_ends]
    every = [hit for case in cases for hit, _ in case.covered]
    if not both:
        return []
    said = "intervals with two real ends; one that begins at 0 or has no upper end holds more by construction"
    return [
        mean_figure("break-even at 90% holds the truth", both, at_least=0.87, at_most=0.93, said=said),
        mean_figure("the same, all pairs", every),
    ]


def label_bars(seed: int, decider: str, workers: int) -> list[Figure]:
    """The same companies with more and more of their rows."""
    group = companies(1000, seed + 1, rows=LABELS[-1])
    found: list[list[float]] = []
    for rows in LABELS:
        cases = run([one.first_rows(rows) for one in group], decider, workers, follow=False)
        found.append([case.regret for case in cases])
    lines = [mean_figure(f"regret with {rows} labels", regret) for rows, regret in zip(LABELS, found, strict=True)]
    rises = [np.array(later) - np.array(sooner) for sooner, later in itertools.pairwise(found)]
    worst = max(float(rise.mean() / max(rise.std(ddof=1) / len(rise) ** 0.5, 1e-12)) for rise in rises)
    return [*lines, Figure("largest rise of it from step to step", worst, at_most=1.645, unit=" standard errors")]


def measured_bars(seeds: Sequence[int], count: int, decider: str, workers: int) -> list[Figure]:
    """The first bars on really measured right/wrong tables."""
    found = tables()
    if not found:
        return []
    bars: list[Figure] = []
    every: list[tuple[str, float]] = []
    for seed in seeds:
        group = measured_companies(TIMES * count, seed, found)
        cases = run(group, decider, workers, follow=False)
        title, costs, mine = f"measured tables, seed {seed}", [c.costs for c in cases], [c.regret for c in cases]
        knowing = informed(group, lambda company: generator_prior())
        told_more = regrets_of(costs, informed(group, lambda company: own_prior(company, found)))
        bars += told(regret_bars(title, group, cases, knowing))
        bars += told([ratio_figure(f"{title}: the same, told its table", mine, told_more)])
        every += zip((one.setting.name.partition(":")[0] for one in group), (c.regret for c in cases), strict=True)
    names = sorted({name for name, _ in every})
    return bars + [mean_figure(f"regret, {name}", [regret for one, regret in every if one == name]) for name in names]


if __name__ == "__main__":
    sys.exit(main())
