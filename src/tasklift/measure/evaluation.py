"""Every candidate on the same rows: fitted or found, run, stored, scored."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tasklift.dataset import Dataset, overlapping_texts, refuse_leakage
from tasklift.measure.asking import Asking
from tasklift.measure.judgement import Judgement
from tasklift.measure.made import made_now, now
from tasklift.measure.metrics import Comparison, Scores, compare, right_of, score, source_values
from tasklift.measure.noise import NoiseFloor
from tasklift.measure.store import EvaluationFolder
from tasklift.metrics.base import check_metrics
from tasklift.prediction import Prediction
from tasklift.strategies.artifact import Card, fingerprint_of
from tasklift.strategies.fitting import fit_or_load
from tasklift.strategy import Candidate, Strategy
from tasklift.task import Task


class Progress(Protocol):
    """Told how far an evaluation is; the command line shows a bar, tests nothing."""

    def stage(self, name: str, what: str, done: int, total: int) -> None:
        """`done` of `total` rows; total 0 where it is not known."""
        ...

    def finished(self, result: CandidateResult) -> None:
        """A candidate has all its rows."""
        ...


@dataclass(frozen=True)
class CandidateResult:
    """One candidate with everything it answered.

    Attributes:
        name: what the table calls it.
        card: how it was made.
        traits: remote, data_leaves_machine, deterministic, as a mapping.
        predictions: one a row, in row order.
        latencies_s: seconds of single requests.
        scores: the figures.
        by_source: metric -> [rows], of metrics that hold answers against their source.
    """

    name: str
    card: Card
    traits: Mapping[str, Any]
    predictions: tuple[Prediction, ...]
    latencies_s: tuple[float, ...]
    scores: Scores
    by_source: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """All candidates on the same rows.

    Attributes:
        id: content address of task, rows and candidates.
        task: the task.
        rows: the evaluated rows.
        results: one a candidate, in the order asked for.
        reference: name of the candidate that the others are compared with.
        comparisons: name -> comparison with the reference.
        overlap: ids of rows whose text also stands in the training rows.
        made: command, date, machine, versions.
        noise: name -> noise floor of an A/A run; empty where there was none.
        judgement: what a model judged of the answers; None: none did.
    """

    id: str
    task: Task
    rows: Dataset
    results: tuple[CandidateResult, ...]
    reference: str
    comparisons: Mapping[str, Comparison]
    overlap: frozenset[str] = frozenset()
    made: Mapping[str, Any] = field(default_factory=dict)
    noise: Mapping[str, NoiseFloor] = field(default_factory=dict)
    judgement: Judgement | None = None

    def result(self, name: str) -> CandidateResult:
        """The candidate called `name`."""
        return next(result for result in self.results if result.name == name)


@dataclass(frozen=True)
class Options:
    """How an evaluation is run.

    Attributes:
        folder: `.tasklift` of the project; None keeps nothing.
        reference: candidate to compare with; the first one where it is not among them.
        concurrency: requests under way at once for a hosted model.
        reviewer_accuracy: declared share of deferred rows that a person gets right.
        seed: passed to the candidates.
        command: what the user typed, for the record.
        afresh: every row is asked again, also those that are stored.
    """

    folder: Path | None = None
    reference: str = "baseline"
    concurrency: int = 64
    reviewer_accuracy: float = 0.97
    seed: int = 0
    command: str = ""
    afresh: bool = False


async def evaluate_async(
    task: Task,
    strategies: Mapping[str, Strategy],
    train: Dataset,
    rows: Dataset,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Fit every strategy on `train` (or find it fitted) and run it on `rows`.

    Local candidates take turns, since they share the cores; hosted ones run beside them.

    Raises:
        ConfigError: the task names a metric that cannot judge its outputs.
        LeakageError: a row to be evaluated was trained on.
        StrategyError: a strategy cannot be fitted to these rows.
        AuthenticationError: an endpoint refuses the key.
        InUseError: another process is running this same evaluation.
        DataError: the disk refused; what was stored stays, and the same call goes on.
    """
    options, progress = options or Options(), progress or Silent()
    check_metrics(task)
    refuse_leakage(train.keys, rows, "this evaluation")
    prints = {name: strategy.fingerprint(task, train) for name, strategy in strategies.items()}
    identity = fingerprint_of(task.content_hash, rows.content_hash, prints, options.seed)[:16]
    store = EvaluationFolder(options.folder / "evaluations" / identity) if options.folder else None
    with store.held() if store else nullcontext():
        if store:
            store.begin(_begun(task, rows, prints, options))
        run = _Run(
            task,
            train,
            rows,
            options,
            progress,
            store,
            asyncio.Lock(),
            store.predictions() if store and not options.afresh else {},
            store.manifest() if store else None,
        )
        results = await _all(run, strategies)
        evaluation = assemble(identity, task, train, rows, results, options)
        if store:
            store.write_manifest(manifest_of(evaluation))
    return evaluation


