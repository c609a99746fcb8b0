"""The candidate behind every strategy that maps a text to an answer of any kind on this machine."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tasklift.dataset import Dataset
from tasklift.outputs.number import Number
from tasklift.prediction import DECIMALS, Prediction, Usage
from tasklift.strategies.artifact import Arrays, Card, write_artifact
from tasklift.strategies.classifier import text_of
from tasklift.strategy import Candidate, Context, Family, Input, Resources, Traits
from tasklift.task import Task
from tasklift.worker import on_worker

#: An answer, and how probable it is that it is right; None: not known.
Answer = tuple[Any, float | None]


class AnsweringCandidate(Candidate):
    """Texts in, answers out, in one batch on the worker thread. A subclass gives `answers` and `arrays`."""

    traits = Traits(deterministic=True, batch_size=256)

    def __init__(self, card: Card) -> None:
        self.card = card
        self.fingerprint: str = card.fingerprint
        self.family: Family = card.family
        self.setup: Resources = card.setup
        self.training_ids = card.training_ids
        self.notes = card.notes
        self.output = card.output_kind

    @abstractmethod
    def answers(self, texts: Sequence[str]) -> list[Answer]:
        """[n] texts -> [n] answers that the task's output allows."""

    def arrays(self) -> Arrays:
        """What has to be stored, beside the card, to answer again."""
        return {}

    async def predict(self, inputs: Sequence[Input], ctx: Context) -> list[Prediction]:
        """One prediction an input; an input without text fails alone."""
        texts = [text_of(value, self.card.input_fields) for value in inputs]
        good = [i for i, text in enumerate(texts) if text.strip()]
        out = [Prediction.failed("empty_input", "the input has no text") for _ in texts]
        if not good:
            return out
        done = await on_worker(self.answers, [texts[i] for i in good])
        usage = Usage(cpu_s=done.cpu_s / len(good))
        for i, (answer, confidence) in zip(good, done.value, strict=True):
            sure = None if confidence is None else round(float(confidence), DECIMALS)
            out[i] = Prediction(answer, confidence=sure, usage=usage, latency_s=done.wall_s / len(good))
        return out

    def save(self, folder: Path) -> None:
        """Write card and arrays."""
        write_artifact(folder, self.card, self.arrays())

    async def aclose(self) -> None:
        """Nothing is held."""


class ConstantCandidate(AnsweringCandidate):
    """The same answer to everything; it stands in the card's settings."""

    def answers(self, texts: Sequence[str]) -> list[Answer]:
        """[n] times the answer."""
        return [(self.card.settings["answer"], None) for _ in texts]


def constant_of(task: Task, train: Dataset) -> Any:
    """The best single answer without looking at the text: the median of numbers, else the most frequent answer."""
    output = task.output
    if isinstance(output, Number):
        numbers = [value for value in train.outputs if isinstance(value, int | float)]
        if 2 * len(numbers) >= len(train):
            return number_of(output, float(median(numbers)))
    counts = Counter(output.key(value) for value in train.outputs)
    best = counts.most_common(1)[0][0]  # the first of equally frequent ones, in the order of the rows
    return next(plain(value) for value in train.outputs if output.key(value) == best)


def number_of(output: Number, value: float) -> int | float:
    """The nearest allowed number, rounded to 6 decimals so that batching does not show."""
    low = output.minimum if output.minimum is not None else value
    high = output.maximum if output.maximum is not None else value
    within = min(max(value, low), high)
    found = output.tidy(round(within) if output.whole else round(within, DECIMALS))
    return found if isinstance(found, int) else float(found)


def plain(value: Any) -> Any:
    """The answer as JSON data: tuples become lists."""
    return json.loads(json.dumps(value))
