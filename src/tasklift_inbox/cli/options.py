"""What the commands share: options, opening the inbox, printing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from tasklift.errors import ConfigError
from tasklift_inbox.runtime import Runtime, Settings

T = TypeVar("T")
EXIT_FINDINGS = 3

State = Annotated[Path, typer.Option(envvar="TASKLIFT_INBOX_STATE", help="Folder for database and attachments.")]
DatabaseUrl = Annotated[
    str, typer.Option(envvar="TASKLIFT_INBOX_DATABASE", help="URL, where it is not inbox.db in the state folder.")
]
Key = Annotated[
    str,
    typer.Option(
        "--secret-key", envvar="TASKLIFT_SECRET_KEY", help="Seals credentials; see new-secret.", show_envvar=True
    ),
]
PublicUrl = Annotated[str, typer.Option(envvar="TASKLIFT_INBOX_URL", help="Under which providers reach this inbox.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]
EntryId = Annotated[str, typer.Argument(help="The entry's id, as listed.")]
ChannelName = Annotated[str, typer.Argument(help="The channel.")]
ContactId = Annotated[int, typer.Option(help="Id of the contact.")]
By = Annotated[str, typer.Option(help="Who says so, for the audit log.")]
HERE, LOCAL = Path("inbox"), "http://127.0.0.1:8700"


def settings_of(state: Path, database: str, key: str, url: str = LOCAL) -> Settings:
    """What every command opens.

    Raises:
        ConfigError: there is no key.
    """
    if not key:
        raise ConfigError(
            "TASKLIFT_SECRET_KEY is not set: it seals the channels' credentials. Make one with "
            "`export TASKLIFT_SECRET_KEY=$(tasklift-inbox new-secret)`, and keep it somewhere safe"
        )
    return Settings(state, database, key, url)


def with_runtime(settings: Settings, action: Callable[[Runtime], Awaitable[T]]) -> T:
    """What `action` returns, with the inbox open."""

    async def run() -> T:
        runtime = await Runtime.open(settings)
        try:
            return await action(runtime)
        finally:
            await runtime.aclose()

    return asyncio.run(run())


def print_json(value: Any) -> None:
    """One JSON object."""
    print(json.dumps(value, indent=1, ensure_ascii=False, default=str))
