"""384-dimensional sentence embeddings (all-MiniLM-L6-v2) with torch, and the batching shared with fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import load_file

from tasklift.weights import locate_minilm

#: Tokens beyond this are cut: what the model was trained with.
MAX_TOKENS = 256
#: Tokens in one batch, padding included. Small batches stay in the cache of a core: 4096 took 1.5 times as long.
BATCH_TOKENS = 512
VERSION = "1"


def load_backbone(folder: Path) -> tuple[Any, torch.nn.Module]:
    """Tokenizer and encoder of a Hugging Face folder; nothing is downloaded."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    # Weights are read here and not by `from_pretrained`, which would draw a progress bar into every output.
    model = transformers.AutoModel.from_config(config, dtype=torch.float32)
    weights = load_file(folder / "model.safetensors")
    weights.pop("embeddings.position_ids", None)  # counted off, not learned
    model.load_state_dict(weights)
    return tokenizer, model


def has_bfloat16() -> bool:
    """Does this processor multiply bfloat16 numbers itself? Emulated, they are slower than float32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def token_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """[n] texts -> [n] lists of token ids, special tokens included, cut at MAX_TOKENS."""
    encoded: list[list[int]] = tokenizer(list(texts), truncation=True, max_length=MAX_TOKENS, padding=False)[
        "input_ids"
    ]
    return encoded


def bucketed(lengths: Sequence[int], batch_tokens: int = BATCH_TOKENS) -> Iterator[list[int]]:
    """Indices in batches of similar length, so that little is padded; longest first."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    batch: list[int] = []
    for index in order:
        widest = lengths[batch[0]] if batch else lengths[index]
        if batch and (len(batch) + 1) * widest > batch_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids -> (ids [batch, width], mask [batch, width])."""
    width = max(len(row) for row in rows)
    ids = torch.tensor([[*row, *([pad] * (width - len(row)))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask


def mean_pooled(model: torch.nn.Module, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of the token vectors, padding left out: [batch, dimensions]."""
    hidden: torch.Tensor = model(input_ids=ids, attention_mask=mask).last_hidden_state  # [batch, width, dimensions]
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9)


class MiniLM:
    """The bundled sentence encoder, frozen."""

    name = "minilm"
    dimensions = 384

    def __init__(self) -> None:
        folder = locate_minilm()
        self._tokenizer, self._model = load_backbone(folder)
        self._model.eval()
        self.snapshot = f"all-MiniLM-L6-v2-{MAX_TOKENS}-v{VERSION}"

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """[n] texts -> [n, 384], unit length."""
        rows = token_ids(self._tokenizer, texts)
        out = np.zeros((len(rows), self.dimensions), dtype=np.float32)
        with torch.inference_mode():
            for batch in bucketed([len(row) for row in rows]):
                ids, mask = padded([rows[i] for i in batch], self._tokenizer.pad_token_id)
                vectors = torch.nn.functional.normalize(mean_pooled(self._model, ids, mask), dim=1)
                out[batch] = vectors.numpy()
        return out
