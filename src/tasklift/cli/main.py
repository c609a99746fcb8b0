"""The command line: parameters only. What a command does is in the module named in its body, loaded then."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tasklift.errors import TaskliftError

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    help="Prompt, fine-tune or layer? Tasklift answers with evidence, on your rows.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
data_app = typer.Typer(help="Rows: import and check them.", no_args_is_help=True)
models_app = typer.Typer(help="Weights of the local models.", no_args_is_help=True)
app.add_typer(data_app, name="data")
decisions_app = typer.Typer(help="What was decided: list, show, check.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(decisions_app, name="decisions")
evaluations_app = typer.Typer(help="Stored evaluations: list, show, compare, prune.", no_args_is_help=True)
app.add_typer(evaluations_app, name="evaluations")
keys_app = typer.Typer(help="API keys of the server.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")

ProjectOption = Annotated[Path, typer.Option("--project", "-p", help="Project folder (with tasklift.toml).")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print exactly one JSON object; progress goes to standard error.")
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="URL of an OpenAI-compatible endpoint, with #model-name, or `local`."),
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database", envvar="TASKLIFT_DATABASE", help="URL of the traffic database; .tasklift/traffic.db without it."
    ),
]
OverlayOption = Annotated[str, typer.Option("--overlay", help="Only for requests with this overlay.")]
TaskArgument = Annotated[str | None, typer.Argument(help="Task name; may be left out where there is one.")]


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="New or empty folder.")],
    name: Annotated[str, typer.Option(help="Name of the first task.")] = "triage",
) -> None:
    """Write a small project that runs: one task with a few rows to replace by yours."""
    _run("project:init", folder=folder, name=name)


@app.command()
def check(project: ProjectOption = Path(), as_json: JsonOption = False) -> None:
    """Read every file of a project and point at what is wrong: file, key, line."""
    _run("project:check", folder=project, as_json=as_json)


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
    max_usd: Annotated[
        float | None, typer.Option(min=0, help="Stop before hosted calls cost more than this; what was paid is kept.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run every strategy on the same test rows; print intervals, cost and a decision where economics are given."""
    _run(
        "evaluate:evaluate",
        task=task,
        folder=project,
        strategies=strategies,
        model=model,
        rows=rows,
        tried=(repeats, paraphrase_model) if consistency else None,
        max_usd=max_usd,
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
    _run(
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
    _run(
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
    _run(
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
    _run(
        "dimensions:dimensions",
        task=task,
        folder=project,
        evaluation=evaluation,
        measure=measure,
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
    _run("evaluations:score", task=task, folder=project, evaluation=evaluation, as_json=as_json)


@evaluations_app.command("list")
def evaluations_list(task: TaskArgument = None, project: ProjectOption = Path(), as_json: JsonOption = False) -> None:
    """Every stored evaluation, newest first: is it finished, how large is it, does a decision refer to it."""
    _run("evaluations:list_evaluations", task=task, folder=project, as_json=as_json)


@evaluations_app.command("show")
def evaluations_show(
    evaluation: Annotated[str, typer.Argument(help="Evaluation id.")],
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """How one evaluation was made: command, date, machine, rows, candidates with what they took."""
    _run("evaluations:show_evaluation", evaluation=evaluation, folder=project, as_json=as_json)


@evaluations_app.command("compare")
def evaluations_compare(
    before: Annotated[str, typer.Argument(help="Evaluation id.")],
    after: Annotated[str, typer.Argument(help="Evaluation id.")],
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """How each candidate changed between two evaluations: paired where the rows are the same, else it says so."""
    _run("evaluations:compare", before=before, after=after, folder=project, as_json=as_json)


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
    _run(
        "evaluations:prune",
        folder=project,
        rules={"keep": keep, "unfinished_days": unfinished_days, "artifacts": artifacts, "force": force},
        dry_run=dry_run,
        database=database,
        as_json=as_json,
    )


@decisions_app.command("list")
def decisions_list(project: ProjectOption = Path(), as_json: JsonOption = False) -> None:
    """Every decision that was kept: current, reopened or replaced."""
    _run("decisions:list_decisions", folder=project, as_json=as_json)


@decisions_app.command("show")
def decisions_show(
    identity: Annotated[str, typer.Argument(metavar="ID", help="Id of a decision, or the beginning of it.")],
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """One decision as a page: what was asked, what it rests on, what flips it, what ends it."""
    _run("decisions:show_decision", identity=identity, folder=project, as_json=as_json)


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
    _run(
        "decisions:check",
        identity=identity,
        folder=project,
        economics=economics,
        items_per_month=items_per_month,
        offline=offline,
        as_json=as_json,
    )


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
    _run("advise:advise", answers=answers, answer=answer or [], economics=economics, as_json=as_json)


@app.command()
def demo(
    model: ModelOption = None,
    light: Annotated[bool, typer.Option("--light", help="Only what runs without torch.")] = False,
    rows: Annotated[int | None, typer.Option(min=50, help="At most this many test rows.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where results are kept.")] = None,
    as_json: JsonOption = False,
) -> None:
    """The main job on a shipped task: every strategy, the same rows, three economics, three decisions."""
    _run("demo:demo", model=model, light=light, rows=rows, folder=folder, as_json=as_json)


@app.command()
def serve(
    project: ProjectOption = Path(),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8400,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
    database: DatabaseOption = None,
    is_open: Annotated[bool, typer.Option("--open", help="Ask for no key; on this machine only.")] = False,
) -> None:
    """Serve the project's tasks: an OpenAI-compatible API, the task's name as the model."""
    _run("serve:serve", folder=project, host=host, port=port, workers=workers, database=database, is_open=is_open)


@app.command()
def release(
    candidate: Annotated[str, typer.Option(help="Name in the newest evaluation, or beginning of a fingerprint.")],
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    canary: Annotated[str | None, typer.Option(help="Share of the callers, such as 5%; all without it.")] = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="Answer unseen, to be compared.")] = False,
    overlay: OverlayOption = "",
    max_errors: Annotated[float | None, typer.Option(help="Guard: highest share of failed answers.")] = None,
    max_invalid: Annotated[float | None, typer.Option(help="Guard: highest share of invalid answers.")] = None,
    max_latency_s: Annotated[float | None, typer.Option(help="Guard: highest p95 in seconds.")] = None,
    min_agreement: Annotated[float | None, typer.Option(help="Guard: lowest share that labels confirm.")] = None,
    decision: Annotated[str | None, typer.Option(help="Decision id; the newest of the task without it.")] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a fitted candidate into production, whole, for some callers (--canary), or unseen (--shadow)."""
    guards = {
        "max_error_share": max_errors,
        "max_invalid_share": max_invalid,
        "max_latency_s": max_latency_s,
        "min_agreement": min_agreement,
    }
    _run(
        "release:release",
        task=task,
        folder=project,
        candidate=candidate,
        trial=(canary, shadow, overlay, guards),
        decision=decision,
        database=database,
        as_json=as_json,
    )


@app.command()
def promote(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    overlay: OverlayOption = "",
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the candidate on trial answer everything."""
    _run("release:promote", task=task, folder=project, overlay=overlay, database=database, as_json=as_json)


@app.command()
def rollback(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    overlay: OverlayOption = "",
    reason: Annotated[str, typer.Option(help="Why, for the history.")] = "",
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """End the trial; without one, go back to what answered before. In force within a second."""
    _run(
        "release:rollback",
        task=task,
        folder=project,
        overlay=overlay,
        reason=reason,
        database=database,
        as_json=as_json,
    )


@app.command()
def status(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """What is in production, how a trial stands, what waits for people."""
    _run("release:status", task=task, folder=project, database=database, as_json=as_json)


@app.command()
def review(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    answer: Annotated[list[str] | None, typer.Option(help="REVIEW=LABEL; may be given several times.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer what waits for a person, here in the terminal; --json only lists."""
    _run(
        "review:review",
        task=task,
        folder=project,
        answers=answer or [],
        limit=limit,
        database=database,
        as_json=as_json,
    )


@app.command()
def explain(
    trace: Annotated[str, typer.Argument(help="Trace id, as the header x-tasklift-trace-id says it.")],
    project: ProjectOption = Path(),
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Why did this customer get this answer: prompt, model, data, decision, release, threshold, near rows."""
    _run("review:explain", trace=trace, folder=project, database=database, as_json=as_json)


@app.command()
def replay(
    trace: Annotated[str, typer.Argument(help="Trace id.")],
    project: ProjectOption = Path(),
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the candidate of a trace its question again: the same answer, where it is deterministic."""
    _run("review:replay", trace=trace, folder=project, database=database, as_json=as_json)


@app.command()
def history(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Who released what, when."""
    _run("release:history", task=task, folder=project, database=database, as_json=as_json)


@app.command()
def retrain(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    strategy: Annotated[str | None, typer.Option(help="Another strategy; the one in production without it.")] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train on what people corrected, compare with what is in production, and offer it; nothing is released."""
    _run("retrain:retrain", task=task, folder=project, strategy=strategy, database=database, as_json=as_json)


@keys_app.command("add")
def keys_add(
    name: Annotated[str, typer.Argument(help="Who or what will use it.")],
    project: ProjectOption = Path(),
    scopes: Annotated[
        str, typer.Option(help="Comma-separated: predict, predict:TASK, feedback, review, operate, *.")
    ] = "predict,feedback",
    days: Annotated[float | None, typer.Option(min=0, help="Days until it expires; never without it.")] = None,
    per_minute: Annotated[float | None, typer.Option(min=0, help="Most requests a minute.")] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an API key and print it, once."""
    _run(
        "serve:keys_add",
        name=name,
        folder=project,
        database=database,
        scopes=scopes,
        days=days,
        per_minute=per_minute,
        as_json=as_json,
    )


@keys_app.command("list")
def keys_list(project: ProjectOption = Path(), database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Every API key, without its secret."""
    _run("serve:keys_list", folder=project, database=database, as_json=as_json)


@keys_app.command("revoke")
def keys_revoke(
    identity: Annotated[str, typer.Argument(help="Id of the key.")],
    project: ProjectOption = Path(),
    database: DatabaseOption = None,
) -> None:
    """Revoke an API key, on every worker within a second."""
    _run("serve:keys_revoke", identity=identity, folder=project, database=database)


@data_app.command("import")
def data_import(
    file: Annotated[Path, typer.Argument(help="A .jsonl or .csv file.")],
    task: Annotated[str | None, typer.Option(help="Task name; may be left out where there is one.")] = None,
    project: ProjectOption = Path(),
    field: Annotated[
        list[str] | None, typer.Option(help="target=COLUMN, such as text=message or slice.channel=via.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a file against the task and write it into the project in the pinned row format."""
    _run("data:import_rows", file=file, task=task, folder=project, mapping=field or [], as_json=as_json)


@models_app.command("pull")
def models_pull(
    all_models: Annotated[bool, typer.Option("--all", help="Every model, and convert what needs converting.")] = False,
    name: Annotated[str | None, typer.Argument(help="One model.")] = None,
) -> None:
    """Fetch the local model's weights into the cache, checked by SHA-256; nothing is done twice."""
    _run("models:pull", name=None if all_models else name)


@models_app.command("list")
def models_list(as_json: JsonOption = False) -> None:
    """What is there, how large, where from, under which licence."""
    _run("models:list_models", as_json=as_json)


def main() -> None:
    """Entry point: errors that users can mend are one line and exit code 2."""
    try:
        app()
    except TaskliftError as error:
        print(f"tasklift: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except KeyboardInterrupt:
        print("tasklift: stopped; run the same command again to go on", file=sys.stderr)
        # Worker threads may be deep in numeric code: leave without waiting for them.
        sys.stderr.flush()
        os._exit(EXIT_INTERRUPTED)


def _run(where: str, **parameters: Any) -> None:
    module, _, function = where.partition(":")
    code = getattr(importlib.import_module(f"tasklift.cli.{module}"), function)(**parameters)
    if code:
        raise typer.Exit(code)
