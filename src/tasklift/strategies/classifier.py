"""The candidate behind every strategy that maps a text to probabilities of labels on this machine."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasklift.data.split import split_dataset, units_of
from tasklift.dataset import Dataset
from tasklift.errors import DataError, StrategyError
from tasklift.prediction import Prediction, Usage
from tasklift.strategies.artifact import Arrays, Card, CardCandidate
from tasklift.strategy import Context, Input, Traits
from tasklift.worker import on_worker

Probabilities = NDArray[np.float64]
#: Up to so many rows, choices are made by cross-validation on all of them: a cut would leave too few to judge by.
FEW_ROWS = 2000
FOLDS = 3
#: From so many groups on, validation keeps each whole; fewer are too few to choose on.
GROUPS = 10
#: Whole groups must leave at least this part of the rows that are asked for to judge on.
LEAST_OF_SHARE = 0.5
_TOO_FEW = "{} training rows leave none to validate on; give one label at least 3 rows of different text"


class BatchCandidate(CardCandidate):
    """Texts in, predictions out, in one batch on the worker thread."""

    traits = Traits(deterministic=True, batch_size=256)

    @abstractmethod
    def computed(self, texts: Sequence[str]) -> Iterable[Any]:
        """[n] texts -> n results, for `told`; runs on the worker thread."""

    @abstractmethod
    def told(self, result: Any, usage: Usage, latency_s: float) -> Prediction:
        """One result as a prediction."""

    async def predict(self, inputs: Sequence[Input], ctx: Context) -> list[Prediction]:
        """One prediction an input; an input without text fails alone."""
        texts = [text_of(value, self.card.input_fields) for value in inputs]
        good = [i for i, text in enumerate(texts) if text.strip()]
        out = [Prediction.failed("empty_input", "the input has no text") for _ in texts]
        if not good:
            return out
        done = await on_worker(self.computed, [texts[i] for i in good])
        usage = Usage(cpu_s=done.cpu_s / len(good))
        for i, result in zip(good, done.value, strict=True):
            out[i] = self.told(result, usage, done.wall_s / len(good))
        return out


class ClassifierCandidate(BatchCandidate):
    """Texts in, label probabilities out. A subclass gives `probabilities` and `arrays`; everything else is here."""

    def __init__(self, card: Card) -> None:
        super().__init__(card)
        self.labels = tuple(card.labels)

    @abstractmethod
    def probabilities(self, texts: Sequence[str]) -> Probabilities:
        """[n] texts -> [n, labels], rows sum to 1."""

    @abstractmethod
    def arrays(self) -> Arrays:
        """What has to be stored to answer again."""

    def computed(self, texts: Sequence[str]) -> Iterable[Any]:
        """The rows of `probabilities`."""
        return self.probabilities(texts)

    def told(self, result: Any, usage: Usage, latency_s: float) -> Prediction:
        """The most probable label, with the others' probabilities."""
        named = dict(zip(self.labels, result.tolist(), strict=True))
        return Prediction.from_probabilities(named, usage=usage, latency_s=latency_s)


def text_of(value: Input, fields: Sequence[str]) -> str:
    """The text fields of an input, joined; '' where a field is missing or not text.

    Half of a surrogate pair, which JSON can carry and UTF-8 cannot, becomes a question mark.
    """
    parts = [value.get(name, "") for name in fields]
    text = "\n".join(part for part in parts if isinstance(part, str) and part)
    return text.encode(errors="replace").decode()


def texts_of(rows: Dataset, fields: Sequence[str]) -> list[str]:
    """The texts of a dataset, in order."""
    return [text_of(row.input, fields) for row in rows]


def label_indices(rows: Dataset, labels: Sequence[str]) -> NDArray[np.int64]:
    """Expected outputs as indices into `labels`: [n]."""
    place = {label: i for i, label in enumerate(labels)}
    return np.array([place[row.output] for row in rows], dtype=np.int64)


