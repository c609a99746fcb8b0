"""A sentence encoder fine-tuned end to end with its head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch

from tasklift import registry
from tasklift.data.embed import Vectors, open_embedder
from tasklift.data.pretrained import BUNDLED, Pretrained
from tasklift.dataset import Dataset
from tasklift.errors import ArtifactError
from tasklift.strategies.artifact import Arrays, Card, read_arrays, write_artifact
from tasklift.strategies.checkpoint import Checkpoint, Report
from tasklift.strategies.classifier import FEW_ROWS, FOLDS, BatchCandidate
from tasklift.strategies.heads import Scores
from tasklift.strategies.net import Net
from tasklift.strategies.recipe import Recipe, require, require_rows
from tasklift.strategies.scope import Scope, ScopedCandidate, check_share, require_label, without_scope
from tasklift.strategies.targets import SCORED_KINDS, Reading, ScoredCandidate, Target
from tasklift.strategies.training import Progress, Schedule
from tasklift.strategies.tuning import HeldOut, Tuned, Tuning
from tasklift.strategy import Family, Resources
from tasklift.task import Task
from tasklift.worker import timed

#: Precision of answers unless another one is asked for.
FLOAT32 = "float32"
AnyCandidate = TypeVar("AnyCandidate", bound=BatchCandidate)


@dataclass(frozen=True)
class Encoder(Recipe):
    """End-to-end fine-tune of a sentence encoder.

    The head starts as the logistic regression of the frozen encoder, so that the first steps do not
    tear the pre-trained features (Kumar et al. 2022, "LP-FT"), and few epochs are enough.

    Attributes:
        max_epochs: the number of epochs is chosen on validation, from 0 (the frozen head) to this.
        learning_rate: peak rate of the encoder, AdamW, linear warm-up and decay.
        batch_size: rows a step.
        half: products in bfloat16 while training, where the processor has them (half the time; answers
            are always computed in float32).
        base_model: `minilm`, which is installed with the extra [local]; or the folder of an encoder, or its name on
            the Hugging Face hub.
        balanced: every label counts the same in training, however rare: for macro F1 on skewed labels. Where several
            may apply, each counts as much as its absence.
        contrastive: 0 to 1, share of a supervised contrastive loss beside cross-entropy: rows of a label draw together.
            For few rows a label, and one label only.
        folds: parts of the cross-validation in which C, epochs and temperature are chosen; the model is then trained
            on all rows. 1: they are chosen on rows that are held out, and the model of the best epoch is kept, for
            a fraction of the time. 0: three where rows are few, else 1.
        seed: of the validation cut and the order of rows.
        out_of_scope: share of rows like the training rows that may be left to a person because they look least like
            them; what looks less is left to a person too. 0: nothing is. One label only.
        precision: `float32`, or `int8` for answering (extra [int8]): faster, nearly as accurate, and not deterministic,
            since the last digits depend on the texts of a batch. Training is the same.
    """

    name: ClassVar[str] = "encoder"
    family: ClassVar[Family] = "finetune"
    version: ClassVar[int] = 3
    kinds: ClassVar[frozenset[str]] = SCORED_KINDS

    max_epochs: int = 3
    learning_rate: float = 1e-4
    batch_size: int = 32
    half: bool = True
    base_model: str = BUNDLED
    balanced: bool = False
    contrastive: float = 0.0
    folds: int = 0
    seed: int = 0
    out_of_scope: float = 0.0
    precision: str = FLOAT32

    def __post_init__(self) -> None:
        check_share(self.out_of_scope, self.name)
        known = (FLOAT32, *registry.names("precision"))
        require(self.precision in known, self.name, f"precision={self.precision!r} must be {' or '.join(known)}")
        require(1 <= self.max_epochs <= 100, self.name, f"max_epochs={self.max_epochs} must lie between 1 and 100")
        require(
            0 < self.learning_rate < 1,
            self.name,
            f"learning_rate={self.learning_rate} must lie between 0 and 1",
        )
        require(self.batch_size > 0, self.name, f"batch_size={self.batch_size} must be positive")
        require(0 <= self.contrastive <= 1, self.name, f"contrastive={self.contrastive} must lie between 0 and 1")
        require(0 <= self.folds <= 20, self.name, f"folds={self.folds} must lie between 0 and 20")

    def parameters(self) -> dict[str, Any]:
        """Without those that came later, where they ask for nothing."""
        said = without_scope(super().parameters())
        nothing = {("precision", FLOAT32), ("contrastive", 0.0)}
        return {name: value for name, value in said.items() if (name, value) not in nothing}

    def base(self) -> str:
        """Snapshot of the encoder before training."""
        return open_embedder(self.base_model).snapshot

    def fit(self, task: Task, train: Dataset, report: Report = lambda line: None) -> EncoderCandidate | ScoredCandidate:
        """Choose C, epochs and temperature on validation: see `folds`."""
        require_rows(task, train, self.name, self.kinds)
        require_label(task, self.out_of_scope, self.name)
        require(not self.contrastive or task.output.kind == "label", self.name, "contrastive is for one label")
        require(not (self.balanced and task.output.kind == "number"), self.name, "balanced=true is for labels")
        if self.precision != FLOAT32:
            registry.load("precision", self.precision)  # a missing extra is told before minutes of training
        done = timed(self._fit, task, train, report)
        tuned, reading = done.value
        setup = Resources(labels=len(train), tokens=tuned.tokens, cpu_s=done.cpu_s)
        if reading is None:
            Scope.of(tuned.held_out.scores).require(self.out_of_scope, self.name)
            card = self.card(task, train, setup, notes=tuned.chosen)
            return answering(EncoderCandidate(card, tuned.net, tuned.held_out), tuned.net)
        card = self.card(task, train, setup, notes=tuned.chosen, settings=reading.to_json())
        return answering(ScoredCandidate(card, NetScorer(tuned.net)), tuned.net)

    def _fit(self, task: Task, train: Dataset, report: Report) -> tuple[Tuned, Reading | None]:
        progress = Progress(Checkpoint(self.fingerprint(task, train)))
        folds = self.folds or (FOLDS if len(train) <= FEW_ROWS else 1)
        target = Target.of(task, train, self.name)
        tuning = Tuning(task, train, target, self.base_model, self._schedule(), progress, report)
        tuned = tuning.held_out() if folds == 1 else tuning.crossed(folds)
        if task.output.kind == "label":
            return tuned, None
        judged = train.part((train.examples[place] for place in tuned.held_out.rows), "held out")
        return tuned, target.reading(task, judged, tuned.held_out.scores, tuned.chosen["temperature"])

    def _schedule(self) -> Schedule:
        speed = (self.learning_rate, self.batch_size, self.half)
        return Schedule(self.max_epochs, self.max_epochs, *speed, self.balanced, self.seed, self.contrastive)

    @staticmethod
    def load(folder: Path, card: Card) -> EncoderCandidate | ScoredCandidate:
        """A saved candidate.

        Raises:
            ArtifactError: a version before this one wrote it.
        """
        if not (folder / "encoder").is_dir():
            raise ArtifactError(f"{folder}: an older version wrote it, without the encoder's shape; fit again")
        stored = read_arrays(folder)
        rows, scores = stored.pop("held_out.rows", None), stored.pop("held_out.scores", None)
        net = Net(Pretrained.restored(folder / "encoder"), len(stored["head.bias"]))
        net.restore({name: torch.from_numpy(array) for name, array in stored.items()})
        if rows is None or scores is None:
            return answering(ScoredCandidate(card, NetScorer(net)), net)
        return answering(EncoderCandidate(card, net, HeldOut(rows, scores.astype(np.float64))), net)


def answering(candidate: AnyCandidate, net: Net) -> AnyCandidate:
    """The candidate, its net answering in the precision of its recipe."""
    precision = str(candidate.card.parameters.get("precision", FLOAT32))
    if precision != FLOAT32:
        net.answering = registry.load("precision", precision)(net.encoder)
        candidate.traits = replace(candidate.traits, deterministic=False)
    return candidate


@dataclass(frozen=True)
class NetScorer:
    """A tuned net, for answers that are not one label."""

    net: Net

    def scores(self, texts: Sequence[str]) -> Scores:
        """[n] texts -> [n, width]."""
        return self.net.logits(texts)

    def arrays(self) -> Arrays:
        """All weights."""
        return {name: tensor.numpy() for name, tensor in self.net.state().items()}

    def parts(self) -> Mapping[str, Any]:
        """Tokenizer and shape of the encoder."""
        return {"encoder": self.net.encoder}


class EncoderCandidate(ScopedCandidate):
    """The fine-tuned encoder."""

    def __init__(self, card: Card, net: Net, held_out: HeldOut) -> None:
        super().__init__(card, float(card.notes["temperature"]), Scope.of(held_out.scores.astype(np.float32)))
        self.held_out = held_out
        self._net = net

    def scores(self, texts: Sequence[str]) -> Scores:
        """[n] texts -> [n, labels]."""
        return self._net.logits(texts)

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """[n] texts -> [n, dimensions]: where the tuned encoder puts them, unit length."""
        return self._net.vectors(texts)

    def logits(self, vectors: Vectors) -> Scores:
        """[n, dimensions] of `vectors` -> [n, labels], before the temperature."""
        return self._net.head_logits(vectors)

    def arrays(self) -> Arrays:
        """All weights, and what was said of held-out rows."""
        scores = self.held_out.scores.astype(np.float32)
        return {**NetScorer(self._net).arrays(), "held_out.rows": self.held_out.rows, "held_out.scores": scores}

    def save(self, folder: Path) -> None:
        """With tokenizer and shape of the encoder: the folder needs no other model to answer."""
        write_artifact(folder, self.card, self.arrays(), {"encoder": self._net.encoder})
