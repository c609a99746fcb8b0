"""Fine-tuning an encoder on rows: how epochs, C and temperature are chosen, with few rows and with many."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasklift.data.embed import Vectors, open_embedder
from tasklift.data.pretrained import open_pretrained
from tasklift.dataset import Dataset
from tasklift.strategies.checkpoint import Report
from tasklift.strategies.classifier import cross_folds, taught, texts_of, validation_cut
from tasklift.strategies.heads import Learner, Scores, Truth, choose_crossed, choose_held_out, fit_head
from tasklift.strategies.net import Net
from tasklift.strategies.targets import Target
from tasklift.strategies.training import Progress, Schedule, Training
from tasklift.task import Task

#: Values of C for the head that training starts from.
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
#: Where rows are many, so many are held out, between these shares of all: enough to tell epochs apart.
HELD_OUT_ROWS = 500
HELD_OUT_SHARES = (0.05, 0.15)
#: Training stops after so many epochs in a row that were not better than the best one before.
PATIENCE = 2


@dataclass(frozen=True)
class Rows:
    """Texts [n] with what is to be learnt of them [n]."""

    texts: list[str]
    truth: Truth
    encoder: str

    @classmethod
    def of(cls, rows: Dataset, task: Task, target: Target, encoder: str) -> Rows:
        """The rows of a dataset."""
        return cls(texts_of(rows, task.input_fields), target.truth(rows), encoder)

    @cached_property
    def vectors(self) -> Vectors:
        """[n, dimensions] of the encoder before training."""
        return open_embedder(self.encoder).encode(self.texts)

    @property
    def pair(self) -> tuple[Vectors, Truth]:
        """What a head is fitted to."""
        return self.vectors, self.truth

    def part(self, which: NDArray[np.bool_]) -> Rows:
        """Some of the rows."""
        return Rows(np.array(self.texts, dtype=object)[which].tolist(), self.truth[which], self.encoder)

    def __add__(self, more: Rows) -> Rows:
        return Rows([*self.texts, *more.texts], np.concatenate([self.truth, more.truth]), self.encoder)


@dataclass(frozen=True)
class HeldOut:
    """What was said of training rows by nets that had not seen them: for whoever chooses thresholds or weights.

    Attributes:
        rows: [m] places among the training rows.
        scores: [m, width], before the temperature.
    """

    rows: NDArray[np.int64]
    scores: Scores


@dataclass(frozen=True)
class Tuned:
    """A fitted net, what was chosen on the way, and tokens trained on."""

    net: Net
    chosen: dict[str, Any]
    held_out: HeldOut
    tokens: int


@dataclass(frozen=True)
class Tuning:
    """One fit.

    Attributes:
        schedule: with the largest number of epochs.
        progress: what a stopped fit had reached.
        report: told what is going on.
    """

    task: Task
    train: Dataset
    target: Target
    encoder: str
    schedule: Schedule
    progress: Progress
    report: Report

    @property
    def learner(self) -> Learner:
        """How a head is fitted."""
        return self.target.learner

    def held_out(self) -> Tuned:
        """The net of the epoch that is best on held-out rows."""
        least, most = HELD_OUT_SHARES
        share = min(most, max(least, HELD_OUT_ROWS / len(self.train)))
        cut = validation_cut(self.train, self.schedule.seed, 1 - share, stratum=self.task.output.stratum)
        fitting, validation = (Rows.of(rows, self.task, self.target, self.encoder) for rows in cut)
        plan, _ = choose_held_out(self.learner, fitting.pair, validation.pair, STRENGTHS)
        net = self._start(fitting, plan.strength)
        tokens, judged = net.tokenise(fitting.texts), net.tokenise(validation.texts)
        progress = self.progress
        progress.seen(0, plan.accuracy, net)
        training = Training(net, (tokens, fitting.truth), self.schedule, self.learner.loss, self.report)
        for epoch in training.epochs(progress):
            quality = self.learner.quality(net.row_logits(judged, self.schedule.half), validation.truth)
            self.report(f"epoch {epoch}: validation {abs(quality):.3f}")
            progress.seen(epoch, quality, net)
            if epoch - progress.best[1] >= PATIENCE:
                break
        quality, epochs, best = progress.best
        net.restore(best)
        scores = net.row_logits(judged)
        chosen = self._chosen(progress.history, epochs, plan.strength, (scores, validation.truth))
        ids = {row.id for row in cut[1]}
        places = np.array([place for place, row in enumerate(self.train) if row.id in ids])
        trained = (len(progress.history) - 1) * sum(map(len, tokens))
        return Tuned(net, chosen | _stopped(training), HeldOut(places, scores), trained)

    def crossed(self, folds: int) -> Tuned:
        """A net that is trained on all rows, for as long as was best in a cross-validation on all of them."""
        rows = Rows.of(self.train, self.task, self.target, self.encoder)
        definitions = self._definitions()
        if self.progress.chosen is None:
            self.progress.begin_refit(*self._cross_validated(rows, definitions, folds))
        chosen = dict(self.progress.chosen or {})
        if definitions is not None and chosen["definitions_learnt"]:
            rows = rows + definitions
        net = self._start(rows, chosen["c"])
        tokens = net.tokenise(rows.texts)
        schedule = replace(self.schedule, epochs=chosen["epochs"])
        training = Training(net, (tokens, rows.truth), schedule, self.learner.loss, self.report)
        for epoch in training.epochs(self.progress):
            self.report(f"all rows, epoch {epoch}")
        if chosen["epochs"]:
            net.set_head(fit_head(self.learner, (net.row_vectors(tokens), rows.truth), chosen["c"]))
        # Each fold is left out once, so all folds together train `folds - 1` times on every row.
        trained = sum(map(len, tokens)) * ((folds - 1) * self.schedule.epochs + chosen["epochs"])
        held_out = HeldOut(np.arange(len(self.train)), self.progress.logits)
        return Tuned(net, chosen | _stopped(training), held_out, trained)

    def _definitions(self) -> Rows | None:
        """The definitions of labels, one row a label; None where an answer is no single label."""
        if self.task.output.kind != "label":
            return None
        return Rows(list(self.task.labels.values()), np.arange(len(self.task.labels)), self.encoder)

    def _cross_validated(self, rows: Rows, definitions: Rows | None, folds: int) -> tuple[dict[str, Any], Scores]:
        """What is best on all of the few rows, each judged by a net that was trained without its fold; its scores."""
        fold_of = cross_folds(self.train, folds, self.schedule.seed, self.task.output.stratum)
        defined = definitions.vectors if definitions is not None else None
        plan, _ = choose_crossed(self.learner, rows.pair, defined, fold_of, STRENGTHS)
        scores = np.zeros((self.schedule.epochs + 1, len(self.train), self.learner.width))
        for fold in range(folds):
            judged = fold_of == fold
            fitting = rows.part(~judged)
            if definitions is not None and plan.definitions:
                fitting = fitting + definitions
            found = self.progress.fold(fold)
            if found is None:
                found = self._fold(fitting, rows.part(judged), plan.strength)
                self.progress.keep_fold(fold, found)
            scores[:, judged] = found
            said = [abs(self.learner.quality(one, rows.truth[judged])) for one in found]
            self.report(f"fold {fold + 1} of {folds}: " + ", ".join(f"{quality:.3f}" for quality in said))
        history = [self.learner.quality(one, rows.truth) for one in scores]
        epochs = int(np.argmax(history))
        known = np.ones(len(rows.truth), dtype=bool) if plan.definitions else taught(rows.truth, fold_of)
        chosen = self._chosen(history, epochs, plan.strength, (scores[epochs][known], rows.truth[known]))
        return chosen | {"definitions_learnt": plan.definitions, "folds": folds}, scores[epochs]

    def _fold(self, fitting: Rows, judged: Rows, strength: float) -> NDArray[np.float64]:
        """[max_epochs + 1, judged, width] by nets that were trained on the fitting rows, 0 epochs and more.

        The head is fitted again after each epoch: with few rows that gains a point over the head that was trained
        along.
        """
        net = self._start(fitting, strength)
        tokens, unseen = net.tokenise(fitting.texts), net.tokenise(judged.texts)
        out = [net.head_logits(judged.vectors)]
        training = Training(net, (tokens, fitting.truth), self.schedule, self.learner.loss, self.report)
        half = self.schedule.half
        for _ in training.epochs():
            head = fit_head(self.learner, (net.row_vectors(tokens, half), fitting.truth), strength)
            out.append(head.scores(net.row_vectors(unseen, half)))
        out += [out[-1]] * (self.schedule.epochs + 1 - len(out))  # training that stopped says what it said last
        return np.stack(out)

    def _start(self, rows: Rows, strength: float) -> Net:
        """The encoder before training, with a head that was fitted to its vectors."""
        return Net.start(open_pretrained(self.encoder), fit_head(self.learner, rows.pair, strength))

    def _chosen(
        self, history: list[float], epochs: int, strength: float, judged: tuple[Scores, Truth]
    ) -> dict[str, Any]:
        """For the card."""
        name = f"validation_{self.learner.measure}"
        chosen: dict[str, Any] = {"epochs": epochs, name: abs(history[epochs]), "c": strength}
        chosen["validation_history"] = [abs(quality) for quality in history]
        return chosen | {"temperature": self.learner.temperature(*judged)}


def _stopped(training: Training) -> dict[str, str]:
    return {"stopped": training.stopped} if training.stopped else {}
