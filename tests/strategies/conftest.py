"""What tests of strategies share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasklift.weights import MissingWeightsError, locate_minilm


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained encoder of two narrow layers, saved as Hugging Face saves one: training it takes no time."""
    torch = pytest.importorskip("torch", reason="needs the extra [local]")
    transformers = pytest.importorskip("transformers", reason="needs the extra [local]")
    try:
        words = locate_minilm()
    except MissingWeightsError:
        pytest.skip("needs weights")
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.AutoConfig.from_pretrained(words, **sizes)
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(words).save_pretrained(folder)
    return folder
