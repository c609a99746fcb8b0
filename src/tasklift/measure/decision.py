"""From one evaluation and the economics to a reasoned choice.

Uncertainty enters twice: rates by a Bayesian bootstrap over the evaluated rows (Rubin 1981; one set of
weights for all options keeps the pairing), money and volume by their percentiles.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tasklift.economics import Economics, Gates, Quantity
from tasklift.errors import ConfigError
from tasklift.measure.break_even import BreakEven, break_even_of
from tasklift.measure.evaluation import Evaluation
from tasklift.measure.flips import FLIPPABLE, flips_of, prompt_needs
from tasklift.measure.gates import failed_gates
from tasklift.measure.metrics import right_of
from tasklift.measure.yearly import (
    Draws,
    Option,
    OptionDraws,
    Parts,
    World,
    draw,
    drawn,
    human_option,
    option_of,
    parts_of,
    yearly,
)
from tasklift.stats.intervals import Interval, paired_difference
from tasklift.strategies.artifact import fingerprint_of

DRAWS = 4000
#: A choice that is best with less than this probability is only made where knowing more is not worth its price.
SURE = 0.9
#: Prices and models change: a decision older than this is to be taken again.
VALID_DAYS = 180
Verdict = Literal["choose", "measure_first", "none_passes"]


@dataclass(frozen=True)
class OptionVerdict:
    """One option in the decision.

    Attributes:
        family: the choice it stands for.
        expected_usd: mean yearly cost.
        p5_usd: 5th percentile.
        p95_usd: 95th percentile.
        p_best: probability of being the cheapest of those that pass.
        gates: name -> failed reason, '' when passed.
        accuracy: on answered rows; None where nothing is answered.
        coverage: share of rows answered without a person.
    """

    family: str
    expected_usd: float
    p5_usd: float
    p95_usd: float
    p_best: float
    gates: Mapping[str, str]
    accuracy: Interval | None
    coverage: float

    @property
    def passes(self) -> bool:
        """No gate failed."""
        return not any(self.gates.values())


@dataclass(frozen=True)
class Decision:
    """A choice with its reasons. Field meanings follow docs/formats.md."""

    id: str
    verdict: Verdict
    choice: str
    candidate: str | None
    options: Mapping[str, OptionVerdict]
    break_even: Mapping[str, BreakEven]
    non_inferior: Mapping[str, Mapping[str, Any]]
    evpi_usd_per_year: float
    next_measurement: Mapping[str, Any] | None
    flips: Mapping[str, float | None]
    prompt_needs: Mapping[str, Any] | None
    assumptions: Mapping[str, str]
    reasons: tuple[str, ...]
    valid_until: str
    evaluation: str

    def to_json(self) -> dict[str, Any]:
        """The pinned form."""
        options = {name: _option_row(option) for name, option in self.options.items()}
        break_even = {pair: found.to_json() for pair, found in self.break_even.items()}
        rest = {key: getattr(self, key) for key in self.__dataclass_fields__ if key not in ("options", "break_even")}
        return {
            "schema_version": 1,
            **rest,
            "options": options,
            "break_even": break_even,
            "reasons": list(self.reasons),
        }

    def save(self, folder: Path) -> Path:
        """Write `decisions/<id>.json` below the project's `.tasklift`."""
        path = folder / "decisions" / f"{self.id}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps(self.to_json(), indent=1, ensure_ascii=False), encoding="utf-8")
        temporary.replace(path)
        return path


