"""`tasklift evaluate`."""

from __future__ import annotations

import asyncio
import dataclasses
import shlex
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tasklift import registry
from tasklift.cache import asking_again, caching_in
from tasklift.cli import consistency, injection, show
from tasklift.cli.decide import EXIT_GATE_FAILED, Ready, kept, typed
from tasklift.cli.operator import operator
from tasklift.data.split import sample
from tasklift.economics import Economics, UnitPrices
from tasklift.errors import ConfigError
from tasklift.llm.batches import POLL_S
from tasklift.llm.overlay import Material
from tasklift.llm.spending import Meter, spending_under
from tasklift.measure.batched import fill_in_batches
from tasklift.measure.cost import token_price
from tasklift.measure.curve.points import with_curves
from tasklift.measure.deciding import decision as deciding
from tasklift.measure.deciding.record import Decision
from tasklift.measure.evaluation import Evaluation, Options
from tasklift.measure.evaluation import evaluate as run
from tasklift.measure.evidence import Evidence
from tasklift.measure.judgement import read_judgement
from tasklift.measure.noise import NoiseFloor, read_floors
from tasklift.measure.records import ledger
from tasklift.measure.robustness.again import run_again
from tasklift.measure.robustness.consistency import Consistency
from tasklift.measure.robustness.injection import Injected
from tasklift.measure.seeds import seeded
from tasklift.project import Project, TaskFile
from tasklift.strategies.build import build
from tasklift.strategies.recipe import LABEL
from tasklift.strategy import Strategy


@dataclass(frozen=True)
class Tried:
    """What is tried beside the comparison.

    Attributes:
        repeats: answers to each row of a consistency check; 0: no such check.
        paraphrase_model: model that rewords its texts; None: local rules.
        noise_floor: run every candidate once more (A/A).
        injection: plant attacks into rows.
    """

    repeats: int = 0
    paraphrase_model: str | None = None
    noise_floor: bool = False
    injection: bool = False


@dataclass(frozen=True)
class Asked:
    """What to compare: strategies, model, number of rows; with which embedder, whether answers are taken from the
    cache, whether hosted models are asked in batches, and which strategies are fitted with how many seeds."""

    strategies: tuple[str, ...]
    model: str | None
    rows: int | None = None
    embedder: str | None = None
    cached: bool = True
    batch: bool = False
    seeds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What an evaluation found, for the terminal and for JSON."""

    task: TaskFile
    evaluation: Evaluation
    consistent: list[Consistency]
    attacked: list[Injected]
    economics: Economics | None
    decision: Decision | None
    meter: Meter | None

    def as_json(self, also: Tried) -> dict[str, Any]:
        """The pinned object, with what was tried beside the comparison."""
        row = show.evaluation_json(self.evaluation, self.economics, self.decision)
        row |= {"consistency": consistency.as_json(self.consistent)} if also.repeats else {}
        row |= {"injection": [one.to_json() for one in self.attacked]} if also.injection else {}
        return row | ({"spent_usd": self.meter.spent_usd} if self.meter else {})

    def lines(self, folder: Path) -> list[str]:
        """What stands below the table."""
        figures = show.figure_lines(self.evaluation)
        lines = [*([""] if figures else []), *figures, "", *show.comparison_lines(self.evaluation)]
        lines += ["", *show.rule_lines(self.evaluation)] if show.rule_lines(self.evaluation) else []
        for name in self.task.slices:
            lines += ["", *show.slice_lines(self.evaluation, name)]
        lines += ["", *consistency.lines_of(self.consistent)] if self.consistent else []
        lines += ["", *injection.lines_of(self.attacked)] if self.attacked else []
        if self.decision and self.economics:
            lines += ["", *show.decision_lines("Decision", self.decision, self.economics)]
        if self.meter:
            lines += ["", f"spent {self.meter.spent_usd:.4f} of {self.meter.cap_usd:g} USD on {self.meter.calls} calls"]
        again = shlex.join(["tasklift", "report", self.task.name, "-p", str(folder)])
        return [*lines, "", f"stored as evaluation {self.evaluation.id}; as a page: {again}"]


def evaluate(
    task: str | None,
    folder: Path,
    strategies: str | None,
    asked: Mapping[str, Any],
    tried: Mapping[str, Any],
    max_usd: float | None,
    as_json: bool,
) -> int:
    """Compare, print, decide where economics are given.

    Args:
        asked: model, rows, cached and batch of `Asked`.
        tried: what is tried beside the comparison, as in `Tried`.
        max_usd: cap on what calls of hosted models may cost; None: no cap.
    """
    if asked["batch"] and not asked["cached"]:
        raise ConfigError("--batch fills the cache that --no-cache looks away from; leave one of them out")
    project, also = Project.open(folder), Tried(**tried)
    found = project.task(task)
    names = tuple(strategies.split(",")) if strategies else found.compare
    names = names or suited(project.settings.strategies, found.output.kind)
    asking = Asked(names, **{**asked, "model": asked["model"] or project.settings.model})
    table = show.Table(sys.stderr if as_json else sys.stdout)
    meter = meter_of(project, found, max_usd)
    with spending_under(meter):
        evaluation = compare(project, found, asking, project.state, table)
        consistent = _tried(project, found, asking, evaluation, also)
        attacked = _attacked(project, found, asking, evaluation) if also.injection else []
        evaluation = dataclasses.replace(
            evaluation,
            noise=_noise(project, found, asking, evaluation, also, table),
            judgement=read_judgement(project.state / "evaluations" / evaluation.id),
        )
    economics = _economics(project, found)
    decision = _decided(project, found, evaluation, economics) if economics else None
    outcome = Outcome(found, evaluation, consistent, attacked, economics, decision, meter)
    if as_json:
        show.print_json(outcome.as_json(also))
    else:
        print("\n".join(outcome.lines(folder)))
    return EXIT_GATE_FAILED if decision and decision.verdict == "none_passes" else 0


def _decided(project: Project, task: TaskFile, evaluation: Evaluation, economics: Economics) -> Decision:
    """The decision, kept."""
    evidence = with_curves(Evidence.from_evaluation(evaluation), project.state)
    decision = deciding.decide(evidence, economics, task.gates)
    asked_for = ledger.Asked(task=task.name, command=typed())
    record = kept(Ready(evidence, economics, task.gates, asked_for, project.state), decision)
    return dataclasses.replace(decision, id=record.id)


def meter_of(project: Project, task: TaskFile, max_usd: float | None) -> Meter | None:
    """Counts money at the task's prices; None where no cap was asked for."""
    economics = _economics(project, task)
    prices = economics.prices if economics else UnitPrices()
    return Meter(max_usd, partial(token_price, prices=prices)) if max_usd is not None else None


