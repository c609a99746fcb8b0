"""A pre-trained encoder with a linear head, as one torch module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from tasklift.data.embed import Vectors
from tasklift.data.pretrained import Pretrained, bucketed, has_bfloat16
from tasklift.strategies.heads import Head, Loss, Truth

#: Tokens, padding included, that one backward pass takes: 32 rows of the longest would take gigabytes.
PART_TOKENS = 2048
#: What similarities of rows are divided by in the contrastive loss.
CONTRAST_TEMPERATURE = 0.1


@dataclass(frozen=True)
class Objective:
    """What training minimises, summed over rows.

    Attributes:
        loss: cross-entropy of one label, or of each of several, or half the squared error of a number.
        weights: [labels] of one label's loss, or of naming each of several; None: all 1.
        contrastive: share of the contrastive loss, of one label only; the rest is cross-entropy.
    """

    loss: Loss
    weights: torch.Tensor | None = None
    contrastive: float = 0.0

    def __call__(self, logits: torch.Tensor, truth: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """[n, width], [n] label indices or [n, width], and [n, dimensions] -> one number."""
        told = self._told(logits, truth)
        if not self.contrastive:
            return told
        return (1 - self.contrastive) * told + self.contrastive * contrast(vectors, truth)

    def _told(self, logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        functional = torch.nn.functional
        if self.loss == "softmax":
            return functional.cross_entropy(logits, truth, self.weights, reduction="none").sum()
        if self.loss == "sigmoid":
            return functional.binary_cross_entropy_with_logits(logits, truth, pos_weight=self.weights, reduction="sum")
        return functional.mse_loss(logits, truth, reduction="sum") / 2


def contrast(vectors: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Supervised contrastive loss, summed over the rows that have another one of their label in the batch (Khosla et
    al. 2020; beside cross-entropy: Gunel et al. 2021): rows of a label draw together, others are pushed apart.

    Args:
        vectors: [n, dimensions], unit length.
        truth: [n] label indices.
    """
    alike = (truth[:, None] == truth[None, :]).fill_diagonal_(False)
    itself = torch.eye(len(truth), dtype=torch.bool)
    similar = (vectors @ vectors.T / CONTRAST_TEMPERATURE).masked_fill(itself, -torch.inf)
    logs = torch.log_softmax(similar, dim=1).masked_fill(~alike, 0.0)
    return -(logs.sum(dim=1) / alike.sum(dim=1).clamp(min=1)).sum()


class Answering(Protocol):
    """An encoder in another precision."""

    def row_vectors(self, rows: Sequence[Sequence[int]]) -> Vectors:
        """Token ids -> [n, dimensions], unit length."""
        ...


class Net(torch.nn.Module):
    """Encoder, pooling, unit length, linear head.

    Attributes:
        answering: computes the vectors of texts in the encoder's place; training does not use it.
    """

    def __init__(self, encoder: Pretrained, width: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.backbone = encoder.model
        self.head = torch.nn.Linear(encoder.dimensions, width)
        self.answering: Answering | None = None
        self.eval()

    @classmethod
    def start(cls, encoder: Pretrained, head: Head) -> Net:
        """The pre-trained encoder with a fitted linear head."""
        net = cls(encoder, len(head.weights))
        net.set_head(head)
        return net

    def set_head(self, head: Head) -> None:
        """Put a fitted linear head in place of the present one."""
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(head.weights))
            self.head.bias.copy_(torch.from_numpy(head.bias))

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """[n] texts -> [n] lists of token ids."""
        return self.encoder.token_ids(texts)

    def forward(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Token ids -> logits [n, labels]."""
        return self._scored(rows)[0]

    def _scored(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids -> logits [n, labels], and the unit vectors [n, dimensions] that they come from."""
        vectors = self.encoder.pooled(rows)
        return self.head(vectors), vectors

    def gradients(
        self,
        rows: Sequence[Sequence[int]],
        truth: Truth,
        objective: Objective,
        half: bool,
        part_tokens: int = PART_TOKENS,
    ) -> float:
        """Add the gradients of a batch's mean loss, and return it. A batch of long rows is computed in parts, whose
        gradients add up to the same: memory is bounded by `part_tokens` and not by the longest rows."""
        lengths = [len(row) for row in rows]
        whole = len(rows) * max(lengths) <= part_tokens
        total = 0.0
        for part in [list(range(len(rows)))] if whole else bucketed(lengths, part_tokens):
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                logits, vectors = self._scored([rows[i] for i in part])
            loss = objective(logits.float(), torch.from_numpy(truth[part]), vectors.float()) / len(rows)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        return total

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """[n] texts -> [n, dimensions], unit length, without gradients, in length-bucketed batches."""
        rows = self.tokenise(texts)
        return self.row_vectors(rows) if self.answering is None else self.answering.row_vectors(rows)

    def row_vectors(self, rows: Sequence[Sequence[int]], half: bool = False) -> Vectors:
        """Token ids -> [n, dimensions]; `half`: in bfloat16, good enough to judge an epoch by."""
        out = np.zeros((len(rows), self.head.in_features), dtype=np.float32)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half and has_bfloat16()):
            for batch in bucketed([len(row) for row in rows]):
                out[batch] = self.encoder.pooled([rows[i] for i in batch]).numpy()
        return out

    def logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """[n] texts -> [n, labels], without gradients."""
        return self.head_logits(self.vectors(texts))

    def row_logits(self, rows: Sequence[Sequence[int]], half: bool = False) -> NDArray[np.float64]:
        """Token ids -> [n, labels], without gradients."""
        return self.head_logits(self.row_vectors(rows, half))

    def head_logits(self, vectors: Vectors) -> NDArray[np.float64]:
        """[n, dimensions] -> [n, labels], without gradients."""
        with torch.inference_mode():
            return np.asarray(self.head(torch.tensor(vectors)).double().numpy())

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
