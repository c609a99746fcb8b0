"""The local model that Tasklift fetches: SmolLM2-135M-Instruct, scored by torch, writing by llama.cpp."""

from __future__ import annotations

from tasklift.llm.convert import convert
from tasklift.llm.llama_cpp import LlamaCppModel
from tasklift.llm.local import LocalModel
from tasklift.weights import SMOLLM2, WEIGHTS, default_home, locate


def open_local() -> LocalModel:
    """The model, converted on first use; its weights are read at the first request.

    Raises:
        MissingWeightsError: `tasklift weights pull` has not been run.
    """
    home = default_home()
    file = locate(SMOLLM2, home)
    folder = convert(file, home / SMOLLM2, sha256=WEIGHTS[SMOLLM2].file_sha256)
    return LocalModel(folder, generator=LlamaCppModel(file))
