"""A channel without a provider, for trying things and for tests: messages come by its webhook, sent ones are kept.

    POST /hooks/NAME   {"messages": [{"from": "anna", "id": "1", "text": "Hello", "at": 1764000000}]}

signed as Meta signs: X-Hub-Signature-256 with the channel's `app_secret`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar

from tasklift_inbox.channels.base import Arrived, Changed, ChannelConfig, Check, Field, Item, Part, Person, Tools
from tasklift_inbox.channels.outgoing import ANY, Abilities, NotSent, Outgoing, Sent
from tasklift_inbox.channels.reading import json_object, objects, seconds, sha256_key, text_of, verify_hmac
from tasklift_inbox.errors import MediaError


class SimulatedChannel:
    """Takes signed JSON, and "sends" by saying so."""

    kind: ClassVar[str] = "simulated"
    fields: ClassVar[tuple[Field, ...]] = (
        Field("external_id", "any name", default="simulated"),
        Field("app_secret", "any text; made up where it is empty", is_secret=True, default="random"),
    )
    abilities = Abilities(
        text_chars=4096,
        caption_chars=1024,
        attachment_bytes=dict.fromkeys(("image", "audio", "voice", "video", "document"), 5 * 2**20),
        download_bytes=5 * 2**20,
        caption_kinds=frozenset({"image", "audio", "voice", "video", "document"}),
        reactions=ANY,
        sends_locations=True,
        per_account_s=1000,
        per_chat_s=1000,
        burst=1000,
        is_asked=True,
    )

    def __init__(self, config: ChannelConfig, tools: Tools) -> None:
        self.config = config

    def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """As Meta's."""
        verify_hmac(headers, body, self.config.secrets("app_secret"), "x-hub-signature-256")

    def dedupe_key(self, body: bytes) -> str:
        """The bytes."""
        return sha256_key(body)

    def handshake(self, query: Mapping[str, str]) -> str | None:
        """None is asked for."""
        return None

    def parse(self, headers: Mapping[str, str], body: bytes, received_at: float) -> list[Item]:
        """`messages` with from, id, text, at, and optionally name and reply_to; `edits` with target, id, text, at."""
        found: list[Item] = []
        data, key_of_body = json_object(body), sha256_key(body)
        for message in objects(data.get("messages")):
            person = Person(text_of(message.get("from")) or "unknown", text_of(message.get("name")))
            at = seconds(message.get("at"), received_at)
            identity = text_of(message.get("id")) or key_of_body
            kind = "text" if isinstance(message.get("text"), str) else "unsupported"
            details: dict[str, Any] = {} if kind == "text" else {"content": message}
            reply = text_of(message.get("reply_to")) or None
            found.append(Arrived("", person, identity, at, kind, text_of(message.get("text")), (), reply, details))
        for edit in objects(data.get("edits")):
            at = seconds(edit.get("at"), received_at)
            key = text_of(edit.get("id")) or key_of_body
            found.append(Changed("", text_of(edit.get("target")), "edit", key, at, text_of(edit.get("text"))))
        return found

    async def send(self, outgoing: Outgoing) -> Sent:
        """Taken at once."""
        return Sent(f"simulated:{outgoing.outbox_id}")

    async def lookup(self, outgoing: Outgoing) -> Sent | NotSent | None:
        """What was tried was sent."""
        return Sent(f"simulated:{outgoing.outbox_id}")

    def fetch(self, part: Part, raw: bytes) -> AsyncIterator[bytes]:
        """It has no attachments."""
        raise MediaError("the simulated channel has no attachments")

    async def check(self) -> list[Check]:
        """Nothing can be wrong."""
        return [Check("nothing to connect to")]

    def setup(self, hook_url: str) -> Sequence[str]:
        """How to write to it."""
        return [f"Send signed JSON to {hook_url}; see docs/inbox/walk.md."]
