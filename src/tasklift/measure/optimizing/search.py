"""An own search: variants of the instruction and sets of examples, halved on more and more rows."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasklift.dataset import Dataset, Example
from tasklift.llm.prompt_file import PromptText, Shot
from tasklift.measure.optimizing.judge import Judge, Trial
from tasklift.strategies.classifier import text_of
from tasklift.task import Task

#: Ways to say the instruction; `{}` is the task's own. The first changes nothing.
FRAMES = (
    "{}",
    "{} Read the whole message first: the request that someone has to act on decides.",
    "{} Ask yourself what the writer wants to happen next, and take the label for that.",
    "{} Where two labels fit, take the more specific one.",
    "{} Go by the definitions only, and not by single words.",
)
#: Parameters of each strategy that are tried beside.
PARAMETERS: Mapping[str, Sequence[Mapping[str, int | bool]]] = {
    "prompt": ({}, {"calibrate": False}),
    "fewshot": ({}, {"examples": 4}, {"examples": 12}, {"examples": 8, "pool": 0}, {"examples": 4, "pool": 8}),
}
#: Fixed examples that are tried: none, and so many in all, spread evenly over the labels.
SIZES = (0, 4, 8, 16)
#: Characters of an example.
EXAMPLE_CHARS = 300
#: Shares of the selection rows on which ever fewer prompts are judged.
RUNGS = (0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Search:
    """Random variants and successive halving (Jamieson and Talwalkar 2016), then single changes to the best.

    Attributes:
        instructions: further ways to say the instruction, by the user.
        variants: prompts to begin with.
        changes: single changes to try at the end.
        seed: of chance.
    """

    instructions: tuple[str, ...] = ()
    variants: int = 16
    changes: int = 6
    seed: int = 0

    async def improve(self, base: PromptText, judge: Judge, feedback: Dataset, select: Dataset) -> PromptText:
        """The best prompt found on `select`; `base` where none is better.

        Args:
            feedback: rows that examples are taken from.
        """
        chance = random.Random(self.seed)
        proposals = self._proposals(base, judge, feedback, chance)
        base_id = base.id
        for share in RUNGS:
            rows = _first(select, share)
            trials = {one.id: await judge.judge(one, rows, self._name(one, base)) for one in proposals}
            ranked = sorted(proposals, key=lambda one: (-trials[one.id].accuracy, len(one.to_file())))
            keep = max(2, math.ceil(len(ranked) / 2)) if share < 1 else 1
            proposals = [one for at, one in enumerate(ranked) if at < keep or (one.id == base_id and share < 1)]
        best, best_trial = proposals[0], await judge.judge(proposals[0], select, "best so far")
        for _ in range(self.changes):
            other = self._changed(best, judge, feedback, chance)
            trial = await judge.judge(other, select, self._name(other, base))
            if _is_better(trial, best_trial):
                best, best_trial = other, trial
        return best

    def _proposals(self, base: PromptText, judge: Judge, feedback: Dataset, chance: random.Random) -> list[PromptText]:
        found = {base.id: base}
        for _ in range(20 * self.variants):
            if len(found) >= self.variants:
                break
            one = self._variant(base, judge, feedback, chance)
            found[one.id] = one
        return list(found.values())

    def _variant(self, base: PromptText, judge: Judge, feedback: Dataset, chance: random.Random) -> PromptText:
        own = base.instruction or judge.task.instruction
        said = chance.choice([*(frame.format(own) for frame in FRAMES), *self.instructions])
        shots = base.examples
        if "examples" in base.template.fields() and base.strategy == "prompt":
            shots = draw_shots(feedback, chance.choice(SIZES), judge.task, chance)
        tried = PARAMETERS[base.strategy]
        if base.strategy == "prompt" and str(judge.model).startswith("http"):
            tried = tried[:1]  # hosted models give no log-probabilities to calibrate
        parameters = {**base.parameters, **chance.choice(tried)}
        changed = {"instruction": "" if said == judge.task.instruction else said, "parameters": parameters}
        return base.model_copy(update={**changed, "examples": shots})

    def _changed(self, best: PromptText, judge: Judge, feedback: Dataset, chance: random.Random) -> PromptText:
        """`best` with one part as another variant has it."""
        other = self._variant(best, judge, feedback, chance)
        parts = ["instruction", "parameters"] + (["examples"] if other.examples or best.examples else [])
        part = chance.choice(parts)
        if part == "instruction":  # never a frame around a frame
            own = judge.task.instruction
            said = chance.choice([*(frame.format(own) for frame in FRAMES), *self.instructions])
            return best.model_copy(update={"instruction": "" if said == own else said})
        if part == "examples" and best.examples and chance.random() < 0.5:
            kept = list(best.examples)
            kept[chance.randrange(len(kept))] = draw_shots(feedback, 1, judge.task, chance)[0]
            return best.model_copy(update={"examples": tuple(kept)})
        return best.model_copy(update={part: getattr(other, part)})

    @staticmethod
    def _name(prompt: PromptText, base: PromptText) -> str:
        if prompt.id == base.id:
            return "base"
        shots = f", {len(prompt.examples)} examples" if prompt.examples else ""
        return f"{prompt.id[:6]}{shots}{', other instruction' if prompt.instruction != base.instruction else ''}"


def draw_shots(rows: Dataset, count: int, task: Task, chance: random.Random) -> tuple[Shot, ...]:
    """So many rows as examples, spread evenly over the labels, in random order."""
    by_label: dict[str, list[Example]] = defaultdict(list)
    for row in rows:
        by_label[task.output.stratum(row.output)].append(row)
    labels = sorted(by_label)
    chance.shuffle(labels)
    chosen = [chance.choice(by_label[labels[at % len(labels)]]) for at in range(count)]
    chance.shuffle(chosen)
    shown = (
        (text_of(row.input, task.input_fields)[:EXAMPLE_CHARS].strip(), task.output.write(row.output)) for row in chosen
    )
    return tuple(Shot(text=text, label=label) for text, label in shown if text)


def _first(rows: Dataset, share: float) -> Dataset:
    """The first rows; they were drawn in random order."""
    if share >= 1:
        return rows
    return rows.part(rows.examples[: max(1, round(share * len(rows)))], f"first {share:g}")


def _is_better(one: Trial, other: Trial) -> bool:
    return sum(one.right) > sum(other.right)
