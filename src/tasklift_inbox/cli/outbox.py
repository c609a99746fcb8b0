"""`tasklift-inbox outbox`."""

from __future__ import annotations

from typing import Annotated

import typer

from tasklift_inbox import outbox, views
from tasklift_inbox.cli.options import (
    HERE,
    AsJson,
    By,
    DatabaseUrl,
    EntryId,
    Key,
    State,
    print_json,
    settings_of,
    with_runtime,
)
from tasklift_inbox.errors import RefusedError

outbox_app = typer.Typer(help="What is sent: list, retry, sent, cancel.", no_args_is_help=True, rich_markup_mode=None)


@outbox_app.command("list")
def outbox_list(
    states: Annotated[list[str] | None, typer.Option("--in", help="States; failed and unknown if none.")] = None,
    state: State = HERE,
    database: DatabaseUrl = "",
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """What could not be sent, and what nobody knows of."""
    wanted = states or ["failed", "unknown"]
    found = with_runtime(settings_of(state, database, key), lambda runtime: views.list_outbox(runtime.database, wanted))
    if as_json:
        print_json({"outbox": found})
        return
    for one in found:
        print(f"{one['id']}  {one['state']}  {one['channel_id']}  #{one['conversation_id']}  {one['error']}")


@outbox_app.command("retry")
def outbox_retry(identity: EntryId, by: By, state: State = HERE, database: DatabaseUrl = "", key: Key = "") -> None:
    """Send a message again that failed, or that did not arrive."""
    with_runtime(settings_of(state, database, key), lambda runtime: outbox.retry(runtime, identity, by))
    print(f"{identity} is queued")


@outbox_app.command("sent")
def outbox_sent(identity: EntryId, by: By, state: State = HERE, database: DatabaseUrl = "", key: Key = "") -> None:
    """Say that a message of unknown outcome did arrive."""
    with_runtime(settings_of(state, database, key), lambda runtime: outbox.declare_sent(runtime, identity, by))
    print(f"{identity} is sent")


@outbox_app.command("cancel")
def outbox_cancel(identity: EntryId, by: By, state: State = HERE, database: DatabaseUrl = "", key: Key = "") -> None:
    """Take back a message that waits."""
    if not with_runtime(settings_of(state, database, key), lambda runtime: outbox.cancel(runtime, identity, by)):
        raise RefusedError(f"it is too late to take {identity} back")
    print(f"{identity} is cancelled")
