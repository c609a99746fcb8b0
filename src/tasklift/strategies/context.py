"""What is left out of a prompt that is longer than the model's context, in which order, and how much."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tasklift.errors import ContextOverflowError
from tasklift.llm.model import Request

#: Tokens that are cut beyond what is too much: a cut is measured in characters, and tokens differ in length.
SPARE_TOKENS = 16
#: Where a server does not count them, a token is taken for this many characters.
CHARS_A_TOKEN = 4
#: A text is not cut below this many characters: what is left would say nothing.
LEAST_TEXT_CHARS = 80


@dataclass(frozen=True)
class Cut:
    """What is left out.

    Attributes:
        examples: retrieved examples, those farthest from the text.
        passages: of documents, those farthest from the text.
        text_chars: characters of the text that are left; None: all.
        over_tokens: by how many tokens the whole prompt was too long.
    """

    examples: int = 0
    passages: int = 0
    text_chars: int | None = None
    over_tokens: int = 0

    def to_notes(self) -> dict[str, Any]:
        """For a prediction's notes; nothing where nothing was cut."""
        if self == UNCUT:
            return {}
        cut: dict[str, Any] = {"over_tokens": self.over_tokens, "rule": "farthest examples first"}
        cut |= {"examples": self.examples} if self.examples else {}
        if self.passages:
            cut |= {"passages": self.passages, "rule": "all retrieved examples, then the farthest passages"}
        if self.text_chars is not None:
            cut |= {"text_chars": self.text_chars, "rule": "all retrieved examples and passages, then the text's end"}
        return {"cut": cut}

    @classmethod
    def of_notes(cls, notes: Mapping[str, Any]) -> Cut:
        """The inverse of `to_notes`."""
        cut = notes.get("cut", {})
        counts = (cut.get("examples", 0), cut.get("passages", 0))
        return cls(*counts, cut.get("text_chars"), cut.get("over_tokens", 0))


UNCUT = Cut()


def cut_further(cut: Cut, error: ContextOverflowError, request: Request, whole: Cut) -> Cut:
    """The next cut after a prompt was refused as too long.

    Args:
        request: the one that was refused.
        whole: how many retrieved examples and passages there are, and how long the text is.

    Raises:
        ContextOverflowError: nothing more may be cut; says by how much it is still too long and what was cut.
    """
    chars = sum(len(message.content) for message in request.messages)
    tokens, limit = error.tokens, error.limit
    if not tokens:  # the server did not say: a quarter less, until it fits
        tokens = math.ceil(chars / CHARS_A_TOKEN)
        limit = 3 * tokens // 4
    over = tokens - limit
    too_much = math.ceil((over + SPARE_TOKENS) * chars / tokens)
    cut = replace(cut, over_tokens=cut.over_tokens or over)
    if cut.examples < whole.examples:
        more = _part(whole.examples, cut.examples, too_much, chars)
        return replace(cut, examples=min(whole.examples, cut.examples + more))
    if cut.passages < whole.passages:
        more = _part(whole.passages, cut.passages, too_much, chars)
        return replace(cut, passages=min(whole.passages, cut.passages + more))
    left = (whole.text_chars or 0) if cut.text_chars is None else cut.text_chars
    if over > 0 and left > LEAST_TEXT_CHARS:
        return replace(cut, text_chars=max(LEAST_TEXT_CHARS, left - too_much))
    done = [f"all {cut.examples} retrieved examples"] if cut.examples else []
    done += [f"all {cut.passages} passages"] if cut.passages else []
    done += [f"the text down to {left} characters"] if cut.text_chars is not None else []
    what = f"; {' and '.join(done)} were cut before" if done else ""
    raise ContextOverflowError(
        f"the prompt has {tokens} tokens, {over} more than the {limit} of the model{what}: "
        f"shorten definitions, policy or fixed examples, or take a model with a larger context",
        tokens,
        limit,
    ) from error


def _part(whole: int, gone: int, too_much: int, chars: int) -> int:
    """How many of those that are left stand for what is too much, by their share of the prompt; at least one."""
    return max(1, math.ceil((whole - gone) * too_much / max(1, chars)))
