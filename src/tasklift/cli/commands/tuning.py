"""Commands about fitted models and weights. Parameters only: the body of each is loaded when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tasklift.cli.commands.common import (
    DatabaseOption,
    JsonOption,
    ModelOption,
    ProjectOption,
    TaskArgument,
    group,
    run,
)

app = typer.Typer()
models_app = group("Fitted models: list, show, compare, prune, export, import.")
app.add_typer(models_app, name="models")
weights_app = group("Weights of the local models.")
app.add_typer(weights_app, name="weights")

ModelArgument = Annotated[str, typer.Argument(help="Beginning of a fingerprint, or a name in its newest evaluation.")]


@weights_app.command("pull")
def weights_pull(
    all_models: Annotated[bool, typer.Option("--all", help="Every model, and convert what needs converting.")] = False,
    name: Annotated[str | None, typer.Argument(help="One model.")] = None,
) -> None:
    """Fetch the local model's weights into the cache, checked by SHA-256; nothing is done twice."""
    run("weights:pull", name=None if all_models else name)


models_app.command("pull", hidden=True)(weights_pull)  # what it was called before


@weights_app.command("list")
def weights_list(as_json: JsonOption = False) -> None:
    """What is there, how large, where from, under which licence."""
    run("weights:list_weights", as_json=as_json)


@models_app.command("list")
def models_list(task: TaskArgument = None, project: ProjectOption = Path(), as_json: JsonOption = False) -> None:
    """Every fitted model, the newest first: task, strategy, accuracy, size, what it took."""
    run("models:list_models", task=task, folder=project, as_json=as_json)


@models_app.command("show")
def models_show(model: ModelArgument, project: ProjectOption = Path(), as_json: JsonOption = False) -> None:
    """One model: parameters, data version, environment, parents, costs, and how it did in each evaluation."""
    run("models:show_model", model=model, folder=project, as_json=as_json)


@models_app.command("compare")
def models_compare(
    first: ModelArgument, second: ModelArgument, project: ProjectOption = Path(), as_json: JsonOption = False
) -> None:
    """What differs in how two models were made, and on the rows that both answered."""
    run("models:compare", first=first, second=second, folder=project, as_json=as_json)


@models_app.command("prune")
def models_prune(
    project: ProjectOption = Path(),
    keep: Annotated[int, typer.Option(min=0, help="So many of each task and strategy stay, the newest.")] = 1,
    unmeasured: Annotated[
        bool, typer.Option("--measured-too", help="Also models that stand in an evaluation.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Free space: old models that stand in no evaluation. What is or was in production stays."""
    run(
        "models:prune",
        folder=project,
        keep=keep,
        unmeasured=unmeasured,
        dry_run=dry_run,
        database=database,
        as_json=as_json,
    )


@models_app.command("export")
def models_export(
    model: ModelArgument,
    to: Annotated[str, typer.Option(help="A folder, or a URL that fsspec knows, such as s3://bucket/models.")],
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Copy a model out: safetensors, JSON, and a manifest with the checksum of every file."""
    run("models:export", model=model, to=to, folder=project, as_json=as_json)


@models_app.command("import")
def models_import(
    url: Annotated[str, typer.Argument(help="Folder or URL of one exported model.")],
    project: ProjectOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Bring an exported model in; every file is checked before anything is written."""
    run("models:bring", url=url, folder=project, as_json=as_json)


@app.command()
def curve(
    task: TaskArgument = None,
    project: ProjectOption = Path(),
    strategies: Annotated[str, typer.Option(help="Comma-separated names.")] = "baseline,frozen,fewshot",
    sizes: Annotated[str | None, typer.Option(help="Comma-separated numbers of rows; by halves without it.")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=20, help="Nested subsets, and wordings of prompts.")] = 3,
    rows: Annotated[int | None, typer.Option(min=1, help="At most this many test rows, stratified.")] = None,
    model: ModelOption = None,
    embedder: Annotated[
        str | None, typer.Option(help="What turns texts into vectors, for every strategy that does.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The picture to write.")] = Path("curve.svg"),
    as_json: JsonOption = False,
) -> None:
    """Accuracy against labels for each strategy, and how many labels until tuning pays: on average, and surely."""
    run(
        "curve:curve",
        task=task,
        folder=project,
        strategies=strategies,
        sizes=sizes,
        how=(seeds, rows, model, embedder),
        out=out,
        as_json=as_json,
    )


@app.command()
def tune(
    file: Annotated[Path, typer.Argument(help="A .csv or .jsonl file with a column of texts and one of answers.")],
    to: Annotated[Path, typer.Option(help="Folder of the project that is made, or gone on with.")],
    text: Annotated[str, typer.Option(help="Column with the text.")] = "text",
    label: Annotated[str, typer.Option(help="Column with the label, or the number.")] = "label",
    kind: Annotated[
        str, typer.Option(help="What that column holds: `label`, `labels` (as `a; b`), or `number`.")
    ] = "label",
    strategy: Annotated[str, typer.Option(help="What is tuned: frozen, encoder, ...")] = "frozen",
    embedder: Annotated[
        str | None, typer.Option(help="What turns texts into vectors; `static` needs no torch.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=20, help="Fits with different seeds, for their spread.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """From a raw table to a tuned, evaluated, registered model; goes on where it was stopped."""
    run(
        "tune:tune_file",
        columns=(file, text, label, kind),
        folder=to,
        strategy=strategy,
        embedder=embedder,
        seeds=seeds,
        as_json=as_json,
    )
