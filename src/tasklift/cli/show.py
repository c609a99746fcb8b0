"""How results look in a terminal and as JSON: the same figures in both."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from typing import Any, TextIO

import numpy as np

from tasklift.economics import Economics, UnitPrices
from tasklift.measure.against import against_reference
from tasklift.measure.cost import item_cost
from tasklift.measure.deciding.record import Decision
from tasklift.measure.evaluation import CandidateResult, Evaluation
from tasklift.measure.metrics import right_of
from tasklift.measure.slices import slices_of
from tasklift.metrics.right import rule_of
from tasklift.stats.intervals import Interval, wilson
from tasklift.task import JsonOutput, Number, Task, Text

#: Columns of a candidate's name: `baseline-seed2` and `encoder-seed1` fit.
NAME = 14
HEADER = (
    f"{'candidate':<{NAME}} {'family':<9} {'accuracy  [95%]':<20} {'answers':>7} {'macro F1':>8} {'ECE':>6}"
    f" {'p50 ms':>8} {'p95 ms':>8} {'CPU ms/row':>10} {'tokens/row':>10} {'failed':>6}  made with"
)


class Table:
    """Prints a line as soon as a candidate is finished, and progress on standard error."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._bar = sys.stderr.isatty()
        self._begun = time.perf_counter()
        self._last = 0.0
        self.first_row_s: float | None = None

    def open(self, title: str) -> None:
        """Title and header."""
        print(f"{title}\n\n{HEADER}\n{'-' * len(HEADER)}", file=self._out, flush=True)

    def stage(self, name: str, what: str, done: int, total: int) -> None:
        """One line, overwritten; on a log, at most one line in ten seconds."""
        now = time.perf_counter()
        if not self._bar and (total == 0 or now - self._last < 10):
            return
        if self._bar and now - self._last < 0.1 and done not in (0, total):
            return
        self._last = now
        filled = "#" * round(20 * done / total) if total else ""
        line = f"{name}: {what} {f'[{filled:<20}] {done}/{total}' if total else ''} {now - self._begun:.0f} s"
        print(
            f"\r\x1b[K{line}" if self._bar else line,
            end="" if self._bar else "\n",
            file=sys.stderr,
            flush=True,
        )

    def finished(self, result: CandidateResult) -> None:
        """The candidate's line."""
        if self.first_row_s is None:
            self.first_row_s = time.perf_counter() - self._begun
        if self._bar:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        print(table_line(result), file=self._out, flush=True)


def table_line(result: CandidateResult) -> str:
    """One candidate."""
    scores = result.scores
    accuracy = _percent(scores.accuracy) if scores.accuracy else "-"
    usage = scores.usage
    cells = [
        f"{result.name:<{NAME}} {result.card.family:<9} {accuracy:<20} {scores.coverage:>7.0%}",
        f"{scores.macro_f1.value:>8.3f}" if scores.macro_f1 else f"{'-':>8}",
        f"{scores.ece:>6.3f}" if scores.ece is not None else f"{'-':>6}",
        _ms(scores.latency_p50_s),
        _ms(scores.latency_p95_s),
        f"{1000 * usage.cpu_s / scores.rows:>10.1f}",
        f"{usage.input_tokens / scores.rows:>10.0f}" if usage.calls else f"{'-':>10}",
        f"{sum(scores.failures.values()):>6}",
        f" {_made_with(result)}",
    ]
    return " ".join(cells)


def output_words(task: Task) -> str:
    """What the answers of a task are, in a few words."""
    output = task.output
    if isinstance(output, Number):
        return "a number" if output.span is None else f"a number from {output.minimum:g} to {output.maximum:g}"
    if isinstance(output, JsonOutput):
        return f"an object of {len(output.json_schema.get('properties', {}))} fields"
    if isinstance(output, Text):
        return "a text"
    return f"{'any of ' if output.kind == 'labels' else ''}{len(task.labels)} labels"


def figure_lines(evaluation: Evaluation) -> list[str]:
    """What counts as right, and the other metrics of a task, where it has any."""
    names = list(dict.fromkeys(name for result in evaluation.results for name in result.scores.figures))
    if not names:
        return []
    lines = [f"Right is: {rule_of(evaluation.task)}. Other metrics on answered rows [95%, BCa]:"]
    for result in evaluation.results:
        cells = [f"{name} {_figure(value)}" for name, value in result.scores.figures.items()]
        lines.append(f"  {result.name:<{NAME}} " + ("   ".join(cells) or "-"))
    return lines


