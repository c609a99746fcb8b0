"""What the commands share: their options, and how a body is loaded and run."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer

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
DocumentsOption = Annotated[
    Path | None, typer.Option("--documents", help="Folder of documents; the task's own without it.")
]
OverlayOption = Annotated[str, typer.Option("--overlay", help="Only for requests with this overlay.")]
TaskArgument = Annotated[str | None, typer.Argument(help="Task name; may be left out where there is one.")]


def group(text: str) -> typer.Typer:
    """A group of commands with a help text."""
    return typer.Typer(help=text, no_args_is_help=True)


def run(where: str, **parameters: Any) -> None:
    """Load `module:function` of `tasklift.cli` and call it; its result is the exit code."""
    module, _, function = where.partition(":")
    code = getattr(importlib.import_module(f"tasklift.cli.{module}"), function)(**parameters)
    if code:
        raise typer.Exit(code)
