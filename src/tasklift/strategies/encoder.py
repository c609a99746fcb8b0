"""A sentence encoder fine-tuned end to end with its head."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from tasklift.data.embed import Vectors, open_embedder
from tasklift.data.embed_minilm import bucketed, has_bfloat16, load_backbone, mean_pooled, padded, token_ids
from tasklift.dataset import Dataset
from tasklift.stats.calibration import fit_temperature
from tasklift.strategies.artifact import Arrays, Card, read_arrays
from tasklift.strategies.checkpoint import Checkpoint
from tasklift.strategies.classifier import (
    ClassifierCandidate,
    Probabilities,
    label_indices,
    texts_of,
    validation_cut,
)
from tasklift.strategies.frozen import Head, choose_head, fit_head
from tasklift.strategies.recipe import Recipe, require, require_rows
from tasklift.strategies.training import Progress
from tasklift.strategy import Family, Resources
from tasklift.task import Task
from tasklift.weights import locate_minilm
from tasklift.worker import timed

#: Values of C for the head that training starts from.
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
#: Tokens, padding included, that one backward pass takes: 32 rows of the longest would take gigabytes.
PART_TOKENS = 2048
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
        refit: train again on all rows for the chosen number of epochs; else the validation rows are
            given up and the model of the best epoch is kept, at half the cost.
        seed: of the validation cut and the order of rows.
    """

    name: ClassVar[str] = "encoder"
    family: ClassVar[Family] = "finetune"

    max_epochs: int = 3
    learning_rate: float = 1e-4
    batch_size: int = 32
    half: bool = True
    refit: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        require(1 <= self.max_epochs <= 100, self.name, f"max_epochs={self.max_epochs} must lie between 1 and 100")
        require(
            0 < self.learning_rate < 1,
            self.name,
            f"learning_rate={self.learning_rate} must lie between 0 and 1",
        )
        require(self.batch_size > 0, self.name, f"batch_size={self.batch_size} must be positive")

    def base(self) -> str:
        """Snapshot of the encoder before training."""
        return open_embedder("minilm").snapshot

    def fit(self, task: Task, train: Dataset, report: Report = lambda line: None) -> EncoderCandidate:
        """Choose epochs and temperature on validation; then, with `refit`, train on all rows."""
        require_rows(task, train, self.name)
        done = timed(self._fit, task, train, report)
        net, temperature, notes, tokens = done.value
        setup = Resources(labels=len(train), tokens=tokens, cpu_s=done.cpu_s)
        return EncoderCandidate(self.card(task, train, setup, notes=notes), net, temperature)

    def _fit(self, task: Task, train: Dataset, report: Report) -> tuple[Net, float, dict[str, Any], int]:
        progress = Progress(Checkpoint(self.fingerprint(task, train)))
        chosen = progress.chosen
        net: Net | None = None
        if chosen is None:
            net, chosen = self._choose(task, train, progress, report)
        if self.refit or net is None:
            progress.begin_refit(chosen)
            net = self._refit(task, train, chosen, progress, report)
        names = ("epochs", "validation_accuracy", "validation_history", "temperature", "c")
        return net, chosen["temperature"], {name: chosen[name] for name in names}, chosen["tokens"]

    def _choose(self, task: Task, train: Dataset, progress: Progress, report: Report) -> tuple[Net, dict[str, Any]]:
        """The net of the best epoch on validation, and what was chosen there."""
        labels = list(task.labels)
        fitting, validation = validation_cut(train, self.seed)
        texts, truth = texts_of(fitting, task.input_fields), label_indices(fitting, labels)
        held_out, held_truth = texts_of(validation, task.input_fields), label_indices(validation, labels)
        embed = open_embedder("minilm").encode
        strength, accuracy, _ = choose_head(
            (embed(texts), truth), (embed(held_out), held_truth), STRENGTHS, len(labels)
        )
        net = Net.start(fit_head(embed(texts), truth, strength, len(labels)))
        rows = net.tokenise(texts)
        progress.seen(0, accuracy, net)
        for epoch in self._epochs(net, rows, truth, self.max_epochs, progress):
            accuracy = float(np.mean(net.logits(held_out).argmax(1) == held_truth))
            report(f"epoch {epoch}: validation {accuracy:.3f}")
            progress.seen(epoch, accuracy, net)
        accuracy, epochs, best = progress.best
        net.restore(best)
        chosen = {"epochs": epochs, "validation_accuracy": accuracy, "validation_history": progress.history}
        chosen |= {"temperature": fit_temperature(net.logits(held_out), held_truth), "c": strength}
        # Training on all rows for the chosen number of epochs is counted here too.
        refit = epochs * sum(map(len, net.tokenise(texts_of(train, task.input_fields)))) if self.refit else 0
        return net, chosen | {"tokens": self.max_epochs * sum(map(len, rows)) + refit}

    def _refit(self, task: Task, train: Dataset, chosen: Mapping[str, Any], progress: Progress, report: Report) -> Net:
        """Trained on all rows, as long as was best on validation."""
        labels = list(task.labels)
        texts, truth = texts_of(train, task.input_fields), label_indices(train, labels)
        net = Net.start(fit_head(open_embedder("minilm").encode(texts), truth, chosen["c"], len(labels)))
        for epoch in self._epochs(net, net.tokenise(texts), truth, chosen["epochs"], progress):
            report(f"refit on all rows, epoch {epoch}")
        return net

    def _epochs(
        self, net: Net, rows: list[list[int]], truth: NDArray[np.int64], epochs: int, progress: Progress
    ) -> Iterator[int]:
        """Train, yielding after each epoch. The schedule always spans `max_epochs`, so that stopping
        after e epochs on all rows repeats what validation saw. Epochs that a stopped fit had done are not
        done again."""
        torch.manual_seed(self.seed)
        order = np.random.default_rng(self.seed)
        steps = math.ceil(len(rows) / self.batch_size)
        optimizer = torch.optim.AdamW(net.parameter_groups(self.learning_rate), weight_decay=0.01, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps * self.max_epochs))
        half = self.half and has_bfloat16()
        for epoch in range(progress.restore(net, optimizer, schedule, order) + 1, epochs + 1):
            net.train()
            for batch in _shuffled_buckets([len(row) for row in rows], self.batch_size, order):
                optimizer.zero_grad(set_to_none=True)
                net.gradients([rows[i] for i in batch], truth[batch], half)
                torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                optimizer.step()
                schedule.step()
            net.eval()
            yield epoch
            if epoch < epochs:
                progress.keep(epoch, net, optimizer, schedule, order)

    @staticmethod
    def load(folder: Path, card: Card) -> EncoderCandidate:
        """A saved candidate."""
        stored = {name: torch.from_numpy(array) for name, array in read_arrays(folder).items()}
        net = Net(torch.nn.Linear(stored["head.weight"].shape[1], stored["head.weight"].shape[0]))
        net.restore(stored)
        return EncoderCandidate(card, net, float(card.notes["temperature"]))


