"""Mailboxes that take no passwords: tokens are asked for, kept, renewed, refused; Dovecot and Postfix look them up."""

from __future__ import annotations

import asyncio
import smtplib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from inbox.conftest import KEY
from inbox.mail_support import US, mail
from inbox.support import conversation_of, outbox_states, reply, texts
from inbox.test_mail_servers import until
from typer.testing import CliRunner

from tasklift.errors import ConfigError, TaskliftError
from tasklift_inbox import admin, cli, doctor, sending
from tasklift_inbox.channels.email import EmailChannel
from tasklift_inbox.errors import Outcome, SendError
from tasklift_inbox.mail import oauth
from tasklift_inbox.mail.mailbox import Login, LoginRefusedError, Mailbox
from tasklift_inbox.mail.oauth import sasl_answer
from tasklift_inbox.mail.sign_in import MailProvider, Terminal, preset, sign_in
from tasklift_inbox.runtime import Runtime, Settings
from tasklift_inbox.testing import FakeOAuth, running
from tasklift_inbox.testing.mail_servers import mail_servers, missing_mail_servers
from tasklift_inbox.worker import Worker
from tasklift_platform.database import DatabaseOptions

VALUES = {
    "external_id": US,
    "imap_host": "127.0.0.1",
    "smtp_host": "127.0.0.1",
    "security": "none",
    "client_id": "client",
}


def fake() -> FakeOAuth:
    return FakeOAuth(refresh_tokens={"first": US})


async def add(runtime: Runtime, url: str, **more: str) -> EmailChannel:
    """A mailbox with a refresh token, or with what `more` says."""
    values = {**VALUES, "token_url": f"{url}/token", "refresh_token": "first", **more}
    channel = await admin.add(runtime, admin.NewChannel("email", "mail", values), "test")
    assert isinstance(channel, EmailChannel)
    return channel


def command(state: Path, *words: str) -> tuple[int, str]:
    """`tasklift-inbox` with the database in `state`: exit code and what it prints."""
    env = {"TASKLIFT_SECRET_KEY": KEY, "TASKLIFT_INBOX_STATE": str(state)}
    result = CliRunner().invoke(cli.app, words, env=env)
    if isinstance(result.exception, TaskliftError):
        return 2, str(result.exception)
    return result.exit_code, result.output


async def test_sign_in_fetch_send_revoke_and_sign_in_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = missing_mail_servers()
    if reason:
        pytest.skip(f"mail servers: {reason}")
    monkeypatch.setattr(sending, "_CHANNEL_PAUSE_S", 0.5)
    provider = FakeOAuth(signs_in=US)
    async with running(provider.app) as url:
        with mail_servers(["support", "ann"], introspection_url=f"{url}/introspect") as servers:
            given = {**VALUES, "imap_port": servers.imap_port, "smtp_port": servers.smtp_port,
                     "token_url": f"{url}/token", "device_url": f"{url}/devicecode"}  # fmt: skip
            words = [word for item in given.items() for word in ("--set", f"{item[0]}={item[1]}")]
            adding = ("channel", "add", "email", "mail", "--oauth", "other")
            code, said = await asyncio.to_thread(command, tmp_path, *adding, *words)
            assert (code, "type the code ABCD-1234; sign in as support@example.test" in said) == (0, True), said
            assert said.count("ok ") == 2
            assert provider.looked_up == ["access-3", "access-3"]  # by Dovecot, and by Postfix
            runtime = await Runtime.open(Settings(tmp_path, "", KEY, options=DatabaseOptions(synchronous="normal")))
            stop = asyncio.Event()
            working = asyncio.create_task(Worker(runtime, asyncio.Event()).run(stop))
            try:
                with smtplib.SMTP("127.0.0.1", servers.smtp_port) as server:
                    server.sendmail("ann@example.test", [US], mail("Where is my parcel?"))
                await until(lambda: texts(runtime))
                first = await reply(runtime, "It is on its way.")

                async def sent() -> bool:
                    return (await outbox_states(runtime))[first.outbox_id] == "sent"

                await until(sent)
                assert len(provider.asked) == 1 + 1  # signing in, and one access token for all
                with monkeypatch.context() as only:
                    only.setattr(oauth, "MECHANISMS", ("OAUTHBEARER",))
                    assert [check.problem for check in await admin.check(runtime, "mail")] == ["", ""]
                    with pytest.raises(LoginRefusedError, match="invalid_token"):
                        await asyncio.to_thread(Mailbox, Login("127.0.0.1", servers.imap_port, US, "", "none", "no"))
                provider.refresh_tokens.clear()
                provider.access_tokens.clear()
                second = await reply(runtime, "And another thing.")

                async def sick() -> list[str]:
                    return [one.what + one.remedy for one in await doctor.examine(runtime) if "mail" in one.what]

                [finding] = await until(sick)
                assert "invalid_grant (AADSTS50173: The provided grant has expired" in finding
                assert "channel add email mail --oauth ... --replace" in finding
                assert (await outbox_states(runtime))[second.outbox_id] == "queued"
                code, said = await asyncio.to_thread(command, tmp_path, *adding, "--replace")
                assert code == 0, said

                async def all_sent() -> bool:
                    return set((await outbox_states(runtime)).values()) == {"sent"}

                await until(all_sent)
                assert len((await conversation_of(runtime))["messages"]) == 3
            finally:
                stop.set()
                await working
                await runtime.aclose()


