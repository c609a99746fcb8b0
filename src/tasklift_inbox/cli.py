"""The command `tasklift-inbox`. What a command does is in the module that it names."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from tasklift.errors import ConfigError, MissingDependencyError, TaskliftError

try:
    from tasklift_inbox import admin, doctor, normalise, privacy, serving, views
    from tasklift_inbox.api import SCOPES
    from tasklift_inbox.channels.registry import KINDS, channel_class
    from tasklift_inbox.mail.sign_in import PROVIDERS, MailProvider, Terminal, preset, sign_in
    from tasklift_inbox.runtime import Runtime, Settings
    from tasklift_platform.keys import NewKey, create_key, list_keys, revoke_key
    from tasklift_platform.vault import new_secret_key
except ModuleNotFoundError as error:
    raise MissingDependencyError(f"the inbox ({error.name})", "inbox") from error

T = TypeVar("T")
EXIT_USER_ERROR, EXIT_FINDINGS, EXIT_INTERRUPTED = 2, 3, 130

app = typer.Typer(
    help="Instagram, Messenger, Telegram, WhatsApp and e-mail in one place.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
channel_app = typer.Typer(help="Channels: add, list, check, disable.", no_args_is_help=True, rich_markup_mode=None)
keys_app = typer.Typer(help="Keys for the REST API.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(channel_app, name="channel")
app.add_typer(keys_app, name="keys")

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
HERE, LOCAL = Path("inbox"), "http://127.0.0.1:8700"


def _settings(state: Path, database: str, key: str, url: str = LOCAL) -> Settings:
    if not key:
        raise ConfigError(
            "TASKLIFT_SECRET_KEY is not set: it seals the channels' credentials. Make one with "
            "`export TASKLIFT_SECRET_KEY=$(tasklift-inbox new-secret)`, and keep it somewhere safe"
        )
    return Settings(state, database, key, url)


def _with(settings: Settings, action: Callable[[Runtime], Awaitable[T]]) -> T:
    async def run() -> T:
        runtime = await Runtime.open(settings)
        try:
            return await action(runtime)
        finally:
            await runtime.aclose()

    return asyncio.run(run())


def _print(value: Any) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False, default=str))


@app.command("new-secret")
def new_secret() -> None:
    """Print a fresh key for TASKLIFT_SECRET_KEY."""
    print(new_secret_key())


@app.command()
def reseal(state: State = HERE, database: DatabaseUrl = "", key: Key = "") -> None:
    """Seal every credential with the first of several keys; exits with 3 while some need a key that is not there."""
    left = _with(_settings(state, database, key), lambda runtime: runtime.secrets.reseal())
    print(f"{left} credentials are still sealed with a key that is not given")
    if left:
        raise typer.Exit(EXIT_FINDINGS)


@app.command()
def serve(
    state: State = HERE,
    database: DatabaseUrl = "",
    key: Key = "",
    url: PublicUrl = LOCAL,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8700,
    web_only: Annotated[bool, typer.Option("--web-only", help="Leave background work to `worker`.")] = False,
) -> None:
    """Take webhooks, answer the REST API, and do the background work."""
    serving.serve(_settings(state, database, key, url), host, port, works=not web_only)


@app.command()
def worker(state: State = HERE, database: DatabaseUrl = "", key: Key = "", url: PublicUrl = LOCAL) -> None:
    """Do the background work: read events, send, fetch attachments, poll."""
    serving.work(_settings(state, database, key, url))


@app.command()
def replay(
    state: State = HERE,
    database: DatabaseUrl = "",
    key: Key = "",
    channel: Annotated[str | None, typer.Option(help="Of this channel only.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also events that were read before.")] = False,
) -> None:
    """Read raw events again: those that were put aside. Nothing is doubled."""

    async def run(runtime: Runtime) -> tuple[int, int]:
        again = await normalise.replay(runtime.database, channel_id=channel, only_poison=not everything)
        return again, await normalise.Normaliser(runtime).drain()

    again, done = _with(_settings(state, database, key), run)
    print(f"{again} events are to be read again; {done} were read here")


@app.command()
def show(
    state: State = HERE,
    database: DatabaseUrl = "",
    key: Key = "",
    limit: Annotated[int, typer.Option(help="At most so many conversations.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Print the latest conversations with their messages."""

    async def run(runtime: Runtime) -> list[dict[str, Any]]:
        found = await views.list_conversations(runtime.database, views.Filter(limit=limit))
        return [one | {"messages": await views.list_messages(runtime.database, one["id"])} for one in found]

    found = _with(_settings(state, database, key), run)
    if as_json:
        _print({"conversations": found})
        return
    for one in found:
        title = f" \N{EM DASH} {one['subject']}" if one["subject"] else ""
        print(
            f"#{one['id']} {one['channel_id']}: {one['name'] or one['address'] or 'unknown'}{title} ({one['status']})"
        )
        for message in one["messages"]:
            who = "<" if message["direction"] == "in" else ">"
            status = f" [{message['status']}]" if message["status"] else ""
            words = message["text"] if message["deleted_at"] is None else "(deleted)"
            files = "".join(f" +{part['kind']}({part['state']})" for part in message["attachments"])
            kind = "" if message["kind"] == "text" else f"[{message['kind']}] "
            print(f"   {who} {kind}{' '.join(words.split())[:200]}{files}{status}")


