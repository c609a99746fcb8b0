"""Evaluations read back: scored and decided again without a model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from tasklift.dataset import Dataset, Example
from tasklift.errors import DataError
from tasklift.measure.evaluation import CandidateResult, Evaluation
from tasklift.measure.judgement import read_judgement
from tasklift.measure.metrics import compare, right_of, score
from tasklift.measure.noise import read_floors
from tasklift.measure.store import EvaluationFolder
from tasklift.prediction import Prediction
from tasklift.schema import parse
from tasklift.strategies.artifact import Card
from tasklift.strategy import Resources
from tasklift.task import Task

#: Keys of a manifest that describe how the evaluation was made.
_KEPT = dataclasses.fields(Resources)
MADE = ("command", "at", "machine", "versions", "seed")


def newest_evaluation(state: Path, task: str) -> str:
    """Id of the evaluation of `task` that was finished last.

    Raises:
        DataError: there is none.
    """
    manifests = sorted((state / "evaluations").glob("*/manifest.json"), key=lambda path: path.stat().st_mtime_ns)
    for path in reversed(manifests):
        manifest = EvaluationFolder(path.parent).manifest()
        if manifest is not None and manifest["task"]["name"] == task:
            return path.parent.name
    raise DataError(f"{state}: no finished evaluation of {task}; run `tasklift evaluate {task}` first")


def load_evaluation(state: Path, identity: str, reviewer_accuracy: float) -> Evaluation:
    """A stored evaluation, scored anew.

    Raises:
        DataError: no such evaluation, or some of its predictions are missing.
    """
    store = EvaluationFolder(state / "evaluations" / identity)
    manifest = store.manifest()
    if manifest is None:
        raise DataError(f"{store.folder}: no finished evaluation here; run `tasklift evaluate` again to go on with it")
    task = parse(Task, manifest["task"], str(store.folder / "manifest.json"))
    examples = tuple(
        Example(row["id"], {}, row["output"], slice=row.get("slice", {}), group=row.get("group"))
        for row in manifest["rows"]
    )
    rows = Dataset(examples, name=manifest["dataset"]["name"], origin=manifest["dataset"]["hash"])
    stored = store.predictions()
    results = tuple(
        _result(row, rows, stored.get(row["fingerprint"], {}), task, reviewer_accuracy)
        for row in manifest["candidates"]
    )
    rights = {result.name: right_of(result.predictions, rows.outputs, task) for result in results}
    made = {key: manifest[key] for key in MADE if key in manifest}
    compared = compare(rights, manifest["reference"])
    overlap, noise = frozenset(manifest["overlap"]), read_floors(store.folder)
    judgement = read_judgement(store.folder)
    return Evaluation(identity, task, rows, results, manifest["reference"], compared, overlap, made, noise, judgement)


def _result(
    row: dict[str, Any], rows: Dataset, stored: dict[str, Prediction], task: Task, reviewer_accuracy: float
) -> CandidateResult:
    missing = [example.id for example in rows if example.id not in stored]
    if missing:
        raise DataError(
            f"{row['name']}: {len(missing)} stored predictions are missing (first: {missing[0]}); "
            f"evaluate again to fill them in"
        )
    predictions = tuple(stored[example.id] for example in rows)
    card = Card(
        strategy=row["strategy"],
        fingerprint=row["fingerprint"],
        family=row["family"],
        parameters=row["parameters"],
        labels=task.labels,
        instruction=task.instruction,
        input_fields=task.input_fields,
        setup=Resources(**{one.name: row["setup"][one.name] for one in _KEPT if one.name in row["setup"]}),
        training_ids=frozenset(),
        notes=row["notes"],
        settings=row.get("settings", {}),
        output=task.output.model_dump(),
    )
    latencies = tuple(row["latencies_s"])
    scores = score(predictions, rows.outputs, latencies, reviewer_accuracy, task, row.get("by_source"))
    by_source = row.get("by_source", {})
    return CandidateResult(row["name"], card, row["traits"], predictions, latencies, scores, by_source)
