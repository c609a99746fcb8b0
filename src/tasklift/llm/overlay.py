"""Overlays: what a department or a language says differently on top of one base prompt."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tasklift.errors import ConfigError
from tasklift.llm.prompt_file import PromptText, Shot
from tasklift.llm.template import Template
from tasklift.schema import Schema, parse, read_toml

#: The answer by which a model hands a row to a person.
ABSTAIN = "abstain"


class Overlay(Schema):
    """`tasks/<task>/overlays/<name>.toml`. What is left out stays as the base says it.

    Attributes:
        slice: rows that it is for (name = value), in evaluations; all rows where it is empty.
        labels: definitions of some of the task's labels.
        tone: how to write.
        policy: rules of the business in words.
        examples: fixed examples.
    """

    schema_version: Literal[1] = 1
    slice: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    tone: str | None = None
    policy: str | None = None
    examples: tuple[Shot, ...] | None = None

    def changes(self) -> dict[str, Any]:
        """What it overrides, as plain values."""
        said = self.model_dump(mode="json", exclude={"schema_version", "slice"})
        return {name: value for name, value in said.items() if value not in (None, {})}


def read_overlays(folder: Path) -> dict[str, Overlay]:
    """Name -> overlay, of all files of a task's overlays folder.

    Raises:
        ConfigError: a file says something else than an overlay may; names file and key.
    """
    found = {path.stem: parse(Overlay, read_toml(path), str(path)) for path in sorted(folder.glob("*.toml"))}
    for name, overlay in found.items():
        if not overlay.changes():
            raise ConfigError(f"{folder / name}.toml: overrides nothing; give labels, tone, policy or examples")
    return found


def check_overlay(overlay: Overlay, labels: Mapping[str, str], template: Template, source: str) -> None:
    """Refuse an overlay that could change nothing, or not what it means to.

    Args:
        labels: of the task.
        template: of the base prompt.
        source: the file, for the message.

    Raises:
        ConfigError: an unknown label, or a part that the template does not show.
    """
    for label in overlay.labels:
        if label not in labels:
            near = difflib.get_close_matches(label, labels, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(list(labels)[:8])}"
            raise ConfigError(f"{source}: `labels.{label}`: the task has no such label; {hint}")
    for shot in overlay.examples or ():
        if shot.label not in labels:
            raise ConfigError(f"{source}: `examples`: {shot.label!r} is none of the task's labels")
    shown = template.fields()
    for part in overlay.changes():
        if part not in shown:
            raise ConfigError(
                f"{source}: `{part}`: the base prompt does not name {{{{ {part} }}}}: nothing would change"
            )


@dataclass(frozen=True)
class Material:
    """What is laid into a prompt's templates beside task and row.

    Attributes:
        version: `name@id` of the prompt; '' for the one that is built in.
        instruction: instead of the task's; '' for that one.
        tone, policy: texts.
        examples: fixed ones, `text` and `label` each.
        abstain: when the model should answer `abstain`; '' where it may not.
        overlays: name -> what it changes.
        overlay: taken where a request names none.
        made: what an optimiser took to make it, as `Resources` has it.
    """

    version: str = ""
    instruction: str = ""
    tone: str = ""
    policy: str = ""
    examples: tuple[Mapping[str, str], ...] = ()
    abstain: str = ""
    overlays: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    overlay: str = ""
    made: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, prompt: PromptText, version: str, made: Mapping[str, Any]) -> Material:
        """Of a prompt file."""
        shots = tuple(shot.model_dump() for shot in prompt.examples)
        return cls(version, prompt.instruction, prompt.tone, prompt.policy, shots, prompt.abstain, made=made)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Material:
        """The inverse of `to_json`."""
        return cls(**{**row, "examples": tuple(row.get("examples", ()))})

    def to_json(self) -> dict[str, Any]:
        """Plain fields, those that say something."""
        return {name: value for name, value in asdict(self).items() if value}

    def under(self, name: str | None) -> tuple[Material, Mapping[str, str], str]:
        """What it says under an overlay, the definitions that change, and the overlay that was taken ('': none)."""
        taken = name if name in self.overlays else self.overlay
        over = self.overlays.get(taken, {}) if taken else {}
        if not over:
            return self, {}, ""
        parts: dict[str, Any] = {key: over[key] for key in ("tone", "policy") if key in over}
        if "examples" in over:
            parts["examples"] = tuple(over["examples"])
        return replace(self, **parts), over.get("labels", {}), str(taken)
