"""The limits that an option must pass before its cost matters."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

import numpy as np

from tasklift.economics import Gates, option_key
from tasklift.measure.deciding.macro_f1 import macro_f1_draws
from tasklift.measure.deciding.options import HUMAN, NOTHING, Option, World
from tasklift.measure.deciding.quantities import Draws
from tasklift.measure.evidence import Evidence, OptionEvidence

#: Days of a mean month.
_MONTH = 30.44


def failed_gates(
    evidence: Evidence, world: World, option: Option, gates: Gates, today: datetime.date
) -> dict[str, str]:
    """Gate -> why it failed, '' when passed; gates that are not set are left out.

    People only have to meet `min_metric`; doing nothing has nothing to meet.
    """
    found: dict[str, str] = {}
    if option.name == NOTHING:
        return found
    if option.missing_price:
        found["price"] = (
            f"no price is known for {option.missing_price}: set {option_key(option.name, 'item_usd')}, "
            f"or its prices under prices.tokens"
        )
    if gates.min_metric is not None:
        found["min_metric"] = _metric_gate(evidence, world, option, gates)
    if option.family == HUMAN:
        return found
    found |= _end_of_life(option, world, today)
    if option.measured is not None:
        found |= _speed_and_form(option.measured, gates)
    for name, asked, refused in (
        ("data_leaves_machine", not gates.data_leaves_machine, "text leaves the machine"),
        ("deterministic", gates.deterministic, "equal inputs may give different outputs"),
    ):
        if asked:
            found[name] = _trait_gate(option, name, refused)
    return found


def metric_draws(evidence: Evidence, world: World, option: Option) -> Draws:
    """[draws] the metric that the gate looks at, a person standing in for deferred rows."""
    accuracy = world.shared.reviewer_accuracy
    if option.column is None:
        draws = option.draws
        weight = world.table.row_weight or 1.0
        return 1 - draws.wrong / weight - draws.deferred * draws.missed
    if evidence.metric == "macro_f1" and option.measured is not None and option.measured.outputs is not None:
        return macro_f1_draws(evidence, option.measured, accuracy)
    right, deferred = world.rates.right[:, option.column], world.rates.deferred[:, option.column]
    return right + deferred * accuracy


def _metric_gate(evidence: Evidence, world: World, option: Option, gates: Gates) -> str:
    required = gates.min_metric or 0.0
    values = metric_draws(evidence, world, option)
    if option.family == HUMAN and np.ptp(values) == 0:
        fine = values[0] >= required - 1e-9
        return "" if fine else f"declared accuracy {values[0]:g} < {required:g}"
    probability = float(np.mean(values >= required - 1e-6))
    if probability >= gates.gate_confidence:
        return ""
    return f"P({evidence.metric} >= {required:g}) = {probability:.2f} < {gates.gate_confidence:g}"


def _speed_and_form(seen: OptionEvidence, gates: Gates) -> dict[str, str]:
    found = {}
    if gates.max_p95_latency_s is not None:
        if seen.latencies_s:
            p95 = float(np.quantile(seen.latencies_s, 0.95))
            fine = p95 <= gates.max_p95_latency_s
            found["max_p95_latency_s"] = "" if fine else f"p95 {p95:.2f} s > {gates.max_p95_latency_s:g} s"
        else:
            found["max_p95_latency_s"] = "latency was not measured"
    if gates.min_valid_outputs is not None:
        valid = float(1 - seen.failed.mean())
        fine = valid >= gates.min_valid_outputs
        found["min_valid_outputs"] = "" if fine else f"{valid:.1%} valid < {gates.min_valid_outputs:.1%}"
    return found


def _end_of_life(option: Option, world: World, today: datetime.date) -> dict[str, str]:
    """A vendor's last day within the horizon rules the option out, unless moving away has a price."""
    day = option.costs.end_of_life or (option.measured.end_of_life if option.measured else None)
    if day is None:
        return {}
    until = today + datetime.timedelta(days=12 * world.shared.horizon_years * _MONTH)
    if day > until or option.costs.migration_usd is not None:
        return {"end_of_life": ""}
    return {
        "end_of_life": f"shut down on {day}, before the horizon ends on {until}; "
        f"set {option_key(option.name, 'migration_usd')} to count a move"
    }


def _trait_gate(option: Option, name: str, refused: str) -> str:
    declared: bool | None = getattr(option.costs, name)
    traits: Mapping[str, bool] = option.measured.traits if option.measured else {}
    value = declared if declared is not None else traits.get(name)
    if value is None:
        return f"not known: say so in {option_key(option.name, name)}"
    return refused if value == (name == "data_leaves_machine") else ""
