"""A sentence encoder fine-tuned end to end with its head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from tasklift.data.embed import Vectors, open_embedder
from tasklift.dataset import Dataset
from tasklift.stats.calibration import fit_temperature
from tasklift.strategies.artifact import Arrays, Card, read_arrays
from tasklift.strategies.checkpoint import Checkpoint
from tasklift.strategies.classifier import (
    FEW_ROWS,
    FOLDS,
    ClassifierCandidate,
    Probabilities,
    cross_folds,
    label_indices,
    texts_of,
    validation_cut,
)
from tasklift.strategies.frozen import choose_crossed, choose_head, fit_head
from tasklift.strategies.net import Net
from tasklift.strategies.recipe import Recipe, require, require_rows
from tasklift.strategies.training import Progress, Schedule, train_epochs
from tasklift.strategy import Family, Resources
from tasklift.task import Task
from tasklift.worker import timed

#: Values of C for the head that training starts from.
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
#: Where rows are many, so many are held out, between these shares of all: enough to tell epochs apart.
HELD_OUT_ROWS = 500
HELD_OUT_SHARES = (0.05, 0.15)
#: Training stops after so many epochs in a row that were not better than the best one before.
PATIENCE = 2
Report = Callable[[str], None]


@dataclass(frozen=True)
class Encoder(Recipe):
    """End-to-end fine-tune of the bundled sentence encoder.

    The head starts as the logistic regression of the frozen encoder, so that the first steps do not
    tear the pre-trained features (Kumar et al. 2022, "LP-FT"), and few epochs are enough.

    Attributes:
        max_epochs: the number of epochs is chosen on validation, from 0 (the frozen head) to this.
        learning_rate: peak rate of the encoder, AdamW, linear warm-up and decay.
        batch_size: rows a step.
        half: products in bfloat16 while training, where the processor has them (half the time; answers
            are always computed in float32).
        folds: parts of the cross-validation in which C, epochs and temperature are chosen; the model is then trained
            on all rows. 1: they are chosen on rows that are held out, and the model of the best epoch is kept, for
            a fraction of the time. 0: three where rows are few, else 1.
        seed: of the validation cut and the order of rows.
    """

    name: ClassVar[str] = "encoder"
    family: ClassVar[Family] = "finetune"
    version: ClassVar[int] = 2

    max_epochs: int = 3
    learning_rate: float = 1e-4
    batch_size: int = 32
    half: bool = True
    folds: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        require(1 <= self.max_epochs <= 100, self.name, f"max_epochs={self.max_epochs} must lie between 1 and 100")
        require(
            0 < self.learning_rate < 1,
            self.name,
            f"learning_rate={self.learning_rate} must lie between 0 and 1",
        )
        require(self.batch_size > 0, self.name, f"batch_size={self.batch_size} must be positive")
        require(0 <= self.folds <= 20, self.name, f"folds={self.folds} must lie between 0 and 20")

    def base(self) -> str:
        """Snapshot of the encoder before training."""
        return open_embedder("minilm").snapshot

    def fit(self, task: Task, train: Dataset, report: Report = lambda line: None) -> EncoderCandidate:
        """Choose C, epochs and temperature on validation: see `folds`."""
        require_rows(task, train, self.name)
        done = timed(self._fit, task, train, report)
        net, chosen = done.value
        temperature, tokens = chosen["temperature"], chosen.pop("tokens")
        setup = Resources(labels=len(train), tokens=tokens, cpu_s=done.cpu_s)
        return EncoderCandidate(self.card(task, train, setup, notes=chosen), net, temperature)

    def _fit(self, task: Task, train: Dataset, report: Report) -> tuple[Net, dict[str, Any]]:
        progress = Progress(Checkpoint(self.fingerprint(task, train)))
        folds = self.folds or (FOLDS if len(train) <= FEW_ROWS else 1)
        if folds == 1:
            return self._held_out(task, train, progress, report)
        rows, labels = Rows.of(train, task), len(task.labels)
        definitions = Rows(list(task.labels.values()), np.arange(labels))
        if progress.chosen is None:
            progress.begin_refit(self._cross_validated(rows, definitions, train, folds, (progress, report)))
        chosen = dict(progress.chosen or {})
        if chosen["definitions_learnt"]:
            rows = rows + definitions
        net = Net.start(fit_head(*rows.pair, chosen["c"], labels))
        tokens = rows.tokens(net)
        for epoch in train_epochs(net, tokens, rows.truth, self._schedule(chosen["epochs"]), progress):
            report(f"all rows, epoch {epoch}")
        if chosen["epochs"]:
            net.set_head(fit_head(net.row_vectors(tokens), rows.truth, chosen["c"], labels))
        # Each fold is left out once, so all folds together train `folds - 1` times on every row.
        return net, chosen | {"tokens": sum(map(len, tokens)) * ((folds - 1) * self.max_epochs + chosen["epochs"])}

    def _held_out(self, task: Task, train: Dataset, progress: Progress, report: Report) -> tuple[Net, dict[str, Any]]:
        """The net of the best epoch on held-out rows, and what was chosen there."""
        least, most = HELD_OUT_SHARES
        share = min(most, max(least, HELD_OUT_ROWS / len(train)))
        fitting, validation = (Rows.of(rows, task) for rows in validation_cut(train, self.seed, 1 - share))
        labels = len(task.labels)
        strength, accuracy, _ = choose_head(fitting.pair, validation.pair, STRENGTHS, labels)
        net = Net.start(fit_head(*fitting.pair, strength, labels))
        tokens, held_out = fitting.tokens(net), validation.tokens(net)
        progress.seen(0, accuracy, net)
        for epoch in train_epochs(net, tokens, fitting.truth, self._schedule(self.max_epochs), progress):
            accuracy = float(np.mean(net.row_logits(held_out, self.half).argmax(1) == validation.truth))
            report(f"epoch {epoch}: validation {accuracy:.3f}")
            progress.seen(epoch, accuracy, net)
            if epoch - progress.best[1] >= PATIENCE:
                break
        accuracy, epochs, best = progress.best
        net.restore(best)
        trained = (len(progress.history) - 1) * sum(map(len, tokens))
        chosen = {"epochs": epochs, "validation_accuracy": accuracy, "validation_history": progress.history}
        temperature = fit_temperature(net.logits(validation.texts), validation.truth)
        return net, chosen | {"temperature": temperature, "c": strength, "tokens": trained}

    def _cross_validated(
        self, rows: Rows, definitions: Rows, train: Dataset, folds: int, told: tuple[Progress, Report]
    ) -> dict[str, Any]:
        """What is best on all of the few rows, each judged by a net that was trained without its fold."""
        progress, report = told
        fold_of = cross_folds(train, folds, self.seed)
        plan = choose_crossed(rows.pair, definitions.vectors, fold_of, STRENGTHS)
        logits = np.zeros((self.max_epochs + 1, len(train), len(definitions.texts)))
        for fold in range(folds):
            held_out = fold_of == fold
            fitting = rows.part(~held_out) + (definitions if plan.definitions else definitions.part(slice(0)))
            found = progress.fold(fold)
            if found is None:
                found = self._fold(fitting, rows.part(held_out), (plan.strength, len(definitions.texts)))
                progress.keep_fold(fold, found)
            logits[:, held_out] = found
            accuracies = (found.argmax(2) == rows.truth[held_out]).mean(1)
            report(f"fold {fold + 1} of {folds}: " + ", ".join(f"{accuracy:.3f}" for accuracy in accuracies))
        history = [float(accuracy) for accuracy in (logits.argmax(2) == rows.truth).mean(1)]
        epochs = int(np.argmax(history))
        chosen = {"epochs": epochs, "validation_accuracy": history[epochs], "validation_history": history}
        chosen |= {"temperature": fit_temperature(logits[epochs], rows.truth), "c": plan.strength}
        return chosen | {"definitions_learnt": plan.definitions, "folds": folds}

    def _fold(self, fitting: Rows, held_out: Rows, size: tuple[float, int]) -> NDArray[np.float64]:
        """[max_epochs + 1, held out, labels] by nets that were trained on the fitting rows, 0 epochs and more.

        The head is fitted again after each epoch: with few rows that gains a point over the head that was trained
        along.
        """
        strength, labels = size
        head = fit_head(*fitting.pair, strength, labels)
        net = Net.start(head)
        tokens, judged = fitting.tokens(net), held_out.tokens(net)
        out = [held_out.vectors @ head.weights.T + head.bias]
        for _ in train_epochs(net, tokens, fitting.truth, self._schedule(self.max_epochs)):
            head = fit_head(net.row_vectors(tokens, self.half), fitting.truth, strength, labels)
            out.append(net.row_vectors(judged, self.half) @ head.weights.T + head.bias)
        return np.stack(out)

    def _schedule(self, epochs: int) -> Schedule:
        return Schedule(epochs, self.max_epochs, self.learning_rate, self.batch_size, self.half, self.seed)

    @staticmethod
    def load(folder: Path, card: Card) -> EncoderCandidate:
        """A saved candidate."""
        stored = {name: torch.from_numpy(array) for name, array in read_arrays(folder).items()}
        net = Net(torch.nn.Linear(stored["head.weight"].shape[1], stored["head.weight"].shape[0]))
        net.restore(stored)
        return EncoderCandidate(card, net, float(card.notes["temperature"]))


@dataclass(frozen=True)
class Rows:
    """Texts [n] with their label indices [n]."""

    texts: list[str]
    truth: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Dataset, task: Task) -> Rows:
        """The rows of a dataset."""
        return cls(texts_of(rows, task.input_fields), label_indices(rows, list(task.labels)))

    @cached_property
    def vectors(self) -> Vectors:
        """[n, dimensions] of the encoder before training."""
        return open_embedder("minilm").encode(self.texts)

    @property
    def pair(self) -> tuple[Vectors, NDArray[np.int64]]:
        """What a head is fitted to."""
        return self.vectors, self.truth

    def tokens(self, net: Net) -> list[list[int]]:
        """[n] lists of token ids."""
        return net.tokenise(self.texts)

    def part(self, which: NDArray[np.bool_] | slice) -> Rows:
        """Some of the rows."""
        return Rows(np.array(self.texts, dtype=object)[which].tolist(), self.truth[which])

    def __add__(self, more: Rows) -> Rows:
        return Rows([*self.texts, *more.texts], np.concatenate([self.truth, more.truth]))


class EncoderCandidate(ClassifierCandidate):
    """The fine-tuned encoder."""

    def __init__(self, card: Card, net: Net, temperature: float) -> None:
        super().__init__(card)
        self._net, self._temperature = net, temperature

    def probabilities(self, texts: Sequence[str]) -> Probabilities:
        """[n] texts -> [n, labels]."""
        logits = torch.from_numpy(self._net.logits(texts)) / self._temperature
        return torch.softmax(logits, dim=1).numpy()

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """[n] texts -> [n, dimensions]: where the tuned encoder puts them, unit length."""
        return self._net.vectors(texts)

    def logits(self, vectors: Vectors) -> NDArray[np.float64]:
        """[n, dimensions] of `vectors` -> [n, labels], before the temperature."""
        return self._net.head_logits(vectors)

    def arrays(self) -> Arrays:
        """All weights: the folder needs no other model to answer."""
        return {name: tensor.numpy() for name, tensor in self._net.state().items()}