def decide(evaluation: Evaluation, economics: Economics, gates: Gates | None = None, seed: int = 0) -> Decision:
    """The cheapest option that passes the gates, or what to measure first.

    Baselines are costed and shown, but a decision is between prompting, fine-tuning, layering and people.

    Args:
        gates: limits; the economics' own replace them where given.

    Raises:
        ConfigError: the economics name a label or slice that the evaluation does not have.
    """
    gates = economics.gates or gates or Gates()
    options, world, draws = simulated(evaluation, economics, seed)
    parts = {name: parts_of(found, world.shared) for name, found in draws.items()}
    failed = {name: failed_gates(evaluation, option, gates, world) for name, option in options.items()}
    allowed = [n for n, o in options.items() if o.family != "baseline" and not any(failed[n].values())]
    totals = {name: parts[name].total(world.items_per_year) for name in options}
    p_best = _p_best(totals, allowed)
    shown = {
        name: _verdict_of(evaluation, name, options[name], totals[name], p_best.get(name, 0.0), failed[name])
        for name in options
    }
    best = min(allowed, key=lambda name: shown[name].expected_usd, default=None)
    evpi = _evpi(evaluation, economics, options, allowed, seed) if best else 0.0
    more = _next_measurement(len(evaluation.rows), evpi, economics)
    verdict, choice = _choose(best, options, p_best, evpi, more)
    others = [name for name in allowed if name != best]
    break_even = _break_even(parts, best, others) if best else {}
    decision = Decision(
        id="",
        verdict=verdict,
        choice=choice,
        candidate=best if verdict == "choose" else None,
        options=shown,
        break_even=break_even,
        non_inferior=_non_inferior(evaluation, best, others, economics.margin) if best else {},
        evpi_usd_per_year=round(evpi, 2),
        next_measurement=more if verdict == "measure_first" else None,
        flips=flips_of(options, allowed, best, economics) if best else {},
        prompt_needs=_needs(options, shown, economics, gates.min_metric or 0.0),
        assumptions=_assumptions(options, economics),
        reasons=_reasons(shown, best, verdict, others, more),
        valid_until=(datetime.date.today() + datetime.timedelta(days=VALID_DAYS)).isoformat(),
        evaluation=evaluation.id,
    )
    return replace(decision, id=fingerprint_of(evaluation.id, economics.model_dump(), gates.model_dump(), seed)[:16])


def simulated(
    evaluation: Evaluation, economics: Economics, seed: int = 0
) -> tuple[dict[str, Option], World, dict[str, OptionDraws]]:
    """The options, one world of draws that they share, and the draws of each option in it.

    Raises:
        ConfigError: as `decide`.
    """
    rng = np.random.default_rng(seed)
    options = _options(evaluation, economics)
    world = _world(evaluation, economics, rng)
    return options, world, {name: drawn(option, world, rng) for name, option in options.items()}


def _options(evaluation: Evaluation, economics: Economics) -> dict[str, Option]:
    weight = _row_weights(evaluation, economics)
    expected = evaluation.rows.outputs
    options = {
        r.name: option_of(r, expected, weight, economics) for r in evaluation.results if r.card.family != "human"
    }
    unknown = (
        set(economics.options)
        - set(options)
        - {o.family for o in options.values()}
        - {"human", "prompt", "finetune", "layered", "baseline"}
    )
    if unknown:
        raise ConfigError(
            f"economics: options.{sorted(unknown)[0]} is neither a family "
            f"nor an evaluated candidate ({', '.join(options)})"
        )
    return {**options, "human": human_option(len(evaluation.rows), weight, economics)}


def _row_weights(evaluation: Evaluation, economics: Economics) -> Draws:
    """[rows] cost of an error on each row relative to `error_usd`: by label, else by slice, else 1."""
    base = economics.error_usd.p50
    by_label, by_slice = economics.error_usd_by_label, economics.error_usd_by_slice
    if (by_label or by_slice) and base <= 0:
        raise ConfigError(
            "economics: error_usd_by_label and error_usd_by_slice need error_usd > 0 as the cost of all other errors"
        )
    known = set(evaluation.task.labels)
    missing = [label for label in by_label if label not in known]
    if missing:
        raise ConfigError(
            f"economics: error_usd_by_label names {missing[0]!r}, which is not a label of {evaluation.task.name}"
        )
    seen = {value for row in evaluation.rows for value in row.slice.values()}
    lost = [value for value in by_slice if value not in seen]
    if lost:
        raise ConfigError(
            f"economics: error_usd_by_slice names {lost[0]!r}; the evaluated rows have: {', '.join(sorted(seen))}"
        )

    def weight(row: Any) -> float:
        if row.output in by_label:
            return by_label[row.output].p50 / base
        return next((by_slice[value].p50 / base for value in row.slice.values() if value in by_slice), 1.0)

    return np.array([weight(row) for row in evaluation.rows])


