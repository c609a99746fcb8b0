"""Evidence and economics together: every option with draws of all that its yearly cost depends on."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasklift.economics import Economics, OptionCosts, Quantity, exactly, option_key
from tasklift.errors import ConfigError
from tasklift.measure.cost import DrawnPrices, Serving, asked_cost, drawn_item, drawn_setup, token_cost
from tasklift.measure.deciding.posterior import JointTable, Rates, draw_rates, joint_table
from tasklift.measure.deciding.quantities import Draws, Sampler, mean_of
from tasklift.measure.deciding.untried import Belief, belief_of
from tasklift.measure.deciding.yearly import OptionDraws, Parts, Shared, yearly
from tasklift.measure.evidence import Evidence, OptionEvidence
from tasklift.measure.results import FAMILIES, family_of

#: Name of the option of leaving the items alone; it exists where an item has a value.
NOTHING = "nothing"
HUMAN = "human"


@dataclass(frozen=True)
class Option:
    """One option with its draws.

    Attributes:
        name: candidate, `human`, or `nothing`.
        family: the choice it stands for.
        costs: what the user said about it.
        draws: what its yearly cost depends on.
        sources: parameter -> given, measured, predicted or default, in words.
        measured: its rows; None: it has none.
        column: its place in the joint table; None: it has none.
        belief: what is believed of an option that was not tried.
        missing_price: name of a model whose price nobody knows.
    """

    name: str
    family: str
    costs: OptionCosts
    draws: OptionDraws
    sources: Mapping[str, str]
    measured: OptionEvidence | None = None
    column: int | None = None
    belief: Belief | None = None
    missing_price: str = ""

    @property
    def choosable(self) -> bool:
        """A baseline is shown and never chosen."""
        return self.family != "baseline"


@dataclass(frozen=True)
class World:
    """All options with draws of everything uncertain.

    Attributes:
        options: name -> option.
        shared: what they share.
        table: joint right/wrong table of the measured ones.
        rates: [draws, measured options] of that table.
        drawn: parameter -> [draws] of each uncertain one.
        parts: name -> yearly cost.
        totals: name -> [draws] yearly cost at the drawn volume.
        cautions: what the answer does not know.
    """

    options: Mapping[str, Option]
    shared: Shared
    table: JointTable
    rates: Rates
    drawn: Mapping[str, Draws]
    parts: Mapping[str, Parts]
    totals: Mapping[str, Draws]
    cautions: tuple[str, ...]


def world_of(evidence: Evidence, economics: Economics, draws: int, seed: int) -> World:
    """Draw everything once.

    Raises:
        ConfigError: the economics name an option, a label or a slice that is not there, or another currency.
    """
    if evidence.currency != economics.currency:
        raise ConfigError(
            f"{evidence.source} is in {evidence.currency}, the economics in {economics.currency}: convert one of them"
        )
    sampler = Sampler(draws, seed)
    shared = _shared(economics, sampler)
    measured = list(evidence.options.values())
    table = joint_table(measured, row_weights(evidence, economics), evidence.clusters)
    rates = draw_rates(table, draws, sampler.rng)
    maker = _Maker(evidence, economics, sampler, DrawnPrices.of(economics.prices, sampler), table, rates)
    options = maker.all()
    parts = {name: yearly(option.draws, shared) for name, option in options.items()}
    totals = {name: part.total(shared.items_per_year) for name, part in parts.items()}
    return World(options, shared, table, rates, sampler.drawn, parts, totals, tuple(maker.cautions))


def _by_whom(seen: OptionEvidence) -> str:
    return f", judged by a model, corrected by {seen.judge.labels} labels" if seen.judge else ""


def row_weights(evidence: Evidence, economics: Economics) -> Draws:
    """[rows] cost of an error on each row relative to `error_usd`: by label, else by slice, else 1.

    Raises:
        ConfigError: an unknown label or slice, or nothing to be relative to.
    """
    base = mean_of(economics.error_usd)
    by_label, by_slice = economics.error_usd_by_label, economics.error_usd_by_slice
    if not by_label and not by_slice:
        return np.ones(len(evidence))
    if base <= 0:
        raise ConfigError(
            "economics: error_usd_by_label and error_usd_by_slice need error_usd > 0 as the cost of all other errors"
        )
    known = {str(label) for label in evidence.labels or evidence.expected if label is not None}
    seen = {value for row in evidence.slices for value in row.values()}
    for key, names, those in (("label", by_label, known), ("slice", by_slice, seen)):
        missing = [name for name in names if name not in those]
        if missing:
            where = f"a label of {evidence.task or evidence.source}" if key == "label" else "a slice of the rows"
            raise ConfigError(
                f"economics: error_usd_by_{key} names {missing[0]!r}, which is not {where}; "
                f"there are: {', '.join(sorted(those)[:12]) or 'none'}"
            )

    def weight(expected: Any, row: Mapping[str, str]) -> float:
        if expected in by_label:
            return mean_of(by_label[expected]) / base
        return next((mean_of(by_slice[value]) / base for value in row.values() if value in by_slice), 1.0)

    return np.array([weight(*pair) for pair in zip(evidence.expected, evidence.slices, strict=True)])


def _shared(economics: Economics, sampler: Sampler) -> Shared:
    return Shared(
        items_per_year=12 * sampler.amount("items_per_month", economics.items_per_month),
        error_usd=sampler.amount("error_usd", economics.error_usd),
        review_usd=sampler.amount("review_usd", economics.review_usd),
        changes_per_year=sampler.amount("changes_per_year", economics.changes_per_year),
        horizon_years=economics.horizon_months / 12,
        reviewer_accuracy=economics.reviewer_accuracy,
    )


class _Maker:
    """Makes the options one by one from the same sampler."""

    def __init__(
        self,
        evidence: Evidence,
        economics: Economics,
        sampler: Sampler,
        prices: DrawnPrices,
        table: JointTable,
        rates: Rates,
    ) -> None:
        self.evidence, self.economics, self.sampler, self.prices = evidence, economics, sampler, prices
        self.table, self.rates = table, rates
        self.cautions: list[str] = []

    def all(self) -> dict[str, Option]:
        """Measured ones, those not tried yet, people, and nothing."""
        found = {o.name: self.measured(o, at) for at, o in enumerate(self.evidence.options.values())}
        families = {option.family for option in found.values()}
        for name in dict.fromkeys([*self.economics.options, *self.evidence.curves]):
            if name not in found and name not in families and name != HUMAN:
                made = self.untried(name)
                found |= {name: made} if made else {}
        if HUMAN not in families:
            found[HUMAN] = self.people()
        if self.economics.item_value_usd is not None:
            found[NOTHING] = self.nothing(self.economics.item_value_usd)
        return found

    def costs(self, name: str, family: str) -> OptionCosts:
        """What the user said of the option, else of its family."""
        return self.economics.options.get(name) or self.economics.options.get(family) or OptionCosts()

    def measured(self, seen: OptionEvidence, at: int) -> Option:
        """An option with rows."""
        own = self.economics.options.get(seen.name)
        family = own.family if own and own.family else seen.family
        costs = self.costs(seen.name, family)
        item, item_source, missing = self.item(seen, costs)
        setup, setup_source = self.setup(seen, costs)
        wrong, given_away, deferred = (x[:, at] for x in (self.rates.wrong, self.rates.given_away, self.rates.deferred))
        missed = np.full(self.sampler.size, 1 - self.economics.reviewer_accuracy)
        if family == HUMAN and costs.item_usd is None and not item.any():
            # Measured people without a price: each item costs a review, and their errors are those seen.
            wrong, given_away, deferred, missed = 0 * wrong, wrong, 1 + 0 * wrong, 1 + 0 * wrong
        self.sampler.keep(f"{seen.name}.error_rate", wrong + given_away * missed)
        draws = self.draws(
            seen.name, costs, setup, item, self.remaking(seen, costs), (wrong, deferred, given_away, missed)
        )
        sources = {
            "item_usd": item_source,
            "setup_usd": setup_source,
            "accuracy": f"measured on {len(self.evidence)} rows{_by_whom(seen)}",
        }
        return Option(seen.name, family, costs, draws, sources, seen, at, missing_price=missing)

    def item(self, seen: OptionEvidence, costs: OptionCosts) -> tuple[Draws, str, str]:
        """Inference cost of an item, where it is from, and the model whose price is missing."""
        name = f"{seen.name}.item_usd"
        if costs.item_usd is not None:
            return self.sampler.amount(name, costs.item_usd), "given", ""
        rows = len(self.evidence)
        if seen.cost_usd is not None:
            spread = float(seen.cost_usd.std() / rows**0.5)
            return self.sampler.about(name, float(seen.cost_usd.mean()), spread), "measured (cost_usd of the rows)", ""
        if seen.usage is None:
            self.cautions.append(
                f"{seen.name}: what an item costs is not known; counted as 0, set {option_key(seen.name, 'item_usd')}"
            )
            return np.zeros(self.sampler.size), "default", ""
        serving = Serving(costs.cached_share, costs.batch_share)
        tokens = token_cost(seen.usage, rows, self.economics.prices, seen.model, serving)
        usd = drawn_item(seen.usage, rows, self.prices, tokens.usd)
        return usd, f"measured ({tokens.source})", tokens.missing

    def setup(self, seen: OptionEvidence, costs: OptionCosts) -> tuple[Draws, str]:
        """One-off cost and where it is from."""
        if costs.setup_usd is not None:
            return self.sampler.amount(f"{seen.name}.setup_usd", costs.setup_usd), "given"
        if seen.setup is None:
            self.cautions.append(f"{seen.name}: what it took to make is not known; setup_usd counted as 0")
            return np.zeros(self.sampler.size), "default"
        asked = asked_cost(seen.setup, self.economics.prices)
        if asked.missing:
            self.cautions.append(
                f"{seen.name}: no token price is known for {asked.missing!r}, which was asked while it was made; "
                f"counted as 0, set [prices.tokens] of it, or options.{seen.name}.setup_usd"
            )
        tokens = f", {asked.usd:.4g} USD of tokens" if asked.usd else ""
        source = f"measured ({seen.setup.labels} labels x label_usd, CPU{tokens})"
        return drawn_setup(seen.setup, self.prices) + asked.usd, source

    def remaking(self, seen: OptionEvidence | None, costs: OptionCosts) -> Draws:
        """One change of the rules where no price of it is given: labels, hours, and making it once more."""
        name = seen.name if seen else ""
        labels = self.sampler.amount(f"{name}.labels_per_change", costs.labels_per_change) * self.prices.label_usd
        hours = self.sampler.amount(f"{name}.hours_per_change", costs.hours_per_change) * self.prices.person_hour_usd
        if seen is None or seen.setup is None:
            return labels + hours
        machine = drawn_setup(seen.setup, self.prices) - seen.setup.labels * self.prices.label_usd
        return labels + hours + machine - seen.setup.person_minutes / 60 * self.prices.person_hour_usd

    def untried(self, name: str) -> Option | None:
        """An option that only economics or a learning curve know of; None where nothing tells how good it is."""
        costs = self.costs(name, family_of(name))
        family = costs.family or family_of(name)
        belief = belief_of(name, costs, self.evidence.curves.get(name, ()))
        if belief is None:
            known = {*FAMILIES, *self.evidence.options}
            if name not in FAMILIES:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
                raise ConfigError(
                    f"economics: options.{name} is neither a family nor an evaluated candidate "
                    f"({', '.join(self.evidence.options)}){f'; did you mean {near[0]}?' if near else ''}"
                )
            if family != "baseline":
                self.cautions.append(
                    f"{name} has costs but no measurement: it is not compared; measure it, "
                    f"or say what you expect in {option_key(name, 'accuracy')}"
                )
            return None
        error = belief.draw(f"{name}.error_rate", self.sampler)
        zero = np.zeros(self.sampler.size)
        setup = self.sampler.amount(f"{name}.setup_usd", costs.setup_usd or exactly(0))
        item = self.sampler.amount(f"{name}.item_usd", costs.item_usd or exactly(0))
        draws = self.draws(
            name, costs, setup, item, self.remaking(None, costs), (error * self.table.row_weight, zero, zero, zero)
        )
        given = {"setup_usd": costs.setup_usd, "item_usd": costs.item_usd}
        sources = {key: "given" if value else "default" for key, value in given.items()} | {"accuracy": belief.source}
        return Option(name, family, costs, draws, sources, belief=belief)

    def people(self) -> Option:
        """A person answers everything."""
        costs = self.costs(HUMAN, HUMAN)
        size = self.sampler.size
        accuracy = costs.accuracy or exactly(self.economics.reviewer_accuracy)
        missed = 1 - self.sampler.share("human.accuracy", accuracy)
        setup = self.sampler.amount("human.setup_usd", costs.setup_usd or exactly(0))
        item = self.sampler.amount("human.item_usd", costs.item_usd or exactly(0))
        weight = np.full(size, self.table.row_weight)
        draws = self.draws(HUMAN, costs, setup, item, np.zeros(size), (np.zeros(size), np.ones(size), weight, missed))
        sources = {
            "item_usd": "given" if costs.item_usd else "default",
            "setup_usd": "given" if costs.setup_usd else "default",
            "accuracy": "given" if costs.accuracy else "default (reviewer_accuracy)",
        }
        return Option(HUMAN, HUMAN, costs, draws, sources)

    def nothing(self, value: Quantity) -> Option:
        """Every item goes unhandled, and its value is lost."""
        zero = np.zeros(self.sampler.size)
        lost = self.sampler.amount("item_value_usd", value)
        draws = OptionDraws(zero, zero, zero, zero, (), lost, zero, zero, zero, zero, zero)
        return Option(NOTHING, NOTHING, OptionCosts(), draws, {"item_usd": "given (item_value_usd that is lost)"})

    def draws(
        self, name: str, costs: OptionCosts, setup: Draws, item: Draws, remaking: Draws, rates: tuple[Draws, ...]
    ) -> OptionDraws:
        """Everything together; rates are wrong, deferred, given away and missed."""
        sampler = self.sampler
        upkeep = sampler.amount(f"{name}.upkeep_usd_per_year", costs.upkeep_usd_per_year)
        if costs.migration_usd is not None and costs.end_of_life is not None:
            upkeep = upkeep + sampler.amount(f"{name}.migration_usd", costs.migration_usd) / (
                self.economics.horizon_months / 12
            )
        change = costs.cost_per_change_usd
        flat = sampler.amount(f"{name}.capacity_usd_per_year", costs.capacity_usd_per_year)
        wrong, deferred, given_away, missed = rates
        return OptionDraws(
            setup_usd=setup,
            upkeep_usd_per_year=upkeep,
            change_usd=remaking if change is None else sampler.amount(f"{name}.cost_per_change_usd", change),
            capacity_usd_per_year=0 * flat if costs.capacity else flat,
            steps=costs.capacity,
            item_usd=item,
            review_share=sampler.share(f"{name}.review_share", costs.review_share),
            wrong=wrong,
            deferred=deferred,
            given_away=given_away,
            missed=missed,
        )
