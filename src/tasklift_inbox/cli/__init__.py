"""The command `tasklift-inbox`. What a command does is in the module that it names.

`serve` and `worker` load theirs when they are called: with it come a web framework and the libraries of mail.
"""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import typer

from tasklift_inbox import doctor, media, normalise, privacy, views
from tasklift_inbox.cli.channels import channel_app
from tasklift_inbox.cli.keys import keys_app
from tasklift_inbox.cli.options import (
    EXIT_FINDINGS,
    HERE,
    LOCAL,
    AsJson,
    ContactId,
    DatabaseUrl,
    Key,
    PublicUrl,
    State,
    print_json,
    settings_of,
    with_runtime,
)
from tasklift_inbox.cli.outbox import outbox_app
from tasklift_inbox.runtime import Runtime
from tasklift_platform.vault import new_secret_key

app = typer.Typer(
    help="Instagram, Messenger, Telegram, WhatsApp and e-mail in one place.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
app.add_typer(channel_app, name="channel")
app.add_typer(keys_app, name="keys")
app.add_typer(outbox_app, name="outbox")


@app.command("new-secret")
def new_secret() -> None:
    """Print a fresh key for TASKLIFT_SECRET_KEY."""
    print(new_secret_key())


@app.command()
def reseal(state: State = HERE, database: DatabaseUrl = "", key: Key = "") -> None:
    """Seal every credential with the first of several keys; exits with 3 while some need a key that is not there."""
    left = with_runtime(settings_of(state, database, key), lambda runtime: runtime.secrets.reseal())
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
    serving = importlib.import_module("tasklift_inbox.serving")
    serving.serve(settings_of(state, database, key, url), host, port, works=not web_only)


@app.command()
def worker(state: State = HERE, database: DatabaseUrl = "", key: Key = "", url: PublicUrl = LOCAL) -> None:
    """Do the background work: read events, send, fetch attachments, poll."""
    importlib.import_module("tasklift_inbox.worker").work(settings_of(state, database, key, url))


@app.command()
def replay(
    state: State = HERE,
    database: DatabaseUrl = "",
    key: Key = "",
    channel: Annotated[str | None, typer.Option(help="Of this channel only.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also events that were read before.")] = False,
    files: Annotated[bool, typer.Option("--attachments", help="Fetch failed attachments again, no events.")] = False,
) -> None:
    """Read raw events again: those that were put aside. Nothing is doubled."""
    if files:
        count = with_runtime(settings_of(state, database, key), media.fetch_again)
        print(f"{count} attachments are to be fetched again")
        return

    async def run(runtime: Runtime) -> tuple[int, int]:
        again = await normalise.replay(runtime.database, channel_id=channel, only_poison=not everything)
        return again, await normalise.Normaliser(runtime).drain()

    again, done = with_runtime(settings_of(state, database, key), run)
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

    found = with_runtime(settings_of(state, database, key), run)
    if as_json:
        print_json({"conversations": found})
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
    found = with_runtime(settings_of(state, database, key), doctor.examine)
    if as_json:
        print_json({"findings": [{"what": one.what, "remedy": one.remedy} for one in found]})
    else:
        for one in found:
            print(f"- {one.what}\n  {one.remedy}")
        print(f"{len(found)} things to look at" if found else "all is well")
    if found:
        raise typer.Exit(EXIT_FINDINGS)


@app.command()
def contacts(
    text: Annotated[str, typer.Argument(help="In a name, an address or an id.")],
    state: State = HERE,
    database: DatabaseUrl = "",
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Find contacts, for `export` and `erase`."""
    found = with_runtime(settings_of(state, database, key), lambda runtime: views.find_contacts(runtime.database, text))
    if as_json:
        print_json({"contacts": found})
        return
    for one in found:
        address = "" if one["address"] in ("", one["external_id"]) else f"  {one['address']}"
        print(f"{one['contact_id']}  {one['channel_id']}  {one['external_id']}{address}  {one['name']}")


@app.command()
def export(
    contact: ContactId,
    state: State = HERE,
    database: DatabaseUrl = "",
    key: Key = "",
) -> None:
    """Print everything that is held about a contact, as JSON."""
    subject = privacy.subject_of(contact)
    print_json(
        with_runtime(settings_of(state, database, key), lambda runtime: privacy.registry_of(runtime).export(subject))
    )


@app.command()
def erase(
    contact: ContactId,
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

    certificate = with_runtime(settings_of(state, database, key), run)
    print_json(certificate)
    if certificate["completed_at"] is None:
        raise typer.Exit(EXIT_FINDINGS)