async def _all(run: _Run, strategies: Mapping[str, Strategy]) -> list[CandidateResult]:
    """What every candidate answered; the first failure ends all, and what was stored stays."""
    try:
        async with asyncio.TaskGroup() as group:
            jobs = [group.create_task(run.candidate(name, strategy)) for name, strategy in strategies.items()]
    except BaseExceptionGroup as failed:
        raise _first(failed) from failed
    finally:
        if run.store:
            run.store.close()
    return [job.result() for job in jobs]


def _begun(task: Task, rows: Dataset, prints: Mapping[str, str], options: Options) -> dict[str, Any]:
    """What a list of evaluations shows of one that is not finished."""
    return {
        "task": {"name": task.name},
        "rows": len(rows),
        "candidates": [{"name": name, "fingerprint": fingerprint} for name, fingerprint in prints.items()],
        "command": options.command,
        "at": now(),
    }


def evaluate(
    task: Task,
    strategies: Mapping[str, Strategy],
    train: Dataset,
    rows: Dataset,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """`evaluate_async` for code that is not asynchronous: the one synchronous seam."""
    return asyncio.run(evaluate_async(task, strategies, train, rows, options, progress))


def assemble(
    identity: str,
    task: Task,
    train: Dataset,
    rows: Dataset,
    results: Sequence[CandidateResult],
    options: Options,
) -> Evaluation:
    """Compare finished candidates with the reference."""
    rights = {result.name: right_of(result.predictions, rows.outputs, task) for result in results}
    reference = options.reference if options.reference in rights else next(iter(rights))
    made = made_now(options.command, options.seed)
    overlap = overlapping_texts(train, rows)
    return Evaluation(identity, task, rows, tuple(results), reference, compare(rights, reference), overlap, made)


@dataclass
class _Run:
    """The state of one evaluation under way."""

    task: Task
    train: Dataset
    rows: Dataset
    options: Options
    progress: Progress
    store: EvaluationFolder | None
    cores: asyncio.Lock
    stored: Mapping[str, Mapping[str, Prediction]]
    before: Mapping[str, Any] | None

    async def candidate(self, name: str, strategy: Strategy) -> CandidateResult:
        """Fit, predict what is missing, score."""
        async with self.cores:
            self.progress.stage(name, "fit", 0, 0)
            candidate = await asyncio.to_thread(
                fit_or_load,
                strategy,
                self.task,
                self.train,
                self.options.folder,
                lambda line: self.progress.stage(name, line, 0, 0),
            )
            if not candidate.traits.remote:
                return await self._measured(name, candidate)
        return await self._measured(name, candidate)

    async def _measured(self, name: str, candidate: Candidate) -> CandidateResult:
        asking = Asking(
            name,
            candidate,
            self.rows,
            self.options.concurrency,
            self.options.seed,
            self.store,
            lambda done: self.progress.stage(name, "predict", done, len(self.rows)),
        )
        try:
            refuse_leakage(candidate.training_ids, self.rows, name)
            predictions = await asking.predictions(self.stored.get(candidate.fingerprint, {}))
            latencies = await asking.latencies(predictions, self._latencies_before(candidate))
        finally:
            await candidate.aclose()
        by_source = source_values(predictions, self.rows.outputs, self.task, self.rows.inputs)
        scores = score(predictions, self.rows.outputs, latencies, self.options.reviewer_accuracy, self.task, by_source)
        result = CandidateResult(
            name,
            _card_of(candidate, self.task),
            _traits(candidate),
            tuple(predictions),
            tuple(latencies),
            scores,
            by_source,
        )
        self.progress.finished(result)
        return result

    def _latencies_before(self, candidate: Candidate) -> list[float] | None:
        for old in (self.before or {}).get("candidates", []):
            if old["fingerprint"] == candidate.fingerprint:
                return list(old["latencies_s"])
        return None


class Silent:
    """Shows nothing."""

    def stage(self, name: str, what: str, done: int, total: int) -> None:
        """Nothing."""

    def finished(self, result: CandidateResult) -> None:
        """Nothing."""


def manifest_of(evaluation: Evaluation) -> dict[str, Any]:
    """What `manifest.json` holds: enough to score and decide again without a model."""
    return {
        "id": evaluation.id,
        "task": evaluation.task.model_dump(mode="json"),
        "dataset": {
            "name": evaluation.rows.name,
            "hash": evaluation.rows.content_hash,
            "lineage": evaluation.rows.lineage,
        },
        "rows": [
            {"id": row.id, "output": row.output, "slice": dict(row.slice), "group": row.group}
            for row in evaluation.rows
        ],
        "overlap": sorted(evaluation.overlap),
        "reference": evaluation.reference,
        "candidates": [_candidate_row(result) for result in evaluation.results],
        **evaluation.made,
    }


def _candidate_row(result: CandidateResult) -> dict[str, Any]:
    card = result.card
    setup = {name: getattr(card.setup, name) for name in card.setup.__dataclass_fields__}
    return {
        "name": result.name,
        "strategy": card.strategy,
        "family": card.family,
        "fingerprint": card.fingerprint,
        "parameters": _without_examples(card.parameters),
        "setup": setup,
        "notes": dict(card.notes),
        # What re-scores its stages; settings of others may hold texts.
        "settings": dict(card.settings) if card.family == "layered" else {},
        "traits": dict(result.traits),
        "latencies_s": [round(seconds, 6) for seconds in result.latencies_s],
        **(
            {"by_source": {name: list(values) for name, values in result.by_source.items()}} if result.by_source else {}
        ),
    }


def _without_examples(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A prompt is named by its version: its examples, which may be customers' texts, stand there."""
    material = parameters.get("material")
    if not material:
        return dict(parameters)
    overlays = {
        name: {part: value for part, value in one.items() if part != "examples"}
        for name, one in material.get("overlays", {}).items()
    }
    kept = {part: value for part, value in material.items() if part != "examples"}
    return {**parameters, "material": kept | ({"overlays": overlays} if overlays else {})}


def _card_of(candidate: Candidate, task: Task) -> Card:
    """How the candidate was made: its own card, else what the protocol says of it."""
    found = getattr(candidate, "card", None)
    if isinstance(found, Card):
        return found
    return Card(
        strategy=type(candidate).__name__,
        fingerprint=candidate.fingerprint,
        family=candidate.family,
        parameters={},
        labels=task.labels,
        instruction=task.instruction,
        input_fields=task.input_fields,
        setup=candidate.setup,
        training_ids=candidate.training_ids,
        notes=candidate.notes,
        output=task.output.model_dump(),
    )


def _traits(candidate: Candidate) -> dict[str, Any]:
    traits = candidate.traits
    return {
        "deterministic": traits.deterministic,
        "remote": traits.remote,
        "data_leaves_machine": traits.data_leaves_machine,
    }


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first plain error of a group: users should see that one."""
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
