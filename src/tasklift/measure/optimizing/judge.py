"""Judging prompts on rows, each prompt and set of rows once: what was paid for is kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasklift import registry
from tasklift.dataset import Dataset, Example, text_key
from tasklift.errors import BudgetError, DataError, ServerError
from tasklift.llm.model import Model
from tasklift.llm.overlay import Material
from tasklift.llm.prompt_file import PromptText
from tasklift.measure.asking import PASSING_FAILURES
from tasklift.measure.metrics import right_of
from tasklift.prediction import Prediction, Usage
from tasklift.strategy import Candidate, Context
from tasklift.task import Task

#: Rows that are asked together.
BATCH = 64
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """One prompt on some rows.

    Attributes:
        prompt: its id.
        right: one a row: right, as 0 or 1; a deferred row counts as wrong.
        outputs: the answers.
        tokens: mean prompt tokens of a row.
    """

    prompt: str
    right: tuple[int, ...]
    outputs: tuple[Any, ...]
    tokens: float

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return sum(self.right) / len(self.right)

    def array(self) -> NDArray[np.float64]:
        """[rows] 0 or 1."""
        return np.array(self.right, dtype=float)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a prompt said to one row: right (0 or 1), the output, and the prompt's tokens."""

    right: int
    output: Any
    tokens: int


