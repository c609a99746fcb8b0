"""From evidence and economics to a reasoned choice: gates first, then the expected cost of a year."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasklift.economics import Economics, Gates, Quantity
from tasklift.measure.deciding.break_even import Payback, break_even_of, payback_of
from tasklift.measure.deciding.flips import FLIPPABLE, flips_of, prompt_needs, tornado
from tasklift.measure.deciding.gates import failed_gates
from tasklift.measure.deciding.held import Held, error_usd, fair_lead, held, pairs_within_noise
from tasklift.measure.deciding.information import evpi, evppi
from tasklift.measure.deciding.lines import lines_of
from tasklift.measure.deciding.next_measurement import Measurement, Question, expected_costs, measurements
from tasklift.measure.deciding.non_inferiority import non_inferior
from tasklift.measure.deciding.options import HUMAN, NOTHING, Option, World, world_of
from tasklift.measure.deciding.quantities import Draws
from tasklift.measure.deciding.reasons import reasons_of
from tasklift.measure.deciding.record import Assumption, Decision, OptionVerdict, Verdict
from tasklift.measure.evaluation import Evaluation
from tasklift.measure.evidence import Evidence
from tasklift.stats.intervals import Interval, wilson
from tasklift.strategies.artifact import fingerprint_of

DRAWS = 20_000
#: Options whose yearly costs differ by less than this share are told apart by how easily they are left again.
TIE = 0.005
#: Prices and models change: a decision older than this is to be taken again.
VALID_DAYS = 180
#: Fewer rows than this say little about anything.
FEW_ROWS = 20


@dataclass(frozen=True)
class Settings:
    """How a decision is computed.

    Attributes:
        draws: of the Monte Carlo.
        seed: of the draws.
        parameters: say what knowing each single parameter would be worth (EVPPI).
        today: what end-of-life dates are held against; None: the day it is.
    """

    draws: int = DRAWS
    seed: int = 0
    parameters: bool = True
    today: datetime.date | None = None


def decide(
    evidence: Evidence | Evaluation, economics: Economics, gates: Gates | None = None, settings: Settings | None = None
) -> Decision:
    """The cheapest option that passes the gates, or what to measure first.

    Baselines are costed and shown, but a decision is between prompting, fine-tuning, layering, people, and
    doing nothing where an item has a value.

    Args:
        gates: limits; the economics' own replace them where given.

    Raises:
        ConfigError: the economics name an option, a label or a slice that is not there.
    """
    evidence = Evidence.from_evaluation(evidence) if isinstance(evidence, Evaluation) else evidence
    settings, gates = settings or Settings(), economics.gates or gates or Gates()
    today = settings.today or datetime.date.today()
    world = world_of(evidence, economics, settings.draws, settings.seed)
    failed = {name: failed_gates(evidence, world, o, gates, today) for name, o in world.options.items()}
    allowed, hopeful = _allowed(world, failed)
    shown = _shown(evidence, world, failed, allowed)
    costs = np.stack([world.totals[n] for n in allowed], axis=1) if allowed else np.zeros((1, 1))
    everything = evpi(costs)
    lines = lines_of(world, allowed)
    single = evppi(costs, lines, _by_rates(world, allowed)) if settings.parameters and len(allowed) > 1 else {}
    cheapest = _best(world, shown, allowed, everything)
    best = _fair(world, shown, allowed, cheapest, pairs_within_noise(evidence, allowed))
    more = _worthwhile(Question(evidence, world, economics, gates, allowed, hopeful, best, lines))
    verdict: Verdict = "none_passes" if best is None else "measure_first" if more else "choose"
    others = [name for name in allowed if name != best]
    pairs, noise = _pairs(world, best, others), _noise(evidence, best, others)
    return Decision(
        id=fingerprint_of(evidence.id, economics.model_dump(mode="json"), gates.model_dump(), settings.seed)[:16],
        verdict=verdict,
        choice=_choice(verdict, best, world.options),
        candidate=best if verdict == "choose" else None,
        leading=best,
        options=shown,
        break_even={f"{a} vs {b}": break_even_of(world.parts[a], world.parts[b]) for a, b in pairs},
        payback=_payback(world, pairs),
        non_inferior=non_inferior(evidence, best, others, economics) if best else {},
        noise=noise,
        judges=evidence.judges,
        evpi_usd_per_year=round(everything, 2),
        evppi=single,
        next_measurement=more,
        flips=flips_of(world, allowed, best, economics) if best else {},
        tornado=tuple(tornado(lines, allowed, best)) if best else (),
        prompt_needs=_needs(world, shown, gates.min_metric or 0.0),
        assumptions=_assumptions(world, economics),
        reasons=reasons_of(shown, best, verdict, others, more, noise, cheapest if cheapest != best else None),
        cautions=_cautions(evidence, world),
        valid_until=_valid_until(world, best, today).isoformat(),
        evaluation=evidence.provenance.get("evaluation", evidence.id),
        evidence=_rests_on(evidence),
        draws=settings.draws,
    )


def _allowed(world: World, failed: Mapping[str, Mapping[str, str]]) -> tuple[list[str], list[str]]:
    """Options that pass every gate, and measured ones that only lack evidence of being good enough."""
    choosable = {name: option for name, option in world.options.items() if option.choosable}
    why = {name: [gate for gate, reason in failed[name].items() if reason] for name in choosable}
    hopeful = [name for name, option in choosable.items() if option.column is not None and why[name] == ["min_metric"]]
    return [name for name in choosable if not why[name]], hopeful


def _worthwhile(asked: Question) -> Measurement | None:
    """The best measurement where it is worth more than its price, or where nothing can be chosen without one."""
    found = measurements(asked)
    return found[0] if found and (asked.best is None or found[0].gain_usd > 0) else None


def _by_rates(world: World, names: Sequence[str]) -> Draws | None:
    """[draws, names] expected costs given the error rates of all of them; None where none is uncertain."""
    unsure = [f"{name}.error_rate" in world.drawn for name in names]
    if not any(unsure):
        return None
    costs = expected_costs(world, names)
    return np.where(unsure, costs, costs.mean(axis=0))


def _rests_on(evidence: Evidence) -> dict[str, object]:
    return {
        "source": evidence.source,
        "rows": len(evidence),
        "unpaired": sum(one.count for one in evidence.unpaired),
        "provenance": dict(evidence.provenance),
    }


def _shown(
    evidence: Evidence, world: World, failed: Mapping[str, Mapping[str, str]], allowed: Sequence[str]
) -> dict[str, OptionVerdict]:
    best = np.zeros(len(allowed))
    if allowed:
        winner = np.stack([world.totals[name] for name in allowed]).argmin(axis=0)
        best = np.bincount(winner, minlength=len(allowed)) / len(winner)
    p_best = dict(zip(allowed, best.tolist(), strict=True))
    return {
        name: _verdict_of(evidence, world, option, p_best.get(name, 0.0), failed[name])
        for name, option in world.options.items()
    }


def _verdict_of(
    evidence: Evidence, world: World, option: Option, p_best: float, failed: Mapping[str, str]
) -> OptionVerdict:
    total = world.totals[option.name]
    if option.missing_price:
        total = np.full_like(total, np.nan)
    against = [name for name in (HUMAN, NOTHING) if name in world.totals and name != option.name]
    saved = np.stack([total, *(world.totals[name] - total for name in against)])
    (low, high), *ends = np.quantile(saved, [0.05, 0.95], axis=1).T
    coverage = 0.0 if option.name == NOTHING else float(1 - option.draws.deferred.mean())
    return OptionVerdict(
        option.family,
        float(total.mean()),
        float(low),
        float(high),
        p_best,
        failed,
        _accuracy(evidence, world, option),
        coverage,
        {
            name: {"mean": float(mean), "p5": float(end[0]), "p95": float(end[1])}
            for name, mean, end in zip(against, saved[1:].mean(axis=1), ends, strict=True)
        },
    )


def _accuracy(evidence: Evidence, world: World, option: Option) -> Interval | None:
    """On answered rows: Wilson's interval where each row is right or wrong, else that of the posterior."""
    if option.belief is not None:
        right = 1 - option.draws.wrong / (world.table.row_weight or 1.0)
        return Interval(float(right.mean()), *np.quantile(right, [0.025, 0.975]).tolist())
    if option.measured is None or option.column is None or not option.measured.answered.any():
        return None
    if judge := option.measured.judge:  # answers that failed are wrong without being judged
        share, c = judge.rows / option.measured.answered.sum(), judge.corrected
        return Interval(c.value * share, c.low * share, c.high * share)
    score = option.measured.score[option.measured.answered]
    if evidence.clusters is None and np.isin(score, (0.0, 1.0)).all():
        return wilson(float(score.sum()), len(score))
    rates = world.rates
    share = rates.right[:, option.column] / np.maximum(1 - rates.deferred[:, option.column], 1e-9)
    return Interval(float(score.mean()), *np.quantile(share, [0.025, 0.975]).tolist())


