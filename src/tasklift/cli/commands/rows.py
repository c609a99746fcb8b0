"""Commands about rows. Parameters only: the body of each is loaded when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tasklift.cli.commands.common import DatabaseOption, JsonOption, ProjectOption, TaskArgument, group, run

app = typer.Typer()
data_app = group("Rows: import, audit, clean, split, label; versions, and erasing people.")
app.add_typer(data_app, name="data")

EmbedderOption = Annotated[
    str, typer.Option(help="What turns texts into vectors: `minilm`, or `static`, which needs no torch.")
]


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
    run("data:import_rows", file=file, task=task, folder=project, mapping=field or [], as_json=as_json)


@data_app.command("audit")
def data_audit(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    embedder: EmbedderOption = "minilm",
    labels: Annotated[bool, typer.Option("--labels/--no-labels", help="Look for labels that are likely wrong.")] = True,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 where a finding is an error.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Duplicates, leakage, likely label errors, balance, length, language, personal data, licences; a datasheet."""
    run(
        "audit:audit_rows",
        task=task,
        folder=project,
        embedder=embedder if labels else None,
        strict=strict,
        as_json=as_json,
    )


@data_app.command("clean")
def data_clean(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    labels: Annotated[str, typer.Option(help="Likely wrong labels: keep, remove or relabel.")] = "keep",
    near: Annotated[bool, typer.Option("--near", help="Keep one of near-duplicates with one answer.")] = False,
    unlabelled: Annotated[bool, typer.Option("--unlabelled", help="Take out rows without an answer.")] = False,
    embedder: EmbedderOption = "minilm",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a new version without repeats and leakage, with personal data as data.toml says; all of it undoable."""
    run(
        "audit:clean_rows",
        task=task,
        folder=project,
        rules={"labels": labels, "near": near, "unlabelled": unlabelled},
        embedder=embedder,
        dry_run=dry_run,
        as_json=as_json,
    )


@data_app.command("split")
def data_split(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    by: Annotated[str, typer.Option(help="label, group or time.")] = "label",
    test: Annotated[float, typer.Option(min=0.01, max=0.9, help="Share of test rows.")] = 0.3,
    validation: Annotated[float, typer.Option(min=0, max=0.9, help="Share of validation rows.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Which rows go where.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Write a new version with new splits; near-duplicates and groups stay on one side."""
    run(
        "versions:split_rows",
        task=task,
        folder=project,
        by=by,
        shares=(test, validation),
        seed=seed,
        as_json=as_json,
    )


@data_app.command("versions")
def data_versions(task: TaskArgument = None, project: ProjectOption = Path(), as_json: JsonOption = False) -> None:
    """Every version of the rows, what made it, and the models that were trained on it."""
    run("versions:list_versions", task=task, folder=project, as_json=as_json)


@data_app.command("changes")
def data_changes(
    version: Annotated[str, typer.Argument(help="Version, or its beginning.")],
    task: Annotated[str | None, typer.Option(help="Task name; may be left out where there is one.")] = None,
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Every row that a version removed or changed, with the reason."""
    run("versions:show_changes", version=version, task=task, folder=project, as_json=as_json)


@data_app.command("undo")
def data_undo(
    version: Annotated[str, typer.Argument(help="Version, or its beginning.")],
    task: Annotated[str | None, typer.Option(help="Task name; may be left out where there is one.")] = None,
    project: ProjectOption = Path(),
    row: Annotated[list[str] | None, typer.Option(help="Only this row; may be given several times.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Take back what a version changed: all of it, or single rows. That is a version again."""
    run("versions:undo", version=version, task=task, folder=project, rows=row or [], as_json=as_json)


@data_app.command("erase")
def data_erase(
    person: Annotated[str, typer.Option(help="Group of the rows (customer), or an address or number in their text.")],
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    models: Annotated[bool, typer.Option("--models", help="Also delete models made with these rows.")] = False,
    also_released: Annotated[
        bool, typer.Option("--also-released", help="With --models: also those that are in production.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only name what holds them.")] = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase a person's rows from the file and every version; names each version and model that used them."""
    run(
        "erasing:erase_person",
        person=person,
        task=task,
        folder=project,
        models=(models, also_released),
        dry_run=dry_run,
        database=database,
        as_json=as_json,
    )


@data_app.command("label")
def data_label(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    annotator: Annotated[str | None, typer.Option(help="Who labels; the system's user name without it.")] = None,
    suggest: Annotated[
        str | None, typer.Option(help="Strategy whose answers are shown, marked as suggestions: prompt, fewshot, ...")
    ] = None,
    embedder: EmbedderOption = "minilm",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the page; a free one without it.")] = 0,
    terminal: Annotated[bool, typer.Option("--terminal", help="Ask here instead of on a page.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Label rows without an answer by keyboard, the most informative first; every answer is kept at once."""
    run(
        "label:label",
        task=task,
        folder=project,
        annotator=annotator,
        suggest=suggest,
        how=(embedder, port, terminal),
        as_json=as_json,
    )


@data_app.command("labels")
def data_labels(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    apply: Annotated[bool, typer.Option("--apply", help="Write agreed labels into the rows, as a version.")] = False,
    as_json: JsonOption = False,
) -> None:
    """How far labelling is: labels, agreement of two people, cost; --apply writes them into the rows."""
    run("label:status", task=task, folder=project, apply=apply, as_json=as_json)


@data_app.command("edges")
def data_edges(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    evaluation: Annotated[str | None, typer.Option(help="Evaluation id; the newest of the task without it.")] = None,
    candidate: Annotated[str | None, typer.Option(help="Whose answers; the most accurate one's without it.")] = None,
    embedder: EmbedderOption = "minilm",
    as_slice: Annotated[str | None, typer.Option(help="Write the groups into the rows as this slice.")] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Wrong, deferred, unsure and corrected rows in groups, named by their words: new slices or new labels."""
    run(
        "edges:edges",
        task=task,
        folder=project,
        which=(evaluation, candidate),
        embedder=embedder,
        as_slice=as_slice,
        database=database,
        as_json=as_json,
    )
