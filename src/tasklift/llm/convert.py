"""Turn a GGUF file of the Llama family into a Hugging Face folder: safetensors, tokenizer, config.

Done once, kept in the cache: the copy loads in a fraction of a second, and PyTorch, transformers and
PEFT all read it. Neither PyTorch nor transformers is used here: transformers reads GGUF files only
with accelerate installed, takes ten times as long, and cannot save what it has read.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, ReaderTensor, dequantize
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from tasklift.errors import ArtifactError, UnsupportedError
from tasklift.weights import MARKER

#: Raised when the written files change, so that older copies are made anew.
CONVERTER_VERSION = 1
_CONTROL_TOKEN = 3  # the token type of llama.cpp for tokens that text must never produce
_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert(gguf_file: Path, target: Path, *, sha256: str = "", report: Callable[[str], None] | None = None) -> Path:
    """Write `target`, unless it is already there and made from the same file.

    Two processes may do this at once: each works in its own folder, and the first one to finish wins.

    Args:
        gguf_file: weights of the Llama family with a tied output layer.
        target: folder to make; about four times as large as a 4-bit file.
        sha256: hash of `gguf_file`, recorded in the marker and compared on later calls; '' does neither.
        report: called with one line of progress.

    Returns:
        `target`, complete.

    Raises:
        UnsupportedError: another architecture or tokenizer than this converter knows.
        ArtifactError: the file cannot be read, or the folder cannot be written.
    """
    if is_converted(target, sha256):
        return target
    if report is not None:
        report(f"converting {gguf_file.name} to safetensors (once, about 10 s)")
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".part-", dir=target.parent))
    try:
        _write(gguf_file, staging, sha256)
        _publish(staging, target, sha256)
    except OSError as error:
        raise ArtifactError(f"cannot convert {gguf_file} into {target}: {error}; free the space and retry") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def is_converted(target: Path, sha256: str = "") -> bool:
    """Whether `target` is complete, of this version, and made from the file `sha256` ('': any)."""
    try:
        marker = json.loads((target / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return marker.get("version") == CONVERTER_VERSION and sha256 in ("", marker.get("source_sha256"))


def _publish(staging: Path, target: Path, sha256: str) -> None:
    try:
        staging.rename(target)
        return
    except OSError:
        # A folder is already there: of another process, which is as good as ours, or an old one.
        if is_converted(target, sha256):
            return
    shutil.rmtree(target, ignore_errors=True)
    staging.rename(target)


def _write(gguf_file: Path, folder: Path, sha256: str) -> None:
    try:
        reader = GGUFReader(gguf_file)
    except (ValueError, IndexError, KeyError) as error:
        raise ArtifactError(f"{gguf_file} is no readable GGUF file ({error}); delete it and fetch it again") from error
    values = _Values(reader.fields)
    config = _config(values)
    save_file(_tensors(reader.tensors, config), folder / "model.safetensors", metadata={"format": "pt"})
    _tokenizer(values).save(str(folder / "tokenizer.json"))
    _dump(folder / "config.json", config)
    _dump(folder / "tokenizer_config.json", _tokenizer_config(values))
    (folder / "chat_template.jinja").write_text(values["tokenizer.chat_template"], encoding="utf-8")
    _dump(folder / MARKER, {"version": CONVERTER_VERSION, "source_sha256": sha256})
    # Made private by the temporary folder; a shared cache must be readable for all.
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)


class _Values:
    """Metadata by key, with a message that names the key when it is missing."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def __getitem__(self, key: str) -> Any:
        if key not in self._fields:
            raise UnsupportedError(f"the GGUF file has no {key!r}; only SmolLM2 models are converted")
        return self._fields[key].contents()


def _config(values: _Values) -> dict[str, Any]:
    if values["general.architecture"] != "llama":
        raise UnsupportedError(f"architecture {values['general.architecture']!r}; only 'llama' is converted")
    heads, hidden = values["llama.attention.head_count"], values["llama.embedding_length"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "mlp_bias": False,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "head_dim": hidden // heads,
        "intermediate_size": values["llama.feed_forward_length"],
        "max_position_embeddings": values["llama.context_length"],
        "num_attention_heads": heads,
        "num_hidden_layers": values["llama.block_count"],
        "num_key_value_heads": values["llama.attention.head_count_kv"],
        # The file holds it as float32: 1e-5 comes back as 9.999999747e-06.
        "rms_norm_eps": float(str(np.float32(values["llama.attention.layer_norm_rms_epsilon"]))),
        "rope_parameters": {"rope_theta": values["llama.rope.freq_base"], "rope_type": "default"},
        "tie_word_embeddings": True,
        "vocab_size": values["llama.vocab_size"],
        "bos_token_id": values["tokenizer.ggml.bos_token_id"],
        "eos_token_id": values["tokenizer.ggml.eos_token_id"],
        "pad_token_id": values["tokenizer.ggml.padding_token_id"],
        "dtype": "float32",
    }


def _tensors(tensors: list[ReaderTensor], config: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    result = {}
    for tensor in tensors:
        *layer, kind, suffix = tensor.name.split(".")
        if kind not in _NAMES or suffix != "weight":
            raise UnsupportedError(f"tensor {tensor.name!r} is unknown; only SmolLM2 models are converted")
        weights = dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
        if kind == "attn_q":
            weights = _unpermuted(weights, config["num_attention_heads"])
        elif kind == "attn_k":
            weights = _unpermuted(weights, config["num_key_value_heads"])
        prefix = f"model.layers.{layer[1]}." if layer else ""
        result[f"{prefix}{_NAMES[kind]}.weight"] = np.ascontiguousarray(weights)
    return result


def _unpermuted(weights: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows as transformers wants them: llama.cpp interleaves the two halves of each head for its rotation.

    Args:
        weights: (heads * head_dim, hidden).
        heads: heads of this projection.
    """
    rows, columns = weights.shape
    return weights.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _tokenizer(values: _Values) -> Tokenizer:
    if (values["tokenizer.ggml.model"], values["tokenizer.ggml.pre"]) != ("gpt2", "smollm"):
        raise UnsupportedError(f"tokenizer {values['tokenizer.ggml.pre']!r}; only 'smollm' is converted")
    tokens: list[str] = values["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in values["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    types = values["tokenizer.ggml.token_type"]
    control = [token for token, kind in zip(tokens, types, strict=True) if kind == _CONTROL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return tokenizer


def _tokenizer_config(values: _Values) -> dict[str, Any]:
    tokens: list[str] = values["tokenizer.ggml.tokens"]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": values["llama.context_length"],
        "bos_token": tokens[values["tokenizer.ggml.bos_token_id"]],
        "eos_token": tokens[values["tokenizer.ggml.eos_token_id"]],
        "unk_token": tokens[values["tokenizer.ggml.unknown_token_id"]],
        "pad_token": tokens[values["tokenizer.ggml.padding_token_id"]],
    }


def _dump(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