async def test_one_process_asks_and_all_use_the_token(runtime: Runtime) -> None:
    provider = FakeOAuth(refresh_tokens={"first": US}, rotates=True)
    async with running(provider.app) as url:
        channel = await add(runtime, url)
        other = await Runtime.open(runtime.settings)
        twin = other.channel("mail")
        assert isinstance(twin, EmailChannel)
        logins = await asyncio.gather(*(one.login() for one in (channel, twin) for _ in range(3)))
        assert {one.token for one in logins} == {"access-1"}
        renewed = await asyncio.gather(channel.login("access-1"), twin.login("access-1"))  # a server refused it
        assert len({one.token for one in renewed}) == 1
        assert [form["refresh_token"] for form in provider.asked] == ["first", "refresh-2"]  # each good once
        provider.lifetime_s = 30  # less than what is left before it is not used any more
        await twin.login(renewed[0].token)
        await channel.login()
        assert len(provider.asked) == 4
        await other.aclose()


async def test_signing_in_again_forgets_what_was_kept(runtime: Runtime) -> None:
    provider = fake()
    async with running(provider.app) as url:
        await (await add(runtime, url)).login()
        provider.refresh_tokens = {"second": US}
        new = admin.NewChannel("email", "mail", {"refresh_token": "second"}, is_replacement=True)
        channel = await admin.add(runtime, new, "test")
        assert isinstance(channel, EmailChannel)
        assert (await channel.login()).token == "access-2"


@pytest.mark.parametrize(
    ("changes", "outcome", "words", "remedy"),
    [
        ({"refresh_tokens": {}}, Outcome.CHANNEL, "invalid_grant", "sign in again"),
        ({"client_secret": "new"}, Outcome.CHANNEL, "client secret keys are expired", "make a new client secret"),
        ({"token": ""}, Outcome.RETRY, "answered 404 without a token", ""),
    ],
)
async def test_a_token_that_cannot_be_had_is_said(
    runtime: Runtime, changes: dict[str, Any], outcome: Outcome, words: str, remedy: str
) -> None:
    provider, path = fake(), "token" if "token" not in changes else "nowhere"
    async with running(provider.app) as url:
        channel = await add(runtime, url, token_url=f"{url}/{path}")
        for name, value in changes.items():
            if name != "token":
                setattr(provider, name, value)
        with pytest.raises(SendError, match=words) as caught:
            await channel.login()
        assert (caught.value.outcome, remedy in caught.value.remedy) == (outcome, True)
        checks = await channel.check()
        assert all(words in check.problem for check in checks)
        assert all(check.remedy for check in checks)


async def test_an_application_opens_a_mailbox_without_a_person(runtime: Runtime) -> None:
    provider = FakeOAuth(client_secret="s", application=US)
    async with running(provider.app) as url:
        channel = await add(runtime, url, refresh_token="", client_secret="s", scope="x/.default")
        assert (await channel.login()).token == "access-1"
    [asked] = provider.asked
    assert (asked["grant_type"], asked["scope"]) == ("client_credentials", "x/.default")


async def test_a_browser_ends_at_an_address_that_is_pasted(runtime: Runtime) -> None:
    provider = FakeOAuth(codes={"c": US})
    told: list[str] = []

    def paste(**more: str) -> Terminal:
        def answer(_: str) -> str:
            opened = parse_qs(urlsplit(told[-2].partition("\n")[2]).query)
            assert opened["code_challenge_method"] == ["S256"]
            return f"http://127.0.0.1:8701/?{urlencode({'state': opened['state'][0], 'code': 'c', **more})}"

        return Terminal(told.append, answer)

    async with running(provider.app) as url:
        values = {**VALUES, "token_url": f"{url}/token"}
        where = MailProvider(authorize_url="https://login.test/authorize")
        with pytest.raises(ConfigError, match="of another sign-in"):
            await sign_in(runtime.http, where, values, paste(state="x"))
        assert await sign_in(runtime.http, where, values, paste()) == "refresh-2"
        with pytest.raises(SendError, match="invalid_grant"):  # a code is good once
            await sign_in(runtime.http, where, values, paste())
    assert len(provider.asked[0]["code_verifier"]) >= 43


def test_presets_of_providers() -> None:
    values, where = preset("microsoft", {"client_id": "c", "tenant": "contoso.example"}, {"imap_host": "old"})
    assert values["token_url"] == "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token"
    assert (values["imap_host"], values["security"]) == ("outlook.office365.com", "starttls")
    assert where.device_url.startswith("https://login.microsoftonline.com/contoso.example/")
    assert preset("google", {"client_id": "c", "imap_host": "mine"}, {})[0]["imap_host"] == "mine"
    for name, given in (("fax", {}), ("microsoft", {}), ("other", {"client_id": "c"})):
        with pytest.raises(ConfigError):
            preset(name, given, {})


@pytest.mark.parametrize("more", [{"token_url": "http://login.test/token"}, {"refresh_token": ""}])
async def test_a_mailbox_that_could_not_ask_is_refused(runtime: Runtime, more: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="token_url"):
        await add(runtime, "https://login.test", **more)


def test_what_is_said_to_log_in() -> None:
    assert sasl_answer("XOAUTH2", US, "t", "h", 993) == b"user=support@example.test\1auth=Bearer t\1\1"
    answer = b"n,a=a=2Cb=3D@x,\1host=h\1port=993\1auth=Bearer t\1\1"
    assert sasl_answer("OAUTHBEARER", "a,b=@x", "t", "h", 993) == answer
