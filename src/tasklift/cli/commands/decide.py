"""Commands that plan and decide. Parameters only: the body of each is loaded when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tasklift.cli.commands.common import (
    JsonOption,
    ModelOption,
    ProjectOption,
    TaskArgument,
    group,
    run,
)

app = typer.Typer()
decisions_app = group("What was decided: list, show, check.")
app.add_typer(decisions_app, name="decisions")


@app.command()
def advise(
    answers: Annotated[
        Path | None, typer.Option(help='TOML file: question = true, false or "unknown"; without it, you are asked.')
    ] = None,
    answer: Annotated[
        list[str] | None, typer.Option(help="QUESTION=true, false or unknown; replaces the file's. Repeatable.")
    ] = None,
    economics: Annotated[
        Path | None, typer.Option(help="economics.toml with what is known of volume and money.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Prompt, fine-tune or layer, before anything is measured: two answers, and why they differ."""
    run("advise:advise", answers=answers, answer=answer or [], economics=economics, as_json=as_json)


@app.command()
def plan(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    budget: Annotated[float | None, typer.Option(min=0, help="What may be spent, in USD.")] = None,
    strategies: Annotated[
        str | None, typer.Option(help="Comma-separated names; the task's own list without it.")
    ] = None,
    model: ModelOption = None,
    probe: Annotated[bool, typer.Option(help="Time what is local on a few rows; else its time stays unknown.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Before spending: what the rows can show, what a guarantee needs, what each strategy would cost."""
    run(
        "plan:plan",
        task=task,
        folder=project,
        budget=budget,
        strategies=strategies,
        model=model,
        probe=probe,
        as_json=as_json,
    )


@app.command()
def decide(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    economics: Annotated[Path | None, typer.Option(help="economics.toml; the task's own without it.")] = None,
    evaluation: Annotated[str | None, typer.Option(help="Evaluation id; the newest of the task without it.")] = None,
    from_files: Annotated[
        list[Path] | None,
        typer.Option("--from", help="Results of another tool: a table, promptfoo, hosted evals. Repeatable."),
    ] = None,
    redo: Annotated[str | None, typer.Option(help="Id of a kept decision: decide it again, show what changed.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Decide on what was measured under given economics, and keep the record: no model is called."""
    run(
        "decide:decide",
        task=task,
        folder=project,
        economics=economics,
        evaluation=evaluation,
        files=from_files or [],
        redo=redo,
        as_json=as_json,
    )


@app.command()
def dimensions(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    evaluation: Annotated[str | None, typer.Option(help="Evaluation id; the newest of the task without it.")] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure flexibility and risk too, on rows cut from the training rows.")
    ] = False,
    max_usd: Annotated[float | None, typer.Option(min=0, help="Cap on hosted calls of --measure, in USD.")] = None,
    as_json: JsonOption = False,
) -> None:
    """The nine dimensions of prompting, fine-tuning and layering, with this task's own figures."""
    run(
        "dimensions:dimensions",
        task=task,
        folder=project,
        evaluation=evaluation,
        measure=measure,
        max_usd=max_usd,
        as_json=as_json,
    )


@decisions_app.command("list")
def decisions_list(project: ProjectOption = Path(), as_json: JsonOption = False) -> None:
    """Every decision that was kept: current, reopened or replaced."""
    run("decisions:list_decisions", folder=project, as_json=as_json)


@decisions_app.command("show")
def decisions_show(
    identity: Annotated[str, typer.Argument(metavar="ID", help="Id of a decision, or the beginning of it.")],
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """One decision as a page: what was asked, what it rests on, what flips it, what ends it."""
    run("decisions:show_decision", identity=identity, folder=project, as_json=as_json)


@decisions_app.command("check")
def decisions_check(
    identity: Annotated[
        str | None, typer.Argument(metavar="ID", help="Id of a decision; all current ones without it.")
    ] = None,
    project: ProjectOption = Path(),
    economics: Annotated[Path | None, typer.Option(help="economics.toml with today's own token prices.")] = None,
    items_per_month: Annotated[float | None, typer.Option(min=0, help="The volume as it is now.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no endpoint for shutdown dates.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Hold decisions against today's prices, dates and volume; exit code 3 where one no longer holds."""
    run(
        "decisions:check",
        identity=identity,
        folder=project,
        economics=economics,
        items_per_month=items_per_month,
        offline=offline,
        as_json=as_json,
    )