def _tried(project: Project, task: TaskFile, asked: Asked, evaluation: Evaluation, tried: Tried) -> list[Consistency]:
    """What the consistency check found; nothing where none was asked for."""
    if not tried.repeats:
        return []
    made = _made(project, task, asked)
    return consistency.try_all(
        project, task, made, evaluation, consistency.probe_of(tried.repeats, tried.paraphrase_model)
    )


def _attacked(project: Project, task: TaskFile, asked: Asked, evaluation: Evaluation) -> list[Injected]:
    """What planted attacks do to every candidate."""
    made = _made(project, task, asked)
    return injection.try_all(project, task, made, evaluation)


def _noise(
    project: Project, task: TaskFile, asked: Asked, evaluation: Evaluation, tried: Tried, table: show.Table
) -> Mapping[str, NoiseFloor]:
    """The A/A run where it is asked for, else what an earlier one of this evaluation found."""
    place = project.state / "evaluations" / evaluation.id
    if not tried.noise_floor:
        return read_floors(place)
    train, _, _ = project.rows(task)
    with project.caching():
        made = _made(project, task, asked)
        return run_again(evaluation, made, train, project.state, table)


def _made(project: Project, task: TaskFile, asked: Asked) -> dict[str, Strategy]:
    """The asked strategies, with the prompts and overlays in use now."""
    made = build(asked.strategies, project.parameters(task, asked.strategies), asked.model, asked.embedder)
    return {
        key: one for name, given in made.items() for key, one in seeded(name, given, asked.seeds.get(name, 1)).items()
    }


def compare(project: Project, task: TaskFile, asked: Asked, state: Path, table: show.Table) -> Evaluation:
    """Fit and run the asked strategies on the task's rows, everything kept in `state`."""
    train, test, warnings = project.rows(task)
    if asked.rows is not None:
        test = sample(test, asked.rows, stratum=task.task.output.stratum)
    for line in warnings:
        print(f"note: {line}", file=sys.stderr)
    plain = task.task
    table.open(
        f"{plain.name}: {show.output_words(plain)}, {len(train)} training rows, "
        f"the same {len(test)} test rows for every candidate"
    )
    economics = _economics(project, task)
    options = Options(
        folder=state,
        reviewer_accuracy=economics.reviewer_accuracy if economics else 0.97,
        command=typed(),
        afresh=not asked.cached,
    )
    room = project.settings.cache_mb * 1_000_000
    with caching_in(state / "cache", room), nullcontext() if asked.cached else asking_again():
        made = _made(project, task, asked)
        keep_versions(project, task, made)
        if asked.batch:
            asyncio.run(fill_in_batches(plain, made, train, test, state, _tell, POLL_S))
        return run(plain, made, train, test, options, table)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def keep_versions(project: Project, task: TaskFile, made: Mapping[str, Strategy]) -> None:
    """Keep the version of every prompt file that is about to be evaluated, so that its figures can be found again."""
    prompts = project.prompts(task)
    for strategy in made.values():
        material = getattr(strategy, "material", None)
        if isinstance(material, Material) and material.version:
            name, _, identity = material.version.partition("@")
            draft = prompts.draft(name)
            if draft is not None and draft.id == identity:
                prompts.keep(name, draft, operator(), "evaluated")


def suited(names: tuple[str, ...], kind: str) -> tuple[str, ...]:
    """Those of a project's strategies that can give answers of this kind; the others are told of."""
    left_out = [name for name in names if kind not in getattr(registry.load("strategy", name), "kinds", LABEL)]
    if left_out:
        print(f"note: {', '.join(left_out)} cannot give answers of kind {kind!r} and are left out", file=sys.stderr)
    return tuple(name for name in names if name not in left_out)


def _economics(project: Project, task: TaskFile) -> Economics | None:
    beside = project.folder / "tasks" / task.name / "economics.toml"
    return project.economics(task) if task.economics or beside.exists() else None
