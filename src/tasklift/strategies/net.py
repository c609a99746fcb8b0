"""A pre-trained encoder with a linear head, as one torch module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tasklift.data.embed import Vectors
from tasklift.data.embed_minilm import bucketed, has_bfloat16, load_backbone, mean_pooled, padded, token_ids
from tasklift.strategies.frozen import Head
from tasklift.weights import locate_minilm

#: Tokens, padding included, that one backward pass takes: 32 rows of the longest would take gigabytes.
PART_TOKENS = 2048


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
        net = cls(torch.nn.Linear(head.weights.shape[1], head.weights.shape[0]))
        net.set_head(head)
        return net

    def set_head(self, head: Head) -> None:
        """Put a fitted linear head in place of the present one."""
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(head.weights))
            self.head.bias.copy_(torch.from_numpy(head.bias))

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
        return self.row_vectors(self.tokenise(texts))

    def row_vectors(self, rows: Sequence[Sequence[int]], half: bool = False) -> Vectors:
        """Token ids -> [n, dimensions]; `half`: in bfloat16, good enough to judge an epoch by."""
        out = np.zeros((len(rows), self.head.in_features), dtype=np.float32)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half and has_bfloat16()):
            for batch in bucketed([len(row) for row in rows]):
                out[batch] = self.pooled([rows[i] for i in batch]).numpy()
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
            return np.asarray(self.head(torch.from_numpy(vectors)).double().numpy())

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
