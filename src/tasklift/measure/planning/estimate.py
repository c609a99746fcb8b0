"""What a strategy would take, before it is run: from a stored evaluation, from counted requests, or from a small probe.

Every figure is a range, and says what it rests on. No hosted model is called.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field, replace
from typing import Any

from tasklift.cache import computing_afresh
from tasklift.data.split import sample
from tasklift.dataset import Dataset
from tasklift.errors import DataError, StrategyError
from tasklift.llm.counting import CountingModel
from tasklift.llm.model import Request
from tasklift.llm.spending import ASKED_AT_MOST, most_tokens
from tasklift.measure.evaluation import CandidateResult
from tasklift.strategies.human import Human
from tasklift.strategies.layered import PILOT_ROWS, Layered
from tasklift.strategy import Candidate, Context, Strategy
from tasklift.task import Task
from tasklift.worker import timed

#: Training rows of the smaller probe; the other one has twice as many.
PROBE_ROWS = 40
#: Rows that a probe answers.
ANSWERED_ROWS = 8
#: Rows whose requests are counted.
COUNTED_ROWS = 40
#: How far a repeated measurement lies from a stored one.
STORED_SPREAD = 0.15
#: How far the linear extrapolation of a probe may be off, either way.
PROBE_SPREAD = 0.4
#: Bytes of UTF-8 text that one token stands for, at most.
MOST_BYTES_A_TOKEN = 5


@dataclass(frozen=True)
class Range:
    """From low to high."""

    low: float
    high: float

    def times(self, factor: float) -> Range:
        """Both ends scaled."""
        return Range(self.low * factor, self.high * factor)

    def plus(self, other: Range) -> Range:
        """Both ends added."""
        return Range(self.low + other.low, self.high + other.high)

    @classmethod
    def around(cls, value: float, share: float) -> Range:
        """`value` give or take a share of it."""
        return cls(value * (1 - share), value * (1 + share))


NONE = Range(0.0, 0.0)


@dataclass(frozen=True)
class Needs:
    """Quantities of one strategy, never money.

    Attributes:
        source: what the figures rest on.
        fit_s: wall-clock seconds of fitting, with nothing else running; None: not known.
        row_s: the same of answering one row; None: not known.
        fit_cpu_s: CPU seconds of fitting: what it costs.
        row_cpu_s: the same of answering one row.
        row_tokens: prompt and answer tokens of one row.
        fit_tokens: the same, asked while fitting, in all.
        model: hosted model that is asked; None: none is.
        labels: labelled rows it is made with.
        training_tokens: tokens of a training job.
    """

    source: str
    fit_s: Range | None = NONE
    row_s: Range | None = NONE
    fit_cpu_s: Range = NONE
    row_cpu_s: Range = NONE
    row_tokens: tuple[Range, Range] = (NONE, NONE)
    fit_tokens: tuple[Range, Range] = (NONE, NONE)
    model: str | None = None
    labels: int = 0
    training_tokens: float = field(default=0.0)


@dataclass(frozen=True)
class Rows:
    """The task with the rows at hand."""

    task: Task
    train: Dataset
    test: Dataset


def from_stored(result: CandidateResult, rows: Rows, identity: str) -> Needs:
    """An earlier evaluation, scaled to the rows at hand."""
    setup, used, n = result.card.setup, result.scores.usage, result.scores.rows
    scale = len(rows.train) / setup.labels if setup.labels else 1.0
    seconds = sum(p.latency_s for p in result.predictions) / n
    hosted = result.card.parameters.get("model") if result.traits["remote"] else None
    return Needs(
        source=f"measured in evaluation {identity}, scaled to {len(rows.train)} training rows",
        # One core at least; a fit that used several was shorter by their number.
        fit_s=Range(setup.cpu_s * scale * (1 - STORED_SPREAD) / (os.cpu_count() or 1), setup.cpu_s * scale),
        row_s=Range.around(seconds, STORED_SPREAD),
        fit_cpu_s=Range.around(setup.cpu_s * scale, STORED_SPREAD),
        row_cpu_s=Range.around(used.cpu_s / n, STORED_SPREAD),
        row_tokens=(
            Range.around(used.input_tokens / n, STORED_SPREAD),
            Range.around(used.output_tokens / n, STORED_SPREAD),
        ),
        model=str(hosted) if hosted else None,
        labels=len(rows.train) if setup.labels else 0,
        training_tokens=setup.tokens * scale,
    )


def estimate(strategy: Strategy, rows: Rows, probe: bool) -> Needs:
    """A strategy that was not evaluated yet.

    Args:
        probe: fit and ask what is local on a few rows and take the time; else its times are not known.
    """
    if isinstance(strategy, Human):
        return Needs("people answer: their time is priced in the economics, not here")
    if isinstance(strategy, Layered):
        return _layered(strategy, rows, probe)
    model = getattr(strategy, "model", None)
    if isinstance(model, str) and model.startswith(("http://", "https://")):
        return _hosted(strategy, model, rows)
    return _local(strategy, rows) if probe else _unknown(strategy, rows, "not probed (--no-probe)")


def _hosted(strategy: Strategy, model: str, rows: Rows) -> Needs:
    """The requests for some test rows, made and counted, not sent."""
    counting = CountingModel(model)
    stand_in: Any = replace(strategy, model=counting)  # type: ignore[type-var]
    kind = rows.task.output
    few = sample(rows.train, 4 * COUNTED_ROWS, stratum=kind.stratum)
    some = sample(rows.test, COUNTED_ROWS, stratum=kind.stratum)
    candidate = stand_in.fit(rows.task, few)
    counting.requests.clear()
    asyncio.run(_answer(candidate, some))
    tokens = [_tokens(request) for request in counting.requests]
    a_row = [
        Range(sum(kind[i].low for kind in tokens) / len(some), sum(kind[i].high for kind in tokens) / len(some))
        for i in range(2)
    ]
    needs_rows = bool(getattr(strategy, "needs_rows", True))
    return Needs(
        source=f"requests for {len(some)} test rows counted, none sent ({len(counting.requests)} calls); "
        "time is not known before a call",
        fit_s=None if needs_rows else NONE,
        row_s=None,
        row_tokens=(a_row[0], a_row[1]),
        model=model,
        labels=len(rows.train) if needs_rows else 0,
    )


def _tokens(request: Request) -> tuple[Range, Range]:
    """Prompt and answer tokens of one call: at least what the text takes, at most what a cap would set aside. A model
    that thinks before it answers may use all of `max_tokens`."""
    asked = sum(len(message.content.encode()) for message in request.messages)
    most_in, most_out = most_tokens(request)
    return Range(asked / MOST_BYTES_A_TOKEN, most_in / ASKED_AT_MOST), Range(1, most_out / ASKED_AT_MOST)


def _local(strategy: Strategy, rows: Rows) -> Needs:
    """Fitted on two small samples and asked a few rows, timed, extrapolated in a straight line."""
    small = max(PROBE_ROWS, 2 * len(rows.task.labels))
    kind = rows.task.output
    parts = [sample(rows.train, size, stratum=kind.stratum) for size in (small, 2 * small)]
    sizes = (len(parts[0]), len(parts[1]))
    some = sample(rows.test, ANSWERED_ROWS, stratum=kind.stratum)
    try:
        with computing_afresh():
            timed(strategy.fit, rows.task, parts[0])  # the first fit of a process loads what the others find
            fits = [timed(strategy.fit, rows.task, part) for part in parts]
            candidate = fits[-1].value
            asyncio.run(_answer(candidate, some))  # what is loaded once is not a row's
            answered = timed(asyncio.run, _answer(candidate, some))
    except (StrategyError, DataError) as error:
        return _unknown(strategy, rows, f"the probe could not be fitted: {error}")
    n = len(rows.train)
    return Needs(
        source=f"timed on {sizes[1]} training and {len(some)} test rows here, extrapolated to {n} and {len(rows.test)}",
        fit_s=_extrapolated(fits[0].wall_s, fits[1].wall_s, sizes, n),
        row_s=Range.around(answered.wall_s / len(some), PROBE_SPREAD),
        fit_cpu_s=_extrapolated(fits[0].cpu_s, fits[1].cpu_s, sizes, n),
        row_cpu_s=Range.around(answered.cpu_s / len(some), PROBE_SPREAD),
        labels=n if getattr(strategy, "needs_rows", True) else 0,
    )


def _extrapolated(small_s: float, large_s: float, sizes: tuple[int, int], wanted: int) -> Range:
    """Low: the slope between both sizes goes on. High: all of the larger one's time grows with the rows."""
    slope = max(0.0, (large_s - small_s) / max(1, sizes[1] - sizes[0]))
    low = large_s + slope * max(0, wanted - sizes[1])
    high = large_s * max(1.0, wanted / sizes[1])
    return Range(min(low, high) * (1 - PROBE_SPREAD), max(low, high) * (1 + PROBE_SPREAD))


