"""GGUF to a Hugging Face folder, on a file of two tiny layers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tasklift.errors import ArtifactError, UnsupportedError

gguf = pytest.importorskip("gguf", reason="needs the extra [local]")
load_file = pytest.importorskip("safetensors.numpy", reason="needs the extra [local]").load_file
convert = pytest.importorskip("tasklift.llm.convert")

HEADS, KV_HEADS, HIDDEN, MIDDLE, LAYERS = 4, 2, 32, 64, 2
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "a", "b", "ab", "1", "Ġ"]


def interleaved(weights: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp stores: within a head, the first and second half of the rows take turns."""
    per_head = weights.reshape(heads, -1, weights.shape[1])
    half = per_head.shape[1] // 2
    return np.stack([per_head[:, :half], per_head[:, half:]], axis=2).reshape(weights.shape)


def write_gguf(path: Path, architecture: str = "llama") -> dict[str, np.ndarray]:
    """Write a random model; returns its tensors under their Hugging Face names."""
    random = np.random.default_rng(0)
    kv = HIDDEN // HEADS * KV_HEADS
    shapes = {
        "attn_q": (HIDDEN, HIDDEN),
        "attn_k": (kv, HIDDEN),
        "ffn_down": (HIDDEN, MIDDLE),
        "attn_norm": (HIDDEN,),
    }
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(MIDDLE)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_context_length(128)
    writer.add_vocab_size(len(TOKENS))
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3, 3, 1, 1, 1, 1, 1])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template("{{ messages }}")
    tensors = {"model.embed_tokens.weight": random.normal(size=(len(TOKENS), HIDDEN)).astype(np.float32)}
    writer.add_tensor("token_embd.weight", tensors["model.embed_tokens.weight"])
    names = {
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "ffn_down": "mlp.down_proj",
        "attn_norm": "input_layernorm",
    }
    for layer in range(LAYERS):
        for kind, shape in shapes.items():
            values = random.normal(size=shape).astype(np.float32)
            tensors[f"model.layers.{layer}.{names[kind]}.weight"] = values
            heads = {"attn_q": HEADS, "attn_k": KV_HEADS}.get(kind)
            writer.add_tensor(f"blk.{layer}.{kind}.weight", interleaved(values, heads) if heads else values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


def test_tensors_config_and_tokenizer_are_written(tmp_path: Path) -> None:
    expected = write_gguf(tmp_path / "m.gguf")
    folder = convert.convert(tmp_path / "m.gguf", tmp_path / "out", sha256="abc")
    found = load_file(folder / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
    config = json.loads((folder / "config.json").read_text())
    assert config["rms_norm_eps"] == 1e-5
    assert config["tie_word_embeddings"]
    assert (folder / "chat_template.jinja").read_text() == "{{ messages }}"
    tokenizer = convert.Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.encode("ab 11<|im_end|>").tokens == ["ab", "Ġ", "1", "1", "<|im_end|>"]


def test_converting_again_does_nothing_unless_the_source_changed(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf")
    lines: list[str] = []
    folder = convert.convert(tmp_path / "m.gguf", tmp_path / "out", sha256="one", report=lines.append)
    convert.convert(tmp_path / "m.gguf", tmp_path / "out", sha256="one", report=lines.append)
    assert len(lines) == 1
    convert.convert(tmp_path / "m.gguf", tmp_path / "out", sha256="two", report=lines.append)
    assert len(lines) == 2
    assert convert.is_converted(folder, "two")
    assert not convert.is_converted(folder, "one")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".part-")] == []


def test_half_written_folder_is_made_anew(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text("{")
    convert.convert(tmp_path / "m.gguf", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["num_hidden_layers"] == LAYERS


def test_other_architectures_and_damaged_files_are_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf", architecture="bert")
    with pytest.raises(UnsupportedError, match=r"bert"):
        convert.convert(tmp_path / "m.gguf", tmp_path / "out")
    (tmp_path / "bad.gguf").write_bytes(b"not a model" * 10)
    with pytest.raises(ArtifactError, match="no readable GGUF"):
        convert.convert(tmp_path / "bad.gguf", tmp_path / "out")
    assert not (tmp_path / "out").exists()