def validation_cut(
    train: Dataset, seed: int, share: float = 0.85, *, stratum: Callable[[Any], str]
) -> tuple[Dataset, Dataset]:
    """Fitting rows and validation rows, cut from the training rows: where every choice is made.

    Raises:
        StrategyError: no row would be left to validate on.
    """
    try:
        fitting, validation = cut_rows(train, share, seed, stratum)
    except DataError as error:
        raise StrategyError(_TOO_FEW.format(len(train))) from error
    return fitting, validation


def cut_rows(train: Dataset, share: float, seed: int, stratum: Callable[[Any], str]) -> tuple[Dataset, Dataset]:
    """Two parts, the first with about `share` of the rows, groups kept whole where `_whole_groups` says so and what is
    left for the second part is still large enough to judge on.

    Raises:
        DataError: a part would be empty.
    """
    if _whole_groups(train, stratum):
        first, second = split_dataset(train, share, "label", seed, stratum, whole_groups=True)
        if len(second) >= LEAST_OF_SHARE * (1 - share) * len(train):
            return first, second
    return split_dataset(train, share, "label", seed, stratum)


def _whole_groups(train: Dataset, stratum: Callable[[Any], str]) -> bool:
    """Are there groups (customers, documents) enough to keep each whole in validation?

    Rows of a group resemble each other: who learnt from a document looks better, and surer, on the rest of it than on
    new ones.
    """
    if len({row.group for row in train if row.group is not None}) < GROUPS:
        return False
    units = units_of(train.examples, whole_groups=True)
    return len(units) > 2 * len({stratum(train.examples[unit[0]].output) for unit in units})  # some has three or more


def cross_folds(train: Dataset, folds: int, seed: int, stratum: Callable[[Any], str]) -> NDArray[np.int64]:
    """[n] the fold of each row, for cross-validation on all of them: labels are dealt out evenly, and rows of equal
    text stay together, or those of a group where there are enough of them.

    Raises:
        StrategyError: no label would be both learnt and judged.
    """
    units = units_of(train.examples, _whole_groups(train, stratum))
    kinds = Counter(stratum(train.examples[unit[0]].output) for unit in units)
    if max(kinds.values(), default=0) < 3:
        raise StrategyError(_TOO_FEW.format(len(train)))
    shuffled = [units[at] for at in np.random.default_rng(seed).permutation(len(units))]
    shuffled.sort(key=lambda unit: stratum(train.examples[unit[0]].output))  # stable: random within a label
    out = np.zeros(len(train), dtype=np.int64)
    for turn, unit in enumerate(shuffled):
        out[unit] = turn % folds
    return out


def taught(truth: NDArray[Any], folds: NDArray[Any]) -> NDArray[np.bool_]:
    """[n] whether a row's label also stands in another fold, so that whoever judged the row could know it.

    A label with a single row is unknown to the one model that judges this row, and known to the model that is then
    fitted to all rows: such rows say how often labels are missing, and nothing of how sure to be. Where an answer is
    not one label, all rows count.

    Args:
        truth: [n] label indices, or [n, width].
        folds: [n].
    """
    if truth.ndim > 1:
        return np.ones(len(truth), dtype=bool)
    several = {label for label in set(truth.tolist()) if len(set(folds[truth == label].tolist())) > 1}
    return np.array([label in several for label in truth.tolist()], dtype=bool)


def spread(columns: NDArray[np.float64], seen: Sequence[int], labels: int) -> NDArray[np.float64]:
    """Scores of the labels seen in training, set into all labels; the unseen get a floor below them.

    Args:
        columns: [n, len(seen)].
        seen: label index of each column.
        labels: number of all labels.
    """
    floor = columns.min(axis=1, keepdims=True) - 5.0 if columns.size else 0.0
    out = np.broadcast_to(floor, (len(columns), labels)).copy()
    out[:, list(seen)] = columns
    return out


def with_notes(card: Card, **notes: Any) -> Card:
    """The card with more notes."""
    return replace(card, notes={**card.notes, **notes})
