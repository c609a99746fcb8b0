"""Judging prompts on rows, each prompt and set of rows once: what was paid for is kept on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasklift import registry
from tasklift.dataset import Dataset
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
        usage: quantities of all rows together, as if nothing had been cached.
        outputs: the answers.
    """

    prompt: str
    right: tuple[int, ...]
    usage: Usage
    outputs: tuple[Any, ...]

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return sum(self.right) / len(self.right)

    def array(self) -> NDArray[np.float64]:
        """[rows] 0 or 1."""
        return np.array(self.right, dtype=float)


@dataclass
class Judge:
    """Runs prompts on rows.

    Attributes:
        task: whose.
        model: asked, unless a prompt names its own.
        demos: rows that retrieved examples come from.
        folder: where trials are kept; None: nowhere.
        max_calls: no trial is begun that could go beyond so many calls; None: no limit.
        tell: told of each trial.
        base: parameters that every prompt shares.
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
    _prompts: dict[str, PromptText] = field(default_factory=dict)
    _known: dict[str, Trial] = field(default_factory=dict)

    def __post_init__(self) -> None:
        path = self.folder / "trials.jsonl" if self.folder else None
        for line in path.read_text(encoding="utf-8").splitlines() if path and path.exists() else ():
            try:
                row = json.loads(line)
                trial = Trial(row["prompt"], tuple(row["right"]), Usage(**row["usage"]), tuple(row["outputs"]))
            except (ValueError, KeyError, TypeError):
                continue  # a line that a crash cut short: that trial is run again
            self._known[row["key"]] = trial

    async def judge(self, prompt: PromptText, rows: Dataset, what: str = "") -> Trial:
        """How a prompt does on rows.

        Raises:
            BudgetError: it would take more calls than are left; what was done is kept.
            ServerError: the provider is down; what was done is kept.
        """
        key = f"{prompt.id}:{rows.content_hash[:16]}"
        if key not in self._known:
            if self.spent_out(len(rows)):
                raise BudgetError(
                    f"stopped: {self.usage.calls} of {self.max_calls} calls are used, and {what or 'the next step'} "
                    f"needs {len(rows)}. What was done is kept: the same command with a higher --max-calls goes on"
                )
            trial = await self._ask(prompt, rows)
            self._known[key] = trial
            self._keep(key, trial)
        found = self._known[key]
        self._prompts[key] = prompt
        self.usage += found.usage
        name = prompt.model or (self.model if isinstance(self.model, str) else self.model.name)
        self.asked[name] = self.asked.get(name, Usage()) + found.usage
        self.tell(f"{what or prompt.id}: {found.accuracy:.1%} on {len(rows)} rows ({self.usage.calls} calls so far)")
        return found

    def best_on(self, rows: Dataset, base: PromptText) -> PromptText:
        """The best prompt that was judged on exactly these rows; `base` where none was better."""
        ending = f":{rows.content_hash[:16]}"
        keys = [key for key in self._prompts if key.endswith(ending)]
        best = max(keys, key=lambda key: (sum(self._known[key].right), key.startswith(base.id)), default="")
        return self._prompts[best] if best else base

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

    async def _ask(self, prompt: PromptText, rows: Dataset) -> Trial:
        candidate = self.candidate(prompt)
        answers: list[Prediction] = []
        try:
            for start in range(0, len(rows), BATCH):
                answers += await candidate.predict(rows.inputs[start : start + BATCH], Context())
                _refuse_outage(answers[start:])
        finally:
            await candidate.aclose()
        right = np.nan_to_num(right_of(answers, rows.outputs))
        usage = sum((one.usage for one in answers), Usage())
        return Trial(prompt.id, tuple(int(one) for one in right), usage, tuple(one.output for one in answers))

    def _keep(self, key: str, trial: Trial) -> None:
        if self.folder is None:
            return
        row = {"key": key, "prompt": trial.prompt, "right": list(trial.right), "usage": asdict(trial.usage)}
        line = json.dumps({**row, "outputs": list(trial.outputs)}, ensure_ascii=False)
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
