"""Training a net epoch by epoch, and how far it has come, kept after each epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tasklift.data.pretrained import has_bfloat16
from tasklift.errors import StrategyError
from tasklift.strategies.artifact import Arrays
from tasklift.strategies.checkpoint import Checkpoint, Report
from tasklift.strategies.heads import Loss, Truth
from tasklift.strategies.net import PART_TOKENS, Net, Objective
from tasklift.worker import credit


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Attributes:
        epochs: to train.
        span: epochs that the decay of the rate spans, so that stopping after fewer repeats what validation saw.
        learning_rate: peak rate of the encoder.
        batch_size: rows a step.
        half: products in bfloat16, where the processor has them.
        balanced: every label counts the same, however rare.
        seed: of dropout and the order of rows.
        contrastive: share of the contrastive loss; rows then come in pairs of a label.
    """

    epochs: int
    span: int
    learning_rate: float
    batch_size: int
    half: bool
    balanced: bool
    seed: int
    contrastive: float = 0.0


class Training:
    """Training a net.

    Args:
        rows: token ids [n], and what is to be learnt of them, as `Target.truth` gives it.
        loss: what is minimised.

    Attributes:
        stopped: why training ended before its last epoch; '' where it did not.
    """

    def __init__(
        self, net: Net, rows: tuple[Sequence[list[int]], Truth], schedule: Schedule, loss: Loss, report: Report
    ) -> None:
        self.stopped = ""
        self._net, self._schedule, self._report = net, schedule, report
        self._rows, self._truth = rows
        if loss != "softmax":
            self._truth = self._truth.astype(np.float32)
        self._half = schedule.half and has_bfloat16()
        self._part_tokens = PART_TOKENS
        weights = _weights(loss, self._truth, net.head.out_features, schedule.balanced)
        self._objective = Objective(loss, weights, schedule.contrastive)

    def epochs(self, progress: Progress | None = None) -> Iterator[int]:
        """Train, yielding after each epoch. Epochs that a stopped fit had done are not done again.

        Where the loss is no number any more, the weights of the epoch before are put back, and that is the end.
        """
        net, schedule = self._net, self._schedule
        torch.manual_seed(schedule.seed)
        order = np.random.default_rng(schedule.seed)
        steps = math.ceil(len(self._rows) / schedule.batch_size) * schedule.span
        optimizer = torch.optim.AdamW(net.parameter_groups(schedule.learning_rate), weight_decay=0.01, fused=True)
        rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
        done = progress.restore(net, optimizer, rates, order) if progress else 0
        for epoch in range(done + 1, schedule.epochs + 1):
            good = net.state()
            net.train()
            for number, batch in enumerate(self._batches(order), start=1):
                optimizer.zero_grad(set_to_none=True)
                loss = self._gradients(batch)
                norm = float(torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0))
                if not (math.isfinite(loss) and math.isfinite(norm)):
                    net.restore(good)
                    self._stop(f"batch {number} of epoch {epoch} (rows {', '.join(map(str, batch[:5]))}, ...)", epoch)
                    return
                optimizer.step()
                rates.step()
            net.eval()
            yield epoch
            if progress and epoch < schedule.epochs:
                progress.keep(epoch, net, optimizer, rates, order)

    def _batches(self, order: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        if self._schedule.contrastive:
            return _shuffled_pairs(self._truth, self._schedule.batch_size, order)
        return _shuffled_buckets([len(row) for row in self._rows], self._schedule.batch_size, order)

    def _stop(self, where: str, epoch: int) -> None:
        kept = f"the state after epoch {epoch - 1} is kept" if epoch > 1 else "the state before training is kept"
        rate = f"a learning_rate below {self._schedule.learning_rate:g} may help"
        self.stopped = f"the loss of {where} is not a number; {kept}; {rate}"
        self._report(f"training stopped: {self.stopped}")

    def _gradients(self, batch: NDArray[np.int64]) -> float:
        """The batch's loss, its gradients added. Out of memory, the batch is computed in parts of half the size.

        Raises:
            StrategyError: not even one row at a time fits.
        """
        rows, truth = [self._rows[i] for i in batch], self._truth[batch]
        while True:
            try:
                return self._net.gradients(rows, truth, self._objective, self._half, self._part_tokens)
            except (MemoryError, RuntimeError) as error:
                if not (isinstance(error, MemoryError) or "memory" in str(error)):
                    raise
                size = sum(map(len, rows))
                longest = max(map(len, rows))
                if self._part_tokens <= longest:
                    raise StrategyError(
                        f"out of memory on one row of {longest} tokens; free some memory, or choose a smaller encoder"
                    ) from error
                self._part_tokens = min(self._part_tokens, size) // 2
                self._net.zero_grad(set_to_none=True)
                self._report(f"out of memory: batches are computed in parts of {self._part_tokens} tokens from now on")


def _weights(loss: Loss, truth: Truth, width: int, balanced: bool) -> torch.Tensor | None:
    if not balanced:
        return None
    return torch.from_numpy(balance(truth, width) if loss == "softmax" else uplift(truth))


def balance(truth: Truth, labels: int) -> NDArray[np.float32]:
    """[labels] weights by which every label that occurs counts the same: rows / (labels seen * rows of the label)."""
    counts = np.bincount(truth, minlength=labels)
    return np.asarray(len(truth) / (np.count_nonzero(counts) * np.maximum(counts, 1)), dtype=np.float32)


def uplift(truth: Truth) -> NDArray[np.float32]:
    """[labels] what a row with the label counts, so that all of them count as much as all without; 20 at most."""
    named = truth.sum(axis=0)
    return np.asarray(np.minimum((len(truth) - named) / np.maximum(named, 1), 20.0), dtype=np.float32)


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


def _shuffled_pairs(truth: Truth, size: int, order: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Batches in which rows come in pairs of a label, as far as there are any; every row once."""
    shuffled = order.permutation(len(truth))
    shuffled = shuffled[np.argsort(truth[shuffled], kind="stable")]  # random within a label
    runs = np.split(shuffled, np.flatnonzero(np.diff(truth[shuffled])) + 1)
    pairs = [run[at : at + 2] for run in runs for at in range(0, len(run), 2)]
    mixed = np.concatenate([pairs[at] for at in order.permutation(len(pairs))])
    for start in range(0, len(mixed), size):
        yield mixed[start : start + size]


class Progress:
    """What a fit has reached, kept after each epoch: a stopped fit goes on to equal weights.

    With the weights stand the optimizer's moments, the schedule, and both sources of chance (dropout, order of
    rows).

    Attributes:
        history: validation accuracy of the start and after each epoch.
        best: validation accuracy, epoch and weights of the best epoch.

    In a cross-validation the logits of each finished fold are kept instead: folds of few rows are short.

        logits: what the choice rests on, once it is made.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._begun = time.process_time()
        self._state, self._arrays = checkpoint.load() or ({}, {})
        self._state.setdefault("cpu_s", 0.0)
        credit(self._state["cpu_s"])  # what was spent before the fit was stopped
        self.logits: NDArray[np.float64] = self._arrays.pop("logits", np.zeros((0, 0)))
        self.history: list[float] = self._state.get("history", [])
        self.best: tuple[float, int, dict[str, torch.Tensor]] = (-math.inf, 0, {})
        if self.history and self.chosen is None:
            accuracy, epoch = self._state["best"]
            kept = _part(self._arrays, "best.") or _part(self._arrays, "net.")
            self.best = (accuracy, epoch, kept)

    @property
    def chosen(self) -> dict[str, Any] | None:
        """What validation chose; None while that is not known."""
        return self._state.get("chosen")

    def seen(self, epoch: int, accuracy: float, net: torch.nn.Module) -> None:
        """Take note of an epoch's validation accuracy, unless that was done before the fit was stopped."""
        if epoch < len(self.history):
            return
        self.history.append(accuracy)
        if accuracy > self.best[0]:
            self.best = (accuracy, epoch, _copied(net))

    def fold(self, fold: int) -> NDArray[np.float64] | None:
        """The logits that were kept for a fold of a cross-validation."""
        return self._arrays.get(f"fold.{fold}")

    def keep_fold(self, fold: int, logits: NDArray[np.float64]) -> None:
        """Keep what came out of a fold."""
        self._arrays = {**self._arrays, f"fold.{fold}": logits}
        if self._checkpoint.is_due:
            self._checkpoint.save({"cpu_s": self._spent()}, self._arrays)

    def begin_refit(self, chosen: Mapping[str, Any], logits: NDArray[np.float64]) -> None:
        """From now on what was chosen is known, and the logits it rests on; the folds are no longer needed."""
        self.logits = logits
        self._state = {"chosen": dict(chosen), "cpu_s": self._spent()}
        self._arrays = {}
        self._checkpoint.save(self._state, {"logits": logits})

    def restore(
        self,
        net: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        order: np.random.Generator,
    ) -> int:
        """Put everything back as it was after the epoch that was kept last; returns that epoch, else 0."""
        if "epoch" not in self._state:
            return 0
        net.load_state_dict(_part(self._arrays, "net."))
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in _part(self._arrays, "optimizer.").items():
            place, _, key = name.partition(".")
            moments.setdefault(int(place), {})[key] = tensor
        groups = [group | {"lr": lr} for group, lr in zip(_groups(optimizer), self._state["rates"], strict=True)]
        optimizer.load_state_dict({"state": moments, "param_groups": groups})
        schedule.load_state_dict(self._state["schedule"])
        order.bit_generator.state = self._state["order"]
        torch.set_rng_state(torch.from_numpy(self._arrays["chance"]))
        epoch: int = self._state["epoch"]
        self._arrays = {}
        return epoch

    def keep(
        self,
        epoch: int,
        net: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        order: np.random.Generator,
    ) -> None:
        """Write everything down, where enough has been done since the last time."""
        if not self._checkpoint.is_due:
            return
        moments = {
            f"optimizer.{place}.{key}": tensor
            for place, state in optimizer.state_dict()["state"].items()
            for key, tensor in state.items()
        }
        arrays = {f"net.{name}": tensor for name, tensor in net.state_dict().items()} | moments
        if self.chosen is None and self.best[1] != epoch:
            arrays |= {f"best.{name}": tensor for name, tensor in self.best[2].items()}
        state = {
            "chosen": self.chosen,
            "cpu_s": self._spent(),
            "epoch": epoch,
            "history": self.history,
            "best": self.best[:2],
            "rates": [group["lr"] for group in _groups(optimizer)],
            "schedule": schedule.state_dict(),
            "order": order.bit_generator.state,
        }
        plain = {name: tensor.numpy() for name, tensor in arrays.items()}
        self._checkpoint.save(state, plain | {"chance": torch.get_rng_state().numpy(), "logits": self.logits})

    def _spent(self) -> float:
        """CPU seconds of this fit so far, those before it was stopped included."""
        return float(self._state["cpu_s"]) + time.process_time() - self._begun


def _copied(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}


def _part(arrays: Arrays, prefix: str) -> dict[str, torch.Tensor]:
    """The arrays whose name begins so, without the beginning, as tensors."""
    return {
        name.removeprefix(prefix): torch.from_numpy(array) for name, array in arrays.items() if name.startswith(prefix)
    }


def _groups(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = optimizer.state_dict()["param_groups"]
    return groups
