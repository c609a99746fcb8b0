"""One label, or any number of labels, of a closed list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import field_validator, model_validator

from tasklift.errors import DataError
from tasklift.outputs.base import OutputKind, as_json, nearest, shown


class Label(OutputKind):
    """Exactly one of several labels."""

    cue: ClassVar[str] = "Label"
    default_metrics: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1")

    kind: Literal["label"] = "label"
    #: label -> its definition, one sentence that a careful stranger could sort by
    labels: dict[str, str]
    #: the label that means "none of the others", if there is one
    out_of_scope: str | None = None

    @field_validator("labels")
    @classmethod
    def _plain(cls, labels: dict[str, str]) -> dict[str, str]:
        return plain_labels(labels, least=2)

    @model_validator(mode="after")
    def _out_of_scope_is_a_label(self) -> Label:
        if self.out_of_scope is not None and self.out_of_scope not in self.labels:
            raise ValueError(f"out_of_scope names {self.out_of_scope!r}, which is not one of the labels")
        return self

    @property
    def definitions(self) -> dict[str, str]:
        """Label -> definition."""
        return self.labels

    @property
    def form(self) -> str:
        """One label, bare."""
        return "Answer with exactly one label and nothing else."

    def check(self, value: Any) -> None:
        """Refuse what is no label.

        Raises:
            DataError: with the value and the nearest allowed label.
        """
        if not isinstance(value, str) or value not in self.labels:
            raise DataError(f"unknown label {value!r}; {nearest(str(value), self.labels)}")

    def write(self, value: Any) -> str:
        """The label itself."""
        return str(value)

    def read(self, text: str) -> str:
        """The label that `text` is.

        Raises:
            DataError: it is none.
        """
        self.check(text.strip())
        return text.strip()

    def stratum(self, value: Any) -> str:
        """The label."""
        return repr(value)


class Labels(OutputKind):
    """Any number of labels, none included."""

    cue: ClassVar[str] = "Labels"
    default_metrics: ClassVar[tuple[str, ...]] = ("accuracy", "set_f1", "macro_label_f1")

    kind: Literal["labels"]
    #: label -> its definition
    labels: dict[str, str]

    @field_validator("labels")
    @classmethod
    def _plain(cls, labels: dict[str, str]) -> dict[str, str]:
        return plain_labels(labels, least=1)

    @property
    def definitions(self) -> dict[str, str]:
        """Label -> definition."""
        return self.labels

    @property
    def form(self) -> str:
        """A JSON list."""
        return "Answer with a JSON list of the labels that apply, [] where none does, and nothing else."

    @property
    def answer_schema(self) -> dict[str, Any]:
        """A list of distinct labels."""
        return {
            "type": "array",
            "items": {"type": "string", "enum": list(self.labels)},
            "uniqueItems": True,
            "maxItems": len(self.labels),
        }

    @property
    def max_tokens(self) -> int:
        """All labels with their quotes; a token is a byte or more, usually three."""
        return 8 + sum(len(label.encode()) // 2 + 4 for label in self.labels)

    def check(self, value: Any) -> None:
        """Refuse what is no list of distinct labels.

        Raises:
            DataError: with the value and the nearest allowed label.
        """
        if not isinstance(value, list | tuple):
            raise DataError(f"{shown(value)} is no list of labels; write [] for none, or one like {self._example}")
        for label in value:
            if not isinstance(label, str) or label not in self.labels:
                raise DataError(f"unknown label {label!r}; {nearest(str(label), self.labels)}")
        if len(set(value)) < len(value):
            raise DataError(f"{shown(list(value))} names a label twice; name each once")

    def write(self, value: Any) -> str:
        """In the order of the task, as constrained decoding writes them."""
        return as_json(self.tidy(value))

    def tidy(self, value: Any) -> Any:
        """In the order of the task."""
        if not isinstance(value, list | tuple) or not all(isinstance(label, str) for label in value):
            return value
        place = {label: at for at, label in enumerate(self.labels)}
        return sorted(value, key=lambda label: (place.get(label, len(place)), label))

    def stratum(self, value: Any) -> str:
        """The first label: rarer combinations are not kept apart."""
        ordered = self.tidy(value)
        return repr(ordered[0]) if ordered else ""

    @property
    def _example(self) -> str:
        return repr(list(self.labels)[:2])


def plain_labels(labels: Mapping[str, str], least: int) -> dict[str, str]:
    """The labels, where all can be written on a line of their own.

    Raises:
        ValueError: too few, or one that is empty or broken.
    """
    if len(labels) < least:
        raise ValueError("a task needs at least two labels" if least == 2 else "a task needs labels")
    for label in labels:
        if not label.strip() or label != label.strip() or "\n" in label:
            raise ValueError(f"the label {label!r} is empty, has outer spaces or a line break")
    return dict(labels)