def _world(evaluation: Evaluation, economics: Economics, rng: np.random.Generator, money: bool = True) -> World:
    """Draws of everything shared; without `money` only the rates vary."""
    size = DRAWS

    def amount(quantity: Quantity) -> Draws:
        return draw(quantity, size, rng) if money else np.full(size, float(draw(quantity, size, rng).mean()))

    gammas = rng.standard_exponential((size, len(evaluation.rows)), dtype=np.float32)
    unseen, seen = rng.standard_exponential(size), gammas.sum(axis=1, keepdims=True)
    return World(
        items_per_year=12 * amount(economics.items_per_month),
        error_usd=amount(economics.error_usd),
        review_usd=amount(economics.review_usd),
        changes_per_year=amount(economics.changes_per_year),
        weights=gammas / seen,
        horizon_years=economics.horizon_months / 12,
        reviewer_accuracy=economics.reviewer_accuracy,
        unseen=unseen / (unseen + seen[:, 0]),
    )


def _p_best(totals: Mapping[str, Draws], allowed: list[str]) -> dict[str, float]:
    if not allowed:
        return {}
    winner = np.argmin(np.stack([totals[name] for name in allowed]), axis=0)
    return {name: float(np.mean(winner == i)) for i, name in enumerate(allowed)}


def _evpi(
    evaluation: Evaluation, economics: Economics, options: Mapping[str, Option], allowed: list[str], seed: int
) -> float:
    """What knowing every rate exactly would save in a year, money and volume at their means:
    E[max NB] - max E[NB]. More rows can buy at most this."""
    rng = np.random.default_rng(seed + 1)
    world = _world(evaluation, economics, rng, money=False)
    costs = np.stack([yearly(options[name], world, rng).total(world.items_per_year) for name in allowed])
    return float(costs.mean(axis=1).min() - costs.min(axis=0).mean())


def _next_measurement(rows: int, evpi: float, economics: Economics) -> dict[str, Any]:
    """Doubling the evaluated rows: what it costs to label them, and at most how much it is worth."""
    price = rows * economics.prices.label_usd.p50
    years = economics.horizon_months / 12
    return {
        "what": "label more test rows",
        "how_many": rows,
        "price_usd": round(price, 2),
        "worth_at_most_usd": round(evpi * years, 2),
    }


def _choose(
    best: str | None,
    options: Mapping[str, Option],
    p_best: Mapping[str, float],
    evpi: float,
    more: Mapping[str, Any],
) -> tuple[Verdict, str]:
    if best is None:
        return "none_passes", "none"
    if p_best[best] < SURE and more["worth_at_most_usd"] > more["price_usd"]:
        rival = sorted(p_best, key=lambda name: -p_best[name])[:2]
        if len({options[name].family for name in rival}) > 1:
            return "measure_first", "measure_first"
    return "choose", options[best].family


def _break_even(parts: Mapping[str, Parts], best: str, others: list[str]) -> dict[str, BreakEven]:
    """The chosen option and each other one; the one whose items cost less comes first, since that is the one
    which wins from some volume on."""
    pairs = [(best, name) if parts[best].unit.mean() <= parts[name].unit.mean() else (name, best) for name in others]
    return {f"{first} vs {second}": break_even_of(parts[first], parts[second]) for first, second in pairs}


def _non_inferior(evaluation: Evaluation, best: str, others: list[str], margin: float) -> dict[str, dict[str, Any]]:
    """Is the chosen option no less accurate than each other one by more than the margin? One-sided 95%."""
    found: dict[str, dict[str, Any]] = {}
    names = {result.name for result in evaluation.results}
    for name in others:
        if not {best, name} <= names:
            continue
        mine, theirs = (right_of(evaluation.result(n).predictions, evaluation.rows.outputs) for n in (best, name))
        both = ~np.isnan(mine) & ~np.isnan(theirs)
        if both.any():
            only = (
                int(((mine == 1) & (theirs == 0))[both].sum()),
                int(((mine == 0) & (theirs == 1))[both].sum()),
            )
            low = paired_difference(*only, int(both.sum()), confidence=0.9).low
            found[f"{best} vs {name}"] = {
                "margin": margin,
                "low": round(low, 4),
                "rows": int(both.sum()),
                "answer": low > -margin,
            }
    return found


