"""Commands that put an answer into production and watch it. Parameters only: bodies are loaded when called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tasklift.cli.commands.common import (
    DatabaseOption,
    JsonOption,
    OverlayOption,
    ProjectOption,
    TaskArgument,
    group,
    run,
)

app = typer.Typer()
keys_app = group("API keys of the server.")
app.add_typer(keys_app, name="keys")
people_app = group("People: erase one everywhere, show what is held, do not train on their rows.")
app.add_typer(people_app, name="people")
SubjectArgument = Annotated[
    str, typer.Argument(help="The person, as callers name them in `user` or `metadata.subject`.")
]


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
    run("serve:serve", folder=project, host=host, port=port, workers=workers, database=database, is_open=is_open)


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
    run(
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
    run("release:promote", task=task, folder=project, overlay=overlay, database=database, as_json=as_json)


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
    run(
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
    run("release:status", task=task, folder=project, database=database, as_json=as_json)


@app.command()
def history(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Who released what, when."""
    run("release:history", task=task, folder=project, database=database, as_json=as_json)


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
    run(
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
    run("review:explain", trace=trace, folder=project, database=database, as_json=as_json)


@app.command()
def replay(
    trace: Annotated[str, typer.Argument(help="Trace id.")],
    project: ProjectOption = Path(),
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the candidate of a trace its question again: the same answer, where it is deterministic."""
    run("review:replay", trace=trace, folder=project, database=database, as_json=as_json)


@app.command()
def retrain(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    strategy: Annotated[str | None, typer.Option(help="Another strategy; the one in production without it.")] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train on what people corrected, compare with what is in production, and offer it; nothing is released."""
    run("retrain:retrain", task=task, folder=project, strategy=strategy, database=database, as_json=as_json)


@keys_app.command("add")
def keys_add(
    name: Annotated[str, typer.Argument(help="Who or what will use it.")],
    project: ProjectOption = Path(),
    scopes: Annotated[
        str, typer.Option(help="Comma-separated: predict, predict:TASK, feedback, review, operate, people, *.")
    ] = "predict,feedback",
    days: Annotated[float | None, typer.Option(min=0, help="Days until it expires; never without it.")] = None,
    per_minute: Annotated[float | None, typer.Option(min=0, help="Most requests a minute.")] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an API key and print it, once."""
    run(
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
    run("serve:keys_list", folder=project, database=database, as_json=as_json)


@keys_app.command("revoke")
def keys_revoke(
    identity: Annotated[str, typer.Argument(help="Id of the key.")],
    project: ProjectOption = Path(),
    database: DatabaseOption = None,
) -> None:
    """Revoke an API key, on every worker within a second."""
    run("serve:keys_revoke", identity=identity, folder=project, database=database)


@people_app.command("erase")
def people_erase(
    subject: SubjectArgument,
    project: ProjectOption = Path(),
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase a person from every store, and print the certificate; 3 where a store is still open."""
    run("people:erase", subject=subject, folder=project, database=database, as_json=as_json)


@people_app.command("finish")
def people_finish(
    project: ProjectOption = Path(), database: DatabaseOption = None, as_json: JsonOption = False
) -> None:
    """Try erasures again that are still open."""
    run("people:finish", folder=project, database=database, as_json=as_json)


@people_app.command("export")
def people_export(subject: SubjectArgument, project: ProjectOption = Path(), database: DatabaseOption = None) -> None:
    """Print everything that is held about a person as one JSON object."""
    run("people:export", subject=subject, folder=project, database=database)


@people_app.command("do-not-train")
def people_do_not_train(
    subject: SubjectArgument,
    project: ProjectOption = Path(),
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Their rows may be trained on again.")] = False,
    database: DatabaseOption = None,
) -> None:
    """Note that a person's rows must not be trained on; it outlives their erasure."""
    run("people:do_not_train", subject=subject, folder=project, withdraw=withdraw, database=database)
