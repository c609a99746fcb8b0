"""A person's rows as fixed examples of prompts: taken out of files, versions, overlays, artifacts and results."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tasklift.data.erase import rows_of_group
from tasklift.data.read import to_example
from tasklift.llm.overlay import read_overlays
from tasklift.llm.prompt_file import PromptText, overlay_file, prompt_path
from tasklift.llm.prompt_versions import Version
from tasklift.project import Project, TaskFile
from tasklift.strategies.artifact import Card, read_card, rewrite_card
from tasklift.strategies.classifier import text_of

#: An example that is shorter than this is a person's only where it is their whole text.
TELLING_CHARS = 40
_NOTE = "a row that stood in its examples was erased"


@dataclass(frozen=True)
class PromptStore:
    """Examples in prompts. It has to be asked before the tasks' own files: texts are found there."""

    project: Project
    name: str = "prompts"

    async def erase(self, subject: str) -> int:
        """Take the examples out; in how many places."""
        return await asyncio.to_thread(self._erase, subject)

    async def export(self, subject: str) -> Sequence[Mapping[str, Any]]:
        """The examples that are the person's, by version."""
        return await asyncio.to_thread(self._shown, subject)

    def _shown(self, subject: str) -> list[dict[str, Any]]:
        return [
            {"task": task.name, "prompt": version.ref, "text": shot.text, "label": shot.label}
            for task, texts in self._texts(subject)
            for version in self._versions(task)
            for shot in version.prompt.examples
            if _is_of(shot.text, texts)
        ]

    def _erase(self, subject: str) -> int:
        return sum(
            self._from_prompts(task, texts) + self._from_overlays(task, texts) + self._from_state(texts)
            for task, texts in self._texts(subject)
        )

    def _texts(self, subject: str) -> Iterator[tuple[TaskFile, frozenset[str]]]:
        """Tasks with the texts of the person's rows."""
        for name, task in self.project.tasks.items():
            if task.data is None:
                continue
            path = self.project.folder / "tasks" / name / task.data.file
            rows = rows_of_group(path, task.data.fields, subject)
            found = [to_example(row, task.task, task.data.fields, f"row-{line}") for line, row in rows.items()]
            texts = frozenset(text_of(row.input, task.input_fields).strip() for row in found) - {""}
            if texts:
                yield task, texts

    def _versions(self, task: TaskFile) -> list[Version]:
        prompts = self.project.prompts(task)
        return [version for name in prompts.names() for version in prompts.versions(name)]

    def _from_prompts(self, task: TaskFile, texts: frozenset[str]) -> int:
        prompts, changed = self.project.prompts(task), 0
        used = {strategy: prompts.used(strategy) for strategy in ("prompt", "fewshot")}
        for name in prompts.names():
            draft = prompts.draft(name)
            if draft is not None and (left := _without(draft, texts)) != draft:
                prompt_path(prompts.folder, name).write_text(left.to_file(), encoding="utf-8")
                changed += 1
        for version in self._versions(task):
            left = _without(version.prompt, texts)
            if left == version.prompt:
                continue
            kept = prompts.keep(version.name, left, version.author, f"{version.note}; {_NOTE}", version.made)
            if used[left.strategy] == version:
                prompts.use(kept, version.author, _NOTE)
            (prompts.folder / "versions" / version.name / f"{version.prompt.id}.json").unlink()
            changed += 1
        return changed

    def _from_overlays(self, task: TaskFile, texts: frozenset[str]) -> int:
        folder, changed = self.project.folder / "tasks" / task.name / "overlays", 0
        for name, overlay in read_overlays(folder).items():
            shots = tuple(shot for shot in overlay.examples or () if not _is_of(shot.text, texts))
            if len(shots) < len(overlay.examples or ()):
                left, path = overlay.model_copy(update={"examples": shots or None}), folder / f"{name}.toml"
                if left.changes():
                    path.write_text(overlay_file(left.model_dump(mode="json")), encoding="utf-8")
                else:  # an overlay that changes nothing is an error
                    path.unlink()
                changed += 1
        return changed

    def _from_state(self, texts: frozenset[str]) -> int:
        changed = 0
        for path in sorted((self.project.state / "artifacts").glob("[!.]*/**/candidate.json")):
            card = read_card(path.parent)
            left = _card_without(card, texts)
            if left != card:
                rewrite_card(path.parent, left)
                changed += 1
        for path in sorted((self.project.state / "optimizations").glob("*/result.json")):
            shots = json.loads(path.read_text(encoding="utf-8")).get("prompt", {}).get("examples", ())
            if any(_is_of(shot["text"], texts) for shot in shots):
                path.unlink()
                changed += 1
        for path in sorted((self.project.state / "optimizations").glob("*/trials.jsonl")):
            path.unlink()  # answers of models to rows; they can be asked for again
            changed += 1
        return changed


def _without(prompt: PromptText, texts: frozenset[str]) -> PromptText:
    kept = tuple(shot for shot in prompt.examples if not _is_of(shot.text, texts))
    return prompt if len(kept) == len(prompt.examples) else prompt.model_copy(update={"examples": kept})


def _card_without(card: Card, texts: frozenset[str]) -> Card:
    material = card.parameters.get("material")
    if not material:
        return card
    left = _shots_without(material, texts)
    overlays = {name: _shots_without(one, texts) for name, one in material.get("overlays", {}).items()}
    left |= {"overlays": overlays} if overlays else {}
    return card if left == dict(material) else replace(card, parameters={**card.parameters, "material": left})


def _shots_without(row: Mapping[str, Any], texts: frozenset[str]) -> dict[str, Any]:
    if "examples" not in row:
        return dict(row)
    return {**row, "examples": [shot for shot in row["examples"] if not _is_of(shot["text"], texts)]}


def _is_of(example: str, texts: frozenset[str]) -> bool:
    """Is an example one of these texts, or the beginning of one?"""
    said = example.strip()
    return said in texts or (len(said) >= TELLING_CHARS and any(text.startswith(said) for text in texts))
