"""Before an evaluation: what hosted models will be asked is asked in batches, at their lower price."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tasklift.cache import open_cache
from tasklift.dataset import Dataset
from tasklift.llm.batches import POLL_S, Batches, Filled
from tasklift.llm.model import Request
from tasklift.llm.open import open_endpoint
from tasklift.llm.spending import current_meter
from tasklift.strategies.fitting import fit_or_load
from tasklift.strategies.prompted_candidate import PromptedCandidate
from tasklift.strategy import Context, Strategy
from tasklift.task import Task


async def fill_in_batches(
    task: Task,
    strategies: Mapping[str, Strategy],
    train: Dataset,
    rows: Dataset,
    state: Path,
    tell: Callable[[str], None],
    poll_s: float = POLL_S,
) -> Filled:
    """Have every request of the prompted, hosted candidates answered by batches; the answers are in the cache then.

    Raises:
        ModelError: the endpoint has no batches, or failed; the same call goes on.
        BudgetError: a batch could cost more than the cap allows.
    """
    wanted: dict[str, list[Request]] = {}
    for strategy in strategies.values():
        candidate = fit_or_load(strategy, task, train, state, tell)
        if isinstance(candidate, PromptedCandidate) and candidate.model.remote:
            asked = [await candidate.asks(row.input, Context()) for row in rows]
            wanted.setdefault(candidate.model.name, []).extend(one for one in asked if one is not None)
        await candidate.aclose()
    total = Filled(0, 0)
    for name, requests in wanted.items():
        batches = Batches(
            open_endpoint(name), open_cache("responses"), state / "batches", current_meter(), tell, poll_s
        )
        found = await batches.fill(requests)
        total = Filled(total.asked + found.asked, total.answered + found.answered)
    return total
