"""From what a prediction used to USD, fast enough for every request."""

from __future__ import annotations

from tasklift.economics import UnitPrices
from tasklift.errors import ConfigError
from tasklift.measure.cost import item_cost
from tasklift.operate.service import Price
from tasklift.prediction import Usage
from tasklift.project import Project
from tasklift.strategies.prompted_candidate import PromptedCandidate
from tasklift.strategy import Candidate

_MANY = 1_000_000


def price_of(project: Project, task: str, candidate: Candidate) -> Price:
    """The price function of a candidate, at today's prices: cost is linear in each quantity, so unit costs do."""
    try:
        prices = project.economics(project.task(task)).prices
    except ConfigError:  # none are given
        prices = UnitPrices()
    model = _model_of(candidate)

    def unit(used: Usage) -> float:
        return item_cost(used, 1, prices, model).usd / _MANY

    cpu, gpu = unit(Usage(cpu_s=_MANY)), unit(Usage(gpu_s=_MANY))
    fresh, output = unit(Usage(input_tokens=_MANY)), unit(Usage(output_tokens=_MANY))
    cached = unit(Usage(input_tokens=_MANY, cached_tokens=_MANY))

    def price(used: Usage) -> float:
        new = used.input_tokens - used.cached_tokens
        tokens = new * fresh + used.cached_tokens * cached + used.output_tokens * output
        return tokens + used.cpu_s * cpu + used.gpu_s * gpu

    return price


def _model_of(candidate: Candidate) -> str | None:
    """The hosted model that it asks, itself or in a stage; None where it asks none."""
    for inner in (getattr(candidate, "inner", None), getattr(candidate, "prompt", None)):
        if inner is not None:
            return _model_of(inner)
    if isinstance(candidate, PromptedCandidate) and candidate.model.remote:
        return candidate.model.name
    return None
