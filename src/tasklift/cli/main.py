"""The command line. What a command takes is in `cli/commands`, what it does in the module that it names there."""

from __future__ import annotations

import os
import sys

import typer

from tasklift.cli.commands import decide, measure, operate, prompts, rows, tuning
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
for commands in (measure, rows, tuning, decide, prompts, operate):
    app.add_typer(commands.app)


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
