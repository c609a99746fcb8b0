"""Before money is spent: what a comparison could show, what a guarantee needs, what each strategy would cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import binom

from tasklift.economics import UnitPrices
from tasklift.errors import ConfigError
from tasklift.llm.prices import TokenPrice
from tasklift.measure.cost import token_price
from tasklift.measure.evaluation import Evaluation
from tasklift.measure.metrics import right_of
from tasklift.measure.planning.estimate import NONE, Needs, Range
from tasklift.stats.comparison import minimum_detectable_difference, rows_needed
from tasklift.stats.learn_then_test import smallest_start

#: Share of rows on which exactly one of two options is right, where nothing was measured.
DISCORDANT = 0.10
#: Differences whose number of rows is told.
DIFFERENCES = (0.01, 0.02, 0.03, 0.05)
#: Share of rows that a certified core answers: from a hard task to an easy one.
COVERAGE = Range(0.5, 0.9)
#: Calls that are made again because an answer was none of the labels, or none came.
REPEATED = 0.05


@dataclass(frozen=True)
class StrategyPlan:
    """One strategy before it is run.

    Attributes:
        evaluation_usd: answering every test row; None: a price is not known.
        training_usd: making it, labels apart; None: the same.
        labels_usd: what its labelled rows would cost anew.
        time_s: making and answering; None: not known before it runs.
        missing_price: model whose price nobody knows; '' where all are known.
        source: what the figures rest on.
    """

    evaluation_usd: Range | None
    training_usd: Range | None
    labels_usd: float
    time_s: Range | None
    missing_price: str
    source: str

    @property
    def usd(self) -> Range | None:
        """Training and evaluation."""
        if self.evaluation_usd is None or self.training_usd is None:
            return None
        return self.evaluation_usd.plus(self.training_usd)

    def to_json(self) -> dict[str, Any]:
        """Plain fields; a range as `low` and `high`."""
        return {
            "evaluation_usd": _row(self.evaluation_usd),
            "training_usd": _row(self.training_usd),
            "labels_usd": round(self.labels_usd, 2),
            "time_s": _row(self.time_s),
            "missing_price": self.missing_price or None,
            "source": self.source,
        }


def strategy_plan(needs: Needs, test_rows: int, prices: UnitPrices) -> StrategyPlan:
    """Quantities priced.

    Args:
        needs: of one strategy.
        test_rows: rows that it would answer.
        prices: of everything; machine time at the price of a CPU hour.
    """
    hour = prices.cpu_hour_usd.p50 / 3600
    answering = None if needs.row_s is None else needs.row_s.times(test_rows)
    total = None if answering is None or needs.fit_s is None else answering.plus(needs.fit_s)
    price = token_price(needs.model, prices) if needs.model else None
    labels_usd = needs.labels * prices.label_usd.p50 * prices.annotators
    if needs.model and price is None:
        return StrategyPlan(None, None, labels_usd, total, needs.model, needs.source)
    # A hosted strategy pays for tokens; its share of machine time here is next to nothing.
    evaluation = needs.row_cpu_s.times(test_rows * hour).plus(_tokens_usd(needs, test_rows, price))
    machine = needs.fit_cpu_s.times(hour)
    trained = needs.training_tokens / 1e6 * prices.training_usd_per_mtok.p50
    asked = Range(_usd(price, *(k.low for k in needs.fit_tokens)), _usd(price, *(k.high for k in needs.fit_tokens)))
    known = needs.model is not None or (needs.fit_s is not None and needs.row_s is not None)
    if not known:
        return StrategyPlan(None, None, labels_usd, total, "", needs.source)
    return StrategyPlan(
        evaluation, machine.plus(asked).plus(Range(trained, trained)), labels_usd, total, "", needs.source
    )


def _tokens_usd(needs: Needs, test_rows: int, price: TokenPrice | None) -> Range:
    low, high = (_usd(price, *(getattr(kind, end) for kind in needs.row_tokens)) * test_rows for end in ("low", "high"))
    return Range(low, high * (1 + REPEATED))


def _usd(price: TokenPrice | None, tokens_in: float, tokens_out: float) -> float:
    return (tokens_in * price.input_usd + tokens_out * price.output_usd) / 1e6 if price else 0.0


def what_rows_show(test_rows: int, measured: Evaluation | None) -> dict[str, Any]:
    """The smallest difference that a comparison on these rows shows with 80% power (None: not even the largest that
    there can be), and rows for others.

    Args:
        measured: an earlier evaluation, for how often exactly one of two options is right.
    """
    discordant, source = DISCORDANT, f"assumed: exactly one of two options right on {DISCORDANT:.0%} of the rows"
    if measured is not None and (shares := _discordant(measured)):
        discordant = float(np.clip(np.median(shares), 0.005, 0.9))
        source = f"measured in evaluation {measured.id}: median over {len(shares)} pairs of options"
    smallest = minimum_detectable_difference(test_rows, discordant)
    return {
        "test_rows": test_rows,
        # Two options cannot differ by more than the rows on which they differ.
        "minimum_detectable_difference": round(smallest, 4) if smallest < discordant else None,
        "power": 0.8,
        "alpha": 0.05,
        "discordant": round(discordant, 4),
        "source": source,
        "rows_needed": {f"{d:g}": rows_needed(d, discordant) for d in DIFFERENCES if d <= discordant},
    }


def _discordant(evaluation: Evaluation) -> list[float]:
    """Share of rows on which exactly one of two options is right, for each pair that is no mere yardstick."""
    outputs = evaluation.rows.outputs
    rights = [
        right_of(result.predictions, outputs, evaluation.task)
        for result in evaluation.results
        if result.card.family != "human" and result.card.strategy != "majority"
    ]
    shares = []
    for a, b in combinations(rights, 2):
        both = ~np.isnan(a) & ~np.isnan(b)
        if both.any():
            shares.append(float((a != b)[both].mean()))
    return [share for share in shares if share > 0]


def guarantee(train_rows: int, alpha: float, delta: float, certify_share: float) -> dict[str, Any]:
    """How many labelled rows a certificate of a layered strategy needs: P(risk among answered <= alpha) >= 1 - delta.

    From where no accepted row is wrong and nine of ten are accepted, to where half of alpha is wrong and one of two.

    Args:
        train_rows: labelled rows at hand.
        certify_share: share of them that the certificate is tested on.
    """
    clean, noisy = smallest_start(alpha, delta), accepted_needed(alpha, delta, alpha / 2)
    low = math.ceil(clean / COVERAGE.high / certify_share)
    high = math.ceil(max(clean, noisy) / COVERAGE.low / certify_share)
    return {
        "alpha": alpha,
        "delta": delta,
        "accepted_rows": {"low": clean, "high": max(clean, noisy)},
        "labels": {"low": low, "high": high},
        "have": train_rows,
        "missing": {"low": max(0, low - train_rows), "high": max(0, high - train_rows)},
        "assumed": f"{COVERAGE.low:.0%} to {COVERAGE.high:.0%} of the rows answered without a person; "
        f"none to {alpha / 2:.1%} of them wrong; {certify_share:.0%} of the labels are kept for the test",
    }


def accepted_needed(alpha: float, delta: float, risk: float) -> int:
    """Accepted rows from which on `risk` of them wrong are certified to lie below alpha (binomial test)."""
    rows = np.arange(smallest_start(alpha, delta), 200_000)
    passes = binom.cdf(np.ceil(risk * rows), rows, alpha) <= delta
    found = np.flatnonzero(passes)
    if len(found) == 0:
        raise ConfigError(f"alpha={alpha}, delta={delta}: no number of labels below 200,000 would do")
    return int(rows[found[0]])


def totals(plans: Mapping[str, StrategyPlan], budget_usd: float | None, prices: UnitPrices) -> dict[str, Any]:
    """All strategies together against the budget; judging a label costs nothing, since it is compared with the
    expected one."""
    known = [plan.usd for plan in plans.values() if plan.usd is not None]
    total = _sum(known)
    unknown = [name for name, plan in plans.items() if plan.usd is None]
    row: dict[str, Any] = {"usd": _row(total), "judging_usd": 0.0, "not_known": unknown}
    if budget_usd is not None:
        left = budget_usd - total.high
        label_usd = prices.label_usd.p50 * prices.annotators
        row["budget_usd"] = budget_usd
        row["within_budget"] = "not known" if unknown else left >= 0
        row["labels_that_are_left"] = int(left / label_usd) if left > 0 and label_usd > 0 and not unknown else 0
    return row


def _sum(ranges: list[Range]) -> Range:
    total = NONE
    for found in ranges:
        total = total.plus(found)
    return total


def _row(found: Range | None) -> dict[str, float] | None:
    return None if found is None else {"low": float(f"{found.low:.4g}"), "high": float(f"{found.high:.4g}")}
