"""Sentence encoders of Hugging Face with torch: opening one, and the batching shared with fine-tuning."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file

from tasklift.errors import ConfigError
from tasklift.weights import locate_minilm

#: Tokens beyond this are cut: what the bundled model was trained with.
MAX_TOKENS = 256
#: Tokens in one batch, padding included. Small batches stay in the cache of a core: 4096 took 1.5 times as long.
BATCH_TOKENS = 512
#: Name of the encoder that is installed with the extra [local].
BUNDLED = "minilm"
#: What is fetched of a model on the hub: no code, no pickle.
_PATTERNS = ("*.json", "*.txt", "*.model", "model.safetensors")


@dataclass(frozen=True)
class Pretrained:
    """An encoder as it was published.

    Attributes:
        snapshot: name and version, for fingerprints.
        from_first: a text's vector is that of its first token; else the mean of all.
    """

    tokenizer: Any
    model: torch.nn.Module
    snapshot: str
    max_tokens: int
    from_first: bool

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self.model.config.hidden_size)  # type: ignore[union-attr,arg-type]

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """[n] texts -> [n] lists of token ids, special tokens included, cut at `max_tokens`."""
        encoded: list[list[int]] = self.tokenizer(
            list(texts), truncation=True, max_length=self.max_tokens, padding=False
        )["input_ids"]
        return encoded

    def pooled(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Token ids -> unit vectors [n, dimensions]."""
        ids, mask = padded(rows, self.tokenizer.pad_token_id)
        return self.pool(self.model(input_ids=ids, attention_mask=mask).last_hidden_state, mask)

    def pool(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Token vectors [n, width, dimensions] and mask [n, width] -> unit vectors [n, dimensions]."""
        pooled = hidden[:, 0] if self.from_first else _mean(hidden, mask)
        return torch.nn.functional.normalize(pooled.float(), dim=1)

    def save(self, folder: Path) -> None:
        """Tokenizer and shape, as JSON, without weights: what `restored` reads."""
        self.tokenizer.save_pretrained(folder)
        self.model.config.save_pretrained(folder)  # type: ignore[union-attr,operator]
        facts = {"snapshot": self.snapshot, "max_tokens": self.max_tokens, "from_first": self.from_first}
        (folder / "encoder.json").write_text(json.dumps(facts), encoding="utf-8")

    @classmethod
    def restored(cls, folder: Path) -> Pretrained:
        """What `save` wrote; the weights are random."""
        facts = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
        tokenizer, model = _shape(folder)
        return cls(tokenizer, model, **facts)


def open_pretrained(name: str) -> Pretrained:
    """The bundled encoder (`minilm`), a folder, or a model of the hub by its name, `owner/model`.

    A model of the hub is fetched once; without a network it has to be in the hub's cache already.

    Raises:
        ConfigError: no such folder or model, or one whose weights are not in `model.safetensors`.
    """
    if name == BUNDLED:
        return _opened(locate_minilm(), f"all-MiniLM-L6-v2-{MAX_TOKENS}-v1")
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _opened(folder, f"{folder.name}-{_digest_of(folder)}")
    try:
        fetched = Path(snapshot_download(name, allow_patterns=list(_PATTERNS)))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        raise ConfigError(
            f"the encoder {name!r} is neither a folder nor in the cache of the hub, and cannot be fetched "
            f"({type(error).__name__}); give the folder of a downloaded model, or {BUNDLED!r}, which is installed"
        ) from error
    return _opened(fetched, f"{name}-{fetched.name[:12]}")


def _opened(folder: Path, snapshot: str) -> Pretrained:
    path = folder / "model.safetensors"
    try:
        tokenizer, model = _shape(folder)
        # Weights are read here and not by `from_pretrained`, which would draw a progress bar into every output.
        weights = load_file(path)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        why = " ".join(str(error).split())[:120]
        raise ConfigError(
            f"{folder}: no encoder can be read there ({why}); it needs config.json, tokenizer.json and "
            "model.safetensors, as Hugging Face saves them"
        ) from error
    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    plain = {name.removeprefix(prefix): tensor for name, tensor in weights.items()}
    missing = [name for name in model.load_state_dict(plain, strict=False).missing_keys if "pooler" not in name]
    if missing:
        raise ConfigError(f"{path}: the weights {', '.join(missing[:3])} are missing; it holds another model")
    limit = int(getattr(model.config, "max_position_embeddings", MAX_TOKENS))
    return Pretrained(tokenizer, model, snapshot, min(MAX_TOKENS, limit), _from_first(folder))


def _shape(folder: Path) -> tuple[Any, torch.nn.Module]:
    """Tokenizer and untrained model of a folder, without dropout; nothing is downloaded and no code of it runs."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    return tokenizer, transformers.AutoModel.from_config(config, dtype=torch.float32).eval()


def _from_first(folder: Path) -> bool:
    """Does the folder say, as sentence-transformers does, that the first token's vector is the text's?"""
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        return False
    facts = json.loads(path.read_text(encoding="utf-8"))
    return bool(facts.get("pooling_mode_cls_token")) or facts.get("pooling_mode") == "cls"


def _digest_of(folder: Path) -> str:
    """Size and time of change of the weights: hashing gigabytes at every start would take longer than loading."""
    path = folder / "model.safetensors"
    if not path.is_file():
        return "none"
    stat = os.stat(path)
    return f"{stat.st_size:x}-{stat.st_mtime_ns:x}"


def has_bfloat16() -> bool:
    """Does this processor multiply bfloat16 numbers itself? Emulated, they are slower than float32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


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


def _mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of the token vectors, padding left out: [batch, dimensions]."""
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
