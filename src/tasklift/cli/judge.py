"""`tasklift judge`: a model grades the texts of an evaluation; it counts only where it was held against people."""

from __future__ import annotations

import asyncio
import dataclasses
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasklift.cli import show
from tasklift.cli.evaluate import meter_of
from tasklift.errors import ConfigError, DataError
from tasklift.llm.open import open_model
from tasklift.llm.spending import Meter, spending_under
from tasklift.measure.erasure import note_report
from tasklift.measure.evaluation import Evaluation
from tasklift.measure.evidence import judgement_of
from tasklift.measure.judge_answers import answers_to_judge, judge_answers, rubric_of, with_labels
from tasklift.measure.judgement import Judgement, Measured, write_judgement
from tasklift.measure.judging import FEWEST_LABELS, Judge, PositionBias
from tasklift.measure.people_labels import read_labels, sheet_of, write_sheet
from tasklift.measure.stored import load_evaluation, newest_evaluation
from tasklift.project import Project, TaskFile
from tasklift.stats.intervals import Interval, wilson
from tasklift.strategies.classifier import text_of

EXIT_NOT_BELIEVED = 3


@dataclass(frozen=True)
class Asked:
    """What to do: who judges and by what, labels to hold it against, a sheet to draw, how many pairs, the bar."""

    model: str | None
    rubric: Path | None
    labels: Path | None
    sheet: Path | None
    rows: int
    pairs: int
    least_kappa: float
    max_usd: float | None


def judge(task: str | None, folder: Path, evaluation: str | None, asked: dict[str, Any], as_json: bool) -> int:
    """Draw a sheet, or judge, hold against people, keep, print.

    Args:
        asked: as in `Asked`.

    Returns:
        3 where labels were given and the judge may not be believed.
    """
    wanted, project = Asked(**asked), Project.open(folder)
    found = project.task(task)
    if (wanted.model is None) == (wanted.sheet is None):
        raise ConfigError("give --model (who judges), or --sheet FILE (answers for people to label), one of them")
    if wanted.labels and wanted.sheet:
        raise ConfigError("--labels is for a run with --model; leave it out beside --sheet")
    identity = evaluation or newest_evaluation(project.state, found.name)
    stored = load_evaluation(project.state, identity, 1.0)
    if stored.task.name != found.name:
        raise ConfigError(f"evaluation {identity} is of task {stored.task.name}, not {found.name}")
    answers = answers_to_judge(stored)
    sources = _sources(project, found, stored)
    if wanted.sheet is not None:
        return _sheet(project, stored, sources, wanted, as_json)
    labels = read_labels(wanted.labels, answers) if wanted.labels else {}  # read before anything is paid for
    judgement, meter = _judged(project, found, stored, sources, wanted)
    judgement = with_labels(judgement, labels, wanted.least_kappa)
    path = write_judgement(project.state / "evaluations" / identity, judgement)
    held = judgement_of(dataclasses.replace(stored, judgement=judgement))
    if held is None:
        raise AssertionError("unreachable")
    if as_json:
        show.print_json(_json(held, stored) | {"kept": str(path)} | ({"spent_usd": meter.spent_usd} if meter else {}))
    else:
        print("\n".join([*_lines(held, stored), *_next(held, found.name, folder), f"kept as {path}"]))
    return EXIT_NOT_BELIEVED if labels and held.refused else 0


def _judged(
    project: Project, task: TaskFile, stored: Evaluation, sources: dict[str, str], wanted: Asked
) -> tuple[Judgement, Meter | None]:
    """Ask the judge, under the cap and through the response cache: after a stop, the same again goes on."""
    rubric = _rubric(wanted.rubric) if wanted.rubric else rubric_of(task.task)
    meter = meter_of(project, task, wanted.max_usd)

    async def ask() -> Judgement:
        model = open_model(str(wanted.model))
        try:
            return await judge_answers(Judge(model, rubric), stored, sources, wanted.pairs, _tell)
        finally:
            await model.aclose()

    with spending_under(meter), project.caching():
        return asyncio.run(ask()), meter


