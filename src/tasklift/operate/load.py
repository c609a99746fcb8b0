"""From a fingerprint to a candidate that is ready for production."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, cast

from tasklift.errors import ArtifactError, ReleaseError
from tasklift.llm.cached import CachedModel
from tasklift.llm.client import ClientOptions
from tasklift.llm.open import open_endpoint
from tasklift.operate.batching import Batched, Budgeted
from tasklift.strategies.artifact import read_card
from tasklift.strategies.fitting import load_candidate
from tasklift.strategies.prompted_candidate import PromptedCandidate
from tasklift.strategy import Candidate

#: A caller waits: two quick retries, many requests at once. The request's own deadline cuts it off.
ONLINE = ClientOptions(max_retries=2, backoff_s=0.1, max_retry_after_s=2.0, max_concurrency=512)


class Staged(Protocol):
    """A candidate made of stages. Asked for by its shape: loading the layered strategy costs 100 MB, which a
    server of prompts does not need."""

    def with_stages(self, wrap: Callable[[str, Candidate], Candidate]) -> Candidate:
        """The same candidate with other stages."""
        ...


def load_for_production(
    state: Path, fingerprint: str, stage_timeouts_s: Mapping[str, float] | None = None, options: ClientOptions = ONLINE
) -> Candidate:
    """The candidate with its requests batched, and without the response cache of evaluations.

    Args:
        state: `.tasklift` of the project.
        fingerprint: of a fitted candidate.
        stage_timeouts_s: of the stages of a layered one.
        options: how hosted models are treated.

    Raises:
        ArtifactError: gone or damaged.
        MissingDependencyError: it needs an extra that is not installed.
    """
    found = load_candidate(state / "artifacts" / fingerprint)
    if found.fingerprint != fingerprint:
        raise ArtifactError(f"{state / 'artifacts' / fingerprint}: holds another candidate; fit it again")
    return ready(found, stage_timeouts_s or {}, options)


def ready(candidate: Candidate, stage_timeouts_s: Mapping[str, float], options: ClientOptions) -> Candidate:
    """The same candidate for production. A layered one is batched stage by stage, so that no sure answer
    waits for another request's slow stage."""
    if hasattr(candidate, "with_stages"):

        def wrap(name: str, stage: Candidate) -> Candidate:
            made = ready(stage, {}, options)
            return Budgeted(made, stage_timeouts_s[name]) if name in stage_timeouts_s else made

        return cast(Staged, candidate).with_stages(wrap)
    if isinstance(candidate, PromptedCandidate):
        model = candidate.model
        if model.remote:
            candidate.model = open_endpoint(model.name, options)
        elif isinstance(model, CachedModel):
            candidate.model = model.inner
    return candidate if candidate.traits.remote or candidate.family == "human" else Batched(candidate)


def find_candidate(state: Path, given: str) -> str:
    """The fingerprint of the only saved candidate that begins with `given`.

    Raises:
        ReleaseError: none or several do.
    """
    folders = sorted((state / "artifacts").glob("*/candidate.json"))
    found = [path.parent.name for path in folders if given and path.parent.name.startswith(given)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ReleaseError(
            f"{given!r} begins {len(found)} candidates: {', '.join(name[:12] for name in found)}; give more"
        )
    known = ", ".join(path.parent.name[:12] for path in folders[:10]) or "none; run `tasklift evaluate`"
    raise ReleaseError(f"no saved candidate begins with {given!r}; there are: {known}")


def promised_risk(state: Path, fingerprint: str) -> float | None:
    """The highest risk that the certificate of a saved candidate promises; None where it has none.

    Raises:
        ArtifactError: gone or damaged.
    """
    certificate = read_card(state / "artifacts" / fingerprint).notes.get("certificate")
    return float(certificate["alpha"]) if certificate and certificate["threshold"] is not None else None


def name_of(state: Path, fingerprint: str) -> str:
    """The strategy of a saved candidate.

    Raises:
        ArtifactError: gone or damaged.
    """
    return read_card(state / "artifacts" / fingerprint).strategy
