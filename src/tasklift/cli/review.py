"""`tasklift review`, `explain`, `replay`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasklift.cli import show
from tasklift.cli.operator import operator
from tasklift.cli.release import when
from tasklift.cli.serve import with_database
from tasklift.errors import ConfigError, TaskliftError
from tasklift.operate import explain as explaining
from tasklift.operate.review import Review, answer_review, open_reviews
from tasklift.project import Project
from tasklift.task import Task
from tasklift_platform.database import Database

EXIT_DIFFERENT = 3
#: Labels that are numbered in the terminal.
MOST_LABELS = 100


def review(
    task: str | None, folder: Path, answers: Sequence[str], limit: int, database: str | None, as_json: bool
) -> int:
    """Answer what is given, else list (--json) or ask one by one."""
    project = Project.open(folder)
    found = project.task(task).task
    given = [_pair(text) for text in answers]

    async def run(opened: Database) -> list[Review]:
        for identity, label in given:
            await answer_review(opened, found, identity, label, operator())
        return await open_reviews(opened, found.name, limit)

    waiting = with_database(folder, database, run)
    if as_json:
        show.print_json({"task": found.name, "answered": len(given), "reviews": [one.to_json() for one in waiting]})
    elif given:
        print(f"{len(given)} answered, {len(waiting)} shown of those that wait")
    else:
        done = with_database(folder, database, lambda opened: _ask(opened, found, waiting))
        print(f"{done} answered" if waiting else f"{found.name}: nothing waits for a person")
    return 0


async def _ask(database: Database, task: Task, waiting: Sequence[Review]) -> int:
    """Show each row and read an answer: a label by its number or name, nothing to skip, q to stop."""
    labels = list(task.labels) if task.output.kind == "label" else []
    done = 0
    for one in waiting:
        print(f"\n{one.id}  {one.reason}  {when(one.at)}")
        print(json.dumps(one.input, ensure_ascii=False, indent=1) if one.input else "(the text was not kept)")
        if one.suggestion:
            print(f"suggested: {one.suggestion} ({one.confidence or 0:.0%})")
        print("  ".join(f"{at}:{label}" for at, label in enumerate(labels[:MOST_LABELS], 1)) or task.output.form)
        said = await asyncio.to_thread(_read, "label (number or name, " if labels else "answer (")
        if said == "q":
            break
        if not said:
            continue
        label = labels[int(said) - 1] if said.isdecimal() and 0 < int(said) <= len(labels) else said
        try:
            await answer_review(database, task, one.id, label, operator())
        except TaskliftError as error:
            print(error)
            continue
        done += 1
    return done


def _read(what: str) -> str:
    try:
        return input(f"{what}empty: skip, q: stop)> ").strip()
    except EOFError:
        return "q"


def _pair(text: str) -> tuple[str, str]:
    identity, has_label, label = text.partition("=")
    if not has_label:
        raise ConfigError(f"--answer {text!r} must be written as REVIEW=LABEL")
    return identity, label


def explain(trace: str, folder: Path, database: str | None, as_json: bool) -> int:
    """Everything behind one answer."""
    project = Project.open(folder)

    async def run(opened: Database) -> explaining.Explanation:
        stored = await explaining.stored_trace(opened, trace)
        known = project.tasks.get(stored.row["task"])
        train = project.rows(known)[0] if known is not None and known.data is not None else None
        return await explaining.explain(opened, project.state, trace, train)

    found = with_database(folder, database, run)
    if as_json:
        show.print_json(found.to_json())
    else:
        print("\n".join(explanation_lines(found)))
    return 0


def explanation_lines(found: explaining.Explanation) -> list[str]:
    """An explanation for a reader."""
    row, said = found.trace.row, found.trace.prediction
    lines = [f"{row['id']}  {row['task']}  {when(row['at'])}  for {row['caller']}"]
    lines += [f"overlay     {row['overlay']}"] if row["overlay"] else []
    kept = "(not kept)" if found.trace.input is None else json.dumps(found.trace.input, ensure_ascii=False)
    lines.append(f"input       {kept}")
    sure = "" if said.confidence is None else f", confidence {said.confidence:.3f}"
    answer = (
        "left to a person" if said.deferred else str(said.output) if said.error is None else f"failed: {said.error}"
    )
    lines.append(f"answer      {answer}{sure}, by {row['arm']}, stage {row['stage'] or '-'}")
    lines.append(f"took        {1000 * row['latency_s']:.1f} ms, {row['cost_usd']:.9f} USD")
    for one in said.notes.get("rules", ()):
        lines.append(f"rule        {one['rule']}: {one['did']} ({one['why']})")
    for at, child in enumerate(said.children, 1):
        lines.append(f"stage {at}     {child.error or child.output} (raw confidence {child.confidence})")
    if found.release is not None:
        made = found.release
        lines.append(f"release     {made.version}, {when(made.at)}, by {made.by}: {made.reason}")
        arms = [arm for route in made.routes.values() for arm in (route.stable, route.challenger) if arm]
        decision = next((arm.decision for arm in arms if arm.candidate == row["candidate"]), None)
        lines.append(f"decision    {decision or 'none behind it'}")
    if found.card is not None:
        data = explaining.data_version(found.card)
        lines.append(f"candidate   {found.card.strategy} {found.card.fingerprint}")
        lines.append(f"made from   {len(found.card.training_ids)} rows, data version {data or '-'}")
        model = found.card.parameters.get("model")
        lines += [f"model       {model}"] if model else []
        version = (found.card.parameters.get("material") or {}).get("version")
        lines += [f"version     {version}"] if version else []
        certificate = found.card.notes.get("certificate")
        lines += [f"threshold   {certificate['threshold']}, risk <= {certificate['alpha']}"] if certificate else []
    lines += _prompt_lines(found)
    lines += [f"near        {row['label']}: {json.dumps(row['input'], ensure_ascii=False)}" for row in found.nearest]
    lines += [f"label       {row['label']} by {row['by']}" for row in found.labels if row["label"]]
    lines += [f"review      {one.reason}: {one.answer or 'open'}" for one in found.reviews]
    return lines + [f"note        {text}" for text in found.missing]


def _prompt_lines(found: explaining.Explanation) -> list[str]:
    """Every message once: the requests of a loop with tools begin as the one before."""
    lines: list[str] = []
    before: Sequence[Mapping[str, Any]] = ()
    for stage, messages in found.prompts.items():
        same = len(before) if before and messages[: len(before)] == before else 0
        lines.append(f"prompt of {stage}:" + (f" the {same} messages before, then" if same else ""))
        for one in messages[same:]:
            calls = [
                f"{call['function']['name']} {call['function']['arguments']}" for call in one.get("tool_calls", ())
            ]
            lines.append(f"  {one['role']}: {one['content'] or ''}{'asks for ' if calls else ''}{', '.join(calls)}")
        before = messages
    return lines


def replay(trace: str, folder: Path, database: str | None, as_json: bool) -> int:
    """The same question again; 3 where a candidate that promises equal answers gave another one."""
    project = Project.open(folder)
    found = with_database(folder, database, lambda opened: explaining.replay(opened, project.state, trace))
    if as_json:
        pair = {"before": found.before.to_json(), "after": found.after.to_json()}
        show.print_json({"trace": trace, "same": found.is_same, "deterministic": found.is_deterministic, **pair})
    else:
        word = "the same" if found.is_same else "ANOTHER ANSWER"
        kind = "deterministic" if found.is_deterministic else "not deterministic: another answer may come"
        print(f"{found.before.output} -> {found.after.output}: {word} ({kind})")
    return EXIT_DIFFERENT if found.is_deterministic and not found.is_same else 0
