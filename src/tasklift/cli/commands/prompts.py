"""Commands about prompts. Parameters only: the body of each is loaded when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tasklift.cli.commands.common import JsonOption, ModelOption, ProjectOption, TaskArgument, group, run

app = typer.Typer()
prompt_app = group("Prompts as files, and their versions: list, show, compare, choose, undo.")
app.add_typer(prompt_app, name="prompt")

TaskOption = Annotated[str | None, typer.Option("--task", help="Task name; may be left out where there is one.")]
RefArgument = Annotated[str, typer.Argument(metavar="PROMPT", help="NAME (its file), or NAME@VERSION.")]
NoteOption = Annotated[str, typer.Option("--note", help="Why; kept with the choice.")]


@prompt_app.command("list")
def prompt_list(task: TaskArgument = None, project: ProjectOption = Path(), as_json: JsonOption = False) -> None:
    """Every prompt of a task with its kept versions, who kept them and why, and which are evaluated."""
    run("prompts:list_prompts", task=task, folder=project, as_json=as_json)


@prompt_app.command("show")
def prompt_show(
    ref: RefArgument, task: TaskOption = None, project: ProjectOption = Path(), as_json: JsonOption = False
) -> None:
    """One prompt as a file, its includes put in, and how much of it a prefix cache can serve."""
    run("prompts:show_prompt", ref=ref, task=task, folder=project, as_json=as_json)


@prompt_app.command("diff")
def prompt_diff(
    before: RefArgument,
    after: Annotated[
        str | None, typer.Argument(metavar="[OTHER]", help="NAME or NAME@VERSION; the file of the first without it.")
    ] = None,
    task: TaskOption = None,
    project: ProjectOption = Path(),
    rows: Annotated[
        int | None, typer.Option(min=1, help="Evaluate both on so many test rows first; what was asked is not again.")
    ] = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """What changed between two versions: text, accuracy with intervals on the same rows, cost."""
    run("prompts:diff", before=before, after=after, task=task, folder=project, rows=rows, model=model, as_json=as_json)


@prompt_app.command("use")
def prompt_use(
    ref: RefArgument,
    task: TaskOption = None,
    project: ProjectOption = Path(),
    note: NoteOption = "",
    as_json: JsonOption = False,
) -> None:
    """Evaluate its strategy with this prompt from now on. Production is not touched: that takes a release."""
    run("prompts:use", ref=ref, task=task, folder=project, note=note, as_json=as_json)


@prompt_app.command("rollback")
def prompt_rollback(
    strategy: Annotated[str, typer.Argument(help="prompt or fewshot.")] = "prompt",
    task: TaskOption = None,
    project: ProjectOption = Path(),
    note: NoteOption = "",
    as_json: JsonOption = False,
) -> None:
    """Back to the prompt that was chosen before; once more goes one choice further back."""
    run("prompts:rollback", strategy=strategy, task=task, folder=project, note=note, as_json=as_json)


@prompt_app.command("overlays")
def prompt_overlays(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    strategies: Annotated[str, typer.Option(help="Comma-separated: prompt, fewshot, or prompt:NAME.")] = "prompt",
    model: ModelOption = None,
    rows: Annotated[int | None, typer.Option(min=1, help="At most this many test rows, stratified by label.")] = None,
    max_usd: Annotated[
        float | None, typer.Option(min=0, help="Stop before hosted calls cost more than this; what was paid is kept.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Every overlay on the rows it is for, against the base prompt: what it mended, and what it broke."""
    run(
        "overlays:overlays",
        task=task,
        folder=project,
        strategies=strategies,
        model=model,
        rows=rows,
        max_usd=max_usd,
        as_json=as_json,
    )


@app.command()
def optimize(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    prompt: Annotated[str, typer.Option(help="NAME or NAME@VERSION to begin with; what is used without it.")] = "",
    strategy: Annotated[str, typer.Option(help="prompt or fewshot, where no prompt is named.")] = "prompt",
    model: ModelOption = None,
    method: Annotated[str, typer.Option(help="search, or gepa (needs --reflector).")] = "search",
    reflector: Annotated[str, typer.Option(help="Model that reads errors and writes instructions, for gepa.")] = "",
    instruction: Annotated[
        list[str] | None, typer.Option(help="Another way to say the instruction, to be tried too. Repeatable.")
    ] = None,
    shorten: Annotated[
        bool, typer.Option("--shorten", help="Look for the shortest prompt not worse than the margin instead.")
    ] = False,
    select_rows: Annotated[int, typer.Option(min=20, help="Training rows that prompts are chosen on.")] = 200,
    test_rows: Annotated[int | None, typer.Option(min=1, help="At most this many rows of the final figure.")] = None,
    max_calls: Annotated[int | None, typer.Option(min=1, help="Most model calls, final figure included.")] = None,
    max_usd: Annotated[float | None, typer.Option(min=0, help="Cap on hosted calls; what was paid is kept.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the cuts and of chance.")] = 0,
    name: Annotated[str, typer.Option(help="Name under which the found version is kept.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Look for a better (or shorter) prompt; its gain is measured on rows that nothing was chosen on."""
    run(
        "optimize:from_options",
        task=task,
        folder=project,
        asked={
            "prompt": prompt,
            "strategy": strategy,
            "method": method,
            "reflector": reflector,
            "instructions": instruction or [],
            "shorten": shorten,
            "seed": seed,
        },
        model=model,
        limits={"select_rows": select_rows, "test_rows": test_rows, "max_calls": max_calls, "max_usd": max_usd},
        name=name,
        as_json=as_json,
    )