class Net(torch.nn.Module):
    """Encoder, mean pooling, unit length, linear head."""

    def __init__(self, head: torch.nn.Linear) -> None:
        super().__init__()
        self._tokenizer, self.backbone = load_backbone(locate_minilm())
        self.head = head
        self.eval()

    @classmethod
    def start(cls, head: Head) -> Net:
        """The pre-trained encoder with a fitted linear head."""
        linear = torch.nn.Linear(head.weights.shape[1], head.weights.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(head.weights))
            linear.bias.copy_(torch.from_numpy(head.bias))
        return cls(linear)

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """[n] texts -> [n] lists of token ids."""
        return token_ids(self._tokenizer, texts)

    def pooled(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Token ids -> unit vectors [n, dimensions]."""
        ids, mask = padded(rows, self._tokenizer.pad_token_id)
        return torch.nn.functional.normalize(mean_pooled(self.backbone, ids, mask).float(), dim=1)

    def forward(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Token ids -> logits [n, labels]."""
        logits: torch.Tensor = self.head(self.pooled(rows))
        return logits

    def gradients(self, rows: Sequence[Sequence[int]], truth: NDArray[np.int64], half: bool) -> None:
        """Add the gradients of a batch's mean cross-entropy. A batch of long rows is computed in parts, whose
        gradients add up to the same: memory is bounded by `PART_TOKENS` and not by the longest rows."""
        lengths = [len(row) for row in rows]
        whole = len(rows) * max(lengths) <= PART_TOKENS
        for part in [list(range(len(rows)))] if whole else bucketed(lengths, PART_TOKENS):
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                logits = self([rows[i] for i in part])
                loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(truth[part]))
            (loss * (len(part) / len(rows))).backward()  # type: ignore[no-untyped-call]

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """[n] texts -> [n, dimensions], unit length, without gradients, in length-bucketed batches."""
        rows = self.tokenise(texts)
        out = np.zeros((len(rows), self.head.in_features), dtype=np.float32)
        with torch.inference_mode():
            for batch in bucketed([len(row) for row in rows]):
                out[batch] = self.pooled([rows[i] for i in batch]).numpy()
        return out

    def logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """[n] texts -> [n, labels], without gradients."""
        with torch.inference_mode():
            return np.asarray(self.head(torch.from_numpy(self.vectors(texts))).double().numpy())

    def parameter_groups(self, rate: float) -> list[dict[str, Any]]:
        """The head starts near its optimum but on a larger scale: it may move ten times as fast."""
        return [
            {"params": self.backbone.parameters(), "lr": rate},
            {"params": self.head.parameters(), "lr": 10 * rate},
        ]

    def state(self) -> dict[str, torch.Tensor]:
        """A copy of all weights."""
        return {name: tensor.detach().clone() for name, tensor in self.state_dict().items()}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Put weights back."""
        self.load_state_dict(state)
        self.eval()


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
        head = self._net.head
        with torch.inference_mode():
            return np.asarray(head(torch.from_numpy(vectors)).double().numpy())

    def arrays(self) -> Arrays:
        """All weights: the folder needs no other model to answer."""
        return {name: tensor.numpy() for name, tensor in self._net.state().items()}


def _rate(step: int, steps: int) -> float:
    """Linear warm-up over a tenth of the steps, then linear decay to zero."""
    warm = max(1, steps // 10)
    return (step + 1) / warm if step < warm else max(0.0, (steps - step) / max(1, steps - warm))


def _shuffled_buckets(lengths: Sequence[int], size: int, order: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Batches of similar length in a random order: shuffle, sort stretches of 16 batches, shuffle batches."""
    shuffled = order.permutation(len(lengths))
    batches = []
    for start in range(0, len(shuffled), size * 16):
        stretch = sorted(shuffled[start : start + size * 16], key=lambda i: lengths[i])
        batches += [np.array(stretch[i : i + size]) for i in range(0, len(stretch), size)]
    for index in order.permutation(len(batches)):
        yield batches[index]