@dataclass
class Judge:
    """Runs prompts on rows; a prompt is asked each row once.

    Attributes:
        task: whose.
        model: asked, unless a prompt names its own.
        demos: rows that retrieved examples come from.
        folder: where answers are kept; None: nowhere.
        max_calls: nothing is begun that could go beyond so many calls; None: no limit.
        tell: told of each trial.
        base: parameters that every prompt shares.
        usage, asked: what was used so far; and by model.
        prompts: id -> every prompt that was judged.
    """

    task: Task
    model: str | Model
    demos: Dataset
    folder: Path | None
    max_calls: int | None
    tell: Tell
    base: Mapping[str, Any] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    asked: dict[str, Usage] = field(default_factory=dict)
    prompts: dict[str, PromptText] = field(default_factory=dict)
    _answers: dict[str, dict[str, _Answer]] = field(default_factory=dict)
    _judged: set[str] = field(default_factory=set)
    _used: dict[str, Usage] = field(default_factory=dict)  # of stored answers, until their prompt is judged again

    def __post_init__(self) -> None:
        path = self.folder / "trials.jsonl" if self.folder else None
        for line in path.read_text(encoding="utf-8").splitlines() if path and path.exists() else ():
            try:
                row = json.loads(line)
                answers = {key: _Answer(*values) for key, values in row["rows"].items()}
                used = self._used.get(row["prompt"], Usage()) + Usage(**row["usage"])
            except (ValueError, KeyError, TypeError):
                continue  # a line that a crash cut short: those rows are asked again
            self._answers.setdefault(row["prompt"], {}).update(answers)
            self._used[row["prompt"]] = used

    async def judge(self, prompt: PromptText, rows: Dataset, what: str = "") -> Trial:
        """How a prompt does on rows; only rows that it was not asked before are asked.

        Raises:
            BudgetError: it would take more calls than are left; what was done is kept.
            ServerError: the provider is down; what was done is kept.
        """
        known = self._answers.setdefault(prompt.id, {})
        if prompt.id not in self.prompts:
            self._count(prompt, self._used.pop(prompt.id, Usage()))
        self.prompts[prompt.id] = prompt
        missing = rows.part([row for row in rows if self._key(row) not in known], "not asked yet")
        if len(missing):
            if self.spent_out(len(missing)):
                raise BudgetError(
                    f"stopped: {self.usage.calls} of {self.max_calls} calls are used, and {what or 'the next step'} "
                    f"needs {len(missing)}. What was done is kept: the same command with a higher --max-calls goes on"
                )
            await self._ask(prompt, missing, known)
        keys = [self._key(row) for row in rows]
        self._judged.update(keys)
        answers = [known[key] for key in keys]
        tokens = sum(one.tokens for one in answers) / len(answers)
        found = Trial(prompt.id, tuple(one.right for one in answers), tuple(one.output for one in answers), tokens)
        self.tell(f"{what or prompt.id}: {found.accuracy:.1%} on {len(rows)} rows ({self.usage.calls} calls so far)")
        return found

    def best_on(self, rows: Dataset, base: PromptText) -> PromptText:
        """The best prompt that was judged on all these rows; `base` where none was better."""
        keys = [self._key(row) for row in rows]
        scores = {
            identity: sum(self._answers[identity][key].right for key in keys)
            for identity in self.prompts
            if all(key in self._answers[identity] for key in keys)
        }
        best = max(scores, key=lambda one: (scores[one], one == base.id), default=base.id)
        return self.prompts.get(best, base)

    def labels_used(self) -> int:
        """Labelled rows that prompts were judged on, or that stood in them as examples or could be retrieved."""
        shown = {shot.text for prompt in self.prompts.values() for shot in prompt.examples}
        retrieved = any(prompt.strategy == "fewshot" for prompt in self.prompts.values())
        return len(self._judged) + len(shown) + (len(self.demos) if retrieved else 0)

    def spent_out(self, rows: int) -> bool:
        """Are too few calls left for so many rows?"""
        return self.max_calls is not None and self.usage.calls + rows > self.max_calls

    def candidate(self, prompt: PromptText) -> Candidate:
        """The prompt as a candidate."""
        kind = registry.load("strategy", prompt.strategy)
        parameters = {**self.base, **prompt.parameters, "system": prompt.system, "user": prompt.user}
        material = Material.of(prompt, "", {})
        candidate: Candidate = kind(
            model=prompt.model or self.model, material=None if material == Material() else material, **parameters
        ).fit(self.task, self.demos)
        return candidate

    async def _ask(self, prompt: PromptText, rows: Dataset, known: dict[str, _Answer]) -> None:
        candidate = self.candidate(prompt)
        try:
            for start in range(0, len(rows), BATCH):
                some = rows.part(rows.examples[start : start + BATCH], "some")
                said = await candidate.predict(some.inputs, Context())
                _refuse_outage(said)
                right = np.nan_to_num(right_of(said, some.outputs, self.task))
                answers = {
                    self._key(row): _Answer(int(hit), one.output, one.usage.input_tokens)
                    for row, hit, one in zip(some, right, said, strict=True)
                }
                used = sum((one.usage for one in said), Usage())
                known.update(answers)
                self._count(prompt, used)
                self._keep(prompt.id, answers, used)
        finally:
            await candidate.aclose()

    def _count(self, prompt: PromptText, used: Usage) -> None:
        name = prompt.model or (self.model if isinstance(self.model, str) else self.model.name)
        self.usage += used
        self.asked[name] = self.asked.get(name, Usage()) + used

    @staticmethod
    def _key(row: Example) -> str:
        """Names a row and its text without holding either."""
        return hashlib.sha256(f"{row.id}\x1f{text_key(row.input)}".encode(errors="replace")).hexdigest()[:16]

    def _keep(self, identity: str, answers: Mapping[str, _Answer], used: Usage) -> None:
        if self.folder is None:
            return
        rows = {key: [one.right, one.output, one.tokens] for key, one in answers.items()}
        line = json.dumps({"prompt": identity, "usage": asdict(used), "rows": rows}, ensure_ascii=False)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / "trials.jsonl").open("a", encoding="utf-8") as out:
                out.write(f"{line}\n")
        except OSError as error:
            raise DataError(f"{self.folder}: cannot be written ({error.strerror or error})") from error


def _refuse_outage(answers: Sequence[Prediction]) -> None:
    """A row that failed in passing says nothing about a prompt: the whole trial is left for later."""
    for one in answers:
        if one.error is not None and one.error.kind in PASSING_FAILURES:
            raise ServerError(
                f"{one.error.message}; what was judged before is kept: the same command goes on from there"
            )
