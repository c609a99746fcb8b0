"""What the report shows, as one plain object: the page draws it, `tasklift report --json` prints it."""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tasklift.dataset import Dataset
from tasklift.economics import Economics, UnitPrices
from tasklift.measure.against import against_reference
from tasklift.measure.cost import item_cost, setup_cost
from tasklift.measure.deciding.record import Decision
from tasklift.measure.evaluation import CandidateResult, Evaluation
from tasklift.measure.made import machine
from tasklift.measure.metrics import answered_parts, right_of
from tasklift.measure.report import hinges, layers, words
from tasklift.measure.slices import slices_of
from tasklift.metrics.right import rule_of
from tasklift.stats.intervals import Interval, wilson

#: As in `stats.calibration.expected_calibration_error`, so that the ECE can be checked against the picture.
BINS = 15
CONFUSIONS = 6
#: So many labels or fields of a candidate are shown, the worst.
PARTS = 10
#: Example texts are shown for so many of a candidate's confusions, so many of each, cut to so many characters.
EXAMPLED, EXAMPLES, EXAMPLE_CHARS = 3, 2, 400


def content_of(
    evaluation: Evaluation,
    economics: Economics | None,
    decision: Decision | None,
    texts: Dataset | None = None,
    commands: Sequence[str] = (),
    dimensions: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything that the report shows.

    Args:
        economics: None where the task has none: then nothing is decided.
        decision: taken with these economics.
        texts: the rows with their texts, to show examples of; None shows none.
        commands: what does it again, the one that makes this report last.
        dimensions: the nine of them, as `tasklift dimensions` has them; None where they were not measured.
    """
    decided = decision.to_json() if decision else None
    return {
        "schema_version": 1,
        "task": {"name": evaluation.task.name, "instruction": evaluation.task.instruction},
        "verdict": _verdict(decided, economics),
        "decision": decided,
        "candidates": [_candidate(result, evaluation, economics) for result in evaluation.results],
        "reference": evaluation.reference,
        "overlap": len(evaluation.overlap),
        "noise": bool(evaluation.noise),
        "gate": _quality_gate(economics, evaluation),
        "calibration": [found for result in evaluation.results if (found := _calibration(result, evaluation))],
        "risk": [_risk(result, evaluation) for result in evaluation.results if result.card.family == "layered"],
        "confusions": [found for result in evaluation.results if (found := _confusions(result, evaluation, texts))],
        "parts": [found for result in evaluation.results if (found := _parts(result, evaluation))],
        "slices": _slices(evaluation),
        "failures": [_failures(result, evaluation, texts) for result in evaluation.results],
        "measured": _measured(evaluation, decided, texts, commands),
        "economics": _given(economics),
        "hinges": hinges.hinges_of(decided) if decided else None,
        "assumptions": _assumptions(decided),
        "dimensions": dimensions,
        "examples": texts is not None,
    }


def _verdict(decided: Mapping[str, Any] | None, economics: Economics | None) -> dict[str, Any]:
    if decided is None or economics is None:
        return {
            "headline": "Measured, not decided.",
            "sentence": "The task has no economics: without volume and the price of an error, nothing can be chosen.",
            "reasons": [],
            "failing": {},
            "flips": [],
            "pairs": [],
            "prompt_needs": "",
        }
    headline, sentence = words.verdict(decided)
    given = {key: getattr(economics, key) for key in decided["flips"]}
    base = {key: getattr(value, "p50", value) for key, value in given.items()}
    return {
        "headline": headline,
        "sentence": sentence,
        "reasons": decided["reasons"],
        "failing": {name: why for name, option in decided["options"].items() if (why := words.failed_gates(option))},
        "flips": words.flips(decided, base),
        "pairs": hinges.pairs_of(decided),
        "prompt_needs": words.needs(decided["prompt_needs"]),
    }


def _candidate(result: CandidateResult, evaluation: Evaluation, economics: Economics | None) -> dict[str, Any]:
    scores, prices = result.scores, economics.prices if economics else UnitPrices()
    hosted = result.card.parameters.get("model") if result.traits["remote"] else None
    cost = item_cost(scores.usage, scores.rows, prices, str(hosted) if hosted else None)
    return {
        "name": result.name,
        "family": result.card.family,
        "strategy": result.card.strategy,
        "fingerprint": result.card.fingerprint,
        "accuracy": _interval(scores.accuracy),
        "macro_f1": _interval(scores.macro_f1),
        "figures": {name: _interval(value) for name, value in scores.figures.items()},
        "valid": _interval(scores.valid),
        "rows": scores.rows,
        "answered": scores.answered,
        "system_accuracy": scores.system_accuracy,
        "ece": scores.ece,
        "brier": scores.brier,
        "latency_p50_s": scores.latency_p50_s,
        "latency_p95_s": scores.latency_p95_s,
        "cpu_ms_per_row": 1000 * scores.usage.cpu_s / scores.rows,
        "tokens_per_row": scores.usage.input_tokens / scores.rows if scores.usage.calls else None,
        "item_usd": cost.usd,
        "item_source": cost.source,
        "setup_usd": setup_cost(result.card.setup, prices),
        "setup": {key: value for key, value in dataclasses.asdict(result.card.setup).items() if value},
        "skipped_model": scores.skipped_model,
        "traits": dict(result.traits),
        "against_reference": against_reference(evaluation, result.name),
        "noise_floor": noise.to_json() if (noise := evaluation.noise.get(result.name)) else None,
        "parameters": dict(result.card.parameters),
        "notes": dict(result.card.notes),
        "clean_accuracy": _interval(_without_overlap(result, evaluation)),
    }


def _without_overlap(result: CandidateResult, evaluation: Evaluation) -> Interval | None:
    """Accuracy without the rows whose text stands in the training rows; None where there are none of them."""
    right = right_of(result.predictions, evaluation.rows.outputs, evaluation.task)
    clean = right[[row.id not in evaluation.overlap for row in evaluation.rows]]
    clean = clean[~np.isnan(clean)]
    return wilson(float(clean.sum()), len(clean)) if evaluation.overlap and len(clean) else None


def _quality_gate(economics: Economics | None, evaluation: Evaluation) -> dict[str, Any] | None:
    gates = (economics.gates if economics else None) or evaluation.task.gates
    if gates is None or gates.min_metric is None:
        return None
    return {
        "metric": evaluation.task.metrics[0],
        "minimum": gates.min_metric,
        "confidence": gates.gate_confidence,
    }


def _calibration(result: CandidateResult, evaluation: Evaluation) -> dict[str, Any] | None:
    right = right_of(result.predictions, evaluation.rows.outputs, evaluation.task)
    pairs = [
        (p.confidence, r)
        for p, r in zip(result.predictions, right, strict=True)
        if p.confidence is not None and not np.isnan(r)
    ]
    if not pairs:
        return None
    sure, hit = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    bins = [
        {
            "from": b / BINS,
            "to": (b + 1) / BINS,
            "rows": int((place == b).sum()),
            "confidence": float(sure[place == b].mean()),
            "right": _interval(wilson(float(hit[place == b].sum()), int((place == b).sum()))),
        }
        for b in np.unique(place).tolist()
    ]
    scores = result.scores
    return {
        "name": result.name,
        "family": result.card.family,
        "rows": len(pairs),
        "ece": scores.ece,
        "brier": scores.brier,
        "bins": bins,
    }


def _risk(result: CandidateResult, evaluation: Evaluation) -> dict[str, Any]:
    notes = result.card.notes
    found: dict[str, Any] = {
        "name": result.name,
        "certificate": notes.get("certificate"),
        "prompt_stage": notes.get("prompt_stage"),
        "points": [],
        "chosen": None,
    }
    rule = layers.rule_of(result)
    if rule is None:
        return found
    expected = evaluation.rows.outputs
    found["points"] = [_risk_point(p) for p in layers.curve(result, expected, rule, evaluation.task)]
    found["chosen"] = _risk_point(layers.point(result, expected, rule, rule.certificate.threshold, evaluation.task))
    return found


def _risk_point(found: layers.RiskPoint) -> dict[str, Any]:
    return {
        "threshold": found.threshold if np.isfinite(found.threshold) else None,
        "core": found.core,
        "prompt": found.prompt,
        "person": found.rows - found.answered,
        "wrong": found.wrong,
        "coverage": found.coverage,
        "risk": _interval(found.risk),
    }


def _parts(result: CandidateResult, evaluation: Evaluation) -> dict[str, Any] | None:
    parts = answered_parts(result.predictions, evaluation.rows.outputs, evaluation.task)
    if not parts:
        return None
    shown = [part.to_json() for part in parts[:PARTS]]
    return {"name": result.name, "family": result.card.family, "parts": shown, "more": len(parts) - len(shown)}


def _confusions(result: CandidateResult, evaluation: Evaluation, texts: Dataset | None) -> dict[str, Any] | None:
    if evaluation.task.output.kind != "label":  # other answers hardly ever repeat
        return None
    wrong = [
        (row, p.output)
        for row, p in zip(evaluation.rows, result.predictions, strict=True)
        if not p.deferred and p.error is None and p.output != row.output
    ]
    if len({answer for _, answer in wrong}) < 2:  # nothing is wrong, or the same answer is given to everything
        return None
    counts = Counter((row.output, said) for row, said in wrong)
    of = Counter(evaluation.rows.outputs)
    pairs: list[dict[str, Any]] = []
    for (expected, said), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:CONFUSIONS]:
        ids = [row.id for row, answer in wrong if (row.output, answer) == (expected, said)]
        pairs.append(
            {
                "expected": expected,
                "said": said,
                "rows": count,
                "of": of[expected],
                "examples": _examples(ids, texts) if len(pairs) < EXAMPLED else [],
            }
        )
    return {"name": result.name, "family": result.card.family, "wrong": len(wrong), "pairs": pairs}


def _slices(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One entry a slice: its values with their rows, and each candidate's accuracy on them."""
    table = slices_of(evaluation)
    names = {name for row in evaluation.rows for name in row.slice}
    first = [name for name in evaluation.task.slices if name in names]
    found = []
    for name in [*first, *sorted(names - set(first))]:
        rows = Counter(row.slice[name] for row in evaluation.rows if name in row.slice)
        cells = {who: by[name] for who, by in table.items() if name in by}
        found.append({"name": name, "values": dict(rows.most_common()), "accuracy": cells})
    return found


def _failures(result: CandidateResult, evaluation: Evaluation, texts: Dataset | None) -> dict[str, Any]:
    failed = [
        (row.id, p.error) for row, p in zip(evaluation.rows, result.predictions, strict=True) if p.error is not None
    ]
    return {
        "name": result.name,
        "kinds": result.scores.failures,
        "valid": _interval(result.scores.valid),
        "examples": [
            {"kind": error.kind, "message": error.message, "texts": _examples([row_id], texts)}
            for row_id, error in failed[:EXAMPLES]
        ]
        if texts is not None
        else [],
    }


def _examples(ids: list[str], texts: Dataset | None) -> list[str]:
    if texts is None:
        return []
    by_id = {row.id: row for row in texts}
    found = []
    for row_id in ids[:EXAMPLES]:
        if row_id in by_id:
            text = "\n".join(str(value) for value in by_id[row_id].input.values())
            found.append(text if len(text) <= EXAMPLE_CHARS else text[: EXAMPLE_CHARS - 1] + "…")
    return found


def _measured(
    evaluation: Evaluation, decided: Mapping[str, Any] | None, texts: Dataset | None, commands: Sequence[str]
) -> dict[str, Any]:
    made, rows = evaluation.made, evaluation.rows
    labels = Counter(rows.outputs) if evaluation.task.output.kind == "label" else Counter[Any]()
    return {
        "evaluation": evaluation.id,
        "decision": decided["id"] if decided else None,
        "rows": len(rows),
        "labels": len(evaluation.task.labels),
        "smallest_label": min(labels.values(), default=None),
        "kind": evaluation.task.output.kind,
        "right": rule_of(evaluation.task),
        "rows_hash": hash_of(rows),
        "task_hash": evaluation.task.content_hash,
        "command": made.get("command", ""),
        "at": made.get("at", ""),
        "machine": made.get("machine", ""),
        "versions": dict(made.get("versions", {})),
        "seed": made.get("seed", 0),
        "commands": list(commands),
        "report_at": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S+0000"),
        "report_machine": machine(),
        "texts_changed": texts is not None and texts.content_hash != hash_of(rows),
    }


def hash_of(rows: Dataset) -> str:
    """Content hash of the evaluated rows; a stored evaluation keeps it in place of their texts."""
    return rows.content_hash if any(row.input for row in rows) else rows.origin


def _assumptions(decided: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """What the decision rests on beside the answers: value and source of each number."""
    if decided is None:
        return []
    return [
        {"detail": "", "name": name, "of_option": "." in name and not name.startswith("prices."), **found}
        for name, found in decided["assumptions"].items()
    ]


def _given(economics: Economics | None) -> dict[str, Any] | None:
    return economics.model_dump(mode="json", exclude_defaults=True) if economics else None


def _interval(found: Interval | None) -> dict[str, float] | None:
    return dataclasses.asdict(found) if found else None
