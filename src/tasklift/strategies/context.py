"""What is left out of a prompt that is longer than the model's context, in which order, and how much."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
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
        text_chars: characters of the text that are left; None: all.
        over_tokens: by how many tokens the whole prompt was too long.
    """

    examples: int = 0
    text_chars: int | None = None
    over_tokens: int = 0

    def to_notes(self) -> dict[str, Any]:
        """For a prediction's notes; nothing where nothing was cut."""
        if self == UNCUT:
            return {}
        cut: dict[str, Any] = {"over_tokens": self.over_tokens}
        if self.examples:
            cut |= {"examples": self.examples, "rule": "farthest examples first"}
        if self.text_chars is not None:
            cut |= {"text_chars": self.text_chars, "rule": "all retrieved examples, then the end of the text"}
        return {"cut": cut}

    @classmethod
    def of_notes(cls, notes: Mapping[str, Any]) -> Cut:
        """The inverse of `to_notes`."""
        cut = notes.get("cut", {})
        return cls(cut.get("examples", 0), cut.get("text_chars"), cut.get("over_tokens", 0))


UNCUT = Cut()


def cut_further(cut: Cut, error: ContextOverflowError, request: Request, examples: int, text_chars: int) -> Cut:
    """The next cut after a prompt was refused as too long.

    Args:
        request: the one that was refused.
        examples: retrieved ones in all.
        text_chars: length of the whole text.

    Raises:
        ContextOverflowError: nothing more may be cut; says by how much it is still too long and what was cut.
    """
    chars = sum(len(message.content) for message in request.messages)
    tokens, limit = error.tokens, error.limit
    if not tokens:  # the server did not say: a quarter less, until it fits
        tokens = math.ceil(chars / CHARS_A_TOKEN)
        limit = 3 * tokens // 4
    over = tokens - limit
    whole = cut.over_tokens or over
    too_much = math.ceil((over + SPARE_TOKENS) * chars / tokens)
    if cut.examples < examples:
        # As many as stand for what is too much, by their share of the prompt; at least one.
        share = max(1, math.ceil((examples - cut.examples) * too_much / max(1, chars)))
        return Cut(min(examples, cut.examples + share), cut.text_chars, whole)
    left = text_chars if cut.text_chars is None else cut.text_chars
    wanted = left - too_much
    if over <= 0 or left <= LEAST_TEXT_CHARS:
        done = [f"all {examples} retrieved examples"] if examples else []
        done += [f"the text down to {left} characters"] if cut.text_chars is not None else []
        what = f"; {' and '.join(done)} were cut before" if done else ""
        raise ContextOverflowError(
            f"the prompt has {tokens} tokens, {over} more than the {limit} of the model{what}: "
            f"shorten definitions, policy or fixed examples, or take a model with a larger context",
            tokens,
            limit,
        ) from error
    return Cut(cut.examples, max(LEAST_TEXT_CHARS, wanted), whole)
