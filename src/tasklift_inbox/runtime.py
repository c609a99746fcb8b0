"""What every part of a running inbox shares: database, channels with their credentials, queues, files."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from tasklift.errors import TaskliftError
from tasklift_inbox.channels.base import Channel, ChannelConfig, Tools
from tasklift_inbox.channels.http import ApiClient
from tasklift_inbox.channels.registry import make_channel
from tasklift_inbox.errors import UnknownChannelError
from tasklift_inbox.sealed_tokens import SealedTokens
from tasklift_inbox.store import open_store
from tasklift_inbox.tables import channels
from tasklift_platform.database import Database, DatabaseOptions
from tasklift_platform.jobs import Backoff, JobQueue
from tasklift_platform.vault import Secret, SecretStore, Vault
from tasklift_platform.watch import Watch

_LOG = logging.getLogger("tasklift.inbox.runtime")
#: Counted up when a channel is added, changed or disabled: every process notices within a second.
REVISION = "inbox_channels"


@dataclass(frozen=True, slots=True)
class Settings:
    """How an inbox is opened.

    Attributes:
        state: folder for the database, unless `database` names another, and for attachments.
        database: URL; '' for `inbox.db` in `state`.
        secret_key: text of TASKLIFT_SECRET_KEY.
        public_url: under which providers reach us, such as https://inbox.example.com.
        options: of the database.
    """

    state: Path
    database: str = ""
    secret_key: str = ""
    public_url: str = "http://127.0.0.1:8700"
    options: DatabaseOptions | None = None

    @property
    def url(self) -> str:
        """Of the database."""
        return self.database or f"sqlite:///{(self.state / 'inbox.db').resolve()}"

    @property
    def media(self) -> Path:
        """Where attachments are."""
        return self.state / "media"


class Runtime:
    """Opened by `open`, closed by `aclose`.

    Attributes:
        channels: the active ones, by name.
        broken: active ones that cannot be opened, and why: a credential is missing, or sealed with another key.
        send_queue, media_queue: jobs; one conversation's sends run one after the other.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings, self.database = settings, database
        self.secrets = SecretStore(database, Vault(settings.secret_key))
        self.http = ApiClient()
        signing_key = hashlib.sha256(b"mail token\0" + settings.secret_key.encode()).digest()
        self.tools = Tools(self.http, signing_key, SealedTokens(database, self.secrets))
        self.channels: dict[str, Channel] = {}
        self.broken: dict[str, str] = {}
        self.send_queue = JobQueue(database, "inbox.send", backoff=Backoff(2.0, 900.0))
        self.media_queue = JobQueue(database, "inbox.media", backoff=Backoff(2.0, 3600.0))
        self.watch = Watch(database)
        self._routes: dict[str, dict[str, str]] = {}
        self._revision = -1

    @classmethod
    async def open(cls, settings: Settings) -> Runtime:
        """The inbox of `settings`, its tables up to date and its channels loaded.

        Raises:
            ConfigError: no usable database address or secret key.
            DatabaseError: the database does not answer.
        """
        settings.state.mkdir(parents=True, exist_ok=True)
        database = await open_store(settings.url, settings.options)
        try:
            runtime = cls(settings, database)
        except BaseException:
            await database.aclose()
            raise
        await runtime.load()
        return runtime

    async def aclose(self) -> None:
        """Close connections."""
        await self.watch.aclose()
        await self.http.aclose()
        await self.database.aclose()

    async def refresh(self) -> None:
        """Load the channels again where somebody changed them."""
        await self.watch.fresh()
        if self.watch.revision(REVISION) != self._revision:
            await self.load()

    async def load(self) -> None:
        """Load the active channels."""
        revision = self.watch.revision(REVISION)
        async with self.database.read() as connection:
            rows = (await connection.execute(sa.select(channels).where(channels.c.is_active))).all()
        made: dict[str, Channel] = {}
        broken: dict[str, str] = {}
        for row in rows:
            try:
                made[row.id] = make_channel(await self._config(row), self.tools)
            except TaskliftError as error:  # the others have to go on
                _LOG.error("channel cannot be opened", extra={"channel": row.id, "problem": str(error)})
                broken[row.id] = str(error)
        self.channels, self.broken, self._revision = made, broken, revision
        self._routes = {name: _route(channel, made) for name, channel in made.items()}

    def channel(self, name: str) -> Channel:
        """An active channel.

        Raises:
            UnknownChannelError: there is none of this name.
        """
        found = self.channels.get(name)
        if found is None:
            raise UnknownChannelError(f"no active channel is called {name!r}; `tasklift-inbox channel list` shows them")
        return found

    def route(self, channel: Channel) -> Mapping[str, str]:
        """Account -> channel, for what comes by the webhook of `channel`."""
        return self._routes.get(channel.config.id, {"": channel.config.id})

    async def _config(self, row: sa.Row[tuple[object, ...]]) -> ChannelConfig:
        sealed = await self.secrets.get(credentials_name(row.id))
        found = {} if sealed is None else json.loads(sealed.reveal())
        credentials = {name: Secret(text) for name, text in found.items()}
        return ChannelConfig(row.id, row.kind, row.external_id, json.loads(row.settings), credentials)


def credentials_name(channel_id: str) -> str:
    """Under which the vault keeps a channel's credentials."""
    return f"channel/{channel_id}"


def _route(channel: Channel, every: Mapping[str, Channel]) -> dict[str, str]:
    """Meta has one webhook address for an app, so it may bring events of other accounts of the same app.

    Only of channels with the same app secret: whoever knows one app's secret must not write into another's channels.
    """
    config = channel.config
    secret = config.credentials.get("app_secret")
    found = {"": config.id, config.external_id: config.id}
    for other in every.values():
        same = secret is not None and other.config.credentials.get("app_secret") == secret
        if other.kind == channel.kind and same:
            found.setdefault(other.config.external_id, other.config.id)
    return found
