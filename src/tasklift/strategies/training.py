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

from tasklift.data.embed_minilm import has_bfloat16
from tasklift.strategies.artifact import Arrays
from tasklift.strategies.checkpoint import Checkpoint
from tasklift.strategies.net import Net
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
        seed: of dropout and the order of rows.
    """

    epochs: int
    span: int
    learning_rate: float
    batch_size: int
    half: bool
    seed: int


def train_epochs(
    net: Net, rows: Sequence[list[int]], truth: NDArray[np.int64], schedule: Schedule, progress: Progress | None = None
) -> Iterator[int]:
    """Train on token ids [n] and label indices [n], yielding after each epoch. Epochs that a stopped fit had done
    are not done again."""
    torch.manual_seed(schedule.seed)
    order = np.random.default_rng(schedule.seed)
    steps = math.ceil(len(rows) / schedule.batch_size) * schedule.span
    optimizer = torch.optim.AdamW(net.parameter_groups(schedule.learning_rate), weight_decay=0.01, fused=True)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    half = schedule.half and has_bfloat16()
    done = progress.restore(net, optimizer, rates, order) if progress else 0
    for epoch in range(done + 1, schedule.epochs + 1):
        net.train()
        for batch in _shuffled_buckets([len(row) for row in rows], schedule.batch_size, order):
            optimizer.zero_grad(set_to_none=True)
            net.gradients([rows[i] for i in batch], truth[batch], half)
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            rates.step()
        net.eval()
        yield epoch
        if progress and epoch < schedule.epochs:
            progress.keep(epoch, net, optimizer, rates, order)


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


class Progress:
    """What a fit has reached, kept after each epoch: a stopped fit goes on to equal weights.

    With the weights stand the optimizer's moments, the schedule, and both sources of chance (dropout, order of
    rows).

    Attributes:
        history: validation accuracy of the start and after each epoch.
        best: validation accuracy, epoch and weights of the best epoch.

    In a cross-validation the logits of each finished fold are kept instead: folds of few rows are short.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._begun = time.process_time()
        self._state, self._arrays = checkpoint.load() or ({}, {})
        self._state.setdefault("cpu_s", 0.0)
        credit(self._state["cpu_s"])  # what was spent before the fit was stopped
        self.history: list[float] = self._state.get("history", [])
        self.best: tuple[float, int, dict[str, torch.Tensor]] = (-1.0, 0, {})
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

    def begin_refit(self, chosen: Mapping[str, Any]) -> None:
        """From now on what was chosen is known; the epochs kept so far are those of the other training."""
        if self.chosen is None:
            self._state = {"chosen": dict(chosen), "cpu_s": self._spent()}
            self._arrays = {}
            self._checkpoint.save(self._state, {})

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
        self._checkpoint.save(state, plain | {"chance": torch.get_rng_state().numpy()})

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
