"""A task: what has to be done, defined once, whatever later carries it out."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from tasklift.economics import Economics, Gates
from tasklift.errors import DataError, UnsupportedError
from tasklift.rule import RuleSpec
from tasklift.schema import Schema

_NAME = re.compile(r"^[a-z][a-z0-9_]*$")


class Label(Schema):
    """Exactly one of several labels."""

    kind: Literal["label"] = "label"
    #: label -> its definition, one sentence that a careful stranger could sort by
    labels: dict[str, str]
    #: the label that means "none of the others", if there is one
    out_of_scope: str | None = None

    @field_validator("labels")
    @classmethod
    def _at_least_two(cls, labels: dict[str, str]) -> dict[str, str]:
        if len(labels) < 2:
            raise ValueError("a task needs at least two labels")
        for label in labels:
            if not label.strip() or label != label.strip() or "\n" in label:
                raise ValueError(f"the label {label!r} is empty, has outer spaces or a line break")
        return labels

    @model_validator(mode="after")
    def _out_of_scope_is_a_label(self) -> Label:
        if self.out_of_scope is not None and self.out_of_scope not in self.labels:
            raise ValueError(f"out_of_scope names {self.out_of_scope!r}, which is not one of the labels")
        return self


class Labels(Schema):
    """Any number of labels."""

    kind: Literal["labels"]
    labels: dict[str, str]


class Number(Schema):
    """A number in a range."""

    kind: Literal["number"]
    minimum: float | None = None
    maximum: float | None = None


class JsonOutput(Schema):
    """An object that obeys a JSON schema."""

    kind: Literal["json"]
    json_schema: dict[str, Any]


class Text(Schema):
    """Free text, such as a summary or a reply."""

    kind: Literal["text"]
    max_chars: int | None = None


Output = Annotated[Label | Labels | Number | JsonOutput | Text, Field(discriminator="kind")]


class Task(Schema):
    """What has to be done: instruction, typed output, how it is judged, what it is worth.

    Attributes:
        name: lower case, digits and underscores; callers name the task by it.
        instruction: what a careful stranger would have to be told.
        output: the type of the answer.
        input_fields: the named text fields of an input; the first is the main one.
        metrics: the first is the one that the gate `min_metric` looks at.
        slices: names of `Example.slice` entries to report apart.
        rules: business rules that prompted answers have to pass, in order.
        gates: limits that a choice must pass.
        economics: what answers, errors and people cost; None: not stated.
    """

    schema_version: Literal[1] = 1
    name: str
    instruction: str = Field(min_length=1)
    output: Output
    input_fields: tuple[str, ...] = Field(default=("text",), min_length=1)
    metrics: tuple[Literal["accuracy", "macro_f1"], ...] = Field(default=("accuracy", "macro_f1"), min_length=1)
    slices: tuple[str, ...] = ()
    rules: tuple[RuleSpec, ...] = ()
    gates: Gates = Gates()
    economics: Economics | None = None

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("a task's name is lower-case letters, digits and underscores, letter first")
        return name

    @property
    def labels(self) -> dict[str, str]:
        """Label -> definition, in the order of the task file.

        Raises:
            UnsupportedError: the output is of another kind.
        """
        if not isinstance(self.output, Label):
            raise UnsupportedError(
                f"task {self.name}: output kind {self.output.kind!r} is not built yet; "
                'kind = "label" (exactly one of several labels) is what works today'
            )
        return self.output.labels

    @property
    def content_hash(self) -> str:
        """Hash of what decides answers (instruction, output, input fields, rules): not gates, not economics."""
        seen: dict[str, Any] = {
            "instruction": self.instruction,
            "output": self.output.model_dump(),
            "input": self.input_fields,
        }
        if self.rules:
            seen["rules"] = [rule.model_dump(exclude={"why"}) for rule in self.rules]
        return hashlib.sha256(json.dumps(seen, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def check_output(self, output: Any) -> None:
        """Refuse an expected answer that the output type does not allow.

        Raises:
            DataError: with the value and the nearest allowed label.
        """
        if not isinstance(output, str) or output not in self.labels:
            raise DataError(f"unknown label {output!r}; {_nearest(str(output), self.labels)}")

    def main_text(self, value: Mapping[str, Any]) -> str:
        """The main text of an input, '' when it is missing or not text."""
        text = value.get(self.input_fields[0], "")
        return text if isinstance(text, str) else ""


def _nearest(value: str, labels: Mapping[str, str]) -> str:
    folded = {label.casefold().replace(" ", "_"): label for label in labels}
    near = folded.get(value.strip().casefold().replace(" ", "_").replace("-", "_"))
    near = near or next(iter(difflib.get_close_matches(value, labels, n=1, cutoff=0.75)), None)
    if near is not None:
        return f"did you mean {near!r}?"
    shown = ", ".join(list(labels)[:8])
    return f"the task knows {len(labels)} labels: {shown}{', ...' if len(labels) > 8 else ''}"