def comparison_lines(evaluation: Evaluation) -> list[str]:
    """Each candidate against the reference, on the rows that both answered."""
    lines = [
        f"Against {evaluation.reference} on the same rows "
        f"(difference of accuracy, 95% interval; McNemar mid-p, Holm-adjusted):"
    ]
    for name, found in evaluation.comparisons.items():
        d = found.difference
        lines.append(
            f"  {name:<{NAME}} {100 * d.value:+6.1f} points [{100 * d.low:+.1f}, {100 * d.high:+.1f}]"
            f"  p = {found.p_holm:.4f}  ({found.rows} rows){_within_noise(evaluation, name)}"
        )
    lines += noise_lines(evaluation)
    if evaluation.overlap:
        clean = [row.id not in evaluation.overlap for row in evaluation.rows]
        lines.append(f"{len(evaluation.overlap)} test texts also stand in the training rows; without them:")
        for result in evaluation.results:
            right = right_of(result.predictions, evaluation.rows.outputs, evaluation.task)[clean]
            right = right[~np.isnan(right)]
            if len(right):
                lines.append(f"  {result.name:<{NAME}} {_percent(wilson(float(right.sum()), len(right)))}")
    return lines


def rule_lines(evaluation: Evaluation) -> list[str]:
    """What business rules did, and what the model itself left to a person; nothing where neither happened."""
    lines = []
    for result in evaluation.results:
        scores = result.scores
        parts = [
            f"{rule} {', '.join(f'{did} {count}' for did, count in counts.items())}"
            for rule, counts in scores.rules.items()
        ]
        parts += [f"the model abstained on {scores.abstained}"] if scores.abstained else []
        parts += [f"{scores.prompt_cut} prompts were cut to fit the context"] if scores.prompt_cut else []
        if parts:
            lines.append(f"  {result.name:<{NAME}} {'; '.join(parts)}")
    return [f"Rules and limits, rows of {len(evaluation.rows)}:", *lines] if lines else []


def noise_lines(evaluation: Evaluation) -> list[str]:
    """What an A/A run showed; nothing where there was none."""
    if not evaluation.noise:
        return []
    lines = ["A/A run, every candidate twice (a difference of accuracy below its floor is within noise):"]
    for name, found in evaluation.noise.items():
        lines.append(
            f"  {name:<{NAME}} floor {100 * found.floor:4.1f} points  {found.how}: "
            f"{found.agreement.value:.1%} equal answers, accuracy {100 * found.difference.value:+.1f} points "
            f"[{100 * found.difference.low:+.1f}, {100 * found.difference.high:+.1f}]  ({found.rows} rows)"
        )
    return lines


def slice_lines(evaluation: Evaluation, name: str) -> list[str]:
    """Accuracy of every candidate by the values of one slice."""
    table = slices_of(evaluation)
    values = sorted({row.slice[name] for row in evaluation.rows if name in row.slice})
    lines = [
        f"By {name}: "
        + ", ".join(f"{v} ({sum(row.slice.get(name) == v for row in evaluation.rows)} rows)" for v in values)
    ]
    for candidate, by_name in table.items():
        cells = [
            f"{v} {_percent(Interval(**_interval(by_name[name][v])))}" for v in values if v in by_name.get(name, {})
        ]
        if cells:
            lines.append(f"  {candidate:<{NAME}} " + "   ".join(cells))
    return lines


def decision_lines(title: str, decision: Decision, economics: Economics) -> list[str]:
    """One decision, as a paragraph that a manager can read."""
    volume = economics.items_per_month.p50
    chosen = f" ({decision.candidate})" if decision.candidate and decision.candidate != decision.choice else ""
    lines = [
        f"{title} [{volume:,.0f} items a month, "
        f"{economics.changes_per_year.p50:g} rule changes a year, {economics.error_usd.p50:g} USD an error]"
    ]
    lines.append(f"  -> {decision.choice.upper()}{chosen}")
    lines += [f"     {reason}" for reason in decision.reasons]
    for pair, found in decision.break_even.items():
        if found.items_per_month is None:
            text = "never, at any volume"
        elif found.items_per_month == 0:
            text = "at any volume"
        else:
            high = "no bound" if found.high is None else f"{found.high:,.0f}"
            text = f"from {found.items_per_month:,.0f} items a month on (90%: {found.low or 0:,.0f} to {high})"
        lines.append(f"     {pair}: cheaper {text}")
    flips = ", ".join(f"{key} = {value:,.4g}" for key, value in decision.flips.items() if value is not None)
    lines.append(f"     it would flip at: {flips or 'nothing within a factor of 1,000'}")
    if decision.prompt_needs is not None:
        lines.append("     " + _needs(decision.prompt_needs))
    return lines


