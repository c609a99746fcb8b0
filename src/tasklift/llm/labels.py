"""One answer out of a set of labels: how to ask for it, and when an answer is one. Nothing is guessed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

from tasklift.llm.model import Message

_QUOTES = " \t\r\n\"'`“”‘’«»"


def match_label(text: str, labels: tuple[str, ...]) -> str | None:
    """The label that `text` is: as `{"label": ...}` or bare, but for quotes, a full stop and case.

    None where it is not exactly one: a label inside a longer text does not count.
    """
    bare = text.strip()
    if bare.startswith("{") and bare not in labels:
        try:
            value = json.loads(bare)
        except (ValueError, RecursionError):
            return None
        if not (isinstance(value, dict) and len(value) == 1 and isinstance(value.get("label"), str)):
            return None
        bare = value["label"]
    return bare if bare in labels else _index(labels).get(_normalised(bare))


@lru_cache(maxsize=64)
def label_schema(labels: tuple[str, ...]) -> str:
    """The `response_format` field as JSON text, made once for each set of labels."""
    schema = {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": list(labels)}},
        "required": ["label"],
        "additionalProperties": False,
    }
    return json.dumps({"type": "json_schema", "json_schema": {"name": "label", "strict": True, "schema": schema}})


def instruct(messages: tuple[Message, ...], labels: tuple[str, ...]) -> tuple[Message, ...]:
    """The same chat, asking in words for one of `labels`.

    It goes into the last message, since many chat templates take no system message, or only a first one.
    """
    order = "Answer with exactly one of the following lines, and nothing else:\n" + "\n".join(labels)
    if not messages or messages[-1].role == "assistant":
        return (*messages, Message("user", order))
    return (*messages[:-1], Message(messages[-1].role, f"{messages[-1].content}\n\n{order}"))


@lru_cache(maxsize=64)
def _index(labels: tuple[str, ...]) -> Mapping[str, str | None]:
    """Normalised label -> label, or None where two labels normalise to the same."""
    index: dict[str, str | None] = {}
    for label in labels:
        plain = _normalised(label)
        index[plain] = None if plain in index else label
    index[""] = None  # an empty answer is no answer, even to a label such as "."
    return index


def _normalised(text: str) -> str:
    return text.lstrip(_QUOTES).rstrip(_QUOTES + ".。").casefold()
