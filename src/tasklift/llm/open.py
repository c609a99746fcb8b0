"""From the name of a model to the model: `local`, a URL, or a registered name."""

from __future__ import annotations

import os
from functools import lru_cache
from urllib.parse import urlsplit

from tasklift import registry
from tasklift.cache import is_asking_again, open_cache
from tasklift.llm.cached import CachedModel
from tasklift.llm.client import ClientOptions, OpenAICompatibleModel
from tasklift.llm.model import Model, Reply, Request, WrappedModel
from tasklift.llm.spending import metered

#: Holds the key of any endpoint.
KEY_VARIABLE = "TASKLIFT_API_KEY"
#: Keys that other tools set, each for its own host only: another one must never see it.
KEYS_OF_HOSTS = {"api.openai.com": "OPENAI_API_KEY"}


def open_model(spec: str | Model) -> Model:
    """A model behind the current project's response cache, or without one inside `asking_again`.

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
        hosted = metered(open_endpoint(spec))
        return hosted if is_asking_again() else CachedModel(hosted, open_cache("responses"))
    if is_asking_again():
        return _Asked(_load(spec))
    return _KeptOpen(_load(spec), open_cache("responses"))


def open_endpoint(url: str, options: ClientOptions | None = None) -> OpenAICompatibleModel:
    """The hosted model at an address, without a response cache; the key comes from the environment.

    Raises:
        ConfigError: the address cannot be used.
    """
    return OpenAICompatibleModel.from_url(url, key_variable=_key_variable(url), options=options)


def _key_variable(url: str) -> str | None:
    """Name of the environment variable with the key for this address; None: it is asked without one."""
    own = KEYS_OF_HOSTS.get(urlsplit(url).hostname or "")
    return next((name for name in (KEY_VARIABLE, own) if name and os.environ.get(name)), None)


class _KeptOpen(CachedModel):
    """A local model is shared by all candidates of a process: none of them may close it."""

    async def aclose(self) -> None:
        """Nothing: the weights stay for the next candidate."""


class _Asked(WrappedModel):
    """The same without a cache."""

    async def complete(self, request: Request) -> Reply:
        """Ask."""
        return await self.inner.complete(request)

    async def aclose(self) -> None:
        """Nothing: the weights stay for the next candidate."""


@lru_cache(maxsize=2)
def _load(name: str) -> Model:
    """Weights are loaded once in a process."""
    model: Model = registry.load("model", name)()
    return model
