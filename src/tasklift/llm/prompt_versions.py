"""Kept versions of prompts, and which one is evaluated: in `tasks/<task>/prompts/`, to be committed with the project.

`versions/<name>/<id>.json` is written once and never changed; its name is the hash of what it says. `uses.jsonl`
grows by a line whenever another version is chosen. Production is not touched by either: it moves by a release.
"""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasklift.errors import ConfigError
from tasklift.llm.prompt_file import PromptText, prompt_names, read_prompt
from tasklift.lock import locked
from tasklift.schema import parse
from tasklift.whole import write_whole

SCHEMA_VERSION = 1
_SHORTEST = 4  # digits by which a version may be named
_WAIT = "choosing a prompt"


@dataclass(frozen=True)
class Version:
    """One kept version.

    Attributes:
        name: of the prompt.
        prompt: what it says.
        at: when it was kept, Unix seconds.
        author: who kept it.
        note: why it was made.
        made: what making it took beside writing: quantities of an optimiser, as `Resources` has them.
    """

    name: str
    prompt: PromptText
    at: float
    author: str
    note: str = ""
    made: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ref(self) -> str:
        """How it is named: `name@id`."""
        return f"{self.name}@{self.prompt.id}"


@dataclass(frozen=True)
class Use:
    """A choice of what a strategy is evaluated with.

    Attributes:
        strategy: whose prompt.
        ref: `name@id`; '' for the prompt that is built in.
        at: Unix seconds.
        author: who chose.
        note: why.
    """

    strategy: str
    ref: str
    at: float
    author: str
    note: str = ""


class Prompts:
    """The prompts of one task.

    Args:
        folder: `tasks/<task>/prompts`; need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """Every prompt that has a file or a kept version."""
        kept = [path.name for path in (self.folder / "versions").glob("*") if path.is_dir()]
        return sorted({*prompt_names(self.folder), *kept}) if self.folder.is_dir() else []

    def draft(self, name: str) -> PromptText | None:
        """The prompt as its file says it now; None where only kept versions are left.

        Raises:
            ConfigError: the file cannot be used.
        """
        return read_prompt(self.folder, name) if name in prompt_names(self.folder) else None

    def versions(self, name: str) -> list[Version]:
        """Kept versions, newest first.

        Raises:
            ConfigError: one of them was changed or damaged.
        """
        found = [self._read(path) for path in (self.folder / "versions" / name).glob("*.json")]
        return sorted(found, key=lambda one: (-one.at, one.prompt.id))

    def find(self, ref: str) -> Version:
        """What `ref` names: `name` (its file as it is now), or `name@` with the beginning of a kept id.

        Raises:
            ConfigError: there is none, or several.
        """
        name, has_version, wanted = ref.partition("@")
        if not has_version:
            draft = read_prompt(self.folder, name)
            kept = {one.prompt.id: one for one in self.versions(name)}
            return kept.get(draft.id) or Version(name, draft, 0.0, "", "not kept yet")
        if len(wanted) < _SHORTEST:
            raise ConfigError(f"{ref!r}: give at least {_SHORTEST} digits of the version behind @")
        known = self.versions(name)
        found = [one for one in known if one.prompt.id.startswith(wanted)]
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigError(f"{ref!r} may be {' or '.join(one.ref for one in found)}; give more digits")
        near = difflib.get_close_matches(name, self.names(), n=1) if not known else []
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(one.ref for one in known) or 'none'}"
        raise ConfigError(f"{self.folder}: no version is called {ref!r}; {hint}")

    def keep(
        self, name: str, prompt: PromptText, author: str, note: str, made: Mapping[str, Any] | None = None
    ) -> Version:
        """Keep a version, once: an equal one that stands there stays as it was, with its time and note.

        Raises:
            ConfigError: the disk refused, or the one that stands there was changed.
        """
        path = self.folder / "versions" / name / f"{prompt.id}.json"
        if path.exists():
            return self._read(path)
        version = Version(name, prompt, time.time(), author, note, dict(made or {}))
        row = {
            "schema_version": SCHEMA_VERSION,
            "id": prompt.id,
            "name": name,
            "at": version.at,
            "author": author,
            "note": note,
            "made": dict(version.made),
            "prompt": prompt.model_dump(mode="json"),
        }
        write_whole(path, json.dumps(row, ensure_ascii=False, indent=1) + "\n", ConfigError)
        return version

    def uses(self) -> list[Use]:
        """Every choice, in order.

        Raises:
            ConfigError: a line cannot be read.
        """
        path = self.folder / "uses.jsonl"
        if not path.exists():
            return []
        found = []
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                row = json.loads(line)
                found.append(Use(row["strategy"], row["ref"], row["at"], row["author"], row.get("note", "")))
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigError(f"{path}: line {number} is damaged ({error}); mend or remove it") from error
        return found

    def used(self, strategy: str) -> Version | None:
        """What a strategy is evaluated with; None: with the prompt that is built in.

        Raises:
            ConfigError: the version that was chosen is gone.
        """
        ref = next((use.ref for use in reversed(self.uses()) if use.strategy == strategy), "")
        return self.find(ref) if ref else None

    def use(self, version: Version, author: str, note: str) -> Use:
        """Evaluate the strategy of `version` with it from now on; a version that is not kept yet is kept first."""
        kept = self.keep(version.name, version.prompt, author, note, version.made)
        return self._append(Use(kept.prompt.strategy, kept.ref, time.time(), author, note))

    def rollback(self, strategy: str, author: str, note: str) -> Use:
        """Choose again what was chosen before; rolling back once more goes one choice further back.

        Raises:
            ConfigError: nothing was chosen before.
        """
        stack: list[str] = [""]  # what is left of the choices once every rollback has taken one away
        for use in self.uses():
            if use.strategy == strategy:
                if len(stack) > 1 and use.note.startswith(ROLLED_BACK) and stack[-2] == use.ref:
                    stack.pop()
                elif stack[-1] != use.ref:
                    stack.append(use.ref)
        if len(stack) == 1:
            raise ConfigError(f"{self.folder}: {strategy} is evaluated with the prompt that is built in; no way back")
        said = f"{ROLLED_BACK} from {stack[-1]}" + (f": {note}" if note else "")
        if stack[-2]:
            self.find(stack[-2])
        return self._append(Use(strategy, stack[-2], time.time(), author, said))

    def _append(self, use: Use) -> Use:
        row = {"schema_version": SCHEMA_VERSION, **use.__dict__}
        path = self.folder / "uses.jsonl"
        with locked(self.folder / ".uses.lock", _WAIT, lambda _: None):
            try:
                with path.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(row, ensure_ascii=False) + "\n")
            except OSError as error:
                raise ConfigError(f"{path}: cannot be written ({error.strerror or error})") from error
        return use

    def _read(self, path: Path) -> Version:
        try:
            row = json.loads(path.read_text(encoding="utf-8"))
            if row["schema_version"] != SCHEMA_VERSION:
                raise ConfigError(
                    f"{path}: schema_version {row['schema_version']}, this version reads {SCHEMA_VERSION}"
                )
            prompt = parse(PromptText, row["prompt"], str(path))
            found = Version(row["name"], prompt, row["at"], row["author"], row["note"], row["made"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path}: damaged ({error}); restore it from version control") from error
        if prompt.id != path.stem:
            raise ConfigError(f"{path}: was changed since it was kept (it says {prompt.id}); restore it")
        return found


#: How the note of a rollback begins.
ROLLED_BACK = "rolled back"