def _layered(strategy: Layered, rows: Rows, probe: bool) -> Needs:
    """Its stages: the core fitted on the first fold, the prompt asked in a pilot and, at most, on all of the
    certification fold; every stage asked on every test row."""
    first, second, third = (round(share * len(rows.train)) for share in strategy.folds)
    core = estimate(
        strategy.core, Rows(rows.task, sample(rows.train, first, stratum=rows.task.output.stratum), rows.test), probe
    )
    prompt = estimate(strategy.prompt, rows, probe) if strategy.prompt is not None else Needs("no prompt stage")
    asked = Range(min(PILOT_ROWS, second), min(PILOT_ROWS, second) + third)
    fit_s = row_s = None
    if core.fit_s is not None and core.row_s is not None and prompt.row_s is not None:
        answered = core.row_s.times(second + third)
        fit_s = core.fit_s.plus(answered).plus(Range(prompt.row_s.low * asked.low, prompt.row_s.high * asked.high))
        row_s = core.row_s.plus(prompt.row_s)
    tokens = [Range(kind.low * asked.low, kind.high * asked.high) for kind in prompt.row_tokens]
    return replace(
        core,
        source=f"its stages: core {core.source}; prompt {prompt.source}",
        fit_s=fit_s,
        row_s=row_s,
        fit_cpu_s=core.fit_cpu_s.plus(core.row_cpu_s.times(second + third)).plus(prompt.row_cpu_s.times(asked.high)),
        row_cpu_s=core.row_cpu_s.plus(prompt.row_cpu_s),
        row_tokens=prompt.row_tokens,
        fit_tokens=(tokens[0], tokens[1]),
        model=prompt.model,
        labels=len(rows.train),
    )


def _unknown(strategy: Strategy, rows: Rows, why: str) -> Needs:
    labels = len(rows.train) if getattr(strategy, "needs_rows", True) else 0
    return Needs(why, fit_s=None, row_s=None, labels=labels)


async def _answer(candidate: Candidate, rows: Dataset) -> None:
    size = max(1, candidate.traits.batch_size)
    for start in range(0, len(rows), size):
        await candidate.predict(rows.inputs[start : start + size], Context(all_stages=True))