def _verdict_of(
    evaluation: Evaluation, name: str, option: Option, total: Draws, p_best: float, failed: Mapping[str, str]
) -> OptionVerdict:
    low, high = np.quantile(total, [0.05, 0.95])
    accuracy = None if option.family == "human" else evaluation.result(name).scores.accuracy
    coverage = float(1 - option.is_deferred.mean())
    return OptionVerdict(
        option.family, float(total.mean()), float(low), float(high), p_best, failed, accuracy, coverage
    )


def _needs(
    options: Mapping[str, Option], shown: Mapping[str, OptionVerdict], economics: Economics, floor: float
) -> dict[str, Any] | None:
    """What a prompted model would have to reach, beside what it reached here."""
    rivals = [name for name, v in shown.items() if v.passes and v.family not in ("prompt", "baseline")]
    needs = prompt_needs(options, {name: v.expected_usd for name, v in shown.items()}, rivals, economics, floor)
    accuracy = shown[needs["candidate"]].accuracy if needs else None
    return {**needs, "measured": accuracy.value if accuracy else None} if needs else None


def _reasons(
    shown: Mapping[str, OptionVerdict],
    best: str | None,
    verdict: Verdict,
    others: list[str],
    more: Mapping[str, Any],
) -> tuple[str, ...]:
    if best is None:
        return tuple(
            f"{name} fails: {'; '.join(why for why in v.gates.values() if why)}"
            for name, v in shown.items()
            if not v.passes
        )
    mine = shown[best]
    lines = [
        f"{best} costs {mine.expected_usd:,.0f} USD a year "
        f"(90% between {mine.p5_usd:,.0f} and {mine.p95_usd:,.0f}); P(best) = {mine.p_best:.2f}"
    ]
    if others:
        rival = min(others, key=lambda name: shown[name].expected_usd)
        lines.append(
            f"next is {rival} with {shown[rival].expected_usd:,.0f} USD a year, "
            f"{shown[rival].expected_usd - mine.expected_usd:,.0f} more"
        )
    cheaper = [name for name, v in shown.items() if v.family == "baseline" and v.expected_usd < mine.expected_usd]
    if cheaper:
        lines.append(
            f"the baseline {cheaper[0]} would cost less ({shown[cheaper[0]].expected_usd:,.0f} USD a year): "
            f"is more needed at all?"
        )
    if verdict == "measure_first":
        lines.append(
            f"not sure enough: {more['what']} ({more['how_many']} for {more['price_usd']:,.0f} USD); "
            f"knowing is worth up to {more['worth_at_most_usd']:,.0f} USD"
        )
    lines += [
        f"{name} fails: {'; '.join(why for why in v.gates.values() if why)}"
        for name, v in shown.items()
        if not v.passes
    ]
    return tuple(lines)


def _assumptions(options: Mapping[str, Option], economics: Economics) -> dict[str, str]:
    given = economics.model_fields_set
    found = {
        key: "given" if key in given else "default"
        for key in (*FLIPPABLE, "horizon_months", "reviewer_accuracy", "prices")
    }
    for name, option in options.items():
        found |= {f"{name}.{key}": source for key, source in option.sources.items()}
    return found


def _option_row(option: OptionVerdict) -> dict[str, Any]:
    accuracy = option.accuracy
    return {
        "family": option.family,
        "expected_usd_per_year": round(option.expected_usd, 2),
        "p5_usd": round(option.p5_usd, 2),
        "p95_usd": round(option.p95_usd, 2),
        "p_best": round(option.p_best, 4),
        "gates": {name: why or "passed" for name, why in option.gates.items()},
        "coverage": round(option.coverage, 4),
        "accuracy": None if accuracy is None else {"value": accuracy.value, "low": accuracy.low, "high": accuracy.high},
    }
