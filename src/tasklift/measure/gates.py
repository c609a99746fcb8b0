"""The limits that an option must pass before its cost matters."""

from __future__ import annotations

import numpy as np

from tasklift.economics import Gates
from tasklift.measure.evaluation import CandidateResult, Evaluation
from tasklift.measure.metrics import right_of
from tasklift.measure.yearly import Option, World


def failed_gates(evaluation: Evaluation, option: Option, gates: Gates, world: World) -> dict[str, str]:
    """Gate -> why it failed, '' when passed; gates that are not set are left out."""
    found: dict[str, str] = {}
    if option.family == "human":
        return found
    result = evaluation.result(option.name)
    if gates.min_metric is not None:
        probability = _p_metric(result, evaluation, world, gates.min_metric)
        fine = probability >= gates.gate_confidence
        found["min_metric"] = (
            "" if fine else f"P(accuracy >= {gates.min_metric:g}) = {probability:.2f} < {gates.gate_confidence:g}"
        )
    if gates.max_p95_latency_s is not None:
        seen = result.scores.latency_p95_s or 0.0
        found["max_p95_latency_s"] = (
            "" if seen <= gates.max_p95_latency_s else f"p95 {seen:.2f} s > {gates.max_p95_latency_s:g} s"
        )
    if gates.min_valid_outputs is not None:
        valid = result.scores.valid.value
        found["min_valid_outputs"] = (
            "" if valid >= gates.min_valid_outputs else f"{valid:.1%} valid < {gates.min_valid_outputs:.1%}"
        )
    if not gates.data_leaves_machine:
        found["data_leaves_machine"] = "text leaves the machine" if result.traits["data_leaves_machine"] else ""
    if gates.deterministic:
        found["deterministic"] = "" if result.traits["deterministic"] else "equal inputs may give different outputs"
    return found


def _p_metric(result: CandidateResult, evaluation: Evaluation, world: World, required: float) -> float:
    """P(accuracy of what is answered, people included at their declared accuracy, >= required)."""
    right = right_of(result.predictions, evaluation.rows.outputs)
    value = np.where(np.isnan(right), world.reviewer_accuracy, right)
    return float(np.mean(world.weights @ value.astype(np.float32) >= required))
