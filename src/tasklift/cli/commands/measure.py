"""Commands that define, measure and show. Parameters only: the body of each is loaded when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tasklift.cli.commands.common import (
    DatabaseOption,
    DocumentsOption,
    JsonOption,
    ModelOption,
    ProjectOption,
    TaskArgument,
    group,
    run,
)

app = typer.Typer()
context_app = group("Documents that prompts answer from: what was read, what a search finds, how good it is.")
app.add_typer(context_app, name="context")
evaluations_app = group("Stored evaluations: list, show, compare, prune.")
app.add_typer(evaluations_app, name="evaluations")


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="New or empty folder.")],
    name: Annotated[str, typer.Option(help="Name of the first task.")] = "triage",
) -> None:
    """Write a small project that runs: one task with a few rows to replace by yours."""
    run("project:init", folder=folder, name=name)


@app.command()
def check(project: ProjectOption = Path(), as_json: JsonOption = False) -> None:
    """Read every file of a project and point at what is wrong: file, key, line."""
    run("project:check", folder=project, as_json=as_json)


@app.command()
def evaluate(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    strategies: Annotated[
        str | None, typer.Option(help="Comma-separated names; the task's own list without it.")
    ] = None,
    model: ModelOption = None,
    rows: Annotated[int | None, typer.Option(min=1, help="At most this many test rows, stratified by label.")] = None,
    consistency: Annotated[
        bool, typer.Option("--consistency", help="Also try repeats and changes that should not change an answer.")
    ] = False,
    repeats: Annotated[int, typer.Option(min=2, help="Uncached repeats of every row tried for consistency.")] = 3,
    paraphrase_model: Annotated[
        str | None, typer.Option(help="Model that rewords texts for --consistency; local rules without it.")
    ] = None,
    injection: Annotated[
        bool, typer.Option("--injection", help="Also plant attacks into rows: how often do they change an answer?")
    ] = False,
    noise_floor: Annotated[
        bool,
        typer.Option("--noise-floor", help="A/A run: every candidate once more, to tell differences from chance."),
    ] = False,
    max_usd: Annotated[
        float | None, typer.Option(min=0, help="Stop before hosted calls cost more than this; what was paid is kept.")
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Ask models again, whatever they answered before; keep nothing of it.")
    ] = False,
    batch: Annotated[
        bool, typer.Option("--batch", help="Ask hosted models through their batch API first: cheaper, may take hours.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run every strategy on the same test rows; print intervals, cost and a decision where economics are given."""
    run(
        "evaluate:evaluate",
        task=task,
        folder=project,
        strategies=strategies,
        asked={"model": model, "rows": rows, "cached": not no_cache, "batch": batch},
        tried={
            "repeats": repeats if consistency else 0,
            "paraphrase_model": paraphrase_model,
            "noise_floor": noise_floor,
            "injection": injection,
        },
        max_usd=max_usd,
        as_json=as_json,
    )