def _rubric(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    if not text:
        raise DataError(f"{path}: is empty; say what makes an answer good")
    return text


def _sources(project: Project, task: TaskFile, stored: Evaluation) -> dict[str, str]:
    """Row id -> text of the evaluated rows, as the project has them now.

    Raises:
        DataError: some are gone, or expect another answer by now.
    """
    _, test, _ = project.rows(task)
    now = {row.id: row for row in test}
    changed = [row.id for row in stored.rows if row.id not in now or now[row.id].output != row.output]
    if changed:
        raise DataError(
            f"evaluation {stored.id}: {len(changed)} of its rows are gone from the project, or changed (first: "
            f"{changed[0]}); run `tasklift evaluate {task.name}` again"
        )
    return {row.id: text_of(now[row.id].input, task.input_fields) for row in stored.rows}


def _sheet(project: Project, stored: Evaluation, sources: dict[str, str], wanted: Asked, as_json: bool) -> int:
    path = Path(str(wanted.sheet))
    rows = sheet_of(answers_to_judge(stored), sources, wanted.rows)
    ids = {row["id"] for row in rows}
    note_report(project.state, path, stored.task.name, ids)  # before it is written: erasing a person has to find it
    write_sheet(path, rows)
    if as_json:
        show.print_json({"sheet": str(path), "evaluation": stored.id, "rows": len(ids), "answers": len(rows)})
    else:
        print(
            f"{len(rows)} answers to {len(ids)} questions drawn at random: {path}\nFill in `right` (1 or 0) without "
            f"looking at `candidate`, then: tasklift judge {stored.task.name} --model MODEL --labels {path}"
        )
    return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _lines(held: Measured, stored: Evaluation) -> list[str]:
    """Verdicts by candidate, then what they are worth."""
    judgement = held.judgement
    lines = [f"{stored.task.name}: evaluation {stored.id}, judged by {judgement.model}", ""]
    for name, one in judgement.graded.items():
        good = _share(wilson(sum(one.judge.values()), len(one.judge))) if one.judge else "-"
        lines.append(f"  {name:<10} good, says the judge: {good} of {len(one.judge)} answers{_labelled(held, name)}")
    lines += ["", *_people_lines(held), *_position_lines(held)]
    if held.refused:
        return [*lines, f"REFUSED: {held.refused}"]
    return [*lines, "MEASURED: decisions take its verdicts, corrected by the labels"]


def _people_lines(held: Measured) -> list[str]:
    found = held.overall
    if found is None:
        return ["Against people: nobody labelled an answer, so the verdicts are worth nothing"]
    kappa = f"{found.kappa.value:.2f} [{found.kappa.low:.2f}, {found.kappa.high:.2f}]" if found.kappa else "-"
    lines = [f"Against people: the same on {_share(found.agree)} of {found.rows} labels, kappa {kappa}"]
    return [*lines, f"Length: {_length(found.length)}"] if found.length is not None else lines


def _position_lines(held: Measured) -> list[str]:
    position, reference = held.position, held.judgement.reference
    if position is None:
        return []
    lines = [
        f"Position: the place decided {_share(position.by_place)} of {len(position.counts)} pairs; the first place was "
        f"chosen in {position.chose_first_place:.0%} of choices"
    ]
    for name in held.judgement.graded:
        if (one := held.preferred(name)) is not None and one.counts.any():
            wins = f"{_share(_wins(one))} of {int(one.counts.sum())} pairs that the place did not decide"
            lines.append(f"  {name} is preferred to {reference} in {wins}")
    return lines


def _labelled(held: Measured, name: str) -> str:
    found, people = held.by_candidate.get(name), held.judgement.graded[name].people
    if not people:
        return ""
    said = f", say people: {sum(people.values()) / len(people):.1%} of {len(people)}"
    return said + (f", the same on {found.agree.value:.0%}" if found else "")


def _length(gap: Interval) -> str:
    told = f"rank correlation with length above people's by {gap.value:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}]"
    if gap.low > 0:
        return f"{told}: it likes long answers more than people do"
    return f"{told}: it likes short answers more than people do" if gap.high < 0 else f"{told}: no bias shown"


def _next(held: Measured, task: str, folder: Path) -> list[str]:
    if not held.refused:
        return [f"next: {shlex.join(['tasklift', 'decide', task, '-p', str(folder)])}"]
    sheet = shlex.join(["tasklift", "judge", task, "-p", str(folder), "--sheet", "people.csv", "--rows", "100"])
    return (
        [f"at least {FEWEST_LABELS} labels of each candidate's answers are needed: {sheet}"] if not held.overall else []
    )


def _json(held: Measured, stored: Evaluation) -> dict[str, Any]:
    judgement, position = held.judgement, held.position
    return {
        "schema_version": 1,
        "task": stored.task.name,
        "evaluation": stored.id,
        "model": judgement.model,
        "least_kappa": judgement.least_kappa,
        "refused": held.refused,
        "agreement": held.overall.to_json() if held.overall else None,
        "position": _position_json(position) if position else None,
        "reference": judgement.reference,
        "candidates": [_candidate_json(held, name) for name in judgement.graded],
    }


def _candidate_json(held: Measured, name: str) -> dict[str, Any]:
    one, found, preferred = held.judgement.graded[name], held.by_candidate.get(name), held.preferred(name)
    return {
        "name": name,
        "judged": len(one.judge),
        "good": dataclasses.asdict(wilson(sum(one.judge.values()), len(one.judge))) if one.judge else None,
        "labels": len(one.people),
        "agreement": found.to_json() if found else None,
        "preferred": dataclasses.asdict(_wins(preferred)) if preferred and preferred.counts.any() else None,
    }


def _position_json(found: PositionBias) -> dict[str, Any]:
    return {
        "pairs": len(found.counts),
        "by_place": dataclasses.asdict(found.by_place),
        "chose_first_place": found.chose_first_place,
    }


def _wins(found: PositionBias) -> Interval:
    """Share of the pairs where both orders agree that the candidate won against the reference."""
    counted = int(found.counts.sum())
    return wilson(counted - float(found.first_is_better[found.counts].sum()), counted)


def _share(found: Interval) -> str:
    return f"{found.value:.1%} [{found.low:.1%}, {found.high:.1%}]"
