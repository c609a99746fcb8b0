"""`tasklift-inbox keys`."""

from __future__ import annotations

from typing import Annotated

import typer

from tasklift.errors import ConfigError
from tasklift_inbox.cli.options import HERE, DatabaseUrl, Key, State, settings_of, with_runtime
from tasklift_platform.keys import NewKey, create_key, list_keys, revoke_key

#: Of the REST API.
SCOPES = ("read", "reply", "manage")
keys_app = typer.Typer(help="Keys for the REST API.", no_args_is_help=True, rich_markup_mode=None)


@keys_app.command("add")
def keys_add(
    name: Annotated[str, typer.Argument(help="Whose key.")],
    scopes: Annotated[str, typer.Option(help=f"Separated by commas: {', '.join(SCOPES)}, *.")] = "read,reply",
    state: State = HERE,
    database: DatabaseUrl = "",
    key: Key = "",
) -> None:
    """Make a key and print it, once."""
    wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    unknown = [scope for scope in wanted if scope not in (*SCOPES, "*")]
    if unknown or not wanted:
        raise ConfigError(f"no scope is called {(unknown or [''])[0]!r}; there are: {', '.join(SCOPES)}, *")
    new = NewKey(name, wanted)
    _, secret = with_runtime(settings_of(state, database, key), lambda runtime: create_key(runtime.database, new))
    print(secret)


@keys_app.command("list")
def keys_list(state: State = HERE, database: DatabaseUrl = "", key: Key = "") -> None:
    """Every key, without its secret."""
    for one in with_runtime(settings_of(state, database, key), lambda runtime: list_keys(runtime.database)):
        print(f"{one.id}  {one.name}  {', '.join(sorted(one.scopes))}{'  revoked' if one.revoked_at else ''}")


@keys_app.command("revoke")
def keys_revoke(
    identity: Annotated[str, typer.Argument(help="The key's id, as listed.")],
    state: State = HERE,
    database: DatabaseUrl = "",
    key: Key = "",
) -> None:
    """Revoke a key, everywhere within a second."""
    if not with_runtime(settings_of(state, database, key), lambda runtime: revoke_key(runtime.database, identity)):
        raise ConfigError(f"no key in use is called {identity!r}; `tasklift-inbox keys list` shows them")
    print(f"{identity} is revoked")
