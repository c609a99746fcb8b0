"""From the name of a model to the model: `local`, a URL, or a registered name."""

from __future__ import annotations

import os
from functools import lru_cache

from tasklift import registry
from tasklift.cache import open_cache
from tasklift.llm.cache import CachedModel
from tasklift.llm.client import OpenAICompatibleModel
from tasklift.llm.model import Model

#: Environment variables that may hold the key of a hosted model, first found wins.
KEY_VARIABLES = ("TASKLIFT_API_KEY", "OPENAI_API_KEY")


def open_model(spec: str | Model) -> Model:
    """A model behind the current project's response cache.

    Args:
        spec: a `Model` is returned as it is; `http(s)://host/v1#model-name` opens an
            OpenAI-compatible endpoint; anything else is a registered name.

    Raises:
        ConfigError: no such model.
        MissingDependencyError: its extra is not installed.
    """
    if not isinstance(spec, str):
        return spec
    if spec.startswith(("http://", "https://")):
        variable = next((name for name in KEY_VARIABLES if os.environ.get(name)), None)
        return CachedModel(OpenAICompatibleModel.from_url(spec, key_variable=variable), open_cache("responses"))
    return _KeptOpen(_load(spec), open_cache("responses"))


class _KeptOpen(CachedModel):
    """A local model is shared by all candidates of a process: none of them may close it."""

    async def aclose(self) -> None:
        """Nothing: the weights stay for the next candidate."""


@lru_cache(maxsize=2)
def _load(name: str) -> Model:
    """Weights are loaded once in a process."""
    model: Model = registry.load("model", name)()
    return model