def evaluation_json(evaluation: Evaluation, economics: Economics | None, decision: Decision | None) -> dict[str, Any]:
    """The pinned object of `evaluate --json` and `demo --json`."""
    by_slice = slices_of(evaluation)
    prices = economics.prices if economics else UnitPrices()
    candidates = [
        _candidate_json(result, evaluation, prices) | {"slices": by_slice.get(result.name, {})}
        for result in evaluation.results
    ]
    decided = decision.to_json() if decision else None
    return {
        "schema_version": 1,
        "task": evaluation.task.name,
        "kind": evaluation.task.output.kind,
        "right": rule_of(evaluation.task),
        "rows": len(evaluation.rows),
        "evaluation": evaluation.id,
        "reference": evaluation.reference,
        "overlapping_texts": len(evaluation.overlap),
        "candidates": candidates,
        "decision": decided,
        "break_even": decided["break_even"] if decided else None,
        "made": dict(evaluation.made),
    }


def print_json(value: dict[str, Any]) -> None:
    """Exactly one object on standard output."""
    json.dump(value, sys.stdout, ensure_ascii=False, indent=1, default=str)
    sys.stdout.write("\n")


def _candidate_json(result: CandidateResult, evaluation: Evaluation, prices: UnitPrices) -> dict[str, Any]:
    scores = result.scores
    hosted = result.card.parameters.get("model") if result.traits["remote"] else None
    cost = item_cost(scores.usage, scores.rows, prices, str(hosted) if hosted else None)
    metrics = {
        name: dataclasses.asdict(value)
        for name in ("accuracy", "macro_f1", "valid")
        if (value := getattr(scores, name))
    } | {name: dataclasses.asdict(value) for name, value in scores.figures.items()}
    compared = evaluation.comparisons.get(result.name)
    return {
        "name": result.name,
        "family": result.card.family,
        "fingerprint": result.card.fingerprint,
        "metrics": metrics,
        "coverage": scores.coverage,
        "system_accuracy": scores.system_accuracy,
        "ece": scores.ece,
        "brier": scores.brier,
        "cost": {"item_usd": cost.usd, "source": cost.source, "setup": dataclasses.asdict(result.card.setup)},
        "latency": {"p50_s": scores.latency_p50_s, "p95_s": scores.latency_p95_s},
        "cpu_s": scores.usage.cpu_s,
        "usage": dataclasses.asdict(scores.usage),
        "failures": scores.failures,
        "skipped_model": scores.skipped_model,
        "rules": scores.rules,
        "abstained": scores.abstained,
        "prompt_cut": scores.prompt_cut,
        "against_reference": against_reference(evaluation, result.name) if compared else None,
        "noise_floor": noise.to_json() if (noise := evaluation.noise.get(result.name)) else None,
        "notes": dict(result.card.notes),
    }


def _within_noise(evaluation: Evaluation, name: str) -> str:
    row = against_reference(evaluation, name) or {}
    if row.get("noise_floor") is None:
        return ""
    return f"  {'within noise, ' if row['within_noise'] else ''}A/A floor {100 * row['noise_floor']:.1f} points"


def _made_with(result: CandidateResult) -> str:
    notes, setup = result.card.notes, result.card.setup
    parts = [
        f"{setup.labels} labels" if setup.labels else "no labels",
        f"{setup.cpu_s:.0f} CPU s" if setup.cpu_s >= 1 else "",
    ]
    if "certificate" in notes:
        c = notes["certificate"]
        missing = c["missing_labels"]
        lacking = f"{missing} more labels needed" if missing > 0 else "no number of labels would do"
        promised = f"risk <= {c['alpha']:.0%} at delta {c['delta']:.0%}"
        parts.append(promised if c["threshold"] is not None else f"NOT certified for {promised}: {lacking}")
    if result.scores.skipped_model is not None:
        parts.append(f"model skipped on {result.scores.skipped_model:.0%}")
    if "epochs" in notes:
        parts.append(f"{notes['epochs']} epochs")
    return ", ".join(part for part in parts if part)


def _needs(needs: dict[str, Any] | Any) -> str:
    measured = f" (measured here: {needs['measured']:.1%})" if needs["measured"] is not None else ""
    if needs["accuracy"] is None:
        return f"a prompted model could not win: even without an error, {needs['candidate']} would cost more{measured}"
    price, accuracy = needs["candidate"], needs["accuracy"]
    return f"a prompted model at the price of {price} would win with an accuracy of {accuracy:.1%} or more{measured}"


def _interval(cell: dict[str, float]) -> dict[str, float]:
    return {name: cell[name] for name in ("value", "low", "high")}


def _percent(interval: Interval) -> str:
    return f"{100 * interval.value:5.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _figure(interval: Interval) -> str:
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _ms(seconds: float | None) -> str:
    return f"{1000 * seconds:>8.1f}" if seconds is not None else f"{'-':>8}"
