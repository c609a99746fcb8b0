"""The shortest prompt that is not worse than a margin: parts are left out one by one, the longest first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tasklift.dataset import Dataset
from tasklift.llm.prompt_file import PromptText
from tasklift.measure.optimizing.judge import Judge, Trial
from tasklift.stats.intervals import paired_difference

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True)
class Shorten:
    """Greedy backward elimination.

    Attributes:
        margin: a part goes where the one-sided 95% lower bound of the difference to the whole prompt, on the rows of
            the choice, lies above minus this.
    """

    margin: float = 0.02

    async def improve(self, base: PromptText, judge: Judge, feedback: Dataset, select: Dataset) -> PromptText:
        """The shortest prompt found."""
        whole = await judge.judge(base, select, "the whole prompt")
        best = base
        while True:
            for part, shorter in sorted(parts_left_out(best, judge.task.instruction), key=lambda one: -len(one[0])):
                trial = await judge.judge(shorter, select, f"without {part[:40]!r}")
                if self._is_no_worse(whole, trial):
                    best = shorter
                    break
            else:
                return best

    def _is_no_worse(self, whole: Trial, other: Trial) -> bool:
        first, second = whole.array(), other.array()
        gained, lost = int(((second == 1) & (first == 0)).sum()), int(((second == 0) & (first == 1)).sum())
        return paired_difference(gained, lost, len(first), confidence=0.9).low > -self.margin


def parts_left_out(prompt: PromptText, instruction: str) -> Iterator[tuple[str, PromptText]]:
    """(what goes, the prompt without it): sentences of the texts, lines of plain text in the templates, examples."""
    for name in ("instruction", "tone", "policy"):
        text = getattr(prompt, name) or (instruction if name == "instruction" else "")
        sentences = [one for one in _SENTENCE.split(text) if one.strip()]
        least = 1 if name == "instruction" else 0
        for at, sentence in enumerate(sentences):
            rest = " ".join(sentences[:at] + sentences[at + 1 :])
            if len(sentences) > least:
                yield sentence, prompt.model_copy(update={name: rest})
    for name in ("system", "user"):
        lines = getattr(prompt, name).split("\n")
        for at, line in enumerate(lines):
            if line.strip() and "{" not in line:  # a line with a tag holds the template together
                yield line, prompt.model_copy(update={name: "\n".join(lines[:at] + lines[at + 1 :])})
    for at, shot in enumerate(prompt.examples):
        yield shot.text, prompt.model_copy(update={"examples": prompt.examples[:at] + prompt.examples[at + 1 :]})