def _best(world: World, shown: Mapping[str, OptionVerdict], allowed: Sequence[str], everything: float) -> str | None:
    """The cheapest; among those as cheap, the one whose set-up is lost least when it is left again, as long
    as knowing everything is worth less than changing over would cost."""
    if not allowed:
        return None
    cheapest = min(allowed, key=lambda name: shown[name].expected_usd)

    def setup(name: str) -> float:
        return float(world.options[name].draws.setup_usd.mean())

    limit = shown[cheapest].expected_usd * (1 + TIE)
    tied = [name for name in allowed if shown[name].expected_usd <= limit]
    easiest = min(tied, key=setup)
    switching = setup(cheapest) - setup(easiest)
    return easiest if everything * world.shared.horizon_years < switching else cheapest


def _fair(
    world: World,
    shown: Mapping[str, OptionVerdict],
    allowed: Sequence[str],
    lead: str | None,
    noise: frozenset[tuple[str, str]],
) -> str | None:
    """The lead, unless it rests on a difference of accuracy within noise."""
    if lead is None or not noise:
        return lead
    expected = {name: shown[name].expected_usd for name in allowed}
    errors = {name: error_usd(world.options[name].draws, world.shared) for name in allowed}
    return fair_lead(lead, expected, errors, noise)


def _noise(evidence: Evidence, best: str | None, others: Sequence[str]) -> dict[str, Held]:
    """The chosen option against each other one that was run twice as well."""
    pairs = {f"{best} vs {name}": held(evidence, best, name) for name in others} if best else {}
    return {pair: found for pair, found in pairs.items() if found is not None}


