"""`tasklift prompt`: versions of prompts, compared, chosen, and the choice undone."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from tasklift.cli import show
from tasklift.cli.evaluate import Asked, compare
from tasklift.cli.operator import operator
from tasklift.economics import UnitPrices
from tasklift.errors import DataError
from tasklift.llm.prefix import Stable, stable_part
from tasklift.llm.prompt_upkeep import edits_of
from tasklift.llm.prompt_versions import Prompts, Version
from tasklift.measure.evaluation import Evaluation
from tasklift.measure.prompt_diff import SHOWN, Measured, Side, measured, stored_pair, text_diff
from tasklift.measure.stored import load_evaluation, newest_evaluation
from tasklift.project import Project, TaskFile
from tasklift.stats.intervals import Interval

#: Lines of a text diff beside figures, so that all of it stays on one screen.
MOST_LINES = 24


def list_prompts(task: str | None, folder: Path, as_json: bool) -> int:
    """Every prompt with its versions, the newest first."""
    project = Project.open(folder)
    found = project.task(task)
    prompts = project.prompts(found)
    used = {use.strategy: use.ref for use in prompts.uses()}
    rows = [_prompt_row(prompts, name, set(used.values())) for name in prompts.names()]
    edits = edits_of(prompts)
    if as_json:
        upkeep = edits.to_json() if edits else None
        show.print_json({"schema_version": 1, "task": found.name, "prompts": rows, "used": used, "upkeep": upkeep})
        return 0
    for row in rows:
        state = {None: "no file", True: "its file is not kept yet"}.get(row["draft"], "")
        print(f"{row['name']} ({row['strategy']}){': ' + state if state else ''}")
        for one in row["versions"]:
            mark = "*" if one["used"] else " "
            print(f" {mark} {one['ref']:<24} {_day(one['at'])}  {one['author']:<12} {one['note']}")
    for strategy, ref in used.items():
        print(f"{strategy} is evaluated with {ref or 'the prompt that is built in'}")
    if edits is not None:
        conflicts = _conflicts(project, found)
        signs = [*edits.signs(), *([f"{conflicts} rows with rules in conflict"] if conflicts else [])]
        print(f"upkeep: {edits.line().removeprefix('counted: ')}; hard to maintain: {', '.join(signs) or 'no sign'}")
    if not rows:
        print(f"{prompts.folder}: no prompt yet; write one as {prompts.folder / 'base.md'} (docs/prompts.md)")
    return 0


def _conflicts(project: Project, task: TaskFile) -> int:
    """Rows of the newest evaluation where mending one rule broke another."""
    try:
        stored = load_evaluation(project.state, newest_evaluation(project.state, task.name), 0.97)
    except DataError:  # none is finished yet
        return 0
    return sum(did.get("conflict", 0) for one in stored.results for did in one.scores.rules.values())


def _prompt_row(prompts: Prompts, name: str, used: set[str]) -> dict[str, Any]:
    draft, kept = prompts.draft(name), prompts.versions(name)
    known = {one.prompt.id for one in kept}
    shown = draft or kept[0].prompt
    versions = [
        {"ref": one.ref, "at": one.at, "author": one.author, "note": one.note, "used": one.ref in used} for one in kept
    ]
    is_draft = None if draft is None else draft.id not in known
    return {"name": name, "strategy": shown.strategy, "draft": is_draft, "versions": versions}


def show_prompt(ref: str, task: str | None, folder: Path, as_json: bool) -> int:
    """One version as a file, with includes put in."""
    project = Project.open(folder)
    found = project.task(task)
    version = project.prompts(found).find(ref)
    stable = _stable(version, found)
    if as_json:
        row = {"ref": version.ref, "at": version.at, "author": version.author, "note": version.note}
        more = {
            "made": dict(version.made),
            "prompt": version.prompt.model_dump(mode="json"),
            "stable": stable.to_json(),
        }
        show.print_json({"schema_version": 1, **row, **more})
        return 0
    print(version.prompt.to_file(), end="")
    when = f"kept {_day(version.at)} by {version.author}: {version.note}" if version.at else "not kept yet"
    print(f"{version.ref}: {when}; {stable.line()}", file=sys.stderr)
    return 0


def _stable(version: Version, task: TaskFile) -> Stable:
    labels = task.labels if task.output.kind == "label" else {}
    return stable_part(version.prompt, version.prompt.instruction or task.instruction, labels)


def diff(
    before: str, after: str | None, task: str | None, folder: Path, rows: int | None, model: str | None, as_json: bool
) -> int:
    """Text, answers and cost of two versions; with `rows`, both are evaluated first."""
    project = Project.open(folder)
    found = project.task(task)
    prompts = project.prompts(found)
    first = prompts.find(before)
    second = prompts.find(after or before.partition("@")[0])
    refs = (first.ref, second.ref)
    lines = text_diff(first.prompt, second.prompt, refs)
    pair: tuple[Evaluation, Evaluation] | None = None
    if rows is not None and lines:
        names = tuple(f"{one.prompt.strategy}:{one.ref if one.at else one.name}" for one in (first, second))
        made = compare(
            project, found, Asked(names, model or project.settings.model, rows), project.state, show.Table(sys.stderr)
        )
        pair = (made, made)
    else:
        pair = stored_pair(project.state, found.name, refs) if lines else None
    prices = _prices(project, found)
    figures = measured(pair, refs, prices) if pair is not None else None
    if as_json:
        row = {"before": refs[0], "after": refs[1], "text": lines, "measured": figures.to_json() if figures else None}
        show.print_json({"schema_version": 1, "task": found.name, **row})
        return 0
    if not lines:
        print(f"{refs[0]} and {refs[1]} say the same")
        return 0
    most = MOST_LINES if figures else len(lines)
    print("\n".join(lines[:most]))
    if len(lines) > most:
        print(f"... {len(lines) - most} more lines: --json holds all")
    print("\n".join(["", *(_figure_lines(figures) if figures else _unmeasured(refs))]))
    return 0


def _unmeasured(refs: tuple[str, str]) -> list[str]:
    return [f"{refs[0]} and {refs[1]} were not evaluated on the same rows; --rows 200 does so"]


def _prices(project: Project, task: TaskFile) -> UnitPrices:
    beside = project.folder / "tasks" / task.name / "economics.toml"
    return project.economics(task).prices if task.economics or beside.exists() else UnitPrices()


def _figure_lines(found: Measured) -> list[str]:
    """Both versions, the difference, and what changed."""
    d = found.difference
    columns = f"{'tokens/row':>10} {'cached':>7} {'answer':>6} {'CPU ms':>7} {'p50 ms':>7}"
    lines = [f"{'version':<24} {'accuracy  [95%]':<22} {'valid':>6} {'USD/1,000':>10} {columns}"]
    lines += [_side_line(side) for side in (found.before, found.after)]
    verdict = "better" if d.low > 0 else "worse" if d.high < 0 else "no difference shown"
    points = f"{100 * d.value:+.1f} points [{100 * d.low:+.1f}, {100 * d.high:+.1f}]"
    lines.append(f"{'difference':<24} {points}, p = {found.p:.4f} on {found.rows} rows: {verdict}")
    lines.append(f"{found.changed} answers changed; fixed: {_named(found.fixed)}; broken: {_named(found.broken)}")
    before, after = found.before.item_usd, found.after.item_usd
    if before is None or after is None:
        lines.append((found.before if before is None else found.after).cost_source)
    elif before > 0:
        lines.append(f"cost of an item: {100 * (after / before - 1):+.1f}%")
    return lines


def _side_line(side: Side) -> str:
    usd = "unknown" if side.item_usd is None else f"{1000 * side.item_usd:.4f}"
    p50 = "-" if side.p50_s is None else f"{1000 * side.p50_s:.0f}"
    return (
        f"{side.ref:<24} {_percent(side.accuracy):<22} {100 * side.valid.value:>5.1f}% {usd:>10} {side.tokens:>10.0f} "
        f"{side.cached_tokens:>7.0f} {side.output_tokens:>6.1f} {1000 * side.cpu_s:>7.1f} {p50:>7}"
    )


def _named(counts: dict[str, int]) -> str:
    shown = [f"{label} {count}" for label, count in list(counts.items())[:SHOWN]]
    rest = len(counts) - SHOWN
    return f"{sum(counts.values())}" + (f" ({', '.join(shown)}{f', {rest} more' if rest > 0 else ''})" if shown else "")


def _percent(share: Interval | None) -> str:
    return f"{100 * share.value:5.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]" if share else "-"


def use(ref: str, task: str | None, folder: Path, note: str, as_json: bool) -> int:
    """Choose what is evaluated from now on."""
    project = Project.open(folder)
    found = project.task(task)
    prompts = project.prompts(found)
    version = prompts.find(ref)
    project.parameters(found, [f"{version.prompt.strategy}:{ref}"])  # does it fit the task, before it is chosen
    made = prompts.use(version, operator(), note)
    return _told(found, made.strategy, made.ref, as_json)


def rollback(strategy: str, task: str | None, folder: Path, note: str, as_json: bool) -> int:
    """The choice before this one."""
    project = Project.open(folder)
    found = project.task(task)
    made = project.prompts(found).rollback(strategy, operator(), note)
    return _told(found, made.strategy, made.ref, as_json)


def _told(task: TaskFile, strategy: str, ref: str, as_json: bool) -> int:
    if as_json:
        show.print_json({"schema_version": 1, "task": task.name, "strategy": strategy, "used": ref})
    else:
        print(f"{task.name}: {strategy} is evaluated with {ref or 'the prompt that is built in'} from now on; "
              f"production stays as it is until a release")  # fmt: skip
    return 0


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
