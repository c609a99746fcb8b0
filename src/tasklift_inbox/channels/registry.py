"""Kind -> class. A new channel is one file and one line here."""

from __future__ import annotations

import importlib
from typing import cast

from tasklift.errors import ConfigError
from tasklift_inbox.channels.base import Channel, ChannelConfig, Tools

#: As strings, so that a channel's own libraries load only where such a channel exists.
KINDS = {
    "email": "tasklift_inbox.channels.email:EmailChannel",
    "instagram": "tasklift_inbox.channels.instagram:InstagramChannel",
    "messenger": "tasklift_inbox.channels.messenger:MessengerChannel",
    "simulated": "tasklift_inbox.channels.simulated:SimulatedChannel",
    "telegram": "tasklift_inbox.channels.telegram:TelegramChannel",
    "whatsapp": "tasklift_inbox.channels.whatsapp:WhatsAppChannel",
}


def channel_class(kind: str) -> type[Channel]:
    """The class for `kind`.

    Raises:
        ConfigError: there is none.
    """
    if kind not in KINDS:
        raise ConfigError(f"no channel is called {kind!r}: there are {', '.join(sorted(KINDS))}")
    module, _, name = KINDS[kind].partition(":")
    return cast(type[Channel], getattr(importlib.import_module(module), name))


def make_channel(config: ChannelConfig, tools: Tools) -> Channel:
    """The channel for `config`."""
    made: Channel = channel_class(config.kind)(config, tools)  # type: ignore[call-arg]
    return made
