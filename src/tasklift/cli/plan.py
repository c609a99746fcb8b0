"""`tasklift plan`: what an evaluation could show and would cost, before it is run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasklift.cli import show
from tasklift.cli.evaluate import suited
from tasklift.economics import Economics, UnitPrices
from tasklift.errors import DataError
from tasklift.measure.evaluation import Evaluation
from tasklift.measure.planning import plan as planning
from tasklift.measure.planning.estimate import Needs, Range, Rows, estimate, from_stored
from tasklift.measure.planning.plan import StrategyPlan
from tasklift.measure.stored import load_evaluation, newest_evaluation
from tasklift.project import Project, TaskFile
from tasklift.strategies.build import build
from tasklift.strategies.layered import Layered
from tasklift.strategy import Strategy


def plan(
    task: str | None,
    folder: Path,
    budget: float | None,
    strategies: str | None,
    model: str | None,
    probe: bool,
    as_json: bool,
) -> int:
    """Estimate, price, print."""
    project = Project.open(folder)
    found = project.task(task)
    names = tuple(strategies.split(",")) if strategies else found.compare
    names = names or suited(project.settings.strategies, found.output.kind)
    train, test, _ = project.rows(found)
    rows = Rows(found.task, train, test)
    prices = _prices(project, found)
    measured = _measured(project, found)
    asked = model or project.settings.model
    with project.caching():
        made = build(names, project.parameters(found, names), asked)
        plans = {}
        for name, strategy in made.items():
            print(f"{name} ...", file=sys.stderr)
            needs = _needs(name, strategy, rows, measured, probe)
            plans[name] = planning.strategy_plan(needs, len(test), prices)
    layered = next((one for one in made.values() if isinstance(one, Layered)), None)
    row = {
        "schema_version": 1,
        "task": found.name,
        "rows": {"train": len(train), "test": len(test)},
        "comparison": planning.what_rows_show(len(test), measured),
        "guarantee": planning.guarantee(len(train), *_promise(layered)) if found.output.kind in Layered.kinds else None,
        "strategies": {name: one.to_json() for name, one in plans.items()},
        "total": planning.totals(plans, budget, prices),
    }
    if as_json:
        show.print_json(row)
    else:
        print("\n".join(_lines(row, plans)))
    return 0


def _prices(project: Project, task: TaskFile) -> UnitPrices:
    beside = project.folder / "tasks" / task.name / "economics.toml"
    priced: Economics | None = project.economics(task) if task.economics or beside.exists() else None
    return priced.prices if priced else UnitPrices()


def _measured(project: Project, task: TaskFile) -> Evaluation | None:
    """The newest evaluation of the task, None where there is none yet."""
    try:
        return load_evaluation(project.state, newest_evaluation(project.state, task.name), 1.0)
    except DataError:
        return None


def _needs(name: str, strategy: Strategy, rows: Rows, measured: Evaluation | None, probe: bool) -> Needs:
    """From the stored evaluation where it holds this strategy with this model, else estimated."""
    if measured is not None and any(result.name == name for result in measured.results):
        result = measured.result(name)
        model = getattr(strategy, "model", None)
        if not isinstance(model, str) or result.card.parameters.get("model") == model:
            return from_stored(result, rows, measured.id)
    return estimate(strategy, rows, probe)


def _promise(layered: Layered | None) -> tuple[float, float, float]:
    """alpha, delta and the share of rows for the certificate: of the task's layered strategy, or its defaults."""
    if layered is None:
        return Layered.alpha, Layered.delta, Layered.folds[2]
    return layered.alpha, layered.delta, layered.folds[2]


def _guarantee_lines(promise: Mapping[str, Any]) -> list[str]:
    labels, missing = promise["labels"], promise["missing"]
    return [
        f"A layered guarantee (risk <= {promise['alpha']:.0%} at delta {promise['delta']:.0%}) needs "
        f"{labels['low']:,} to {labels['high']:,} labelled rows; missing {missing['low']:,} to {missing['high']:,}.",
        f"  {promise['assumed']}",
    ]


def _lines(row: Mapping[str, Any], plans: Mapping[str, StrategyPlan]) -> list[str]:
    shown, promise, total = row["comparison"], row["guarantee"], row["total"]
    needed = ", ".join(f"{float(d):.0%} {n:,}" for d, n in shown["rows_needed"].items())
    lines = [
        f"{row['task']}: {row['rows']['train']} training and {row['rows']['test']} test rows",
        "",
        f"A comparison on these rows shows {_smallest(shown['minimum_detectable_difference'])} (80% power).",
        f"  {shown['source']}; rows needed to show {needed or 'smaller ones: none'}",
        *(
            _guarantee_lines(promise)
            if promise
            else ["Layering does not apply: no core says how sure it is of such an answer."]
        ),
        "",
        f"{'strategy':<12} {'evaluation USD':>20} {'training USD':>20} {'labels USD':>11} {'time s':>16}  rests on",
    ]
    for name, one in plans.items():
        price = f"price of {one.missing_price} not known" if one.missing_price else ""
        lines.append(
            f"{name:<12} {_range(one.evaluation_usd):>20} {_range(one.training_usd):>20} {one.labels_usd:>11,.0f} "
            f"{_range(one.time_s, 1):>16}  {'; '.join(filter(None, (price, one.source)))}"
        )
    lines += [
        "",
        f"together {_range(Range(total['usd']['low'], total['usd']['high']))} USD, labels apart; judging 0 USD",
    ]
    if total["not_known"]:
        lines[-1] += f"; not known: {', '.join(total['not_known'])}"
    if "budget_usd" in total:
        within = {True: "enough", False: "NOT enough", "not known": "not known to be enough"}[total["within_budget"]]
        lines.append(
            f"budget {total['budget_usd']:g} USD: {within}; what is left buys {total['labels_that_are_left']:,} labels"
        )
        lines.append(f"`tasklift evaluate --max-usd {total['budget_usd']:g}` stops before hosted calls cost more")
    return lines


def _smallest(difference: float | None) -> str:
    return "no difference at all: they are too few" if difference is None else f"differences from {difference:.1%} on"


def _range(found: Range | None, digits: int = 4) -> str:
    if found is None:
        return "not known"
    return f"{found.low:.{digits}f} to {found.high:.{digits}f}"
