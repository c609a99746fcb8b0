"""From a fingerprint to a candidate that is ready for production."""

from __future__ import annotations

from pathlib import Path

from tasklift.errors import ArtifactError, ReleaseError
from tasklift.llm.client import ClientOptions
from tasklift.llm.open import open_endpoint
from tasklift.operate.batching import Batched
from tasklift.strategies.artifact import read_card
from tasklift.strategies.fitting import load_candidate
from tasklift.strategies.layered import LayeredCandidate
from tasklift.strategies.prompt import PromptedCandidate
from tasklift.strategy import Candidate

#: A caller waits: two quick retries, many requests at once. The request's own deadline cuts it off.
ONLINE = ClientOptions(max_retries=2, backoff_s=0.1, max_retry_after_s=2.0, max_concurrency=512)


def load_for_production(state: Path, fingerprint: str, options: ClientOptions = ONLINE) -> Candidate:
    """The candidate with its requests batched, and without the response cache of evaluations.

    Args:
        state: `.tasklift` of the project.
        fingerprint: of a fitted candidate.
        options: how hosted models are treated.

    Raises:
        ArtifactError: gone or damaged.
        MissingDependencyError: it needs an extra that is not installed.
    """
    found = load_candidate(state / "artifacts" / fingerprint)
    if found.fingerprint != fingerprint:
        raise ArtifactError(f"{state / 'artifacts' / fingerprint}: holds another candidate; fit it again")
    return ready(found, options)


def ready(candidate: Candidate, options: ClientOptions = ONLINE) -> Candidate:
    """The same candidate for production. A layered one is batched stage by stage, so that no sure answer
    waits for another request's slow stage."""
    if isinstance(candidate, LayeredCandidate):
        prompt = None if candidate.prompt is None else ready(candidate.prompt, options)
        return LayeredCandidate(candidate.card, ready(candidate.core, options), prompt, candidate.rule)
    if isinstance(candidate, PromptedCandidate) and candidate.model.remote:
        candidate.model = open_endpoint(candidate.model.name, options)
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


def name_of(state: Path, fingerprint: str) -> str:
    """The strategy of a saved candidate.

    Raises:
        ArtifactError: gone or damaged.
    """
    return read_card(state / "artifacts" / fingerprint).strategy