def _choice(verdict: Verdict, best: str | None, options: Mapping[str, Option]) -> str:
    if best is None:
        return "none"
    if verdict == "measure_first":
        return "measure_first"
    return "none" if best == NOTHING else options[best].family


def _pairs(world: World, best: str | None, others: Sequence[str]) -> list[tuple[str, str]]:
    """The chosen option and each other one; the one whose items cost less comes first, since that is the one
    which wins from some volume on."""
    unit = {name: part.unit.mean() for name, part in world.parts.items()}
    return [(best, o) if unit[best] <= unit[o] else (o, best) for o in others] if best else []


def _payback(world: World, pairs: Sequence[tuple[str, str]]) -> dict[str, Payback]:
    """For each pair, the option with the dearer set-up first."""
    found = {}
    for pair in pairs:
        draws = {name: world.options[name].draws for name in pair}
        first, second = sorted(pair, key=lambda name: -draws[name].setup_usd.mean())
        if draws[first].setup_usd.mean() > draws[second].setup_usd.mean():
            totals = (world.totals[first], world.totals[second])
            found[f"{first} vs {second}"] = payback_of(draws[first], draws[second], world.shared, totals)
    return found


def _needs(world: World, shown: Mapping[str, OptionVerdict], floor: float) -> Mapping[str, object] | None:
    """What a prompted model would have to reach, beside what it reached here."""
    rivals = [name for name, v in shown.items() if v.passes and v.family not in ("prompt", "baseline", NOTHING)]
    able = {n: v for n, v in shown.items() if not any(why for gate, why in v.gates.items() if gate != "min_metric")}
    needs = prompt_needs(world, {name: v.expected_usd for name, v in able.items()}, rivals, floor)
    accuracy = shown[needs["candidate"]].accuracy if needs else None
    return {**needs, "measured": accuracy.value if accuracy else None} if needs else None


def _assumptions(world: World, economics: Economics) -> dict[str, Assumption]:
    given = economics.model_fields_set

    def assumed(key: str) -> Assumption:
        value = getattr(economics, key)
        plain = (value.p50 if value.known else value.model_dump()) if isinstance(value, Quantity) else value
        if key == "changes_per_year" and economics.counted:
            return Assumption(plain, "measured", economics.counted)
        return Assumption(plain, "given" if key in given else "default")

    found = {key: assumed(key) for key in (*FLIPPABLE, "reviewer_accuracy", "margin")}
    prices = economics.prices
    for key in ("label_usd", "person_hour_usd", "cpu_hour_usd", "gpu_hour_usd"):
        source = "given" if "prices" in given and key in prices.model_fields_set else "default"
        found[f"prices.{key}"] = Assumption(getattr(prices, key).p50, source)
    for name, option in world.options.items():
        draws = option.draws
        wrong = (draws.wrong + draws.given_away * draws.missed).mean() / (world.table.row_weight or 1.0)
        values = {"item_usd": draws.mean("item_usd"), "setup_usd": draws.mean("setup_usd"), "accuracy": 1 - wrong}
        for key, source in option.sources.items():
            word = source.split()[0]
            value = float(f"{values[key]:.6g}")
            found[f"{name}.{key}"] = Assumption(value, word, source if source != word else "")
        own = option.costs.model_fields_set
        for key in ("upkeep_usd_per_year", "cost_per_change_usd", "review_share"):
            quantity = getattr(option.costs, key)
            if key in own and quantity is not None:
                found[f"{name}.{key}"] = Assumption(quantity.p50 if quantity.known else quantity.model_dump(), "given")
    return found


def _cautions(evidence: Evidence, world: World) -> tuple[str, ...]:
    few = [f"only {len(evidence)} rows: intervals are wide, and what they do not show may matter"]
    left_out = [
        f"{one.count} rows of {one.option} left out, {one.reason}: {', '.join(one.item_ids)}"
        f"{', ...' if one.count > len(one.item_ids) else ''}"
        for one in evidence.unpaired
    ]
    return (*(few if len(evidence) < FEW_ROWS else []), *left_out, *evidence.notes, *world.cautions)


def _valid_until(world: World, best: str | None, today: datetime.date) -> datetime.date:
    """Half a year, or until a vendor shuts the chosen option down."""
    until = today + datetime.timedelta(days=VALID_DAYS)
    option = world.options[best] if best else None
    end = option and (option.costs.end_of_life or (option.measured.end_of_life if option.measured else None))
    return min(until, end) if end else until
