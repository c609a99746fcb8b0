"""The limits that an option must pass before its cost matters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasklift.economics import Gates
from tasklift.measure.evaluation import CandidateResult, Evaluation
from tasklift.measure.metrics import right_of
from tasklift.measure.yearly import Option, World
from tasklift.prediction import Prediction


def failed_gates(evaluation: Evaluation, option: Option, gates: Gates, world: World) -> dict[str, str]:
    """Gate -> why it failed, '' when passed; gates that are not set are left out.

    People only have to meet `min_metric`, with their declared accuracy.
    """
    found: dict[str, str] = {}
    if option.family == "human":
        if gates.min_metric is not None:
            declared = world.reviewer_accuracy if option.costs.accuracy is None else option.costs.accuracy
            fine = declared >= gates.min_metric
            found["min_metric"] = "" if fine else f"declared accuracy {declared:g} < {gates.min_metric:g}"
        return found
    result = evaluation.result(option.name)
    if gates.min_metric is not None:
        metric = evaluation.task.metrics[0]
        probability = _p_metric(result, evaluation, world, gates.min_metric)
        fine = probability >= gates.gate_confidence
        found["min_metric"] = (
            "" if fine else f"P({metric} >= {gates.min_metric:g}) = {probability:.2f} < {gates.gate_confidence:g}"
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
    """P(the task's first metric >= required), a person's declared accuracy standing in for deferred rows."""
    if evaluation.task.metrics[0] == "macro_f1":
        values = _macro_f1(result.predictions, evaluation.rows.outputs, world)
    else:
        right = right_of(result.predictions, evaluation.rows.outputs)
        values = world.weights @ np.where(np.isnan(right), world.reviewer_accuracy, right).astype(np.float32)
    if world.unseen is not None:
        # The draws are exchangeable: in every other one the unseen row is right. Over all of them, the
        # posterior has the mean of Jeffreys' prior.
        odds = np.arange(len(values)) % 2
        values = values + world.unseen * (odds - values)
    return float(np.mean(values >= required - 1e-6))


def _macro_f1(predictions: Sequence[Prediction], expected: Sequence[Any], world: World) -> NDArray[np.float32]:
    """[draws] mean F1 of the labels that occur among the expected answers, under each draw's row weights."""
    names = sorted(set(expected))
    given = [y if p.deferred else p.output for p, y in zip(predictions, expected, strict=True)]
    sure = np.array([world.reviewer_accuracy if p.deferred else 1.0 for p in predictions], dtype=np.float32)
    answered = np.array([[label == name for name in names] for label in given], dtype=np.float32)  # [rows, labels]
    actual = np.array([[label == name for name in names] for label in expected], dtype=np.float32)
    both = world.weights @ (answered * actual * sure[:, None])  # [draws, labels]
    either = world.weights @ answered + world.weights @ actual
    return np.asarray((2 * both / np.maximum(either, 1e-12)).mean(axis=1))