@app.command()
def score(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    evaluation: Annotated[str | None, typer.Option(help="Evaluation id; the newest of the task without it.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Score a stored evaluation again: no model is called, nothing is fitted."""
    run("evaluations:score", task=task, folder=project, evaluation=evaluation, as_json=as_json)


@app.command()
def report(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    evaluation: Annotated[str | None, typer.Option(help="Evaluation id; the newest of the task without it.")] = None,
    economics: Annotated[Path | None, typer.Option(help="economics.toml; the task's own without it.")] = None,
    examples: Annotated[bool, typer.Option("--examples", help="Show some texts of wrong answers.")] = False,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("report.html"),
    as_json: JsonOption = False,
) -> None:
    """Write a stored evaluation as one self-contained page, verdict first: no model is called."""
    run(
        "report:report",
        task=task,
        folder=project,
        evaluation=evaluation,
        economics=economics,
        examples=examples,
        out=out,
        as_json=as_json,
    )


@app.command()
def judge(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    evaluation: Annotated[str | None, typer.Option(help="Evaluation id; the newest of the task without it.")] = None,
    model: ModelOption = None,
    rubric: Annotated[
        Path | None,
        typer.Option(help="Text that says what makes an answer good; made from the instruction without it."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="People's labels (CSV or JSONL: id, candidate, right or score), to measure it by."),
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Write answers for people to label (.csv or .jsonl) and ask no model.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Questions on the sheet, drawn at random.")] = 100,
    pairs: Annotated[int, typer.Option(min=0, help="Answers of each candidate compared with the reference's.")] = 50,
    least_kappa: Annotated[
        float,
        typer.Option(min=0, max=1, help="The judge counts where the lower end of kappa with people reaches this."),
    ] = 0.6,
    max_usd: Annotated[float | None, typer.Option(min=0, help="Cap on what hosted calls may cost, in USD.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Let a model grade the texts of an evaluation, and measure it by people's labels before anything counts."""
    asked = {
        "model": model,
        "rubric": rubric,
        "labels": labels,
        "sheet": sheet,
        "rows": rows,
        "pairs": pairs,
        "least_kappa": least_kappa,
        "max_usd": max_usd,
    }
    run("judge:judge", task=task, folder=project, evaluation=evaluation, asked=asked, as_json=as_json)


@app.command()
def demo(
    model: ModelOption = None,
    light: Annotated[bool, typer.Option("--light", help="Only what runs without torch.")] = False,
    rows: Annotated[int | None, typer.Option(min=50, help="At most this many test rows (200 of 350).")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where results are kept.")] = None,
    as_json: JsonOption = False,
) -> None:
    """The main job on a shipped task: every strategy, the same rows, three economics, three decisions."""
    run("demo:demo", model=model, light=light, rows=rows, folder=folder, as_json=as_json)


@context_app.command("index")
def context_index(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    documents: DocumentsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read what is new or changed in a folder of documents; name what could not be read, and what to look at."""
    run("context:index", task=task, folder=project, documents=documents, as_json=as_json)


@context_app.command("search")
def context_search(
    question: Annotated[str, typer.Argument(help="What to look for.")],
    task: Annotated[str | None, typer.Option(help="Task name; may be left out where there is one.")] = None,
    project: ProjectOption = Path(),
    documents: DocumentsOption = None,
    method: Annotated[str, typer.Option(help="fused, bm25 or embeddings.")] = "fused",
    count: Annotated[int, typer.Option(min=1, help="Show at most so many passages.")] = 4,
    as_json: JsonOption = False,
) -> None:
    """The passages that a prompt would get for a question, each with its place."""
    run(
        "context:search",
        question=question,
        task=task,
        folder=project,
        documents=documents,
        found=(method, count),
        as_json=as_json,
    )


@context_app.command("measure")
def context_measure(
    questions: Annotated[Path, typer.Argument(help="JSONL with `question` and `document` (the right one's path).")],
    task: Annotated[str | None, typer.Option(help="Task name; may be left out where there is one.")] = None,
    project: ProjectOption = Path(),
    documents: DocumentsOption = None,
    as_json: JsonOption = False,
) -> None:
    """How often the right document is among the first 1, 5 and 10: words, embeddings, and both."""
    run("context:measure", questions=questions, task=task, folder=project, documents=documents, as_json=as_json)


@evaluations_app.command("list")
def evaluations_list(task: TaskArgument = None, project: ProjectOption = Path(), as_json: JsonOption = False) -> None:
    """Every stored evaluation, newest first: is it finished, how large is it, does a decision refer to it."""
    run("evaluations:list_evaluations", task=task, folder=project, as_json=as_json)


@evaluations_app.command("show")
def evaluations_show(
    evaluation: Annotated[str, typer.Argument(help="Evaluation id.")],
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """How one evaluation was made: command, date, machine, rows, candidates with what they took."""
    run("evaluations:show_evaluation", evaluation=evaluation, folder=project, as_json=as_json)


@evaluations_app.command("compare")
def evaluations_compare(
    before: Annotated[str, typer.Argument(help="Evaluation id.")],
    after: Annotated[str, typer.Argument(help="Evaluation id.")],
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """How each candidate changed between two evaluations: paired where the rows are the same, else it says so."""
    run("evaluations:compare", before=before, after=after, folder=project, as_json=as_json)


@evaluations_app.command("prune")
def evaluations_prune(
    project: ProjectOption = Path(),
    keep: Annotated[int | None, typer.Option(min=0, help="Keep so many finished ones of each task.")] = None,
    unfinished_days: Annotated[
        float, typer.Option(min=0, help="Remove unfinished ones that nobody touched for so many days.")
    ] = 7.0,
    artifacts: Annotated[bool, typer.Option("--artifacts", help="Also fitted candidates of no evaluation.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also what a decision refers to.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Free space: old and unfinished evaluations, and fitted candidates that none of them names."""
    run(
        "evaluations:prune",
        folder=project,
        rules={"keep": keep, "unfinished_days": unfinished_days, "artifacts": artifacts, "force": force},
        dry_run=dry_run,
        database=database,
        as_json=as_json,
    )
