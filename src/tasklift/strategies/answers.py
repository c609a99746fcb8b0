"""The candidate behind every strategy that maps a text to an answer of any kind on this machine."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from tasklift.dataset import Dataset
from tasklift.outputs.number import Number
from tasklift.prediction import DECIMALS, Prediction, Usage
from tasklift.strategies.artifact import Card
from tasklift.strategies.classifier import BatchCandidate
from tasklift.task import Task

#: An answer, and how probable it is that it is right; None: not known.
Answer = tuple[Any, float | None]


class AnsweringCandidate(BatchCandidate):
    """Texts in, answers out. A subclass gives `answers` and, where it keeps any, `arrays`."""

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        self.output = card.output_kind

    @abstractmethod
    def answers(self, texts: Sequence[str]) -> list[Answer]:
        """[n] texts -> [n] answers that the task's output allows."""

    def computed(self, texts: Sequence[str]) -> Iterable[Any]:
        """The answers."""
        return self.answers(texts)

    def told(self, result: Any, usage: Usage, latency_s: float) -> Prediction:
        """The answer, with how probable it is that it is right where that is known."""
        answer, confidence = result
        sure = None if confidence is None else round(float(confidence), DECIMALS)
        return Prediction(answer, confidence=sure, usage=usage, latency_s=latency_s)


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
