"""How long one decision takes with everything on: 20,000 draws, 6 options, 15 uncertain parameters, EVPPI."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from _common import Figure

from tasklift.economics import Economics
from tasklift.measure.deciding.decision import Settings, decide
from tasklift.measure.evidence import Evidence, OptionEvidence
from tasklift.strategy import Resources

DRAWS, ROWS, RUNS = 20_000, 500, 5
RIGHT = {"prompt": 0.82, "prompt-few": 0.85, "finetune": 0.9, "finetune-small": 0.87, "layered": 0.91}


def speed_figure() -> Figure:
    """CPU seconds of a decision: the median of some runs, on one core."""
    evidence, economics = question()
    settings, seconds = Settings(draws=DRAWS), []
    for _ in range(RUNS):
        begun = time.process_time()
        decision = decide(evidence, economics, None, settings)
        seconds.append(time.process_time() - begun)
    said = f"{DRAWS:,} draws, {len(decision.options)} options, {len(decision.evppi) - 1} parameters, with EVPPI"
    return Figure("CPU time of a decision", float(np.median(seconds)), at_most=2.0, unit=" s", note=said)


def question() -> tuple[Evidence, Economics]:
    """Five measured options and people; fifteen things that are uncertain, five of them error rates."""
    rng = np.random.default_rng(0)
    hard, no = rng.random(ROWS), np.zeros(ROWS, dtype=bool)
    options = {
        name: OptionEvidence(
            name,
            name.partition("-")[0],
            (0.7 * hard + 0.3 * rng.random(ROWS) < right).astype(float),
            no,
            no,
            cost_usd=np.full(ROWS, 0.001),
            setup=Resources(),
        )
        for name, right in RIGHT.items()
    }
    evidence = Evidence("made up", tuple(map(str, range(ROWS))), options, (None,) * ROWS, ({},) * ROWS)
    costs: dict[str, Any] = {
        name: {"setup_usd": about(2000.0 + 1000 * at), "item_usd": 0.001} for at, name in enumerate(RIGHT)
    }
    costs["human"] = {"accuracy": {"p10": 0.95, "p50": 0.97, "p90": 0.99}}
    shared = {"items_per_month": 20_000.0, "error_usd": 1.0, "review_usd": 0.4, "changes_per_year": 6.0}
    uncertain = {key: about(value) for key, value in shared.items()}
    return evidence, Economics.model_validate({**uncertain, "options": costs})


def about(value: float) -> dict[str, float]:
    """An amount that may be half as much again, or two thirds."""
    return {"p10": value / 1.5, "p50": value, "p90": 1.5 * value}
