"""A task: what has to be done, defined once, whatever later carries it out."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from tasklift.economics import Economics, Gates
from tasklift.outputs.base import OutputKind
from tasklift.outputs.json_object import JsonOutput
from tasklift.outputs.labels import Label, Labels
from tasklift.outputs.number import Number
from tasklift.outputs.text import Text
from tasklift.rule import RuleSpec
from tasklift.schema import Schema

__all__ = ["JsonOutput", "Label", "Labels", "Number", "Output", "Right", "Task", "Text"]

_NAME = re.compile(r"^[a-z][a-z0-9_]*$")


#: What `kind` may be.
KINDS: Mapping[str, type[OutputKind]] = {
    "label": Label,
    "labels": Labels,
    "number": Number,
    "json": JsonOutput,
    "text": Text,
}
Output = Annotated[Label | Labels | Number | JsonOutput | Text, Field(discriminator="kind")]


class Right(Schema):
    """When an answer counts as right: what accuracy, comparisons and decisions rest on.

    Without it: the label, the set of labels, the object (absent fields and white space apart) is the expected one; a
    number lies within a tenth of the task's range; a text reaches 0.5 in ROUGE-L.

    Attributes:
        within: largest distance of a number.
        metric: a metric of single rows, from 0 to 1, in place of being equal.
        at_least: from which value of that metric on.
    """

    within: float | None = Field(default=None, ge=0)
    metric: str | None = None
    at_least: float | None = Field(default=None, gt=0, le=1)


class Task(Schema):
    """What has to be done: instruction, typed output, how it is judged, what it is worth.

    Attributes:
        name: lower case, digits and underscores; callers name the task by it.
        instruction: what a careful stranger would have to be told.
        output: the type of the answer.
        input_fields: the named text fields of an input; the first is the main one.
        metrics: the first is the one that the gate `min_metric` looks at. None named: those of the kind of output.
        right: when an answer counts as right.
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
    metrics: tuple[str, ...] = Field(default=(), validate_default=True)
    right: Right = Right()
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

    @model_validator(mode="before")
    @classmethod
    def _metrics_of_the_kind(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and not data.get("metrics"):
            output = data.get("output")
            kind = output.get("kind") if isinstance(output, Mapping) else getattr(output, "kind", None)
            if isinstance(kind, str) and kind in KINDS:
                return {**data, "metrics": KINDS[kind].default_metrics}
        return data

    @model_validator(mode="after")
    def _right_fits_the_kind(self) -> Task:
        if self.right.within is not None and self.output.kind != "number":
            raise ValueError(f'right.within is for kind = "number"; the output is of kind {self.output.kind!r}')
        if self.right.at_least is not None and self.right.metric is None and self.output.kind != "text":
            raise ValueError("right.at_least needs right.metric")
        return self

    @property
    def labels(self) -> dict[str, str]:
        """Label -> definition, in the order of the task file; empty for kinds of output without labels."""
        return self.output.definitions

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
            DataError: what is wrong with which value, and what is allowed.
        """
        self.output.check(output)

    def main_text(self, value: Mapping[str, Any]) -> str:
        """The main text of an input, '' when it is missing or not text."""
        text = value.get(self.input_fields[0], "")
        return text if isinstance(text, str) else ""
