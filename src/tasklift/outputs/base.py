"""What every kind of output can do: check an answer, write it into a prompt, read it from a model."""

from __future__ import annotations

import difflib
import json
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from tasklift.errors import DataError
from tasklift.schema import Schema

#: The answer "the input does not say", where `may_abstain` allows it: an output like any other, not a failure.
ABSTAINED: Mapping[str, bool] = {"abstain": True}


class OutputKind(Schema):
    """Base of the kinds. An answer is plain JSON data: text, a list of labels, a number or an object."""

    #: What stands before the answer in a prompt.
    cue: ClassVar[str] = "Answer"
    #: Metrics that are reported where the task names none; `accuracy` is the share of answers that count as right.
    default_metrics: ClassVar[tuple[str, ...]] = ("accuracy",)

    @property
    def definitions(self) -> dict[str, str]:
        """Label -> definition; empty for kinds without labels."""
        return {}

    @property
    @abstractmethod
    def form(self) -> str:
        """The sentence that tells a model what its answer must look like."""

    @property
    def answer_schema(self) -> dict[str, Any] | None:
        """JSON Schema of an answer, for models that decode under one; None: free text, or one label."""
        return None

    @property
    def max_tokens(self) -> int:
        """Tokens that an answer may take."""
        return 64

    @abstractmethod
    def check(self, value: Any) -> None:
        """Refuse an answer that is not allowed.

        Raises:
            DataError: what is wrong with which value.
        """

    def tidy(self, value: Any) -> Any:
        """The one way of writing an answer of those that mean the same."""
        return value

    def same(self, answer: Any, expected: Any) -> bool:
        """Do two answers mean the same?"""
        return bool(self.tidy(answer) == self.tidy(expected))

    def write(self, value: Any) -> str:
        """The answer as a model should write it."""
        return as_json(value)

    def read(self, text: str) -> Any:
        """The answer that a model wrote; nothing is guessed.

        Raises:
            DataError: it is none, said so that a model can mend it.
        """
        value = self.tidy(read_json(text))
        self.check(value)
        return value

    def key(self, value: Any) -> str:
        """Equal for answers that mean the same."""
        return as_json(self.tidy(value))

    def stratum(self, value: Any) -> str:
        """What a split keeps the mix of."""
        return ""


class MayAbstain(OutputKind):
    """A kind whose answers may be "the input does not say".

    Attributes:
        may_abstain: `{"abstain": true}` is an answer: right where the row expects it, wrong elsewhere.
    """

    may_abstain: bool = False

    def is_abstention(self, value: Any) -> bool:
        """Is it the answer "the input does not say", and may it be?"""
        return self.may_abstain and isinstance(value, Mapping) and dict(value) == ABSTAINED

    @property
    def abstention_form(self) -> str:
        """How a model is told that it may abstain."""
        return f" If the text does not say, answer {as_json(ABSTAINED)} instead." if self.may_abstain else ""

    def or_abstain(self, schema: dict[str, Any]) -> dict[str, Any]:
        """`schema`, or the abstention where it is allowed."""
        if not self.may_abstain:
            return schema
        abstained = {
            "type": "object",
            "properties": {"abstain": {"const": True}},
            "required": ["abstain"],
            "additionalProperties": False,
        }
        return {"anyOf": [schema, abstained]}


def as_json(value: Any) -> str:
    """JSON on one line, as models are shown it."""
    return json.dumps(value, ensure_ascii=False)


def read_json(text: str) -> Any:
    """The JSON value that `text` is; one code fence around it is taken off.

    Raises:
        DataError: it is none.
    """
    bare = text.strip()
    if bare.startswith("```") and bare.endswith("```") and "\n" in bare:
        bare = bare[bare.index("\n") : -3].strip()
    try:
        return json.loads(bare, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{shown(bare)} is not JSON") from error


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def shown(value: Any, most: int = 80) -> str:
    """A value for a message, cut."""
    text = repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."


def nearest(value: str, labels: Mapping[str, str]) -> str:
    """What an unknown label may have meant, as the end of a message."""
    folded = {label.casefold().replace(" ", "_"): label for label in labels}
    near = folded.get(value.strip().casefold().replace(" ", "_").replace("-", "_"))
    near = near or next(iter(difflib.get_close_matches(value, labels, n=1, cutoff=0.75)), None)
    if near is not None:
        return f"did you mean {near!r}?"
    listed = ", ".join(list(labels)[:8])
    return f"the task knows {len(labels)} labels: {listed}{', ...' if len(labels) > 8 else ''}"