@app.command("doctor")
def examine(state: State = HERE, database: DatabaseUrl = "", key: Key = "", as_json: AsJson = False) -> None:
    """Say what is stuck, old or dead, and what to do; exits with 3 where something is."""
    found = _with(_settings(state, database, key), doctor.examine)
    if as_json:
        _print({"findings": [{"what": one.what, "remedy": one.remedy} for one in found]})
    else:
        for one in found:
            print(f"- {one.what}\n  {one.remedy}")
        print(f"{len(found)} things to look at" if found else "all is well")
    if found:
        raise typer.Exit(EXIT_FINDINGS)


@app.command()
def export(
    contact: Annotated[int, typer.Option(help="Id of the contact.")],
    state: State = HERE,
    database: DatabaseUrl = "",
    key: Key = "",
) -> None:
    """Print everything that is held about a contact, as JSON."""
    subject = privacy.subject_of(contact)
    _print(_with(_settings(state, database, key), lambda runtime: privacy.registry_of(runtime).export(subject)))


@app.command()
def erase(
    contact: Annotated[int, typer.Option(help="Id of the contact.")],
    by: Annotated[str, typer.Option(help="Who asks for it, for the audit log.")],
    state: State = HERE,
    database: DatabaseUrl = "",
    key: Key = "",
) -> None:
    """Erase a contact everywhere, and print the certificate; exits with 3 while something is still open."""

    async def run(runtime: Runtime) -> dict[str, Any]:
        await normalise.Normaliser(runtime).drain()  # what waits to be read may be theirs
        await privacy.require_contact(runtime.database, contact)
        return (await privacy.registry_of(runtime).erase(privacy.subject_of(contact), by)).to_json()

    certificate = _with(_settings(state, database, key), run)
    _print(certificate)
    if certificate["completed_at"] is None:
        raise typer.Exit(EXIT_FINDINGS)


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
    settings = _settings(state, database, key, url)
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

    raise typer.Exit(_with(settings, run))


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
    found = _with(_settings(state, database, key), admin.listed)
    if as_json:
        _print({"channels": found})
        return
    for one in found:
        active = "" if one["is_active"] else " (disabled)"
        print(f"{one['id']}  {one['kind']}  {one['external_id']}  {one['health']}{active}")
        if one["problem"]:
            print(f"    {one['problem']}\n    {one['remedy']}")


@channel_app.command("check")
def channel_check(
    name: Annotated[str, typer.Argument(help="The channel.")],
    fix: Annotated[bool, typer.Option("--fix", help="Set what can be set from here: Telegram's webhook.")] = False,
    state: State = HERE,
    database: DatabaseUrl = "",
    key: Key = "",
    url: PublicUrl = LOCAL,
) -> None:
    """Ask the provider whether credentials and set-up are right; exits with 3 where not."""
    settings = _settings(state, database, key, url)
    raise typer.Exit(_say(_with(settings, lambda runtime: admin.check(runtime, name, fix=fix))))


@channel_app.command("disable")
def channel_disable(
    name: Annotated[str, typer.Argument(help="The channel.")],
    state: State = HERE,
    database: DatabaseUrl = "",
    key: Key = "",
) -> None:
    """Take nothing in and send nothing; what is stored stays."""
    _with(_settings(state, database, key), lambda runtime: admin.disable(runtime, name, "command line"))
    print(f"{name} is disabled; `tasklift-inbox channel add ... --replace` brings it back")


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
    _, secret = _with(_settings(state, database, key), lambda runtime: create_key(runtime.database, new))
    print(secret)


@keys_app.command("list")
def keys_list(state: State = HERE, database: DatabaseUrl = "", key: Key = "") -> None:
    """Every key, without its secret."""
    for one in _with(_settings(state, database, key), lambda runtime: list_keys(runtime.database)):
        print(f"{one.id}  {one.name}  {', '.join(sorted(one.scopes))}{'  revoked' if one.revoked_at else ''}")


@keys_app.command("revoke")
def keys_revoke(
    identity: Annotated[str, typer.Argument(help="The key's id, as listed.")],
    state: State = HERE,
    database: DatabaseUrl = "",
    key: Key = "",
) -> None:
    """Revoke a key, everywhere within a second."""
    if not _with(_settings(state, database, key), lambda runtime: revoke_key(runtime.database, identity)):
        raise ConfigError(f"no key in use is called {identity!r}; `tasklift-inbox keys list` shows them")
    print(f"{identity} is revoked")


def main() -> None:
    """Entry point: errors that users can mend are one line and exit code 2."""
    try:
        app()
    except TaskliftError as error:
        print(f"tasklift-inbox: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
