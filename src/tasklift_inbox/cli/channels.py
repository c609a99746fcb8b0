"""`tasklift-inbox channel`."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from tasklift.errors import ConfigError
from tasklift_inbox import admin
from tasklift_inbox.channels.registry import KINDS, channel_class
from tasklift_inbox.cli.options import (
    EXIT_FINDINGS,
    HERE,
    LOCAL,
    AsJson,
    ChannelName,
    DatabaseUrl,
    Key,
    PublicUrl,
    State,
    print_json,
    settings_of,
    with_runtime,
)
from tasklift_inbox.mail.sign_in import PROVIDERS, MailProvider, Terminal, preset, sign_in
from tasklift_inbox.runtime import Runtime

channel_app = typer.Typer(help="Channels: add, list, check, disable.", no_args_is_help=True, rich_markup_mode=None)


@channel_app.command("add")
def channel_add(
    kind: Annotated[str, typer.Argument(help=", ".join(sorted(KINDS)))],
    name: Annotated[str, typer.Argument(help="Its name here: small letters, digits, hyphens.")],
    values: Annotated[
        list[str] | None, typer.Option("--set", help="FIELD=VALUE; what is missing is asked for.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Change a channel that is there; what is not given stays.")
    ] = False,
    oauth: Annotated[
        str, typer.Option("--oauth", help=f"E-mail: sign in instead of a password: {', '.join(PROVIDERS)}.")
    ] = "",
    no_check: Annotated[bool, typer.Option("--no-check", help="Do not ask the provider whether it works.")] = False,
    state: State = HERE,
    database: DatabaseUrl = "",
    key: Key = "",
    url: PublicUrl = LOCAL,
) -> None:
    """Add a channel: asks for what it needs, verifies it, and says what to paste where."""
    parts = dict(item.partition("=")[::2] for item in values or [])
    settings = settings_of(state, database, key, url)
    if oauth and kind != "email":
        raise ConfigError(f"--oauth is for e-mail; a {kind} channel has tokens of its own")

    async def run(runtime: Runtime) -> int:
        old = await admin.known(runtime, kind, name) if replace else {}
        wanted, where = preset(oauth, parts, old) if oauth else (parts, MailProvider())
        given, extra = _given(kind, wanted, old)
        token = await sign_in(runtime.http, where, given, Terminal(print, typer.prompt))
        new = admin.NewChannel(kind, name, given | ({"refresh_token": token} if token else {}), extra, replace)
        made = await admin.add(runtime, new, "command line")
        for line in made.setup(admin.hook_url(runtime, name)):
            print(line)
        return 0 if no_check else _say(await admin.check(runtime, name))

    raise typer.Exit(with_runtime(settings, run))


def _given(kind: str, parts: dict[str, str], old: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Fields, and further settings; at a terminal the fields that are missing, also in `old`, are asked for."""
    fields = channel_class(kind).fields
    given = {field.name: parts[field.name] for field in fields if field.name in parts}
    for field in fields:
        has = {*given, *old}
        is_wanted = not (field.name in has or field.default or field.is_optional or field.unless in has)
        if is_wanted and sys.stdin.isatty():
            given[field.name] = typer.prompt(f"{field.name} ({field.where})", hide_input=field.is_secret)
    return given, {name: value for name, value in parts.items() if name not in given}


def _say(checks: list[Any]) -> int:
    for check in checks:
        print(
            f"{'ok    ' if not check.problem else 'FAILED'} {check.what}"
            + (f": {check.problem}" if check.problem else "")
        )
        if check.remedy:
            print(f"       {check.remedy}")
    return EXIT_FINDINGS if any(check.problem for check in checks) else 0


@channel_app.command("list")
def channel_list(state: State = HERE, database: DatabaseUrl = "", key: Key = "", as_json: AsJson = False) -> None:
    """Every channel and its health."""
    found = with_runtime(settings_of(state, database, key), admin.listed)
    if as_json:
        print_json({"channels": found})
        return
    for one in found:
        active = "" if one["is_active"] else " (disabled)"
        print(f"{one['id']}  {one['kind']}  {one['external_id']}  {one['health']}{active}")
        if one["problem"]:
            print(f"    {one['problem']}\n    {one['remedy']}")


@channel_app.command("check")
def channel_check(
    name: ChannelName,
    fix: Annotated[bool, typer.Option("--fix", help="Set what can be set from here: Telegram's webhook.")] = False,
    state: State = HERE,
    database: DatabaseUrl = "",
    key: Key = "",
    url: PublicUrl = LOCAL,
) -> None:
    """Ask the provider whether credentials and set-up are right; exits with 3 where not."""
    settings = settings_of(state, database, key, url)
    raise typer.Exit(_say(with_runtime(settings, lambda runtime: admin.check(runtime, name, fix=fix))))


@channel_app.command("disable")
def channel_disable(
    name: ChannelName,
    state: State = HERE,
    database: DatabaseUrl = "",
    key: Key = "",
) -> None:
    """Take nothing in and send nothing; what is stored stays."""
    with_runtime(settings_of(state, database, key), lambda runtime: admin.disable(runtime, name, "command line"))
    print(f"{name} is disabled; `tasklift-inbox channel add ... --replace` brings it back")
